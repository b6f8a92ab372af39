//! tmp
#[derive(Clone, Debug)]
pub struct Jobs;
impl Jobs {
    pub fn connect(_u: &secrecy::SecretString, _q: &str) -> Result<Self, std::io::Error> {
        Ok(Self)
    }
}
