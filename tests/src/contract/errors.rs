//! `docs/errors.md` against the reasons of the code and those that the contracts promise.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use voice_server::status::{Reason, Retry, code_name};

use super::{page, root};

/// The reasons of statuses, by who has them.
const REASONS: [(&str, &[Reason]); 4] = [
    ("Of every service", voice_server::status::reason::ALL),
    ("Of calls (relay)", relay::reason::ALL),
    ("Of jobs and turns (worker)", worker::reason::ALL),
    ("Of speech (tts)", tts::reason::ALL),
];

/// Where reasons of events are written as they are.
const SOURCES: [&str; 5] = ["relay/src", "worker/src", "tts/src", "gateway/src", "crates/call/src"];

/// Words of a page that are names in the style of reasons.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    words.filter(|word| word.contains('_') && !word.starts_with('_')).map(str::to_owned).collect()
}

/// The rows of the table below a heading, cell by cell.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let start = page.find(&format!("## {heading}\n")).unwrap_or_else(|| panic!("no \"{heading}\""));
    let rows = page[start..].lines().skip(1).take_while(|line| !line.starts_with("## "));
    rows.filter_map(|row| row.strip_prefix("| `"))
        .map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect())
        .collect()
}

fn row_of(reason: &Reason) -> [String; 4] {
    let retry = match reason.retry {
        Retry::Never => "–".to_owned(),
        Retry::After(delay) => format!("{} ms", delay.as_millis()),
        Retry::Told => "as told".to_owned(),
    };
    let http = gateway::reason::http_status(reason.code).as_u16().to_string();
    [reason.name.to_owned(), code_name(reason.code).to_owned(), http, retry]
}

#[test]
fn the_page_of_errors_has_every_reason_with_its_code_status_and_delay() {
    let page = page("errors.md");
    for (heading, reasons) in REASONS {
        let told: Vec<[String; 4]> = table(&page, heading)
            .into_iter()
            .map(|row| row.into_iter().take(4).collect::<Vec<_>>().try_into().unwrap())
            .collect();
        assert_eq!(told, reasons.iter().map(row_of).collect::<Vec<_>>(), "{heading}");
    }
    let told: Vec<(String, String)> = table(&page, "Of HTTP alone (gateway)")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    let known = gateway::reason::ALL.iter();
    let known: Vec<_> =
        known.map(|reason| (reason.name.to_owned(), reason.status.as_u16().to_string())).collect();
    assert_eq!(told, known);
}

#[test]
fn the_page_of_errors_has_every_way_in_which_a_media_socket_is_closed() {
    let page = page("errors.md");
    let told = table(&page, "On media sockets (gateway)").into_iter();
    let told: Vec<_> = told.map(|row| (row[0].clone(), row[1].clone())).collect();
    let known = gateway::CLOSES.iter().map(|close| (close.name.to_owned(), close.code.to_string()));
    assert_eq!(told, known.collect::<Vec<_>>());
}

#[test]
fn no_reason_means_two_things() {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    let http = gateway::reason::ALL.iter().map(|reason| ("Of HTTP alone (gateway)", reason.name));
    let grpc = REASONS.iter().flat_map(|(owner, all)| all.iter().map(|reason| (*owner, reason.name)));
    for (owner, name) in grpc.chain(http) {
        assert_eq!(owners.insert(name, owner), None, "{name} is declared twice");
    }
}

/// Literals in the style of reasons, as far as they are code: tests may say what they like.
fn literals(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            literals(&path, into);
        } else if path.extension().is_some_and(|kind| kind == "rs")
            && name != "tests.rs"
            && name != "config.rs"
        {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let is_name = |text: &&str| names(text).contains(*text);
            into.extend(code.split('"').filter(is_name).map(str::to_owned));
        }
    }
}

/// Variables of the environment look like reasons and are none.
fn settings() -> BTreeSet<String> {
    let mut names = names(&page("configuration.md"));
    names.insert("CARGO_PKG_VERSION".to_owned());
    names
}

#[test]
fn reasons_in_events_are_on_the_page_and_no_other_is() {
    let mut written = BTreeSet::new();
    for folder in SOURCES {
        literals(&root().join(folder), &mut written);
    }
    let settings = settings();
    written.retain(|name| !settings.contains(name));
    let page = page("errors.md");
    let missing: Vec<_> = written.difference(&names(&page)).cloned().collect();
    assert!(missing.is_empty(), "docs/errors.md does not tell what these mean: {missing:?}");
    let scripts = fs::read_dir(root().join("crates/jobs/src/scripts")).unwrap();
    let mut sources: String =
        scripts.map(|script| fs::read_to_string(script.unwrap().path()).unwrap()).collect();
    for file in ["consumer.rs", "consumer/job.rs"] {
        sources.push_str(&fs::read_to_string(root().join("crates/jobs/src").join(file)).unwrap());
    }
    for row in table(&page, "In events") {
        let is_known = written.contains(&row[0]) || names_or_words(&sources).contains(&row[0]);
        assert!(is_known, "nothing gives {}", row[0]);
    }
}

/// The same with names of one word.
fn names_or_words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_uppercase() || c == '_')).map(str::to_owned).collect()
}

#[test]
fn contracts_name_reasons_that_exist_and_every_reason_of_a_service_is_in_its_contract() {
    let mut comments = String::new();
    for service in ["relay", "worker", "tts"] {
        for entry in fs::read_dir(root().join("proto/voice").join(service).join("v1")).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let lines = text.lines().filter_map(|line| line.trim().strip_prefix("//"));
            comments.extend(lines.flat_map(|line| [line, "\n"]));
        }
    }
    let promised = names(&comments);
    let codes: BTreeSet<String> = (0..17).map(|code| code_name(tonic::Code::from(code)).to_owned()).collect();
    let values = super::api::enum_values();
    // Comments leave out the prefix that all values of an enum share.
    let is_value =
        |name: &str| values.iter().any(|value| value.ends_with(&format!("_{name}")) || value == name);
    let (known, settings) = (names(&page("errors.md")), settings());
    let unknown: Vec<_> = promised
        .iter()
        .filter(|name| ![&codes, &known, &settings].iter().any(|set| set.contains(*name)) && !is_value(name))
        .collect();
    assert!(unknown.is_empty(), "contracts promise reasons that docs/errors.md does not know: {unknown:?}");
    for (owner, reasons) in &REASONS[1..] {
        for reason in *reasons {
            assert!(promised.contains(reason.name), "{owner}: no contract tells of {}", reason.name);
        }
    }
}

#[test]
fn a_name_is_cut_out_of_a_sentence() {
    let found = names("Errors: CALL_NOT_FOUND; EVENTS_GONE (OUT_OF_RANGE). OK, `A` and _B.");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["CALL_NOT_FOUND", "EVENTS_GONE", "OUT_OF_RANGE"]);
}
