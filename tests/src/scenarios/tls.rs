//! TLS: to the gateway, and between the services.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::{Value, json};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use voice_proto::{
    relay::v1::{GetCallRequest, ListCallsRequest, WatchCallRequest},
    tts::v1::{ListVoicesRequest, tts_service_client::TtsServiceClient},
};

use super::{
    access::with,
    several::{both_known, owner, relay},
    *,
};
use crate::phone::loopback_client;

/// Certificates of an authority of our own, in files.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self { folder, issuer }
    }

    /// Certificate and key for this machine, good for both ends of a connection.
    fn issue(&self) -> (String, String) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Services that show certificates of this authority to each other, and believe it.
    fn services(&self) -> Options {
        let (certificate, key) = self.issue();
        Options { tls: Some(self.client(None)), ..Options::default() }
            .with("TLS_CERT_FILE", self.file("cert.pem", &certificate))
            .with("TLS_KEY_FILE", self.file("key.pem", &key))
            .with("MESH_CA_FILE", self.file("ca.pem", &self.issuer.pem()))
    }

    /// The same that serve only whoever shows one too.
    fn closed_services(&self) -> Options {
        let options = Options { tls: Some(self.client(Some(self))), ..self.services() };
        options.with("TLS_CLIENT_CA_FILE", self.file("ca.pem", &self.issuer.pem()))
    }

    /// A client that believes this authority, and shows a certificate of `other`.
    fn client(&self, other: Option<&Self>) -> ClientTlsConfig {
        let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.issuer.pem()));
        match other.map(Self::issue) {
            None => config,
            Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
        }
    }
}

async fn dial(address: &str, tls: Option<ClientTlsConfig>) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(address.to_owned()).unwrap();
    match tls {
        None => endpoint.connect().await,
        Some(tls) => endpoint.tls_config(tls).unwrap().connect().await,
    }
}

/// With TLS 1.3 a client learns of its refusal when it first reads.
async fn is_served(channel: Result<Channel, tonic::transport::Error>) -> bool {
    match channel {
        Ok(channel) => TtsServiceClient::new(channel).list_voices(ListVoicesRequest {}).await.is_ok(),
        Err(_) => false,
    }
}

/// What the gateway says of those behind it.
async fn readiness(mesh: &Mesh) -> Value {
    let url = format!("{}/readyz", mesh.address("gateway"));
    loopback_client().get(url).send().await.unwrap().json().await.unwrap()
}

async fn a_call_goes_as_ever(mesh: &Mesh) {
    let (caller, mut watch) = greeted(mesh).await;
    ask(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), ANSWER);
    eventually(LIMIT, "a gateway that has found both", async || {
        (readiness(mesh).await == json!({ "tts": "up", "relay": "up" })).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn the_gateway_speaks_tls_by_files_of_its_own() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue();
    let files = [
        ("gateway", "GATEWAY_TLS_CERT_FILE", authority.file("cert.pem", &certificate)),
        ("gateway", "GATEWAY_TLS_KEY_FILE", authority.file("key.pem", &key)),
    ];
    let mesh = mesh(Options { own_env: files.into(), ..Options::default() }).await;
    let url = format!("{}/healthz", mesh.address("gateway")).replace("http://", "https://");
    let root = reqwest::Certificate::from_pem(authority.issuer.pem().as_bytes()).unwrap();
    let believing = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
    let answer = believing.get(&url).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    assert!(loopback_client().get(&url).send().await.is_err(), "nobody has to believe it");
    assert!(loopback_client().get(url.replace("https://", "http://")).send().await.is_err());
}

#[tokio::test]
async fn over_mutual_tls_a_call_goes_as_ever_and_whoever_shows_nothing_is_refused() {
    let authority = Authority::new();
    let mesh = mesh(authority.closed_services()).await;
    a_call_goes_as_ever(&mesh).await;

    let address = mesh.address("tts");
    let stranger = Authority::new();
    for (who, channel) in [
        ("who speaks plainly", dial(&address.replace("https", "http"), None).await),
        ("who shows nothing", dial(&address, Some(authority.client(None))).await),
        ("who shows another authority's", dial(&address, Some(authority.client(Some(&stranger)))).await),
        ("who does not believe it", dial(&address, Some(stranger.client(Some(&authority)))).await),
    ] {
        assert!(!is_served(channel).await, "{who} was let in");
    }
    assert!(is_served(dial(&address, Some(authority.client(Some(&authority)))).await).await);
}

#[tokio::test]
async fn over_mutual_tls_audio_and_requests_find_the_relay_of_their_call() {
    let authority = Authority::new();
    let options = authority
        .closed_services()
        .with("API_TOKENS", "operator")
        .with("MESH_TOKEN", "between-services")
        .with("CALL_AUDIO", "stream");
    let mesh = mesh(Options { more: vec!["relay-2"], ..options }).await;
    both_known(&mesh).await;
    let caller = mesh.phone.ring(CONTEXT).await.unwrap();
    let call_id = eventually(LIMIT, "the call", async || {
        let all = relay(&mesh, "relay").await.list_calls(with("operator", ListCallsRequest::default())).await;
        all.ok()?.into_inner().calls.pop().map(|call| call.call_id)
    })
    .await
    .unwrap();
    let (owner, other) = owner(&mesh, &call_id);
    for by in [owner, other] {
        let asked = with("operator", GetCallRequest { call_id: call_id.clone() });
        let call = relay(&mesh, by).await.get_call(asked).await.unwrap().into_inner().call.unwrap();
        assert_eq!(call.call_id, call_id, "{by}");
    }
    let request = with("operator", WatchCallRequest { call_id, after_sequence: 0 });
    let mut watch = Watch::begin(relay(&mesh, other).await, request).await.unwrap();
    watch.until(LIMIT, finished(PlaybackKind::Greeting)).await.unwrap();
    ask(&caller, &mut watch).await;
    assert_eq!(replies(&watch).join(" "), ANSWER);
    let view = caller.view().await.unwrap();
    assert_eq!((&view["playbacks"], &view["recordings"]), (&json!([]), &json!([])), "frames, not files");
}

#[tokio::test]
async fn over_tls_alone_whoever_believes_the_authority_is_served() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let mesh = mesh(authority.services()).await;
    a_call_goes_as_ever(&mesh).await;
    let address = mesh.address("tts");
    assert!(is_served(dial(&address, Some(authority.client(None))).await).await);
    assert!(!is_served(dial(&address.replace("https", "http"), None).await).await, "plainly");
    assert!(!is_served(dial(&address, Some(stranger.client(None))).await).await, "it is not believed");
}
