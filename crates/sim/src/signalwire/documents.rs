//! Webhooks of the platform: forms that are signed and posted, and the documents that come back.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use quick_xml::{
    XmlVersion,
    events::{BytesStart, Event},
    reader::Reader,
};
use sha1::Sha1;

use super::{
    call::Verb,
    line::{Line, settle},
    params::{Seconds, StreamTo},
    platform::Platform,
    switches::Dialect,
};

/// Largest document.
const LARGEST: usize = 64 * 1024;

/// Asks for a call's next document.
pub(crate) async fn fetch(
    platform: Arc<Platform>,
    line: Arc<Line>,
    url: String,
    form: Vec<(String, String)>,
) {
    let fetched = match post(&platform, &url, &form).await {
        Ok(text) => parse(&text),
        Err(why) => Err(why),
    };
    let mut call = line.call();
    call.document(fetched, &platform.world());
    settle(&platform, &line, &mut call);
}

/// Posts a signed form; gives what comes back.
///
/// # Errors
/// When nothing good does.
pub(crate) async fn post(
    platform: &Platform,
    url: &str,
    form: &[(String, String)],
) -> Result<String, String> {
    let header = match platform.switches().stream_dialect {
        Dialect::Signalwire => "X-SignalWire-Signature",
        Dialect::Twilio => "X-Twilio-Signature",
    };
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request =
        platform.fetcher.post(url).body(body).header(header, sign(&platform.signing_key, url, form));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let response = request.send().await.map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(format!("HTTP status {}", response.status().as_u16()));
    }
    let text = response.text().await.map_err(|error| error.to_string())?;
    if text.len() > LARGEST { Err("the document is too large".into()) } else { Ok(text) }
}

/// The signature of a form, as both vendors make it.
fn sign(key: &str, url: &str, form: &[(String, String)]) -> String {
    let mut sorted: Vec<_> = form.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("a key may have any length");
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Reads a document, strictly.
fn parse(text: &str) -> Result<Vec<Verb>, String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut reading = Reading::default();
    loop {
        match reader.read_event().map_err(|error| format!("not XML: {error}"))? {
            Event::Start(element) => reading.start(&element)?,
            Event::End(_) => reading.end()?,
            Event::Text(text) => reading.text.push_str(&text.decode().map_err(|error| error.to_string())?),
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|error| error.to_string())?;
                let meant = quick_xml::escape::unescape(&format!("&{name};"))
                    .map_err(|error| error.to_string())?
                    .into_owned();
                reading.text.push_str(&meant);
            }
            Event::Eof if reading.open.is_empty() && reading.is_response => return Ok(reading.verbs),
            Event::Eof => return Err("the document is not a whole <Response>".into()),
            Event::Empty(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => {}
        }
    }
}

/// A document as far as it has been read.
#[derive(Debug, Default)]
struct Reading {
    is_response: bool,
    open: Vec<String>,
    text: String,
    stream: Option<StreamTo>,
    verbs: Vec<Verb>,
}

impl Reading {
    fn start(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        let name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
        let attributes = attributes(element)?;
        let attribute = |name: &str| attributes.get(name).cloned();
        let parents: Vec<&str> = self.open.iter().map(String::as_str).collect();
        match (parents.as_slice(), name.as_str()) {
            ([], "Response") => self.is_response = true,
            (["Response"], "Connect" | "Start" | "Redirect" | "Hangup" | "Reject") => {}
            (["Response"], "Pause") => {
                let length = attribute("length").map_or(Ok(1.0), |length| length.parse());
                let length = length.ok().and_then(|seconds| Seconds::try_from(seconds).ok());
                self.verbs.push(Verb::Pause(length.ok_or("a pause of no length")?));
            }
            (["Response", "Connect" | "Start"], "Stream") => {
                self.stream = Some(StreamTo {
                    url: attribute("url").ok_or("a stream without url")?,
                    name: attribute("name"),
                    codec: attribute("codec"),
                    realtime: attribute("realtime").as_deref() == Some("true"),
                    authorization_bearer_token: attribute("authBearerToken"),
                    custom_parameters: BTreeMap::new(),
                    status_url: attribute("statusCallback"),
                });
            }
            (["Response", _, "Stream"], "Parameter") => {
                let (name, value) = (attribute("name"), attribute("value"));
                let pair = name.zip(value).ok_or("a parameter without name or value")?;
                self.stream.get_or_insert_default().custom_parameters.extend([pair]);
            }
            (parents, name) => return Err(format!("<{name}> within {parents:?}")),
        }
        self.open.push(name);
        self.text.clear();
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let name = self.open.pop().unwrap_or_default();
        match name.as_str() {
            "Connect" => {
                self.verbs.push(Verb::ConnectStream(self.stream.take().ok_or("nothing to connect to")?));
            }
            "Start" => self.verbs.push(Verb::StartStream(self.stream.take().ok_or("nothing to start")?)),
            "Redirect" => self.verbs.push(Verb::Redirect(self.text.trim().to_owned())),
            "Hangup" => self.verbs.push(Verb::Hangup),
            "Reject" => self.verbs.push(Verb::Reject),
            _ => {}
        }
        Ok(())
    }
}

fn attributes(element: &BytesStart<'_>) -> Result<BTreeMap<String, String>, String> {
    let attributes = element.attributes().map(|attribute| {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let name = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| error.to_string())?;
        Ok((name, value.into_owned()))
    });
    attributes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_signed_as_the_vendors_own_validators_accept_it() {
        let form = [("To", "+15552220000"), ("CallSid", "c1"), ("From", "+15551110000")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let signature = sign("test-signing-key", "https://example.com/voice", &form);
        assert_eq!(signature, "+jE8+fignB/kuqKhCncmXApEHWE=");
    }

    #[test]
    fn documents_are_read_with_parameters_and_entities() {
        let verbs = parse(
            "<?xml version=\"1.0\"?><Response><Connect><Stream url=\"wss://x/media/t\" codec=\"PCMU@8000h\" \
             authBearerToken=\"b\"><Parameter name=\"from\" value=\"+1 &amp; co\"/></Stream></Connect>\n\
             <Pause length='2'/><Redirect method=\"POST\">https://x/again?a=1&amp;b=2</Redirect></Response>",
        );
        let to = StreamTo {
            url: "wss://x/media/t".into(),
            codec: Some("PCMU@8000h".into()),
            authorization_bearer_token: Some("b".into()),
            custom_parameters: [("from".to_owned(), "+1 & co".to_owned())].into(),
            ..StreamTo::default()
        };
        let expected = vec![
            Verb::ConnectStream(to),
            Verb::Pause(Seconds(2.0)),
            Verb::Redirect("https://x/again?a=1&b=2".into()),
        ];
        assert_eq!(verbs, Ok(expected));
        assert_eq!(parse("<Response/>"), Ok(vec![]));
        for wrong in [
            "",
            "hello",
            "<Response>",
            "<Reply/>",
            "<Response><Connect/></Response>",
            "<Response><Stream url='x'/></Response>",
            "<Response><Connect><Stream/></Connect></Response>",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
