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

#[tokio::test]
async fn the_pages_for_language_models_name_every_operation_and_their_links_lead_somewhere() {
    let world = World::new(|_| {}).await;
    let get = async |path: &str| world.send(Request::get(path).body(Full::default()).unwrap()).await;
    let (overview, full) = (get("/llms.txt").await, get("/llms-full.txt").await);
    assert_eq!((overview.status, full.status), (200, 200));
    assert!(overview.text.starts_with("# Podmail\n\n> "), "{}", overview.text);
    let document = document().await;
    for operation in operations() {
        let described = &document["paths"][operation.path][operation.method.as_str().to_lowercase()];
        let id = described["operationId"].as_str().unwrap();
        assert!(overview.text.contains(&format!("- [{id}](")), "{id}");
        assert!(
            full.text.contains(&format!("\n### {id}\n\n`{} {}`", operation.method, operation.path)),
            "{id}"
        );
    }
    let server = &world.app.settings().public_url;
    let mut links = 0;
    for link in overview.text.split("](").skip(1) {
        let path = link.split([')', '#']).next().unwrap().strip_prefix(server.as_str()).unwrap();
        if path != "/llms-full.txt" {
            assert_eq!(get(path).await.status, 200, "{path}");
            links += 1;
        }
    }
    assert_eq!(links, 5);
}

#[tokio::test]
async fn the_docs_link_of_an_error_leads_to_a_page_that_explains_its_code() {
    let world = World::new(|settings| settings.docs_url = "http://docs.test/docs".to_owned()).await;
    let answer = world.send(Request::get("/v0/inboxes").body(Full::default()).unwrap()).await;
    let link = answer.body["docs"].as_str().unwrap().strip_prefix("http://docs.test").unwrap();
    let (path, anchor) = link.split_once('#').unwrap();
    let page = world.send(Request::get(path).body(Full::default()).unwrap()).await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    // The document's list of codes is complete, so the page has to have each.
    for code in
        document().await["components"]["schemas"]["Error"]["properties"]["code"]["enum"].as_array().unwrap()
    {
        assert!(page.text.contains(&format!("id=\"{}\"", code.as_str().unwrap())), "{code}");
    }
}

/// Values of another type than a schema has.
fn wrong(schema: &Value) -> Value {
    let text = schema.to_string();
    if text.contains("\"object\"") && !text.contains("\"array\"") {
        Value::from("x")
    } else {
        serde_json::json!({ "a": [1] })
    }
}

#[tokio::test]
async fn every_described_member_is_read_and_every_described_parameter_is_checked() {
    let world = World::new(|_| {}).await;
    let (organization, key) = world.organization("o").await;
    let pod = world.pod(&organization, "p").await;
    world.inbox(&pod, "box@mail.test").await;
    let document = document().await;
    let pod_id = pod.pod().unwrap().to_string();
    let mut members = 0;
    let mut parameters = 0;
    for operation in operations() {
        let described = &document["paths"][operation.path][operation.method.as_str().to_lowercase()];
        let path = operation.path.replace("{pod_id}", &pod_id).replace("{inbox_id}", "box@mail.test");
        if path.contains('{') || operation.path.starts_with("/downloads") {
            continue;
        }
        let json = "/requestBody/content/application~1json/schema/$ref";
        if let Some(reference) = described.pointer(json).and_then(Value::as_str) {
            let schema = document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
            for (name, member) in schema["properties"].as_object().unwrap() {
                let body = serde_json::json!({ name: wrong(member), "never_heard_of": 1 }).to_string();
                let answer = world.call(&operation.method, &path, Some(&key), &body).await;
                let named = answer.body["errors"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|i| i["path"][0] == **name));
                assert!(answer.status == 400 && named, "{operation:?} {body}: {}", answer.text);
                members += 1;
            }
        }
        for parameter in
            described["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "query")
        {
            let (name, kind) =
                (parameter["name"].as_str().unwrap(), parameter["schema"]["type"].as_str().unwrap());
            let checked = kind != "string"
                || parameter["schema"].get("enum").or(parameter["schema"].get("format")).is_some();
            if !checked || kind == "array" {
                continue;
            }
            let answer = world.call(&operation.method, &format!("{path}?{name}=%5Bx"), Some(&key), "").await;
            assert_eq!(answer.status, 400, "{operation:?} {name}: {}", answer.text);
            parameters += 1;
        }
    }
    assert!(members > 50 && parameters > 50, "{members} members and {parameters} parameters were tried");
}
