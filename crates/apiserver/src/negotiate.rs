//! Which representation the client wants (Accept) and which one it sent (Content-Type).

use machinery::Status;
use machinery::status::Details;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Compact JSON.
    #[default]
    Json,
    /// JSON over several lines (`?pretty=true`, or a browser asks).
    JsonPretty,
    /// YAML.
    Yaml,
    /// Protobuf, in Kubernetes' envelope.
    Protobuf,
}

/// What an object is turned into before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// The object itself.
    #[default]
    Whole,
    /// Columns and rows.
    Table,
    /// Its metadata only.
    PartialMetadata,
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// How it is written.
    pub encoding: Encoding,
    /// What is written.
    pub shape: Shape,
    /// Whether a table or metadata is in `meta.k8s.io/v1beta1`, not `v1`.
    pub is_beta: bool,
}

/// The media type of protobuf.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The media types of plain answers.
const OFFERED: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];

/// Those of watches.
const OFFERED_WATCH: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// Answers that can only be plain objects (discovery, for example): the shape must be whole.
///
/// # Errors
/// 406 when nothing that is offered is accepted.
pub fn plain(accept: &str, pretty: bool) -> Result<Encoding, Status> {
    check_route(accept, &OFFERED)?;
    unrouted(accept, pretty)
}

/// As [`plain`], for paths that no router looks at before.
///
/// # Errors
/// 406 when nothing that is offered is accepted.
pub fn unrouted(accept: &str, pretty: bool) -> Result<Encoding, Status> {
    let found = clauses(accept).into_iter().find_map(|clause| match clause.shape(&[]) {
        Some(Shape::Whole) => clause.encoding(),
        _ => None,
    });
    found.map(|encoding| prettier(encoding, pretty)).ok_or_else(|| Status::not_acceptable(&OFFERED))
}

/// Refuses what names none of the types that a path has at all; `*/*` is understood, `application/*` is not.
fn check_route(accept: &str, offered: &[&str]) -> Result<(), Status> {
    let known = |clause: &Clause<'_>| clause.media == "*/*" || offered.contains(&clause.media);
    if clauses(accept).iter().any(known) {
        return Ok(());
    }
    let text = format!("406: Not Acceptable\n\nAvailable representations: {}", offered.join(", "));
    Err(Status::new(406, "NotAcceptable", text).with_details(Details::default()))
}

/// Answers that are API objects: `as=Table` and the metadata forms are understood. `go_type` is what upstream calls the
/// type of the answer.
///
/// # Errors
/// 406 when nothing that is offered is accepted, or the metadata form is not that of the answer.
pub fn objects(
    accept: &str,
    pretty: bool,
    is_list: bool,
    is_watch: bool,
    go_type: impl Fn() -> String,
) -> Result<Accepted, Status> {
    let forms = ["PartialObjectMetadata", "PartialObjectMetadataList"];
    let [other, metadata] = if is_list { forms } else { [forms[1], forms[0]] };
    let transforms: &[(&str, Shape)] = &[("Table", Shape::Table), (metadata, Shape::PartialMetadata)];
    let route = if is_list || is_watch { [&OFFERED[..], &OFFERED_WATCH].concat() } else { OFFERED.to_vec() };
    check_route(accept, &route)?;
    for clause in clauses(accept) {
        if clause.parameter("stream").is_some_and(|stream| stream != "watch") {
            continue;
        }
        let is_other = clause.shape(&[(other, Shape::PartialMetadata)]) == Some(Shape::PartialMetadata);
        if !is_watch && is_other && clause.encoding().is_some() {
            let is = if is_list { "is a list" } else { "is not a list" };
            let why = format!("you requested {other}, but the requested object {is} ({})", go_type());
            return Err(Status::new(406, "NotAcceptable", why));
        }
        if let (Some(encoding), Some(shape)) = (clause.encoding(), clause.shape(transforms)) {
            if is_watch && encoding == Encoding::Yaml {
                break;
            }
            let is_beta = shape != Shape::Whole && clause.parameter("v") == Some("v1beta1");
            return Ok(Accepted { encoding: prettier(encoding, pretty), shape, is_beta });
        }
    }
    Err(Status::not_acceptable(if is_watch { &OFFERED_WATCH[..] } else { &OFFERED }))
}

/// The encoding for an error: what the client would take, else JSON.
#[must_use]
pub fn for_errors(accept: &str) -> Encoding {
    clauses(accept).iter().find_map(Clause::encoding).unwrap_or_default()
}

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Protobuf.
    Protobuf,
}

/// Reads a Content-Type; a missing one means JSON.
///
/// # Errors
/// 415 for a type that is not understood.
pub fn sent(content_type: &str) -> Result<Sent, Status> {
    match media_type(content_type).as_str() {
        "" | "application/json" => Ok(Sent::Json),
        "application/yaml" => Ok(Sent::Yaml),
        PROTOBUF => Ok(Sent::Protobuf),
        _ => Err(Status::unsupported_media_type(&OFFERED)),
    }
}

/// The type without parameters, in lower case.
#[must_use]
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The media types of an Accept header, the most wanted first.
pub fn media_types(accept: &str) -> Vec<&str> {
    clauses(accept).into_iter().map(|clause| clause.media).collect()
}

/// How the client takes the groups of a prefix in one answer, if it prefers that to the plain list (KEP-3352).
#[must_use]
pub fn all_in_one(accept: &str) -> Option<Encoding> {
    let asked = |clause: &Clause<'_>| {
        clause.parameter("g") == Some("apidiscovery.k8s.io")
            && clause.parameter("v") == Some("v2")
            && clause.parameter("as") == Some("APIGroupDiscoveryList")
    };
    let found = clauses(accept).into_iter().find_map(|clause| {
        let encoding = clause.encoding()?;
        let takes = clause.parameter("as").is_none() || asked(&clause);
        takes.then_some((encoding, asked(&clause)))
    });
    found.filter(|(_, all)| *all).map(|(encoding, _)| encoding)
}

struct Clause<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Clause<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    fn encoding(&self) -> Option<Encoding> {
        let pretty = self.parameter("pretty") == Some("1");
        match self.media {
            "application/json" if pretty => Some(Encoding::JsonPretty),
            "application/json" | "*/*" | "application/*" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            PROTOBUF => Some(Encoding::Protobuf),
            _ => None,
        }
    }

    /// The transformation that `as`, `v` and `g` name; `None` when it is not offered.
    fn shape(&self, transforms: &[(&str, Shape)]) -> Option<Shape> {
        let Some(kind) = self.parameter("as") else { return Some(Shape::Whole) };
        let known = self.parameter("g") == Some("meta.k8s.io") && matches!(self.parameter("v"), Some("v1" | "v1beta1"));
        if !known {
            return None;
        }
        let found = transforms.iter().find(|(name, _)| *name == kind).map(|(_, shape)| *shape);
        // Tables have no form in protobuf.
        found.filter(|shape| *shape != Shape::Table || self.media != PROTOBUF)
    }
}

/// The clauses of an Accept header, the most wanted first; an empty header takes everything.
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    if accept.trim().is_empty() {
        return vec![Clause { media: "*/*", parameters: Vec::new() }];
    }
    let mut found: Vec<(f64, Clause<'_>)> = accept
        .split(',')
        .map(|text| {
            let mut parts = text.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let parameters: Vec<_> = parts.filter_map(|p| p.split_once('=')).collect();
            let quality = parameters.iter().find(|(n, _)| *n == "q").and_then(|(_, q)| q.parse().ok()).unwrap_or(1.0);
            (quality, Clause { media, parameters })
        })
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, clause)| clause).collect()
}

fn prettier(encoding: Encoding, pretty: bool) -> Encoding {
    if pretty && encoding == Encoding::Json { Encoding::JsonPretty } else { encoding }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                       application/json";
        let go = "application/vnd.kubernetes.protobuf,application/json";
        let metadata = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
        assert_eq!(objects(kubectl, false, true, false, String::new).unwrap().shape, Shape::Table);
        assert_eq!(objects(go, true, true, false, String::new).unwrap().encoding, Encoding::Protobuf);
        let both = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json;pretty=1";
        assert_eq!(objects(both, false, true, false, String::new).unwrap().encoding, Encoding::JsonPretty);
        assert_eq!(objects(metadata, false, false, false, String::new).unwrap().shape, Shape::PartialMetadata);
        assert!(objects(&metadata.replace("v1", "v1beta1"), false, false, false, String::new).unwrap().is_beta);
        assert_eq!(objects(metadata, false, true, false, String::new).unwrap_err().code, 406);
        assert_eq!(objects("", false, true, false, String::new).unwrap(), Accepted::default());
        assert_eq!(
            objects("application/json;stream=watch", false, true, true, String::new).unwrap(),
            Accepted::default()
        );
        let of = |is_list| objects(metadata, false, is_list, false, || "*core.PodList".to_owned());
        let list = "you requested PartialObjectMetadata, but the requested object is a list (*core.PodList)";
        assert_eq!(of(true).unwrap_err().message, list);
        let text =
            |accept: &str, is_watch| objects(accept, false, is_watch, is_watch, String::new).unwrap_err().message;
        expect_test::expect![[r#"
            406: Not Acceptable

            Available representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch
            406: Not Acceptable

            Available representations: application/json, application/yaml, application/vnd.kubernetes.protobuf
            only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch
            only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"#]]
        .assert_eq(
            &[
                text("text/plain", true),
                text("application/*", false),
                text("application/yaml", true),
                text("application/json;as=Odd;v=v1;g=meta.k8s.io", false),
            ]
            .join("\n"),
        );
        assert_eq!(plain("application/json;q=0.1,application/yaml", false).unwrap(), Encoding::Yaml);
        assert_eq!(sent("text/plain; charset=utf-8").unwrap_err().code, 415);
    }
}
