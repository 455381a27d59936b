//! What a row of the table says about itself: its operation, parameters, body, answer and errors. The OpenAPI document,
//! `llms.txt` and the tests that hold the parser to its description are made from it.
//!
//! Handlers cannot read what their route does not describe: in debug builds a parameter of the query or a member of the
//! body that the description lacks panics, so that any test that calls the route finds it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use podmail_domain::limits;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::error::Code;

/// Adds a type to the components and gives the reference to it.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Query,
    Header,
}

/// What a parameter has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Text of so many characters.
    Text { min: usize, max: usize },
    /// A positive number, at most this.
    Positive { max: Option<usize> },
    /// A whole number, both bounds included.
    Integer { min: usize, max: usize },
    /// `true` or `false`, or one of their other spellings.
    Boolean,
    /// RFC 3339 with a zone.
    Time,
    /// Texts: repeated, or one JSON array.
    Texts,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// The alphabet of `client_id`.
    ClientId,
}

/// A parameter of the query or a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) kind: Shape,
    pub(crate) required: bool,
    pub(crate) about: &'static str,
}

impl Param {
    /// An optional parameter of the query.
    pub(crate) const fn query(name: &'static str, kind: Shape, about: &'static str) -> Self {
        Self { name, place: Place::Query, kind, required: false, about }
    }
    /// It has to be there.
    #[must_use]
    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Whether it is a list of texts.
    pub(crate) fn shape_is_texts(&self) -> bool {
        self.kind == Shape::Texts
    }

    /// Its JSON schema.
    pub(crate) fn schema(&self) -> Value {
        match self.kind {
            Shape::Text { min, max } => json!({ "type": "string", "minLength": min, "maxLength": max }),
            Shape::Positive { max: None } => json!({ "type": "integer", "minimum": 1 }),
            Shape::Positive { max: Some(max) } => json!({ "type": "integer", "minimum": 1, "maximum": max }),
            Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Shape::Boolean => json!({ "type": "boolean", "default": false }),
            Shape::Time => json!({ "type": "string", "format": "date-time" }),
            Shape::Texts => json!({
                "type": "array", "maxItems": limits::FILTER_VALUES,
                "items": { "type": "string", "minLength": 1, "maxLength": limits::FILTER_CHARS },
            }),
            Shape::OneOf(values) => json!({ "type": "string", "enum": values }),
            Shape::ClientId => client_id_schema(),
        }
    }
}

/// 1 to 256 characters of the alphabet of `client_id`.
pub(crate) fn client_id_schema() -> Value {
    json!({ "type": "string", "pattern": format!("^[A-Za-z0-9._~-]{{1,{}}}$", limits::CLIENT_ID_CHARS) })
}

const LIMIT: Param = Param::query(
    "limit",
    Shape::Positive { max: None },
    "Items of the page, 50 when left out. A page holds 500 at most, whatever is asked for.",
);
const LIMIT_100: Param = Param {
    kind: Shape::Positive { max: Some(limits::PAGE_FILTERED_MAX) },
    about: "Items of the page, 50 when left out, at most 100.",
    ..LIMIT
};
const PAGE_TOKEN: Param = Param::query(
    "page_token",
    Shape::Text { min: 0, max: 4096 },
    "`next_page_token` of the page before. It fits the same route with the same filters only.",
);
const ASCENDING: Param = Param::query("ascending", Shape::Boolean, "Oldest first instead of newest first.");
/// Only what happened at or after this time.
pub(crate) const AFTER: Param =
    Param::query("after", Shape::Time, "Only what happened at or after this time.");
/// Only what happened before this time.
pub(crate) const BEFORE: Param = Param::query("before", Shape::Time, "Only what happened before this time.");
/// Only what has all of these labels.
pub(crate) const LABELS: Param = Param::query(
    "labels",
    Shape::Texts,
    "Only what has all of these labels. Repeat the parameter, or give one JSON array or a list with commas.",
);
/// The restricted labels that a list includes on request.
pub(crate) const INCLUDES: &[Param] = &[
    Param::query("include_spam", Shape::Boolean, "Include what has the label `spam`."),
    Param::query("include_blocked", Shape::Boolean, "Include what has the label `blocked`."),
    Param::query("include_unauthenticated", Shape::Boolean, "Include what has the label `unauthenticated`."),
    Param::query("include_trash", Shape::Boolean, "Include what has the label `trash`."),
];
/// Makes the repetition of a send harmless.
pub(crate) const IDEMPOTENCY_KEY: Param = Param {
    name: "Idempotency-Key",
    place: Place::Header,
    kind: Shape::ClientId,
    required: false,
    about: "The same key with the same request sends once and gives the first answer again, for 24 hours.",
};

/// What a route answers when it succeeds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// 204.
    Nothing,
    /// 200 with this type.
    Json(SchemaOf),
    /// 200 with a page of this type below this name.
    Page { name: &'static str, of: SchemaOf, echoes_limit: bool },
    /// 200 with bytes of this media type.
    Bytes(&'static str),
}

/// The description of a route. [`doc`] begins one.
#[derive(Clone, Debug)]
pub(crate) struct Doc {
    /// Name in the official SDKs without the levels of pod and inbox, such as `api_keys.create`.
    pub(crate) operation: &'static str,
    /// What it does, in a few words.
    pub(crate) summary: &'static str,
    /// What else there is to know.
    pub(crate) about: &'static str,
    pub(crate) params: Vec<Param>,
    pub(crate) body: Option<SchemaOf>,
    /// Media type of the body.
    pub(crate) body_media: &'static str,
    /// Members of the body that may be left out but not be null.
    pub(crate) not_null: &'static [&'static str],
    pub(crate) answer: Answer,
    /// Errors that only this route's own rules give; the usual ones follow from the rest.
    pub(crate) codes: &'static [Code],
    /// Statuses of answers that are no errors, besides the usual one.
    pub(crate) also: &'static [u16],
    members: OnceLock<Option<BTreeSet<String>>>,
}

/// Describes a route: `operation` is its name in the official SDKs without the levels of pod and inbox (`inboxes.create`
/// stands for `pods.inboxes.create` too), `summary` a few words without a full stop.
pub(crate) const fn doc(operation: &'static str, summary: &'static str) -> Doc {
    Doc {
        operation,
        summary,
        about: "",
        params: Vec::new(),
        body: None,
        body_media: "application/json",
        not_null: &[],
        answer: Answer::Nothing,
        codes: &[],
        also: &[],
        members: OnceLock::new(),
    }
}

impl Doc {
    /// What else there is to know, as sentences.
    #[must_use]
    pub(crate) const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }
    /// Adds parameters of the query or headers; those of the path follow from the path.
    #[must_use]
    pub(crate) fn params(mut self, params: &[Param]) -> Self {
        self.params.extend_from_slice(params);
        self
    }
    /// The type of the body, declared with `body_type!`.
    #[must_use]
    pub(crate) fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(SchemaGenerator::subschema_for::<T>);
        self
    }
    /// The type of a body that comes as a form, of which every member is text.
    #[must_use]
    pub(crate) fn form<T: JsonSchema>(mut self) -> Self {
        self.body_media = "application/x-www-form-urlencoded";
        self.body::<T>()
    }
    /// Members of the body that may be left out but not be null.
    #[must_use]
    pub(crate) const fn not_null(mut self, names: &'static [&'static str]) -> Self {
        self.not_null = names;
        self
    }
    /// The type of the answer; without it the route answers 204.
    #[must_use]
    pub(crate) fn answers<T: JsonSchema>(mut self) -> Self {
        self.answer = Answer::Json(SchemaGenerator::subschema_for::<T>);
        self
    }
    /// Answers pages of `T` below `name`, and reads `limit` and `page_token`.
    #[must_use]
    pub(crate) fn pages<T: JsonSchema>(mut self, name: &'static str) -> Self {
        self.answer = Answer::Page { name, of: SchemaGenerator::subschema_for::<T>, echoes_limit: true };
        self.params(&[LIMIT, PAGE_TOKEN])
    }
    /// Reads `limit` and `page_token` where the answer is more than a page.
    #[must_use]
    pub(crate) fn paged(self) -> Self {
        self.params(&[LIMIT, PAGE_TOKEN])
    }
    /// `limit` is at most 100.
    #[must_use]
    pub(crate) fn at_most_100(mut self) -> Self {
        self.params.iter_mut().filter(|param| param.name == LIMIT.name).for_each(|param| *param = LIMIT_100);
        self
    }
    /// The answer never has `limit`, see [`Rules::without_limit`](crate::paging::Rules::without_limit).
    #[must_use]
    pub(crate) const fn without_limit(mut self) -> Self {
        if let Answer::Page { name, of, .. } = self.answer {
            self.answer = Answer::Page { name, of, echoes_limit: false };
        }
        self
    }
    /// Reads `ascending`.
    #[must_use]
    pub(crate) fn ascending(self) -> Self {
        self.params(&[ASCENDING])
    }
    /// Answers bytes of a media type.
    #[must_use]
    pub(crate) const fn bytes(mut self, media_type: &'static str) -> Self {
        self.answer = Answer::Bytes(media_type);
        self
    }
    /// Errors that only this route's own rules give. Those of missing or bad credentials (401), permissions (403), keys
    /// of inboxes on routes of pods (403), unknown things in the path (404), bad parameters and bodies (400, 413), limits
    /// (429) and failures (500, 503) are there already.
    #[must_use]
    pub(crate) const fn fails(mut self, codes: &'static [Code]) -> Self {
        self.codes = codes;
        self
    }
    /// Statuses of answers that are no errors, besides the usual one.
    #[must_use]
    pub(crate) const fn also(mut self, statuses: &'static [u16]) -> Self {
        self.also = statuses;
        self
    }

    /// The first part of the operation: what the document groups by.
    pub(crate) fn tag(&self) -> &'static str {
        self.operation.split('.').next().unwrap_or(self.operation)
    }

    /// The operation at the level of `path`, dots included: `pods.inboxes.create`.
    pub(crate) fn operation_at(&self, path: &str) -> String {
        for (prefix, level) in [("/v0/pods/{pod_id}/", "pods."), ("/v0/inboxes/{inbox_id}/", "inboxes.")] {
            if path.starts_with(prefix) && !self.operation.starts_with(level) {
                return format!("{level}{}", self.operation);
            }
        }
        self.operation.to_owned()
    }

    /// Names of the members of the body at its top; `None` when the body is not described.
    pub(crate) fn members(&self) -> Option<&BTreeSet<String>> {
        self.members
            .get_or_init(|| {
                let body = self.body?;
                let mut generator = request_generator(true);
                let schema = body(&mut generator).to_value();
                let mut names = BTreeSet::new();
                property_names(&schema, &mut names);
                Some(names)
            })
            .as_ref()
    }
}

/// The schemas of bodies; `inline` leaves out references.
pub(crate) fn request_generator(inline: bool) -> SchemaGenerator {
    settings(inline).for_deserialize().into_generator()
}

/// The schemas of answers.
pub(crate) fn response_generator() -> SchemaGenerator {
    settings(false).for_serialize().into_generator()
}

fn settings(inline: bool) -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.inline_subschemas = inline;
        settings.meta_schema = None;
    })
}

/// Names of `properties` of a schema and of its alternatives.
fn property_names(schema: &Value, names: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        names.extend(properties.keys().cloned());
    }
    for several in ["anyOf", "oneOf", "allOf"] {
        schema
            .get(several)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .for_each(|one| property_names(one, names));
    }
}

/// Declares the type of a request body, which only describes: handlers read members one by one through
/// [`Fields`](crate::fields::Fields), so that every violation is reported at once. Doc comments become descriptions,
/// `#[schemars(length(max = …))]` and the like bounds.
macro_rules! body_type {
    ($(#[$meta:meta])* $visible:vis $name:ident { $($(#[$of:meta])* $member:ident: $kind:ty,)* }) => {
        #[derive(schemars::JsonSchema)]
        $(#[$meta])*
        #[expect(dead_code, reason = "it describes; handlers read members one by one")]
        $visible struct $name { $($(#[$of])* $member: $kind,)* }
    };
}
pub(crate) use body_type;

/// One text or several, as addresses and labels are given.
pub(crate) struct OneOrMany;

impl JsonSchema for OneOrMany {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMany".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        })
    }
}

/// A `client_id`.
pub(crate) struct ClientId;

impl JsonSchema for ClientId {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClientId".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        Schema::try_from(client_id_schema()).unwrap_or_default()
    }
}

/// Declares the schema of a type some of whose optional members are always there.
macro_rules! complete_type {
    ($(#[doc = $about:literal])* $visible:vis $name:ident = $of:ty, with $($member:literal),+) => {
        $(#[doc = $about])*
        $visible struct $name;

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "description": concat!($($about),*).trim(),
                    "type": "object",
                    "allOf": [generator.subschema_for::<$of>()],
                    "required": [$($member),+],
                })
            }
        }
    };
}
pub(crate) use complete_type;

/// What identifiers in paths mean.
pub(crate) fn path_parameter(name: &str) -> Option<&'static str> {
    Some(match name {
        "inbox_id" => "Address of the inbox.",
        "pod_id" => "Id of the pod.",
        "message_id" => "Message-ID, with its angle brackets or without. Percent-encode it.",
        "thread_id" => "Id of the thread.",
        "draft_id" => "Id of the draft.",
        "attachment_id" => "Id of the attachment.",
        "api_key_id" => "Id of the key.",
        "webhook_id" => "Id of the webhook.",
        "domain_id" => "The name of the domain.",
        "direction" => "`send`, `receive` or `reply`.",
        "type" => "`allow` or `block`.",
        "entry" => "An address or a domain.",
        "token" => "From the link.",
        _ => return None,
    })
}

/// Names of the parameters in a template.
pub(crate) fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers;

    #[test]
    fn every_route_describes_itself() {
        for route in handlers::all() {
            let Some(doc) = &route.doc else {
                panic!(
                    "{route:?} has no description: add `.describe(doc(\"noun.verb\", \"What it does\")…)` to its row, \
                     see \"Adding a route\" in CONTRIBUTING.md"
                );
            };
            assert!(!doc.summary.is_empty() && !doc.summary.ends_with('.'), "{route:?}: {}", doc.summary);
            for name in path_parameters(route.path) {
                assert!(path_parameter(name).is_some(), "describe {{{name}}} in `path_parameter`");
            }
        }
    }

    #[test]
    fn operations_are_named_after_their_level_and_only_once() {
        let mut names: Vec<String> = handlers::all()
            .iter()
            .filter_map(|route| Some(route.doc.as_ref()?.operation_at(route.path)))
            .collect();
        assert!(
            names.contains(&"pods.inboxes.create".to_owned())
                && names.contains(&"inboxes.messages.list".to_owned())
        );
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all, "two routes have one name");
    }
}
