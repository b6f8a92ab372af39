//! cXML: what a call is to do.

use std::fmt::Write as _;

/// The call is connected to a stream; when that ends, whatever the reason, `again` says how it goes on.
pub(super) fn connect(stream: &str, status: &str, parameters: &[(&str, &str)], again: &str) -> String {
    let mut document = format!(
        "{HEAD}<Response><Connect><Stream url=\"{}\" statusCallback=\"{}\">",
        escaped(stream),
        escaped(status)
    );
    for (name, value) in parameters {
        // A string takes what is written.
        let _ = write!(document, "<Parameter name=\"{}\" value=\"{}\"/>", escaped(name), escaped(value));
    }
    let _ = write!(
        document,
        "</Stream></Connect><Redirect method=\"POST\">{}</Redirect></Response>",
        escaped(again)
    );
    document
}

/// The call is over.
pub(super) fn hang_up() -> String {
    format!("{HEAD}<Response><Hangup/></Response>")
}

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Not allowed in XML 1.0 in any form.
            symbol if symbol.is_control() => {}
            symbol => escaped.push(symbol),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_a_number_stays_within_its_attribute() {
        let document = connect(
            "wss://x/media/t",
            "https://x/s",
            &[("from", "\"/><Hangup/>\u{0}&")],
            "https://x/v?a=1&b=2",
        );
        assert_eq!(
            document,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect><Stream url=\"wss://x/media/t\" \
             statusCallback=\"https://x/s\"><Parameter name=\"from\" value=\"&quot;/&gt;&lt;Hangup/&gt;&amp;\"/></Stream>\
             </Connect><Redirect method=\"POST\">https://x/v?a=1&amp;b=2</Redirect></Response>"
        );
    }
}
