//! The OpenAPI document, made from the table of routes: what a row describes, and what follows from its path, its needs
//! and its parameters. Nothing in it is written by hand for a single route.

use std::collections::BTreeMap;

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::describe::{
    Answer, Doc, Place, path_parameter, path_parameters, request_generator, response_generator,
};
use crate::error::Code;
use crate::route::{Needs, Route};

/// Version of the specification that the document follows.
const OPENAPI: &str = "3.1.0";
/// The component that every error answers with.
const ERROR: &str = "#/components/schemas/Error";

/// The document of these routes, for a server at `server`, with error links below `docs_url`.
pub(crate) fn document(routes: &[Route], server: &str, docs_url: &str) -> Value {
    let (mut requests, mut responses) = (request_generator(false), response_generator());
    let mut paths: Map<String, Value> = Map::new();
    let mut tags: Vec<&str> = Vec::new();
    let mut not_null: Vec<(String, &[&str])> = Vec::new();
    for route in routes {
        let Some(doc) = &route.doc else { continue };
        if !tags.contains(&doc.tag()) {
            tags.push(doc.tag());
        }
        if let Some(body) = doc.body.filter(|_| !doc.not_null.is_empty()) {
            let reference = body(&mut requests).to_value();
            let name = reference.get("$ref").and_then(Value::as_str).and_then(|to| to.rsplit('/').next());
            not_null.extend(name.map(|name| (name.to_owned(), doc.not_null)));
        }
        let operation = operation(route, doc, &mut requests, &mut responses);
        let item = paths.entry(route.path).or_insert_with(|| json!({ "parameters": in_path(route.path) }));
        if let Value::Object(item) = item {
            item.insert(route.method.as_str().to_lowercase(), operation);
        }
    }
    let mut schemas = Map::new();
    for (name, mut schema) in requests.take_definitions(true) {
        for (_, names) in not_null.iter().filter(|(own, _)| *own == name) {
            without_null(&mut schema, |member, _| names.contains(&member));
        }
        tidy(&mut schema);
        schemas.insert(name, schema);
    }
    for (name, mut schema) in responses.take_definitions(true) {
        // What has no value is left out of answers, and null only where the member is always there.
        without_null(&mut schema, |member, required| !required.iter().any(|own| own == member));
        tidy(&mut schema);
        let other = schemas.insert(name.clone(), schema.clone());
        debug_assert!(other.is_none_or(|other| other == schema), "two types are called {name}");
    }
    schemas.extend(error_schemas(docs_url));
    let by_status: BTreeMap<u16, Vec<Code>> = Code::ALL.iter().fold(BTreeMap::new(), |mut all, code| {
        all.entry(code.status()).or_insert_with(Vec::new).push(*code);
        all
    });
    let answers: Map<String, Value> = by_status
        .iter()
        .map(|(status, codes)| (response_name(*status), error_response(*status, codes)))
        .collect();
    json!({
        "openapi": OPENAPI,
        "info": {
            "title": "Podmail",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Email for agents",
            "description": "Inboxes, messages, threads and webhooks over HTTP, compatible with the official AgentMail \
                SDKs. Lists are paged: follow `next_page_token` until it is absent. Errors are objects with `name`, \
                `code`, `message` and mostly `fix`; branch on `code`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "externalDocs": { "url": docs_url },
        "servers": [{ "url": server }],
        "security": [{ "bearer": [] }],
        "tags": tags.iter().map(|tag| json!({ "name": tag })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http", "scheme": "bearer",
                    "description": "An API key: `Authorization: Bearer am_…`.",
                },
            },
            "responses": answers,
            "schemas": schemas,
        },
    })
}

fn operation(
    route: &Route,
    doc: &Doc,
    requests: &mut SchemaGenerator,
    responses: &mut SchemaGenerator,
) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), doc.operation_at(route.path).replace('.', "_").into());
    operation.insert("summary".to_owned(), doc.summary.into());
    operation.insert("description".to_owned(), description(route, doc).into());
    operation.insert("tags".to_owned(), json!([doc.tag()]));
    if route.needs == Needs::Public {
        operation.insert("security".to_owned(), json!([]));
    }
    let parameters: Vec<Value> = doc
        .params
        .iter()
        .map(|param| {
            let place = match param.place {
                Place::Query => "query",
                Place::Header => "header",
            };
            json!({
                "name": param.name, "in": place, "required": param.required,
                "description": param.about, "schema": param.schema(),
            })
        })
        .collect();
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), parameters.into());
    }
    if let Some(body) = doc.body {
        let mut schema = body(requests).to_value();
        tidy(&mut schema);
        let needed = request_members(doc).iter().any(|member| member.required);
        operation.insert(
            "requestBody".to_owned(),
            json!({ "required": needed, "content": { doc.body_media: { "schema": schema } } }),
        );
    }
    let mut answers = Map::new();
    let (status, answer) = success(doc, responses);
    answers.insert(status.to_string(), answer);
    for status in doc.also {
        answers.insert(status.to_string(), json!({ "description": reason(*status) }));
    }
    let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for code in codes(route, doc) {
        by_status.entry(code.status()).or_default().push(format!("`{}`", code.as_str()));
    }
    for (status, codes) in by_status {
        if status == 404 && matches!(doc.answer, Answer::Bytes("text/html")) {
            // People in a browser are told in a page, too.
            let page = json!({ "description": reason(404), "content": { "text/html": {} } });
            answers.insert(status.to_string(), page);
            continue;
        }
        // A description beside a reference replaces that of what it leads to.
        let reference = format!("#/components/responses/{}", response_name(status));
        answers.insert(status.to_string(), json!({ "$ref": reference, "description": codes.join(", ") }));
    }
    operation.insert("responses".to_owned(), answers.into());
    Value::Object(operation)
}

fn description(route: &Route, doc: &Doc) -> String {
    let needs = match route.needs {
        Needs::Permission(flag) => format!("Needs the permission `{}`.", flag.as_str()),
        Needs::AnyKey => "Any key may call it.".to_owned(),
        Needs::OrganizationKey => "Needs a key of the whole organization.".to_owned(),
        Needs::UnrestrictedOrganizationKey => {
            "Needs a key of the whole organization without a permissions object.".to_owned()
        }
        Needs::Public => "Needs no key.".to_owned(),
    };
    [doc.about, &needs].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The parameters that follow from the path.
fn in_path(path: &str) -> Vec<Value> {
    path_parameters(path)
        .map(|name| {
            json!({
                "name": name, "in": "path", "required": true,
                "description": path_parameter(name), "schema": { "type": "string", "minLength": 1 },
            })
        })
        .collect()
}

fn success(doc: &Doc, responses: &mut SchemaGenerator) -> (u16, Value) {
    let json_answer = |mut schema: Value| {
        tidy(&mut schema);
        let content = json!({ "application/json": { "schema": schema } });
        (200, json!({ "description": reason(200), "content": content }))
    };
    match doc.answer {
        Answer::Nothing => (204, json!({ "description": reason(204) })),
        Answer::Json(of) => json_answer(of(responses).to_value()),
        Answer::Page { name, of, echoes_limit } => json_answer(page(name, &of(responses), echoes_limit)),
        Answer::Bytes(media_type) => {
            (200, json!({ "description": reason(200), "content": { media_type: {} } }))
        }
    }
}

/// A page of items below `name`, as [`Paging::reply`](crate::paging::Paging::reply) writes it.
fn page(name: &str, item: &Schema, echoes_limit: bool) -> Value {
    let mut page = json!({
        "type": "object",
        "properties": {
            "count": { "type": "integer", "minimum": 0, "description": "Items in this page." },
            "limit": { "type": "integer", "minimum": 1, "description": "As asked for." },
            "next_page_token": { "type": "string", "description": "Leads to the next page; absent on the last one." },
            name: { "type": "array", "items": item, "description": "The items." },
        },
        "required": ["count", name],
    });
    if !echoes_limit && let Some(Value::Object(members)) = page.get_mut("properties") {
        members.remove("limit");
    }
    page
}

/// Every code of an error that the route can answer, in the order of all codes.
pub(crate) fn codes(route: &Route, doc: &Doc) -> Vec<Code> {
    let mut codes = vec![Code::InternalError, Code::ServiceUnavailable];
    codes.extend_from_slice(doc.codes);
    if !doc.params.is_empty() || doc.body.is_some() {
        codes.push(Code::ValidationError);
    }
    if doc.body.is_some() {
        codes.push(Code::PayloadTooLarge);
    }
    // Only lists of texts can make a request line longer than the connection reads.
    if doc.params.iter().any(|param| param.shape_is_texts()) {
        codes.push(Code::UriTooLong);
    }
    if route.path.contains('{') {
        codes.push(Code::NotFound);
    }
    if route.path.starts_with("/v0/pods") {
        codes.push(Code::Forbidden);
    }
    if route.needs != Needs::Public {
        codes.extend([
            Code::MissingAuthorization,
            Code::InvalidTokenType,
            Code::UnknownApiKey,
            Code::ApiKeyExpired,
            Code::RateLimitExceeded,
        ]);
    }
    match route.needs {
        Needs::Permission(_) | Needs::OrganizationKey => codes.push(Code::MissingPermission),
        Needs::UnrestrictedOrganizationKey => {
            codes.extend([Code::MissingPermission, Code::UnrestrictedKeyRequired]);
        }
        Needs::AnyKey | Needs::Public => {}
    }
    Code::ALL.iter().copied().filter(|code| codes.contains(code)).collect()
}

/// A member at the top of a body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) required: bool,
    pub(crate) schema: Value,
}

/// The members of a route's body.
pub(crate) fn request_members(doc: &Doc) -> Vec<Member> {
    let Some(body) = doc.body else { return Vec::new() };
    let schema = body(&mut request_generator(true)).to_value();
    let required = |name: &str| {
        schema.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|own| own == name))
    };
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, schema)| Member { name: name.clone(), required: required(name), schema: schema.clone() })
        .collect()
}

fn response_name(status: u16) -> String {
    format!("E{status}")
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "It worked.",
        204 => "It worked; there is no body.",
        206 => "The range that was asked for.",
        416 => "Nothing lies in the range that was asked for.",
        _ => "Another answer.",
    }
}

fn error_response(status: u16, codes: &[Code]) -> Value {
    let lines: Vec<String> =
        codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.meaning())).collect();
    let schema = if status == 400 { "#/components/schemas/ValidationError" } else { ERROR };
    let mut answer = json!({
        "description": lines.join("\n\n"),
        "content": { "application/json": { "schema": { "$ref": schema } } },
    });
    let header = match status {
        401 => {
            Some(("WWW-Authenticate", json!({ "description": "`Bearer`.", "schema": { "type": "string" } })))
        }
        429 | 503 => Some((
            "Retry-After",
            json!({ "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 1 } }),
        )),
        _ => None,
    };
    if let (Some((name, header)), Value::Object(answer)) = (header, &mut answer) {
        answer.insert("headers".to_owned(), json!({ name: header }));
    }
    answer
}

fn error_schemas(docs_url: &str) -> Map<String, Value> {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let properties = json!({
        "name": { "type": "string", "description": "Class of the error." },
        "code": { "type": "string", "enum": codes, "description": "What to branch on." },
        "message": { "type": "string", "description": "For people." },
        "fix": { "type": "string", "description": "What to do about it." },
        "docs": {
            "type": "string", "format": "uri", "description": "Where it is explained.",
            "examples": [format!("{docs_url}/errors#not_found")],
        },
        "suggestions": { "type": "array", "items": { "type": "string" }, "description": "Free names." },
        "resource": { "type": "string", "description": "Which quota is used up." },
        "limit": { "type": "integer", "description": "The quota." },
    });
    let required = ["name", "code", "message", "docs"];
    let mut schemas = Map::new();
    let issues = json!({
        "errors": {
            "type": "array", "items": { "$ref": "#/components/schemas/Issue" },
            "description": "Every violation, all at once.",
        },
    });
    let mut with_issues = properties.clone();
    if let (Value::Object(all), Value::Object(issues)) = (&mut with_issues, issues) {
        all.extend(issues);
    }
    schemas.insert(
        "Error".to_owned(),
        json!({ "type": "object", "properties": properties, "required": required }),
    );
    schemas.insert(
        "ValidationError".to_owned(),
        json!({ "type": "object", "properties": with_issues, "required": required }),
    );
    schemas.insert(
        "Issue".to_owned(),
        json!({
            "type": "object",
            "description": "One violation. Codes add members: `expected`, `received`, `origin`, `minimum`, `maximum`, \
                `inclusive`, `values`, `format`, `keys`.",
            "properties": {
                "code": {
                    "type": "string",
                    "enum": [
                        "invalid_type", "too_small", "too_big", "invalid_value", "invalid_format",
                        "unrecognized_keys", "custom",
                    ],
                },
                "path": { "type": "array", "items": { "type": ["string", "integer"] } },
                "message": { "type": "string" },
            },
            "required": ["code", "path", "message"],
        }),
    );
    schemas
}

/// Takes null out of the types of some members.
fn without_null(schema: &mut Value, which: impl Fn(&str, &[Value]) -> bool) {
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let members = schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, member) in members.filter(|(name, _)| which(name, &required)) {
        let Value::Object(member) = member else { continue };
        if let Some(Value::Array(types)) = member.get_mut("type") {
            types.retain(|one| one != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                member.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(values)) = member.get_mut("enum") {
            values.retain(|one| !one.is_null());
        }
        if let Some(Value::Array(alternatives)) = member.get_mut("anyOf") {
            alternatives.retain(|one| *one != json!({ "type": "null" }));
            if let [Value::Object(only)] = alternatives.as_slice() {
                let only = only.clone();
                member.remove("anyOf");
                member.extend(only);
            }
        }
    }
}

/// Takes out what means nothing to a client: titles that repeat names, and the formats of Rust's integers.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
                members.remove("format");
            }
            if members.get("title").is_some_and(Value::is_string) {
                members.remove("title");
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
