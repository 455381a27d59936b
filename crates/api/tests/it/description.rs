//! The document that describes the API.

use std::collections::BTreeSet;

use http::{Request, header};
use http_body_util::Full;
use podmail_api::operations;
use serde_json::Value;

use crate::World;

async fn document() -> Value {
    let world = World::new(|_| {}).await;
    let request = Request::get("/openapi.json").body(Full::default()).unwrap();
    world.send(request).await.body
}

#[tokio::test]
async fn the_document_has_every_route_and_is_served_without_a_key_and_with_a_tag() {
    let world = World::new(|_| {}).await;
    let first = world.send(Request::get("/openapi.json").body(Full::default()).unwrap()).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.body["openapi"], "3.1.0");
    assert_eq!(first.headers[header::CONTENT_TYPE], "application/json; charset=utf-8");
    let tag = first.headers[header::ETAG].clone();
    let again = Request::get("/openapi.json").header(header::IF_NONE_MATCH, &tag);
    let again = world.send(again.body(Full::default()).unwrap()).await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    assert_eq!(again.headers[header::ETAG], tag);
    for operation in operations() {
        let described = &first.body["paths"][operation.path][operation.method.as_str().to_lowercase()];
        assert!(described["operationId"].is_string(), "{} {}", operation.method, operation.path);
    }
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    found.insert(to);
                }
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = document().await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.contains("#/components/schemas/Error"));
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}
