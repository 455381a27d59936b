//! The document that describes the API.

use std::collections::BTreeSet;

use http::{Method, Request, header};
use http_body_util::Full;
use podmail_api::operations;
use serde_json::{Value, json};

use crate::World;
use crate::mailbox::{DESK, Mailbox, segment};

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
    assert_eq!(links, 6);
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

#[tokio::test]
async fn links_of_the_documentation_lead_somewhere() {
    let world = World::new(|settings| settings.docs_url = format!("{}/docs", settings.public_url)).await;
    let get = async |path: &str| world.send(Request::get(path).body(Full::default()).unwrap()).await;
    let server = world.app.settings().public_url.clone();
    let document = get("/openapi.json").await.body;
    let index = document["externalDocs"]["url"].as_str().unwrap().strip_prefix(&server).unwrap().to_owned();
    let page = get(&index).await;
    assert_eq!(
        (page.status, page.headers[header::CONTENT_TYPE].to_str().unwrap()),
        (200, "text/html; charset=utf-8")
    );
    let links: Vec<&str> =
        page.text.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(links.len() > 6, "{links:?}");
    for link in links {
        let path = link.strip_prefix(&server).unwrap();
        let page = get(path).await;
        assert_eq!(page.status, 200, "{path}");
        for target in page.text.split("](").skip(1).filter(|_| path.ends_with(".md")) {
            let target = target.split([')', '#']).next().unwrap();
            if !target.is_empty() && !target.contains(':') {
                assert_eq!(get(&format!("/docs/{target}")).await.status, 200, "{path}: {target}");
            }
        }
    }
}

#[tokio::test]
async fn every_example_for_language_models_is_a_request_that_the_server_takes() {
    let desk = Mailbox::new().await;
    desk.mail("Message-ID: <1@example.com>\nFrom: ada@example.com", "x").await;
    let made = async |path: &str, body: Value, id: &str| {
        let answer = desk.world.call(&Method::POST, path, Some(&desk.key), &body.to_string()).await;
        answer.body[id].as_str().unwrap_or_else(|| panic!("{path}: {}", answer.text)).to_owned()
    };
    let inbox = format!("/v0/inboxes/{DESK}");
    let hook = json!({ "url": "https://hook.test/", "event_types": ["message.received"] });
    let pod = desk.organization.organization().to_string();
    let path = |template: &str, ids: &[(&str, String)]| {
        ids.iter().fold(template.to_owned(), |path, (name, id)| path.replace(&format!("{{{name}}}"), id))
    };
    let full = desk.world.send(Request::get("/llms-full.txt").body(Full::default()).unwrap()).await.text;
    let mut tried = 0;
    for section in full.split("\n### ").filter(|section| section.contains("\n  -d '")) {
        let (_, rest) = section.split_once("curl -X ").unwrap();
        let (method, rest) = rest.split_once(" '").unwrap();
        let (url, rest) = rest.split_once('\'').unwrap();
        let sample = rest.split_once("-d '").unwrap().1.split('\'').next().unwrap();
        let template = url.strip_prefix(desk.world.app.settings().public_url.as_str()).unwrap();
        // Looked at by itself: its link is not to be had here.
        if template == "/u/{token}" {
            assert!(!section.contains("Authorization"), "{section}");
            assert_eq!(sample, "List-Unsubscribe=One-Click");
            continue;
        }
        assert!(section.contains("-H \"Authorization: Bearer $KEY\""), "{section}");
        tried += 1;
        let below =
            template.split("/webhooks").next().unwrap().replace("{inbox_id}", DESK).replace("{pod_id}", &pod);
        let keys =
            template.split("/api-keys").next().unwrap().replace("{inbox_id}", DESK).replace("{pod_id}", &pod);
        let domains = template.split("/domains").next().unwrap().replace("{pod_id}", &pod);
        let mut ids = vec![
            ("inbox_id", DESK.to_owned()),
            ("pod_id", pod.clone()),
            ("message_id", segment("<1@example.com>")),
            ("direction", "send".to_owned()),
            ("type", "block".to_owned()),
        ];
        if template.contains("{thread_id}") {
            let id = desk.message("<1@example.com>").await["thread_id"].as_str().unwrap().to_owned();
            ids.push(("thread_id", id));
        }
        if template.contains("{draft_id}") {
            let draft = json!({ "to": "a@x.test", "text": "x" });
            ids.push(("draft_id", made(&format!("{inbox}/drafts"), draft, "draft_id").await));
        }
        if template.contains("{webhook_id}") {
            ids.push(("webhook_id", made(&format!("{below}/webhooks"), hook.clone(), "webhook_id").await));
        }
        if template.contains("{api_key_id}") {
            ids.push(("api_key_id", made(&format!("{keys}/api-keys"), json!({}), "api_key_id").await));
        }
        if template.contains("{domain_id}") {
            let name = json!({ "domain": format!("d{tried}.test") });
            ids.push(("domain_id", made(&format!("{domains}/domains"), name, "domain_id").await));
        }
        let method: Method = method.parse().unwrap();
        let answer = desk.world.call(&method, &path(template, &ids), Some(&desk.key), sample).await;
        // What exists by now is refused for that, not for the example.
        let there = answer.code() == "already_exists";
        assert!(answer.status < 300 || there, "{method} {template} {sample}: {}", answer.text);
    }
    assert!(tried > 25, "{tried}");
}

#[tokio::test]
async fn operations_name_the_errors_that_they_answer() {
    let full = {
        let world = World::new(|_| {}).await;
        world.send(Request::get("/llms-full.txt").body(Full::default()).unwrap()).await.text
    };
    let section = |id: &str| {
        let from = full.split(&format!("\n### {id}\n")).nth(1).unwrap();
        from.split("\n### ").next().unwrap().to_owned()
    };
    for (id, has, lacks) in [
        ("auth_me", "- 401: `missing_authorization`", "message_rejected"),
        (
            "inboxes_messages_send",
            "- 403: `missing_permission`, `domain_not_verified`, `message_rejected`, `inbox_paused`\n",
            "query_range",
        ),
        ("downloads_get", "- 403: `forbidden`\n", "Authorization"),
        ("inboxes_list", "- 400: `validation_error`\n", "query_range_too_wide"),
        ("pods_list", "- 403: `missing_permission`, `forbidden`\n", "resource_taken"),
    ] {
        let section = section(id);
        assert!(section.contains(has), "{id}: {section}");
        assert!(!section.contains(lacks), "{id}: {section}");
    }
}
