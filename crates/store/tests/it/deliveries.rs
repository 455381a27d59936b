//! The queue of outbound mail.

use std::collections::HashMap;
use std::time::Duration;

use podmail_domain::label::Restricted;
use podmail_domain::thread::Direction;
use podmail_domain::{InboxId, MessageId, PodId, Timestamp};
use podmail_store::{
    Announce, CleanBefore, Cleaned, DeliveryClaim, DeliveryOutcome, DeliveryReport, Event, Finished,
    InboxCreated, InboxPlace, KeySecret, LeaseRequest, Limits, NewDelivery, NewInbox, NewMessage,
    NewOrganization, Position, Scope, Stored, StoredBytes,
};
use serde_json::{Value, json};

use crate::{World, worlds};

mod reports;

const LEASE: Duration = Duration::from_secs(60);

async fn inbox(world: &World, scope: &Scope, address: &str) -> Scope {
    let new = NewInbox {
        scope: scope.clone(),
        place: InboxPlace::At {
            inbox_id: InboxId::parse(address).expect("an address"),
            governing_domain: None,
        },
        display_name: None,
        client_id: None,
        paused: false,
        metadata: None,
        now: world.now(),
    };
    let InboxCreated::Created(inbox) = world.store.create_inbox(new).await.expect("made") else {
        panic!("{address} is new")
    };
    world.store.inbox_scope(scope, &inbox.inbox_id).await.expect("read").expect("in scope")
}

async fn organization(world: &World, hash: &str) -> Scope {
    let new = NewOrganization {
        name: "Acme".to_owned(),
        limits: Limits::default(),
        key_name: "First".to_owned(),
        secret: KeySecret { hash: hash.to_owned(), prefix: "am_us_000000".to_owned() },
    };
    let (organization, _) = world.store.create_organization(new, world.now()).await.expect("made");
    world.store.organization_scope(organization).await.expect("read").expect("there")
}

/// An inbox in a pod of its own.
async fn podded(world: &World, scope: &Scope, address: &str) -> Scope {
    let pod = world.store.create_pod(scope, address.to_owned(), None, world.now()).await.expect("made");
    let pod = world.store.pod_scope(scope, &pod.pod_id.to_string()).await.expect("read").expect("there");
    inbox(world, &pod, address).await
}

async fn send(world: &World, scope: &Scope, id: &str, recipients: &[&str]) -> MessageId {
    let now = world.now();
    let deliveries = recipients.iter().map(|recipient| NewDelivery {
        recipient: (*recipient).to_owned(),
        destination: recipient.rsplit_once('@').expect("an address").1.to_owned(),
        expires_at: now.plus(Duration::from_secs(5 * 24 * 3600)),
    });
    let new = NewMessage {
        scope: scope.clone(),
        direction: Direction::Sent,
        announce: Announce::default(),
        key: None,
        message_id: MessageId::new(id),
        substitute: MessageId::new("<substitute@x>"),
        aliases: vec![],
        candidates: vec![],
        thread: None,
        labels: vec!["sent".to_owned()],
        timestamp: now,
        created_at: now,
        size: 10,
        fingerprint: id.to_owned(),
        sender: "desk@pm.test".to_owned(),
        to: recipients.iter().map(|recipient| (*recipient).to_owned()).collect(),
        cc: vec![],
        bcc: vec![],
        subject: None,
        preview: None,
        in_reply_to: None,
        references: vec![],
        attachments: vec![],
        extract_texts: false,
        bytes: StoredBytes::Inline(b"compressed".to_vec()),
        deliveries: deliveries.collect(),
        draft: None,
        authentication: None,
        idempotency: None,
        original_id: None,
        headers: std::collections::BTreeMap::new(),
        quota_since: None,
    };
    let stored = world.store.insert_messages(vec![new]).await.expect("stored");
    let [Stored::New { message_id, .. }] = stored.as_slice() else { panic!("{stored:?}") };
    message_id.clone()
}

fn request(world: &World, token: &str) -> LeaseRequest {
    LeaseRequest {
        limit: 100,
        token: token.to_owned(),
        now: world.now(),
        lease: LEASE,
        per_destination: 100,
        per_pod: 100,
        destinations: HashMap::new(),
        pods: HashMap::new(),
    }
}

async fn lease(world: &World, request: LeaseRequest) -> Vec<DeliveryClaim> {
    let mut claims = world.store.lease_deliveries(request).await.expect("leased");
    claims.sort_by(|a, b| (&a.message_id, &a.destination).cmp(&(&b.message_id, &b.destination)));
    claims
}

fn addresses(claim: &DeliveryClaim) -> Vec<&str> {
    claim.recipients.iter().map(|recipient| recipient.address.as_str()).collect()
}

async fn report(
    world: &World,
    claim: &DeliveryClaim,
    outcomes: &[DeliveryOutcome],
    aliases: &[&str],
) -> Finished {
    let results = claim.recipients.iter().zip(outcomes);
    let report = DeliveryReport {
        claim: claim.clone(),
        now: world.now(),
        host: Some("mx.example".to_owned()),
        left: false,
        suppress_in_organization: false,
        results: results.map(|(r, outcome)| (r.delivery_id, outcome.clone(), "said".to_owned())).collect(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
    };
    world.store.finish_delivery(report).await.expect("finished")
}

async fn events(world: &World) -> Vec<(String, Value)> {
    let facts = |text: &str| serde_json::from_str(text).expect("facts are JSON");
    let log = log(world).await;
    log.iter().map(|event| (event.event_type.as_str().to_owned(), facts(&event.facts))).collect()
}

/// The whole log. On PostgreSQL a transaction of another test may hold its end back for a moment.
async fn log(world: &World) -> Vec<Event> {
    loop {
        let log = world.store.read_log(Position::default(), 1000).await.expect("read");
        if !log.more {
            return log.events;
        }
        tokio::task::yield_now().await;
    }
}

async fn labels(world: &World, scope: &Scope, id: &MessageId) -> Vec<String> {
    let found = world.store.message(scope, id, Restricted::ALL).await.expect("read");
    found.expect("there").labels
}

#[tokio::test]
async fn recipients_of_one_message_at_one_destination_are_leased_together_and_only_once() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        send(&world, &desk, "<1@x>", &["a@one.test", "b@two.test", "c@one.test"]).await;
        let claims = lease(&world, request(&world, "t1")).await;
        assert_eq!(claims.len(), 2);
        assert_eq!(addresses(&claims[0]), ["a@one.test", "c@one.test"]);
        assert_eq!(addresses(&claims[1]), ["b@two.test"]);
        assert_eq!(claims[0].scope, desk);
        let content = world.store.delivery_content(&claims[0]).await.expect("read");
        assert_eq!(content.bytes, Some(StoredBytes::Inline(b"compressed".to_vec())));
        assert_eq!(content.governing_domain, None);
        assert!(lease(&world, request(&world, "t2")).await.is_empty(), "nobody else gets leased rows");
    }
}

#[tokio::test]
async fn an_expired_lease_goes_to_another_worker_and_the_first_one_changes_nothing_more() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        let id = send(&world, &desk, "<1@x>", &["a@one.test"]).await;
        let first = lease(&world, request(&world, "t1")).await.remove(0);
        world.clock.advance(LEASE / 2);
        assert!(world.store.renew_delivery(&first, world.now().plus(LEASE)).await.expect("renewed"));
        world.clock.advance(LEASE - Duration::from_secs(1));
        assert!(lease(&world, request(&world, "t2")).await.is_empty(), "renewed");
        world.clock.advance(Duration::from_secs(1));
        let second = lease(&world, request(&world, "t3")).await.remove(0);
        assert!(!world.store.renew_delivery(&first, world.now().plus(LEASE)).await.expect("asked"));
        assert_eq!(report(&world, &first, &[DeliveryOutcome::Delivered], &[]).await, Finished::default());
        world.store.release_delivery(&first, world.now()).await.expect("nothing to release");
        assert!(lease(&world, request(&world, "t4")).await.is_empty());
        assert!(events(&world).await.is_empty());

        let bounced = DeliveryOutcome::Bounced { kind: "Permanent", sub_type: "NoEmail" };
        assert_eq!(report(&world, &second, &[bounced], &[]).await.recipients, 1);
        assert_eq!(labels(&world, &desk, &id).await, ["sent", "bounced"]);
        world.clock.advance(Duration::from_secs(10 * 24 * 3600));
        assert!(lease(&world, request(&world, "t5")).await.is_empty(), "finished for good");
    }
}

#[tokio::test]
async fn a_released_claim_is_due_at_once() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        send(&world, &desk, "<1@x>", &["a@one.test"]).await;
        let claim = lease(&world, request(&world, "t1")).await.remove(0);
        world.store.release_delivery(&claim, world.now()).await.expect("released");
        let again = lease(&world, request(&world, "t2")).await;
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].recipients[0].attempts, 0);
    }
}

#[tokio::test]
async fn neither_a_destination_nor_a_pod_gets_more_than_its_share() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let noisy = podded(&world, &acme, "noisy@pm.test").await;
        let quiet = podded(&world, &acme, "quiet@pm.test").await;
        for n in 0..20 {
            send(&world, &noisy, &format!("<slow-{n:02}@x>"), &["a@slow.test"]).await;
        }
        for n in 0..20 {
            send(&world, &noisy, &format!("<many-{n:02}@x>"), &[&format!("a@d{n}.test")]).await;
        }
        world.clock.advance(Duration::from_secs(1));
        send(&world, &quiet, "<quiet@x>", &["a@quiet.test"]).await;

        let limited = |token: &str| LeaseRequest { per_destination: 2, per_pod: 6, ..request(&world, token) };
        let claims = lease(&world, limited("t1")).await;
        let count = |claims: &[DeliveryClaim], wanted: &str| {
            claims.iter().filter(|claim| claim.destination == wanted).count()
        };
        assert_eq!(claims.len(), 7);
        assert_eq!(count(&claims, "slow.test"), 2);
        assert_eq!(count(&claims, "quiet.test"), 1, "behind forty of the noisy pod, and not delayed");

        // With the pod full and the destination full, nothing of theirs is leased, however much waits.
        let pod = noisy.pod().expect("in a pod");
        let busy = LeaseRequest { pods: HashMap::from([(pod, 6)]), ..limited("t2") };
        assert!(lease(&world, busy).await.is_empty());
        let busy = LeaseRequest {
            pods: HashMap::from([(pod, 3)]),
            destinations: HashMap::from([("slow.test".to_owned(), 2)]),
            ..limited("t3")
        };
        let claims = lease(&world, busy).await;
        assert_eq!((claims.len(), count(&claims, "slow.test")), (3, 0));
        let one = lease(&world, LeaseRequest { limit: 1, ..request(&world, "t4") }).await;
        assert_eq!(one.len(), 1);
    }
}

#[tokio::test]
async fn parallel_workers_never_hold_the_same_mail() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        for n in 0..30 {
            send(&world, &desk, &format!("<{n}@x>"), &[&format!("a@d{n}.test")]).await;
        }
        let leases = (0..8).map(|n| {
            let request = LeaseRequest { limit: 10, ..request(&world, &format!("t{n}")) };
            world.store.lease_deliveries(request)
        });
        let claims = futures_util::future::join_all(leases).await;
        let mut seen: Vec<_> =
            claims.into_iter().flat_map(|claims| claims.expect("leased")).map(|c| c.message_key).collect();
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }
}

#[tokio::test]
async fn an_attempt_brings_states_labels_and_events_together() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        let all = ["a@one.test", "b@one.test", "c@one.test", "d@one.test", "e@one.test"];
        let id = send(&world, &desk, "<1@x>", &all).await;
        let claim = lease(&world, request(&world, "t1")).await.remove(0);
        let no_email = DeliveryOutcome::Bounced { kind: "Permanent", sub_type: "NoEmail" };
        let retry_at = world.now().plus(Duration::from_secs(60));
        let outcomes = [
            DeliveryOutcome::Delivered,
            no_email.clone(),
            DeliveryOutcome::Deferred { due_at: retry_at },
            no_email,
            DeliveryOutcome::Rejected { reason: "Invalid recipient address".to_owned() },
        ];
        let finished = report(&world, &claim, &outcomes, &["<relay-1@relay.example>"]).await;
        assert_eq!(finished, Finished { recipients: 5, objects: vec![] });
        let at = world.now().micros();
        let bounced = |address: &str| json!({"address": address, "status": "bounced"});
        assert_eq!(
            events(&world).await,
            [
                (
                    "message.sent".to_owned(),
                    json!({"message_id": "<1@x>", "timestamp": at, "recipients": all})
                ),
                (
                    "message.delivered".to_owned(),
                    json!({"message_id": "<1@x>", "timestamp": at, "recipients": ["a@one.test"]})
                ),
                (
                    "message.bounced".to_owned(),
                    json!({"message_id": "<1@x>", "timestamp": at, "type": "Permanent", "sub_type": "NoEmail",
                           "recipients": [bounced("b@one.test"), bounced("d@one.test")]})
                ),
                (
                    "message.rejected".to_owned(),
                    json!({"message_id": "<1@x>", "timestamp": at, "reason": "Invalid recipient address"})
                ),
            ]
        );
        assert_eq!(labels(&world, &desk, &id).await, ["sent", "delivered", "bounced", "delayed", "rejected"]);
        let message = world.store.message(&desk, &id, Restricted::ALL).await.expect("read").expect("there");
        let aliases = world.store.message_aliases(&desk, &message).await.expect("read");
        assert_eq!(aliases, ["<relay-1@relay.example>"]);

        // The one that was put off comes back, and the message is not announced as sent again.
        assert!(lease(&world, request(&world, "t2")).await.is_empty());
        world.clock.advance(Duration::from_secs(60));
        let claim = lease(&world, request(&world, "t3")).await.remove(0);
        assert_eq!((addresses(&claim), claim.recipients[0].attempts), (vec!["c@one.test"], 1));
        report(&world, &claim, &[DeliveryOutcome::Delivered], &[]).await;
        let last = events(&world).await.split_off(4);
        let at = world.now().micros();
        let want = json!({"message_id": "<1@x>", "timestamp": at, "recipients": ["c@one.test"]});
        assert_eq!(last, [("message.delivered".to_owned(), want)]);
    }
}

#[tokio::test]
async fn a_first_failure_delays_without_announcing_the_message_as_sent() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        let id = send(&world, &desk, "<1@x>", &["a@one.test"]).await;
        let claim = lease(&world, request(&world, "t1")).await.remove(0);
        report(&world, &claim, &[DeliveryOutcome::Deferred { due_at: world.now() }], &[]).await;
        assert_eq!(labels(&world, &desk, &id).await, ["sent", "delayed"]);
        assert_eq!(events(&world).await, []);
        let claim = lease(&world, request(&world, "t2")).await.remove(0);
        report(&world, &claim, &[DeliveryOutcome::Bounced { kind: "Transient", sub_type: "General" }], &[])
            .await;
        let types: Vec<String> = events(&world).await.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(types, ["message.sent", "message.bounced"]);
    }
}

#[tokio::test]
async fn mail_of_a_deleted_message_is_still_delivered_and_then_its_bytes_go() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        let id = send(&world, &desk, "<1@x>", &["a@one.test", "b@two.test"]).await;
        let gone = world.store.delete_message(&desk, &id, Restricted::ALL).await.expect("deleted");
        assert_eq!(gone, Some(vec![]));
        let claims = lease(&world, request(&world, "t1")).await;
        assert_eq!(claims.len(), 2);
        report(&world, &claims[0], &[DeliveryOutcome::Delivered], &["<ignored@relay>"]).await;
        let bytes = |claim: DeliveryClaim| {
            let store = world.store.clone();
            async move { store.delivery_content(&claim).await.expect("read").bytes }
        };
        assert!(bytes(claims[1].clone()).await.is_some());
        report(&world, &claims[1], &[DeliveryOutcome::Delivered], &[]).await;
        assert_eq!(bytes(claims[1].clone()).await, None);
        let types: Vec<String> = events(&world).await.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(types, ["message.sent", "message.delivered", "message.delivered"]);
    }
}

#[tokio::test]
async fn events_and_claims_belong_to_the_sending_inbox() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let other = organization(&world, "h2").await;
        let desk = podded(&world, &acme, "desk@pm.test").await;
        let foreign = inbox(&world, &other, "foreign@pm.test").await;
        send(&world, &desk, "<1@x>", &["a@one.test"]).await;
        send(&world, &foreign, "<1@x>", &["a@one.test"]).await;
        let claims = world.store.lease_deliveries(request(&world, "t1")).await.expect("leased");
        let mut scopes: Vec<(Option<PodId>, &Scope)> =
            claims.iter().map(|claim| (claim.scope.pod(), &claim.scope)).collect();
        scopes.sort_by_key(|(pod, _)| *pod);
        assert_eq!(claims.len(), 2, "messages of two tenants are never one claim");
        assert!(scopes.iter().any(|(_, scope)| **scope == desk));
        assert!(scopes.iter().any(|(_, scope)| **scope == foreign));
        let claim = claims.iter().find(|claim| claim.scope == desk).expect("leased");
        report(&world, claim, &[DeliveryOutcome::Delivered], &[]).await;
        let log = log(&world).await;
        assert!(log.iter().all(|event| event.scope == desk));
        assert_eq!(labels(&world, &foreign, &MessageId::new("<1@x>")).await, ["sent"]);
        let created: Vec<Timestamp> = log.iter().map(|event| event.created_at).collect();
        assert_eq!(created, [world.now(), world.now()]);
    }
}

#[tokio::test]
async fn what_ended_long_ago_goes_and_what_waits_or_was_not_read_stays() {
    for world in worlds().await {
        let scope = inbox(&world, &organization(&world, "k").await, "desk@pm.test").await;
        send(&world, &scope, "<ended@x>", &["a@x.test", "b@y.test"]).await;
        let claims = lease(&world, request(&world, "t")).await;
        assert_eq!(claims.len(), 2);
        let before = |world: &World| {
            let two_days = world.now().minus(Duration::from_secs(2 * 24 * 3600));
            CleanBefore { deliveries: two_days, events: two_days, idempotency: two_days, texts: two_days }
        };
        report(&world, &claims[0], &[DeliveryOutcome::Delivered], &[]).await;
        world.clock.advance(Duration::from_secs(24 * 3600));
        assert_eq!(world.store.clean_step(before(&world)).await.expect("cleaned"), Cleaned::default());
        world.clock.advance(Duration::from_secs(25 * 3600));

        // No reader has been here, so the log is whole; one recipient still waits.
        let cleaned = world.store.clean_step(before(&world)).await.expect("cleaned");
        assert_eq!(cleaned, Cleaned { deliveries: 1, events: 0, idempotency: 0, texts: 0 });
        assert_eq!(lease(&world, request(&world, "u")).await.len(), 1, "the other delivery is still there");

        let start = world.store.event_cursor("webhooks").await.expect("read");
        assert_eq!(world.store.clean_step(before(&world)).await.expect("cleaned"), Cleaned::default());
        let log = crate::events::log(&world, start, 1).await;
        assert!(world.store.move_event_cursor("webhooks", start, log.next).await.expect("moved"));
        let cleaned = world.store.clean_step(before(&world)).await.expect("cleaned");
        assert_eq!(cleaned, Cleaned { deliveries: 0, events: 1, idempotency: 0, texts: 0 });
        let left = crate::events::log(&world, start, 10).await.events;
        assert!(left.iter().all(|event| event.event_id != log.events[0].event_id), "{left:?}");
        let next = crate::events::log(&world, log.next, 1).await;
        assert_eq!(next.events.first(), left.first(), "what was not read is there");
    }
}
