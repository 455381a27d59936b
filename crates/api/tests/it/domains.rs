//! Domains, from creation to deletion, as a client and a zone's owner see them.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use podmail_dns::Mx;
use podmail_store::{InboxCreated, InboxPlace, NewInbox, Scope};
use serde_json::{Value, json};

use crate::{Answer, World};

const D: &str = "acme.example";

async fn post(world: &World, path: &str, key: &str, body: &Value) -> Answer {
    world.call(&Method::POST, path, Some(key), &body.to_string()).await
}

async fn patch(world: &World, key: &str, body: &Value) -> Answer {
    world.call(&Method::PATCH, &format!("/v0/domains/{D}"), Some(key), &body.to_string()).await
}

fn publish(world: &World, domain: &Value) {
    for record in domain["records"].as_array().unwrap() {
        let (name, value) = (record["name"].as_str().unwrap(), record["value"].as_str().unwrap());
        match record["type"].as_str().unwrap() {
            "TXT" => world.dns.set_txt(name, vec![value.to_owned()]),
            "MX" => world.dns.set_mx(name, vec![Mx { priority: 10, host: value.to_owned() }]),
            _ => world.dns.set_cname(name, Some(value)),
        }
    }
}

/// Asks for a check and runs it.
async fn verify(world: &World, key: &str) -> Value {
    world.clock.advance(Duration::from_secs(10));
    let path = format!("/v0/domains/{D}/verify");
    let answer = world.call(&Method::POST, &path, Some(key), "").await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""));
    assert_eq!(world.app.check_domains_once().await.unwrap(), 1);
    world.get(&format!("/v0/domains/{D}"), key).await.body
}

/// An inbox at an address of the domain, whether or not the domain allows new ones.
async fn inbox_on_domain(world: &World, scope: &Scope, address: &str) {
    let new = NewInbox {
        scope: scope.clone(),
        place: InboxPlace::At {
            inbox_id: podmail_domain::InboxId::parse(address).unwrap(),
            governing_domain: Some(D.to_owned()),
        },
        display_name: None,
        client_id: None,
        paused: false,
        metadata: None,
        now: podmail_domain::Clock::now(&*world.clock),
    };
    let created = world.store.create_inbox(new).await.unwrap();
    assert!(matches!(created, InboxCreated::Created(_)), "{created:?}");
}

fn of_type<'a>(domain: &'a Value, kind: &str, name: &str) -> Option<&'a Value> {
    domain["records"].as_array().unwrap().iter().find(|r| r["type"] == kind && r["name"] == name)
}

// domains.md checks 1, 2, 26
#[tokio::test]
async fn a_created_domain_shows_its_records_and_its_list_item_does_not() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let made = post(&world, "/v0/domains", &key, &json!({"domain": "Acme.Example."})).await;
        assert_eq!(made.status, 200, "{}", made.text);
        let domain = &made.body;
        for (member, want) in [
            ("domain_id", json!(D)),
            ("domain", json!(D)),
            ("status", json!("PENDING")),
            ("reason", json!("dns_records_missing")),
            ("feedback_enabled", json!(true)),
            ("inbound_enabled", json!(true)),
            ("subdomains_enabled", json!(false)),
            ("tracking_enabled", json!(false)),
            ("pod_id", Value::Null),
            ("client_id", Value::Null),
        ] {
            assert_eq!(domain[member], want, "{member}");
        }
        let selector = domain["records"][1]["name"].as_str().unwrap().split('.').next().unwrap().to_owned();
        let shown: Vec<(String, String, Value)> = domain["records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| {
                assert_eq!(r["status"], "MISSING");
                let text = |name: &str| r[name].as_str().unwrap().to_owned();
                (text("type"), text("name"), r["priority"].clone())
            })
            .collect();
        let row = |kind: &str, name: &str, priority: Value| (kind.to_owned(), name.to_owned(), priority);
        assert_eq!(
            shown,
            vec![
                row("MX", D, json!(10)),
                row("TXT", &format!("{selector}._domainkey.{D}"), Value::Null),
                row("TXT", "mail.acme.example", Value::Null),
                row("MX", "mail.acme.example", json!(10)),
                row("TXT", "_dmarc.acme.example", Value::Null),
            ]
        );
        let list = world.get("/v0/domains?limit=5", &key).await.body;
        assert_eq!((&list["count"], &list["limit"]), (&json!(1), &json!(5)));
        let item = &list["domains"][0];
        assert_eq!(item["domain_id"], D);
        for hidden in ["status", "reason", "records"] {
            assert!(item.get(hidden).is_none(), "{hidden}");
        }
    }
}

// domains.md check 3
#[tokio::test]
async fn settings_decide_which_records_there_are() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        for (name, settings, mx, wildcard, cname) in [
            ("a.example", json!({"inbound_enabled": false}), false, false, false),
            ("b.example", json!({"subdomains_enabled": true}), true, true, false),
            ("c.example", json!({"tracking_enabled": true}), true, false, true),
            ("d.example", json!({"inbound_enabled": null}), true, false, false),
        ] {
            let mut body = settings;
            body["domain"] = json!(name);
            let domain = post(&world, "/v0/domains", &key, &body).await.body;
            assert_eq!(of_type(&domain, "MX", name).is_some(), mx, "{name}");
            assert_eq!(of_type(&domain, "MX", &format!("*.{name}")).is_some(), wildcard, "{name}");
            assert_eq!(of_type(&domain, "CNAME", &format!("link.{name}")).is_some(), cname, "{name}");
        }
    }
}

// domains.md checks 4, 13
#[tokio::test]
async fn bad_bodies_are_refused_with_every_violation() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let long = format!("{}.example", "a".repeat(64));
        for (body, paths) in [
            (json!({}), vec!["domain"]),
            (json!({"domain": null}), vec!["domain"]),
            (json!({"domain": 1}), vec!["domain"]),
            (json!({"domain": "localhost"}), vec!["domain"]),
            (json!({"domain": "1.2.3.4"}), vec!["domain"]),
            (json!({"domain": "co.uk"}), vec!["domain"]),
            (json!({"domain": long}), vec!["domain"]),
            (json!({"domain": "mail.test"}), vec!["domain"]),
            (json!({"domain": "x.mail.test"}), vec!["domain"]),
            (
                json!({"domain": D, "inbound_enabled": "yes", "client_id": "a@b"}),
                vec!["inbound_enabled", "client_id"],
            ),
        ] {
            let answer = post(&world, "/v0/domains", &key, &body).await;
            assert_eq!((answer.status, answer.code()), (400, "validation_error"), "{body}");
            let errors = answer.body["errors"].as_array().unwrap();
            let seen: Vec<&str> = errors.iter().filter_map(|e| e["path"][0].as_str()).collect();
            assert_eq!(seen, paths, "{body}");
        }
        post(&world, "/v0/domains", &key, &json!({"domain": D})).await;
        for body in [
            json!({}),
            json!({"feedback_enabled": null}),
            json!({"feedback_enabled": 1}),
            json!({"other": true}),
        ] {
            assert_eq!(patch(&world, &key, &body).await.status, 400, "{body}");
        }
        let unknown = world.call(&Method::PATCH, "/v0/domains/other.example", Some(&key), "{}").await;
        assert_eq!((unknown.status, unknown.code()), (404, "not_found"));
    }
}

// domains.md check 5
#[tokio::test]
async fn a_name_can_be_taken_once() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let (_, other) = world.organization("two").await;
        let body = json!({"domain": D, "client_id": "c-1"});
        let first = post(&world, "/v0/domains", &key, &body).await;
        assert_eq!(post(&world, "/v0/domains", &key, &body).await.body, first.body);
        for (key, code) in [(&key, "already_exists"), (&other, "resource_taken")] {
            let answer = post(&world, "/v0/domains", key, &json!({"domain": D})).await;
            assert_eq!((answer.status, answer.code()), (403, code));
        }
    }
}

// domains.md checks 6, 7, 10
#[tokio::test]
async fn a_published_domain_becomes_verified_when_asked_for() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let made =
            post(&world, "/v0/domains", &key, &json!({"domain": D, "tracking_enabled": true})).await.body;
        publish(&world, &made);
        let dkim = made["records"][1]["name"].as_str().unwrap();
        world.dns.set_txt(dkim, vec![format!("v=DKIM1; k=rsa; p={}", "A".repeat(392))]);
        let wrong = verify(&world, &key).await;
        assert_eq!((&wrong["status"], &wrong["reason"]), (&json!("INVALID"), &json!("dns_records_invalid")));
        assert_eq!(
            (&wrong["records"][1]["status"], &wrong["records"][1]["reason"]),
            (&json!("INVALID"), &json!("value_mismatch"))
        );

        publish(&world, &made);
        let google = Mx { priority: 1, host: "smtp.google.com".to_owned() };
        let ours = Mx { priority: 10, host: made["records"][0]["value"].as_str().unwrap().to_owned() };
        world.dns.set_mx(D, vec![google, ours]);
        let right = verify(&world, &key).await;
        assert_eq!((&right["status"], right.get("reason")), (&json!("VERIFIED"), None));
        assert!(
            right["records"]
                .as_array()
                .unwrap()
                .iter()
                .all(|r| r["status"] == "VALID" && r.get("reason").is_none())
        );

        let path = format!("/v0/domains/{D}/verify");
        let again = world.call(&Method::POST, &path, Some(&key), "").await;
        assert_eq!((again.status, again.code()), (429, "rate_limit_exceeded"));
        assert_eq!(again.headers["retry-after"], "10");
        world.clock.advance(Duration::from_secs(10));
        world.dns.set_failure(D, true);
        let silent = world.call(&Method::POST, &path, Some(&key), "").await;
        assert_eq!((silent.status, silent.code()), (422, "unprocessable"));
    }
}

// domains.md check 11, extras.md check 5
#[tokio::test]
async fn another_provider_is_cut_off_only_on_purpose() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        world.dns.set_mx(D, vec![Mx { priority: 1, host: "aspmx.l.google.com".to_owned() }]);
        let refused = post(&world, "/v0/domains", &key, &json!({"domain": D})).await;
        assert_eq!((refused.status, refused.code()), (422, "unprocessable"));
        for body in [
            json!({"domain": D, "allow_conflicting_provider": true}),
            json!({"domain": D, "inbound_enabled": false}),
        ] {
            assert_eq!(post(&world, "/v0/domains", &key, &body).await.status, 200, "{body}");
            let path = format!("/v0/domains/{D}");
            assert_eq!(world.call(&Method::DELETE, &path, Some(&key), "").await.status, 204);
        }
    }
}

// domains.md checks 12, 13, 14, 15
#[tokio::test]
async fn a_new_setting_makes_a_verified_domain_pending_until_its_record_is_there() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let made = post(&world, "/v0/domains", &key, &json!({"domain": D})).await.body;
        publish(&world, &made);
        verify(&world, &key).await;
        let changed = patch(&world, &key, &json!({"feedback_enabled": false})).await.body;
        assert_eq!((&changed["feedback_enabled"], &changed["status"]), (&json!(false), &json!("VERIFIED")));
        let changed = patch(&world, &key, &json!({"subdomains_enabled": true})).await.body;
        assert_eq!((&changed["status"], &changed["feedback_enabled"]), (&json!("PENDING"), &json!(false)));
        assert_eq!(of_type(&changed, "MX", "*.acme.example").unwrap()["status"], "MISSING");

        let inbox = json!({"username": "a", "domain": "x.acme.example"});
        assert_eq!(post(&world, "/v0/inboxes", &key, &inbox).await.status, 422);
        publish(&world, &changed);
        assert_eq!(verify(&world, &key).await["status"], "VERIFIED");
        assert_eq!(post(&world, "/v0/inboxes", &key, &inbox).await.status, 200);
        let list = world.get("/v0/domains", &key).await.body;
        assert_eq!((&list["count"], &list["domains"][0]["domain"]), (&json!(1), &json!(D)));

        let changed = patch(&world, &key, &json!({"tracking_enabled": true})).await.body;
        publish(&world, &changed);
        verify(&world, &key).await;
        let reserved = json!({"username": "a", "domain": "link.acme.example"});
        assert_eq!(post(&world, "/v0/inboxes", &key, &reserved).await.status, 422);
    }
}

// domains.md check 16
#[tokio::test]
async fn inboxes_need_a_domain_that_was_verified() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        post(&world, "/v0/domains", &key, &json!({"domain": D})).await;
        let answer = post(&world, "/v0/inboxes", &key, &json!({"username": "a", "domain": D})).await;
        assert_eq!((answer.status, answer.code()), (403, "domain_not_verified"));
    }
}

// domains.md check 17
#[tokio::test]
async fn a_zone_file_is_text_whatever_the_client_accepts() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let made =
            post(&world, "/v0/domains", &key, &json!({"domain": D, "tracking_enabled": true})).await.body;
        let request = Request::builder()
            .uri(format!("/v0/domains/{D}/zone-file"))
            .header("authorization", format!("Bearer {key}"))
            .header("accept", "application/json");
        let answer = world.send(request.body(Full::<Bytes>::default()).unwrap()).await;
        assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "text/plain"));
        assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"acme.example.zone\"");
        let mut lines = answer.text.lines();
        assert_eq!(lines.next(), Some("; acme.example"));
        for record in made["records"].as_array().unwrap() {
            let line = lines.next().unwrap();
            let kind = record["type"].as_str().unwrap();
            let start = format!("{}. 300 IN {kind} ", record["name"].as_str().unwrap());
            let data = line.strip_prefix(&start).unwrap_or_else(|| panic!("{line}"));
            let value = record["value"].as_str().unwrap();
            match kind {
                "TXT" => {
                    let strings: Vec<&str> = data.split("\" \"").map(|s| s.trim_matches('"')).collect();
                    assert!(strings.iter().all(|s| s.len() <= 255), "{line}");
                    assert_eq!(strings.concat(), value);
                }
                "MX" => assert_eq!(data, format!("10 {value}.")),
                _ => assert_eq!(data, format!("{value}.")),
            }
        }
        assert_eq!(lines.next(), None);
    }
}

// domains.md check 19
#[tokio::test]
async fn a_pods_domain_is_seen_by_the_pod_and_the_organization_alone() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let (_, foreign) = world.organization("two").await;
        let (pod, neighbour) = (world.pod(&scope, "a").await, world.pod(&scope, "b").await);
        let (_, pod_key) = world.key(&pod, None, None).await;
        let (_, neighbour_key) = world.key(&neighbour, None, None).await;
        let pod_id = pod.pod().unwrap().to_string();
        let below = format!("/v0/pods/{pod_id}/domains");
        let made = post(&world, &below, &key, &json!({"domain": D})).await;
        assert_eq!((made.status, &made.body["pod_id"]), (200, &json!(pod_id)));
        let own = post(&world, "/v0/domains", &pod_key, &json!({"domain": "pod.example"})).await;
        assert_eq!(own.body["pod_id"], json!(pod_id));
        post(&world, "/v0/domains", &key, &json!({"domain": "all.example"})).await;

        let path = format!("/v0/domains/{D}");
        let absent = world.get("/v0/domains/nobodys.example", &key).await;
        for (path, key, status) in [
            (path.as_str(), &key, 200),
            (&path, &pod_key, 200),
            (&path, &neighbour_key, 404),
            (&path, &foreign, 404),
            (&format!("{below}/{D}"), &key, 200),
            (&format!("{below}/{D}"), &foreign, 404),
            (&format!("{below}/all.example"), &key, 404),
            ("/v0/domains/all.example", &pod_key, 404),
        ] {
            assert_eq!(world.get(path, key).await.status, status, "{path}");
        }
        let hidden = world.get(&path, &neighbour_key).await;
        assert_eq!((hidden.code(), &hidden.body["message"]), ("not_found", &absent.body["message"]));
        for (path, key, want) in [
            ("/v0/domains", &key, vec!["all.example", "pod.example", D]),
            ("/v0/domains", &pod_key, vec!["pod.example", D]),
            (&below, &key, vec!["pod.example", D]),
            ("/v0/domains", &neighbour_key, vec![]),
        ] {
            let list = world.get(path, key).await.body;
            let mut names: Vec<&str> =
                list["domains"].as_array().unwrap().iter().filter_map(|d| d["domain"].as_str()).collect();
            // Made at the same instant: only the set is fixed.
            names.sort_unstable();
            let mut want = want;
            want.sort_unstable();
            assert_eq!(names, want, "{path}");
        }
    }
}

// domains.md check 20
#[tokio::test]
async fn a_deleted_domain_stops_mail_and_leaves_its_inboxes_readable() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let made = post(&world, "/v0/domains", &key, &json!({"domain": D})).await.body;
        publish(&world, &made);
        verify(&world, &key).await;
        inbox_on_domain(&world, &scope, "a@acme.example").await;
        let address = ["a@acme.example".to_owned()];
        assert_eq!(world.store.routes(&address).await.unwrap().len(), 1);
        let path = format!("/v0/domains/{D}");
        assert_eq!(world.call(&Method::DELETE, &path, Some(&key), "").await.status, 204);
        assert_eq!(world.call(&Method::DELETE, &path, Some(&key), "").await.status, 404);
        assert_eq!(world.store.routes(&address).await.unwrap().len(), 0);
        assert!(world.store.sending_domain(&scope, D).await.unwrap().is_none());
        assert_eq!(world.get("/v0/inboxes/a@acme.example", &key).await.status, 200);
        assert_eq!(world.get("/v0/inboxes/a@acme.example/messages", &key).await.status, 200);
    }
}

// domains.md check 8
#[tokio::test]
async fn two_policies_at_one_name_are_invalid_although_one_is_right() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let made = post(&world, "/v0/domains", &key, &json!({"domain": D})).await.body;
        publish(&world, &made);
        let right = made["records"][2]["value"].as_str().unwrap().to_owned();
        world.dns.set_txt("mail.acme.example", vec!["v=spf1 ip4:192.0.2.1 -all".to_owned(), right]);
        let checked = verify(&world, &key).await;
        assert_eq!(
            (&checked["status"], &checked["reason"]),
            (&json!("INVALID"), &json!("dns_records_invalid"))
        );
        let spf = of_type(&checked, "TXT", "mail.acme.example").unwrap();
        assert_eq!((&spf["status"], &spf["reason"]), (&json!("INVALID"), &json!("duplicate_records")));
    }
}

async fn send_from(world: &World, key: &str, address: &str) -> Answer {
    let path = format!("/v0/inboxes/{address}/messages/send");
    post(world, &path, key, &json!({ "to": "bob@client.example", "text": "Hi" })).await
}

// domains.md checks 12, 16, 20, 27
#[tokio::test]
async fn an_inbox_sends_as_long_as_the_key_of_its_domain_is_published() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let made = post(&world, "/v0/domains", &key, &json!({"domain": D})).await.body;
        publish(&world, &made);
        verify(&world, &key).await;
        post(&world, "/v0/inboxes", &key, &json!({"username": "a", "domain": D})).await;
        let address = "a@acme.example";
        let first = send_from(&world, &key, address).await;
        assert_eq!(first.status, 200, "{}", first.text);
        // A record that is newly needed takes nothing away.
        assert_eq!(patch(&world, &key, &json!({"subdomains_enabled": true})).await.body["status"], "PENDING");
        assert_eq!(send_from(&world, &key, address).await.status, 200);
        patch(&world, &key, &json!({"subdomains_enabled": false})).await;

        // A mail host that is gone ends receiving, not sending, and one failed check ends nothing.
        world.dns.set_mx(D, Vec::new());
        assert_eq!(verify(&world, &key).await["status"], "VERIFIED");
        let withdrawn = verify(&world, &key).await;
        assert_eq!(
            (&withdrawn["status"], &withdrawn["reason"]),
            (&json!("PENDING"), &json!("dns_records_missing"))
        );
        assert_eq!(of_type(&withdrawn, "MX", D).unwrap()["status"], "MISSING");
        assert_eq!(send_from(&world, &key, address).await.status, 200);

        publish(&world, &made);
        assert_eq!(verify(&world, &key).await["status"], "VERIFIED");
        world.dns.set_txt(made["records"][1]["name"].as_str().unwrap(), Vec::new());
        verify(&world, &key).await;
        assert_ne!(verify(&world, &key).await["status"], "VERIFIED");
        let refused = send_from(&world, &key, address).await;
        assert_eq!((refused.status, refused.code()), (403, "domain_not_verified"));

        publish(&world, &made);
        verify(&world, &key).await;
        assert_eq!(send_from(&world, &key, address).await.status, 200);
        let path = format!("/v0/domains/{D}");
        assert_eq!(world.call(&Method::DELETE, &path, Some(&key), "").await.status, 204);
        let refused = send_from(&world, &key, address).await;
        assert_eq!((refused.status, refused.code()), (403, "domain_not_verified"));
        let old = world.get("/v0/inboxes/a@acme.example/messages", &key).await;
        assert_eq!(old.body["count"], 4);
        let id = old.body["messages"][0]["message_id"].as_str().unwrap();
        let one = format!("/v0/inboxes/a@acme.example/messages/{}", crate::mailbox::segment(id));
        assert_eq!(world.get(&one, &key).await.body["text"], "Hi");
    }
}

// domains.md check 18, extras.md check 4
#[tokio::test]
async fn nobody_is_promised_a_setup_by_one_click_and_providers_are_told() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let (_, foreign) = world.organization("two").await;
        let (_, powerless) = world.key(&scope, Some("{}"), None).await;
        let made = post(&world, "/v0/domains", &key, &json!({"domain": D})).await.body;
        let path = format!("/v0/domains/{D}/setup-link");
        let ask = async || {
            let answer = world.get(&path, &key).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.body
        };
        assert_eq!(ask().await, json!({ "supported": false }));
        world.dns.set_ns(D, vec!["bob.ns.cloudflare.com".to_owned(), "ada.ns.cloudflare.com".to_owned()]);
        let [google, other] =
            ["aspmx.l.google.com", "mx.example.net"].map(|host| Mx { priority: 5, host: host.to_owned() });
        world.dns.set_mx(D, vec![google]);
        assert_eq!(
            ask().await,
            json!({
                "supported": false, "provider_name": "Cloudflare", "conflicting_provider": "Google Workspace"
            })
        );
        world.dns.set_mx(D, vec![other]);
        assert_eq!(ask().await["conflicting_provider"], "mx.example.net");
        patch(&world, &key, &json!({"inbound_enabled": false})).await;
        assert!(ask().await.get("conflicting_provider").is_none(), "nothing would be cut off");
        patch(&world, &key, &json!({"inbound_enabled": true})).await;

        for (path, key, status, code) in [
            ("/v0/domains/nobodys.example/setup-link", &key, 404, "not_found"),
            (path.as_str(), &foreign, 404, "not_found"),
            (path.as_str(), &powerless, 403, "missing_permission"),
        ] {
            let answer = world.get(path, key).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{path}");
        }
        world.dns.set_failure(D, true);
        let silent = world.get(&path, &key).await;
        assert_eq!((silent.status, silent.code()), (422, "unprocessable"));
        world.dns.set_failure(D, false);
        publish(&world, &made);
        assert_eq!(verify(&world, &key).await["status"], "VERIFIED");
        let done = world.get(&path, &key).await;
        assert_eq!((done.status, done.code()), (409, "conflict"));
    }
}

// extras.md check 6
#[tokio::test]
async fn a_domain_that_only_sends_needs_no_mail_host_until_it_shall_receive() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let body = json!({"domain": D, "inbound_enabled": false});
        let made = post(&world, "/v0/domains", &key, &body).await.body;
        assert!(of_type(&made, "MX", D).is_none(), "{made}");
        publish(&world, &made);
        assert_eq!(verify(&world, &key).await["status"], "VERIFIED");
        let changed = patch(&world, &key, &json!({"inbound_enabled": true})).await.body;
        assert_eq!(
            (&changed["status"], &changed["reason"]),
            (&json!("PENDING"), &json!("dns_records_missing"))
        );
        assert_eq!(of_type(&changed, "MX", D).unwrap()["status"], "MISSING");
        publish(&world, &changed);
        assert_eq!(verify(&world, &key).await["status"], "VERIFIED");
        // What is switched off is asked for no longer.
        world.dns.set_mx(D, Vec::new());
        let off = patch(&world, &key, &json!({"inbound_enabled": false})).await.body;
        assert_eq!((&off["status"], off.get("reason")), (&json!("VERIFIED"), None));
    }
}
