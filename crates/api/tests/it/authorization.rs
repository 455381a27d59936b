//! Every row of the table, walked with keys that must not open it. What is expected follows from the row's template
//! and needs alone, so that a new route is covered the moment it is in the table.

use http::Method;
use podmail_api::{Needs, Operation, operations};
use podmail_domain::Permission;
use serde_json::Value;

use crate::{Answer, World};

/// The routes that work without a key.
const PUBLIC: &[&str] = &["GET /downloads/{token}", "GET /o/{token}", "GET /u/{token}", "POST /u/{token}"];

/// An id that nothing has.
const ABSENT: &str = "0192f3c1-0000-7c3d-9b0e-4a1f6d2c8b71";

/// One tenant's belongings: values for every path parameter there is.
struct Victim {
    pod: String,
    inbox: String,
    message: String,
    thread: String,
    draft: String,
    entry: String,
    key: String,
    webhook: String,
    domain: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Level {
    Organization,
    Pod,
    Inbox,
}

/// What a narrower key may never do, whatever its flags (tenancy, section 2).
fn level_denies(level: Level, permission: Permission) -> bool {
    let name = permission.as_str();
    match level {
        Level::Organization => false,
        Level::Pod => ["pod_create", "pod_delete"].contains(&name),
        Level::Inbox => name == "inbox_create" || name.starts_with("domain_") || name.starts_with("pod_"),
    }
}

fn fill(path: &str, victim: &Victim, absent: bool) -> String {
    path.split('/')
        .map(|segment| {
            let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else {
                return segment.to_owned();
            };
            match name {
                "pod_id" => victim.pod.clone(),
                "inbox_id" => victim.inbox.clone(),
                "direction" => "send".to_owned(),
                "type" => "block".to_owned(),
                "entry" if absent => "absent@x.test".to_owned(),
                "entry" => victim.entry.clone(),
                "message_id" if absent => "%3Cabsent@x.test%3E".to_owned(),
                "message_id" => victim.message.replace('<', "%3C").replace('>', "%3E"),
                "webhook_id" if absent => "ep_absent".to_owned(),
                "webhook_id" => victim.webhook.clone(),
                "domain_id" if absent => "absent.test".to_owned(),
                "domain_id" => victim.domain.clone(),
                "draft_id" if !absent => victim.draft.clone(),
                "thread_id" if !absent => victim.thread.clone(),
                "api_key_id" if !absent => victim.key.clone(),
                "draft_id" | "thread_id" | "api_key_id" | "attachment_id" | "token" => ABSENT.to_owned(),
                other => panic!("the authorization test has no value for {{{other}}}"),
            }
        })
        .collect::<Vec<_>>()
        .join("/")
}

fn expect(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{what}: {}", answer.text);
    assert!(answer.body["name"].is_string() && answer.body["message"].is_string(), "{what}: {}", answer.text);
}

/// What a key of `level` outside of the path's pod and inbox has to get: `None` when the call works within its own
/// scope.
fn outsider(operation: &Operation, level: Level) -> Option<(u16, &'static str)> {
    let path = operation.path;
    if level == Level::Inbox && (path == "/v0/pods" || path.starts_with("/v0/pods/")) {
        return Some((403, "forbidden"));
    }
    if path.contains("{pod_id}") || path.contains("{inbox_id}") {
        return Some((404, "not_found"));
    }
    match operation.needs {
        Needs::Permission(permission) if level_denies(level, permission) => Some((403, "missing_permission")),
        Needs::OrganizationKey | Needs::UnrestrictedOrganizationKey if level != Level::Organization => {
            Some((403, "missing_permission"))
        }
        // Every level has lists of every kind: these two name no resource of anybody's.
        _ if path.replace("{direction}/{type}", "").contains('{') => Some((404, "not_found")),
        Needs::Permission(_)
        | Needs::OrganizationKey
        | Needs::UnrestrictedOrganizationKey
        | Needs::AnyKey
        | Needs::Public => None,
    }
}

async fn victim(world: &World, organization: &str, pod: String, inbox: String, key: String) -> Victim {
    let post = async |path: String, body: Value| {
        let answer = world.call(&Method::POST, &path, Some(organization), &body.to_string()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    };
    let text = |body: &Value, name: &str| body[name].as_str().expect(name).to_owned();
    let webhook = post(
        format!("/v0/pods/{pod}/webhooks"),
        serde_json::json!({ "url": "https://hooks.test/in", "event_types": ["message.received"] }),
    )
    .await;
    let domain =
        post(format!("/v0/pods/{pod}/domains"), serde_json::json!({ "domain": "victim.test" })).await;
    let sent = post(
        format!("/v0/inboxes/{inbox}/messages/send"),
        serde_json::json!({ "to": ["someone@else.test"], "subject": "s", "text": "t" }),
    )
    .await;
    let draft = post(
        format!("/v0/inboxes/{inbox}/drafts"),
        serde_json::json!({ "to": ["someone@else.test"], "subject": "d" }),
    )
    .await;
    let entry = post(
        format!("/v0/inboxes/{inbox}/lists/send/block"),
        serde_json::json!({ "entry": "blocked@x.test" }),
    )
    .await;
    Victim {
        entry: text(&entry, "entry"),
        draft: text(&draft, "draft_id"),
        message: text(&sent, "message_id"),
        thread: text(&sent, "thread_id"),
        webhook: text(&webhook, "webhook_id"),
        domain: text(&domain, "domain_id"),
        pod,
        inbox,
        key,
    }
}

#[tokio::test]
async fn no_route_opens_to_a_key_that_does_not_cover_it() {
    for world in World::each(|_| {}).await {
        walk(world).await;
    }
}

// tenancy.md checks 5, 7, 13
async fn walk(world: World) {
    let (organization, organization_key) = world.organization("victim").await;
    let (foreign, foreign_key) = world.organization("stranger").await;
    let (pod, other_pod) = (world.pod(&organization, "one").await, world.pod(&organization, "two").await);
    let inbox = world.inbox(&pod, "one@mail.test").await;
    let other_inbox = world.inbox(&pod, "two@mail.test").await;
    let (pod_key_id, _) = world.key(&pod, None, None).await;
    let (_, other_pod_key) = world.key(&other_pod, None, None).await;
    let (_, inbox_key) = world.key(&inbox, None, None).await;
    let (_, other_inbox_key) = world.key(&other_inbox, None, None).await;
    let (_, powerless) = world.key(&organization, Some("{}"), None).await;
    let (_, foreign_powerless) = world.key(&foreign, Some("{}"), None).await;
    let pod_id = pod.pod().unwrap().to_string();
    let victim = victim(&world, &organization_key, pod_id, "one@mail.test".to_owned(), pod_key_id).await;
    let belongings = [
        &victim.pod,
        &victim.inbox,
        &victim.thread,
        &victim.draft,
        &victim.key,
        &victim.webhook,
        &victim.domain,
    ];

    let mut public = Vec::new();
    for operation in operations() {
        let Operation { method, path, needs, .. } = &operation;
        let row = format!("{method} {path}");
        let real = fill(path, &victim, false);
        if *needs == Needs::Public {
            let answer = world.call(method, &real, None, "").await;
            // The tracking image looks the same whatever the token.
            let is_image = row == "GET /o/{token}" && answer.status == 200;
            assert!(
                is_image || ((400..500).contains(&answer.status) && answer.status != 401),
                "{row}: {}",
                answer.text
            );
            public.push(row);
            continue;
        }

        let answer = world.call(method, &real, None, "").await;
        expect(&answer, 401, "missing_authorization", &format!("{row} without a key"));
        let answer = world.call(method, &real, Some("am_us_unknown"), "").await;
        expect(&answer, 401, "unknown_api_key", &format!("{row} with an unknown key"));

        for (who, key, level) in [
            ("another organization's key", &foreign_key, Level::Organization),
            ("another pod's key", &other_pod_key, Level::Pod),
            ("another inbox's key", &other_inbox_key, Level::Inbox),
        ] {
            let what = format!("{row} with {who}");
            let answer = world.call(method, &real, Some(key), "").await;
            match outsider(&operation, level) {
                Some((status, code)) => {
                    expect(&answer, status, code, &what);
                    let absent = world.call(method, &fill(path, &victim, true), Some(key), "").await;
                    assert_eq!(answer.text, absent.text, "{what}: an absent one looks different");
                }
                None => {
                    assert!(
                        [200, 400, 422].contains(&answer.status),
                        "{what}: {} {}",
                        answer.status,
                        answer.text
                    );
                    // The other inbox lies in the same pod and may name it.
                    for id in belongings.into_iter().filter(|id| level != Level::Inbox || **id != victim.pod)
                    {
                        assert!(!answer.text.contains(id.as_str()), "{what} shows {id}: {}", answer.text);
                    }
                }
            }
        }

        if path.starts_with("/v0/pods") {
            let answer = world.call(method, &real, Some(&inbox_key), "").await;
            expect(&answer, 403, "forbidden", &format!("{row} with an inbox key"));
        }

        let answer = world.call(method, &real, Some(&powerless), "").await;
        let what = format!("{row} with a powerless key");
        match needs {
            Needs::Permission(permission) => {
                expect(&answer, 403, "missing_permission", &what);
                let fix = answer.body["fix"].as_str().unwrap();
                assert!(fix.contains(&format!("\"{}\"", permission.as_str())), "{what}: {fix}");
            }
            Needs::UnrestrictedOrganizationKey => expect(&answer, 403, "unrestricted_key_required", &what),
            Needs::AnyKey | Needs::OrganizationKey | Needs::Public => {
                assert!(answer.status < 400, "{what}: {}", answer.text);
            }
        }
        if path.contains("{pod_id}") || path.contains("{inbox_id}") {
            let answer = world.call(method, &real, Some(&foreign_powerless), "").await;
            expect(&answer, 404, "not_found", &format!("{row} with a foreign powerless key"));
        }
    }
    assert_eq!(public, PUBLIC, "a route became public, or is public no longer");

    // Nothing of it touched the victim.
    for path in [
        format!("/v0/inboxes/{}", victim.inbox),
        format!("/v0/pods/{}", victim.pod),
        format!("/v0/threads/{}", victim.thread),
        format!("/v0/webhooks/{}", victim.webhook),
        format!("/v0/domains/{}", victim.domain),
        format!("/v0/api-keys/{}", victim.key),
    ] {
        let answer = world.get(&path, &organization_key).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
}

#[test]
fn every_route_is_listed_once() {
    let mut rows: Vec<String> = operations().iter().map(|o| format!("{} {}", o.method, o.path)).collect();
    let all = rows.len();
    rows.sort();
    rows.dedup();
    assert_eq!(rows.len(), all);
}
