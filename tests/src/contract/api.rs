//! `docs/api.md`, written from the descriptors that the servers reflect.

use std::{collections::BTreeMap, fmt::Write as _};

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, field_descriptor_proto::Type,
};

use voice_server::methods;

use super::{page, root};

/// Numbers of fields in `descriptor.proto`, of which the paths to comments are made.
mod part {
    pub(super) const FILE_MESSAGE: i32 = 4;
    pub(super) const FILE_ENUM: i32 = 5;
    pub(super) const FILE_SERVICE: i32 = 6;
    pub(super) const MEMBER: i32 = 2;
    pub(super) const ONEOF: i32 = 8;
}

/// Set, the page is written instead of compared.
const RENEW: &str = "RENEW";

pub(super) fn files() -> Vec<FileDescriptorProto> {
    let all = FileDescriptorSet::decode(voice_proto::DESCRIPTORS).unwrap().file;
    all.into_iter().filter(|file| file.package().starts_with("voice.")).collect()
}

/// Names of all values of all enums.
pub(super) fn enum_values() -> Vec<String> {
    let enums = files().into_iter().flat_map(|file| file.enum_type);
    enums.flat_map(|kind| kind.value).map(|value| value.name().to_owned()).collect()
}

/// A file with its comments by path.
struct Source {
    file: FileDescriptorProto,
    comments: BTreeMap<Vec<i32>, String>,
}

impl Source {
    fn new(mut file: FileDescriptorProto) -> Self {
        let locations = file.source_code_info.take().unwrap_or_default().location.into_iter();
        let comments = locations.filter_map(|place| {
            let text = place.leading_comments.unwrap_or_default();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            (!text.is_empty()).then(|| (place.path, lines.join("\n").trim().to_owned()))
        });
        let comments = comments.collect();
        Self { file, comments }
    }

    /// The comment at a path, as paragraphs.
    fn text(&self, path: &[i32]) -> String {
        let text = self.comments.get(path).map(String::as_str).unwrap_or_default();
        let paragraphs = text.split("\n\n").map(|lines| lines.replace('\n', " "));
        escaped(&paragraphs.collect::<Vec<_>>().join("\n\n"))
    }

    /// The same for a cell of a table.
    fn cell(&self, path: &[i32]) -> String {
        self.text(path).replace("\n\n", " ")
    }
}

/// What Markdown would take for its own.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn write_page(sources: &[Source]) -> String {
    let mut page = String::from(
        "# API reference\n\nWritten from the contracts in `proto/voice`; renew it with `make api-docs`. Reasons of errors are \
         explained in [errors.md](errors.md), commands to try things with in [grpcurl.md](grpcurl.md). Where tokens are asked \
         for (`API_TOKENS`), a token needs the scope that the RPC names, by gRPC and by gRPC-Web.\n",
    );
    let mut packages: Vec<&str> = sources.iter().map(|source| source.file.package()).collect();
    packages.dedup();
    for package in packages {
        let files = || sources.iter().filter(|source| source.file.package() == package);
        let _ = write!(page, "\n## {package}\n");
        files().for_each(|source| write_services(&mut page, source));
        files().for_each(|source| write_messages(&mut page, source));
        files().for_each(|source| write_enums(&mut page, source));
    }
    page
}

fn write_services(page: &mut String, source: &Source) {
    for (number, service) in source.file.service.iter().enumerate() {
        let path = [part::FILE_SERVICE, number as i32];
        let _ = write!(page, "\n### {}\n\n{}\n", service.name(), source.text(&path));
        for (number, method) in service.method.iter().enumerate() {
            let path = [&path[..], &[part::MEMBER, number as i32]].concat();
            let shape = shape_of(method);
            let _ = write!(page, "\n#### {}.{}\n\n{shape}\n\n", service.name(), method.name());
            let _ = writeln!(page, "{}", source.text(&path));
            let rpc = format!("/{}.{}/{}", source.file.package(), service.name(), method.name());
            // Those that users serve let in whom they like.
            if let Some(known) = methods::find(&rpc) {
                let _ = write!(page, "\nScope: `{}`.\n", known.scope.name());
            }
        }
    }
}

fn shape_of(method: &MethodDescriptorProto) -> String {
    let side = |name: &str, is_stream: bool| {
        let name = link(name);
        if is_stream { format!("stream of {name}") } else { name }
    };
    let request = side(method.input_type(), method.client_streaming());
    let response = side(method.output_type(), method.server_streaming());
    format!("{request} → {response}")
}

fn write_messages(page: &mut String, source: &Source) {
    for (number, message) in source.file.message_type.iter().enumerate() {
        let path = [part::FILE_MESSAGE, number as i32];
        let _ = write!(page, "\n#### {}\n\n{}\n", message.name(), source.text(&path));
        if message.field.is_empty() {
            continue;
        }
        page.push_str("\n| field | type | |\n|---|---|---|\n");
        for (number, field) in message.field.iter().enumerate() {
            let path = [&path[..], &[part::MEMBER, number as i32]].concat();
            let choice =
                choice_of(message, field).map(|choice| format!("*one of `{choice}`* ")).unwrap_or_default();
            let text = source.cell(&path);
            let _ = writeln!(
                page,
                "| `{}` = {} | {} | {choice}{text} |",
                field.name(),
                field.number(),
                type_of(field)
            );
        }
        for (number, choice) in message.oneof_decl.iter().enumerate() {
            let text = source.cell(&[&path[..], &[part::ONEOF, number as i32]].concat());
            let _ = write!(page, "\n`{}`: {text}\n", choice.name());
        }
    }
}

fn choice_of<'a>(message: &'a DescriptorProto, field: &FieldDescriptorProto) -> Option<&'a str> {
    let choice = usize::try_from(field.oneof_index?).ok()?;
    Some(message.oneof_decl[choice].name())
}

fn type_of(field: &FieldDescriptorProto) -> String {
    let name = match field.r#type() {
        Type::Message | Type::Enum => link(field.type_name()),
        plain => plain.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    let is_list = field.label() == prost_types::field_descriptor_proto::Label::Repeated;
    if is_list { format!("list of {name}") } else { name }
}

fn write_enums(page: &mut String, source: &Source) {
    for (number, kind) in source.file.enum_type.iter().enumerate() {
        let EnumDescriptorProto { value, .. } = kind;
        let path = [part::FILE_ENUM, number as i32];
        let _ = write!(page, "\n#### {}\n\n{}\n\n| value | |\n|---|---|\n", kind.name(), source.text(&path));
        for (number, value) in value.iter().enumerate() {
            let path = [&path[..], &[part::MEMBER, number as i32]].concat();
            let _ = writeln!(page, "| `{}` = {} | {} |", value.name(), value.number(), source.cell(&path));
        }
    }
}

/// A type by its short name; ours are headings of the page.
fn link(full_name: &str) -> String {
    let name = full_name.rsplit('.').next().unwrap_or_default();
    if full_name.starts_with(".voice.") {
        format!("[{name}](#{})", name.to_lowercase())
    } else {
        name.to_owned()
    }
}

#[test]
fn the_api_reference_is_what_the_contracts_say() {
    let sources: Vec<Source> = files().into_iter().map(Source::new).collect();
    let wanted = write_page(&sources);
    if std::env::vars().any(|(name, _)| name == RENEW) {
        std::fs::write(root().join("docs/api.md"), &wanted).unwrap();
    }
    assert!(page("api.md") == wanted, "docs/api.md is out of date: run `make api-docs`");
}

#[test]
fn everything_in_the_contracts_has_a_heading_of_its_own() {
    let mut names: Vec<String> = Vec::new();
    for file in files() {
        names.extend(file.message_type.iter().map(|message| message.name().to_owned()));
        names.extend(file.enum_type.iter().map(|kind| kind.name().to_owned()));
        names.extend(file.service.iter().map(|service| service.name().to_owned()));
        let has_nested = file
            .message_type
            .iter()
            .any(|message| !message.nested_type.is_empty() || !message.enum_type.is_empty());
        assert!(
            !has_nested,
            "{}: the page shows no nested types; give them a name of their own",
            file.name()
        );
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two things of one name would share a heading");
}
