//! tmp
#[derive(Clone, Debug)]
pub struct Clips;
impl Clips {
    pub fn open(_u: &str, _q: &secrecy::SecretString) -> Result<Self, std::io::Error> {
        Ok(Self)
    }
    pub fn name_for(&self, _a: &str, _b: &str, _c: &str, _d: &str) -> String {
        String::new()
    }
    pub async fn put(&self, _n: &str, _b: bytes::Bytes) -> Result<(), std::io::Error> {
        Ok(())
    }
}
