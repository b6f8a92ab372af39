//! E-mail addresses, addresses on the web, names of files.

use super::{
    Cursor, Said, codes,
    numbers::{cardinal, digits},
};

/// Ends of names that are said as a word.
const SAID_ENDS: [&str; 14] =
    ["com", "org", "net", "edu", "gov", "info", "biz", "co", "app", "dev", "shop", "store", "me", "online"];
/// Ends of names that are spelled.
const SPELLED_ENDS: [&str; 22] = [
    "io", "ai", "uk", "de", "fr", "ca", "us", "eu", "nl", "ch", "at", "au", "nz", "ie", "jp", "tv", "es",
    "it", "se", "no", "in", "be",
];
const FILE_ENDS: [&str; 18] = [
    "pdf", "doc", "docx", "txt", "csv", "png", "jpg", "zip", "html", "js", "py", "rs", "json", "xlsx", "mp3",
    "wav", "md", "example",
];
/// Longer addresses are "a link".
const MOST_HOST_CHARS: usize = 30;

pub(super) fn read(cursor: &Cursor<'_>) -> Option<Said> {
    let core = cursor.core(0)?;
    email(core).or_else(|| address(core)).map(|text| Said::new(1, text))
}

fn email(core: &str) -> Option<String> {
    let core = core.strip_prefix("mailto:").unwrap_or(core);
    let (local, host) = core.split_once('@')?;
    if local.is_empty() || !host.contains('.') || host.contains('@') || local.contains(['/', ':']) {
        return None;
    }
    if core.len() > 64 {
        return Some("an e-mail address".into());
    }
    Some(format!("{} at {}", local_part(local), dotted(host)))
}

fn local_part(local: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in local.chars().chain(['\0']) {
        if c.is_alphanumeric() {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            words.push(label(&std::mem::take(&mut word)));
        }
        let sign = match c {
            '.' => "dot",
            '_' => "underscore",
            '-' => "dash",
            '+' => "plus",
            _ => continue,
        };
        words.push(sign.into());
    }
    words.join(" ")
}

/// A part of an address: a word, or letters and digits.
fn label(text: &str) -> String {
    if !text.is_ascii() {
        return text.chars().filter(|c| !c.is_numeric()).collect();
    }
    let said = codes::runs(text).into_iter().map(|run| {
        if run.starts_with(|c: char| c.is_ascii_digit()) {
            return if run.len() <= 2 && !run.starts_with('0') { cardinal(run) } else { digits(run) };
        }
        let is_word = run.len() > 2 && run.contains(|c| "aeiouyAEIOUY".contains(c))
            || matches!(run, "me" | "my" | "to" | "go" | "hi" | "we");
        if is_word { run.to_owned() } else { codes::letters(run) }
    });
    said.collect::<Vec<_>>().join(" ")
}

/// `example.com` is "example dot com".
fn dotted(host: &str) -> String {
    let labels = host.split('.').filter(|label| !label.is_empty());
    let said = labels.map(|part| {
        if SAID_ENDS.contains(&part) || FILE_ENDS.contains(&part) && part.contains(|c| "aeiouy".contains(c)) {
            return part.to_owned();
        }
        let words = part.split(['-', '_', ':']).filter(|word| !word.is_empty()).map(label);
        words.collect::<Vec<_>>().join(if part.contains('_') { " underscore " } else { " dash " })
    });
    said.collect::<Vec<_>>().join(" dot ")
}

fn address(core: &str) -> Option<String> {
    let bare = core
        .strip_prefix("https://")
        .or_else(|| core.strip_prefix("http://"))
        .or_else(|| core.strip_prefix("ftp://"));
    let has_scheme = bare.is_some();
    let bare = bare.unwrap_or(core);
    let is_www = bare.starts_with("www.");
    let bare = bare.strip_prefix("www.").unwrap_or(bare);
    let (host, path) = bare.split_once(['/', '?', '#']).unwrap_or((bare, ""));
    let is_named = has_scheme || is_www;
    let is_host = host.is_ascii()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'))
        && host.contains(|c: char| c.is_ascii_alphabetic());
    let labels: Vec<&str> = host.split('.').collect();
    let last = labels.last().copied().unwrap_or_default().to_ascii_lowercase();
    let is_known = is_host
        && labels.len() > 1
        && labels.iter().all(|label| !label.is_empty())
        && (SAID_ENDS.contains(&last.as_str())
            || SPELLED_ENDS.contains(&last.as_str())
            || FILE_ENDS.contains(&last.as_str()));
    // "e.g" and "U.S" are no addresses.
    let is_long = labels.iter().rev().nth(1).is_some_and(|label| label.len() > 1);
    let is_address = is_named || is_known && is_long;
    if !is_address {
        return None;
    }
    if !is_host || host.len() > MOST_HOST_CHARS || labels.len() > 4 || host.contains(':') {
        return Some("a link".into());
    }
    let said = dotted(&host.to_ascii_lowercase());
    let path = path.trim_end_matches('/');
    match path {
        "" => Some(said),
        path if !has_scheme && path.len() <= 12 && path.bytes().all(|b| b.is_ascii_lowercase()) => {
            Some(format!("{said} slash {path}"))
        }
        _ => Some("a link".into()),
    }
}
