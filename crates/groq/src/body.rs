//! Reading whole answers, but never more than an answer can sensibly be.

use reqwest::Response;

use crate::Error;

/// The longest JSON answer that is read: hours of verbose transcript.
const JSON_LIMIT: usize = 8 * 1024 * 1024;
/// What is read of an error answer.
const ERROR_LIMIT: usize = 64 * 1024;
/// Characters of foreign text that are kept in an error.
const SNIPPET_CHARS: usize = 400;

/// Reads a whole answer.
pub(crate) async fn read(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(Error::from_transport)? {
        if body.len() + piece.len() > JSON_LIMIT {
            return Err(Error::Nonsense(format!("an answer of more than {JSON_LIMIT} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Reads the beginning of an answer that is only going to be quoted. What cannot be read is left out: the status
/// already says what matters.
pub(crate) async fn read_beginning(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < ERROR_LIMIT {
        let Ok(Some(piece)) = response.chunk().await else { break };
        body.extend_from_slice(&piece);
    }
    body
}

/// The beginning of a foreign text, on one line.
pub(crate) fn snippet(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SNIPPET_CHARS).collect()
}
