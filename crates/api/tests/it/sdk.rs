//! The document against what the official SDK knows of every operation, in both directions: `sdk/operations.jsonl` has
//! method, path, parameters, members and statuses per operation, `sdk/exceptions.txt` the differences that are meant.

use std::collections::{BTreeMap, BTreeSet};

use http::Request;
use http_body_util::Full;
use serde_json::Value;

use crate::World;

const OPERATIONS: &str = include_str!("sdk/operations.jsonl");
const EXCEPTIONS: &str = include_str!("sdk/exceptions.txt");
/// Statuses that any route may answer, whether or not the SDK lists them for it.
const BASELINE: [u64; 9] = [400, 401, 403, 404, 413, 414, 429, 500, 503];

fn names(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Members of an object's schema, those of what it is made of included.
fn members(document: &Value, schema: &Value) -> BTreeSet<String> {
    let mut found: BTreeSet<String> =
        schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    if let Some(reference) = schema["$ref"].as_str() {
        found.extend(members(document, document.pointer(reference.strip_prefix('#').unwrap()).unwrap()));
    }
    for several in ["allOf", "anyOf", "oneOf"] {
        for one in schema[several].as_array().into_iter().flatten() {
            found.extend(members(document, one));
        }
    }
    found
}

fn compare(what: &str, theirs: &BTreeSet<String>, ours: &BTreeSet<String>, found: &mut Vec<String>) {
    found.extend(theirs.difference(ours).map(|name| format!("{what} lacks {name}")));
    found.extend(ours.difference(theirs).map(|name| format!("{what} has {name}")));
}

fn differences(document: &Value) -> Vec<String> {
    let mut ours: BTreeMap<(String, String), &Value> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
        {
            ours.insert((method.to_uppercase(), path.clone()), operation);
        }
    }
    let mut found = Vec::new();
    for line in OPERATIONS.lines() {
        let theirs: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| theirs[name].as_str().unwrap().to_owned();
        let id = text("id");
        let Some(own) = ours.remove(&(text("method"), text("path"))) else {
            found.push(format!("{id} is missing"));
            continue;
        };
        if own["operationId"] != id.replace('.', "_") {
            found.push(format!("{id} is called {}", own["operationId"]));
        }
        for (place, list) in [("query", "query"), ("header", "headers")] {
            let parameters: BTreeSet<String> = own["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == place)
                .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                .collect();
            compare(&format!("{id}: {place}"), &names(&theirs[list]), &parameters, &mut found);
        }
        let json = "/content/application~1json/schema";
        let schema =
            |at: String| own.pointer(&at).map(|schema| members(document, schema)).unwrap_or_default();
        let (request, response) =
            (schema(format!("/requestBody{json}")), schema(format!("/responses/200{json}")));
        compare(&format!("{id}: request"), &names(&theirs["request"]), &request, &mut found);
        compare(&format!("{id}: response"), &names(&theirs["response"]), &response, &mut found);
        let statuses: BTreeSet<u64> =
            own["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap()).collect();
        let listed: BTreeSet<u64> =
            theirs["statuses"].as_array().unwrap().iter().map(|status| status.as_u64().unwrap()).collect();
        found.extend(listed.difference(&statuses).map(|status| format!("{id}: status lacks {status}")));
        found.extend(
            statuses
                .difference(&listed)
                .filter(|status| **status >= 400 && !BASELINE.contains(status))
                .map(|status| format!("{id}: status has {status}")),
        );
    }
    found.extend(ours.keys().map(|(method, path)| format!("{method} {path} is extra")));
    found
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    (0..=text.len()).filter_map(|at| text.get(at..)).any(|text| fits(rest, text))
}

#[tokio::test]
async fn the_document_and_the_official_sdk_differ_only_where_it_is_meant() {
    let world = World::new(|_| {}).await;
    let document = world.send(Request::get("/openapi.json").body(Full::default()).unwrap()).await.body;
    let exceptions: Vec<(&str, &str)> = EXCEPTIONS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(" | ").expect("an exception is `difference | reason`"))
        .collect();
    let found = differences(&document);
    let unmeant: Vec<&String> =
        found.iter().filter(|text| !exceptions.iter().any(|(pattern, _)| fits(pattern, text))).collect();
    assert!(
        unmeant.is_empty(),
        "correct these, or list them in sdk/exceptions.txt with the reason:\n{unmeant:#?}"
    );
    let stale: Vec<&str> = exceptions
        .iter()
        .filter(|(pattern, _)| !pattern.contains('*') && !found.iter().any(|text| fits(pattern, text)))
        .map(|(pattern, _)| *pattern)
        .collect();
    assert!(stale.is_empty(), "these are no differences any more, take them out: {stale:#?}");
}
