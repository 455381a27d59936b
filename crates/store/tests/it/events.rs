//! The event log, and the deliveries that are derived from it.

use std::sync::Arc;
use std::time::Duration;

use podmail_domain::{EventType, WebhookDeliveryId};
use podmail_store::{
    Event, Log, NewEventPayload, NewWebhookDelivery, Position, Scope, WebhookDeliveryKey, WebhookFanout,
    WebhookOutcome, WebhookResult,
};

use crate::messages::{inbox, mail, put};
use crate::webhooks::{made, new};
use crate::{World, worlds};

const LEASE: &str = "msg_worker";

/// One delivery per event and listener, leased when `lease` is given.
pub(crate) async fn fan_out(world: &World, events: &[Event], lease: Option<&str>) -> Vec<WebhookDeliveryKey> {
    let listeners = world.store.webhooks_of(events).await.expect("read");
    let mut fanout = WebhookFanout {
        from: world.store.event_cursor("test").await.expect("read"),
        to: events.last().expect("an event").position,
        ..WebhookFanout::default()
    };
    for (event, targets) in events.iter().zip(listeners) {
        for target in targets {
            fanout.deliveries.push(NewWebhookDelivery {
                key: WebhookDeliveryKey {
                    organization_id: target.organization_id,
                    webhook_id: target.webhook_id.clone(),
                    delivery_id: WebhookDeliveryId::new(&*world.ids, world.now()),
                },
                event_id: event.event_id.clone(),
                due_at: world.now(),
                lease: lease.map(str::to_owned),
                created_at: world.now(),
            });
        }
        fanout.payloads.push(NewEventPayload {
            organization_id: event.scope.organization(),
            event_id: event.event_id.clone(),
            bytes: b"payload".to_vec(),
        });
    }
    let keys = fanout.deliveries.iter().map(|delivery| delivery.key.clone()).collect();
    assert!(world.store.write_webhook_fanout("test", Arc::new(fanout)).await.expect("written"));
    keys
}

async fn record(world: &World, keys: &[WebhookDeliveryKey], event: &Event, outcome: WebhookOutcome) -> usize {
    let results = keys
        .iter()
        .map(|key| WebhookResult {
            key: key.clone(),
            event_id: event.event_id.clone(),
            outcome,
            at: world.now(),
        })
        .collect();
    let hour = Duration::from_secs(3600);
    world.store.record_webhook_results(results, LEASE, hour).await.expect("recorded").len()
}

/// A page of the log once everything up to it has settled: on PostgreSQL, events wait for transactions that are still
/// running anywhere on the server, other tests' included.
pub(crate) async fn log(world: &World, after: Position, limit: usize) -> Log {
    for _ in 0..2000 {
        let log = world.store.read_log(after, limit).await.expect("read");
        if !log.more || log.events.len() == limit {
            return log;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the log does not settle");
}

async fn events(world: &World, scope: &Scope, ids: &[&str]) -> Vec<Event> {
    for id in ids {
        put(world, mail(world, scope, id, 0, &[], &[])).await;
    }
    log(world, Position::default(), 100).await.events
}

#[tokio::test]
async fn a_reader_sees_every_event_once_and_in_pieces() {
    for world in worlds().await {
        let scope = inbox(&world, "desk").await;
        put(&world, mail(&world, &scope, "a", 0, &[], &[])).await;
        put(&world, mail(&world, &scope, "b", 0, &[], &["spam"])).await;
        put(&world, mail(&world, &scope, "c", 0, &[], &[])).await;
        let first = log(&world, Position::default(), 2).await;
        assert!(first.more);
        let kinds: Vec<_> = first.events.iter().map(|event| event.event_type).collect();
        assert_eq!(kinds, vec![EventType::MessageReceived, EventType::MessageReceivedSpam]);
        assert!(first.events.iter().all(|event| event.scope == scope && event.message_key.is_some()));
        let second = log(&world, first.next, 2).await;
        assert_eq!((second.events.len(), second.more), (1, false));
        let end = log(&world, second.next, 2).await;
        assert_eq!((end.events.len(), end.next, end.more), (0, second.next, false));
    }
}

#[tokio::test]
async fn only_one_of_two_dispatchers_moves_the_cursor() {
    for world in worlds().await {
        let start = world.store.event_cursor("test").await.expect("read");
        assert_eq!(start, Position::default());
        let next = Position { txn: 3, seq: 7 };
        assert!(world.store.move_event_cursor("test", start, next).await.expect("moved"));
        assert!(!world.store.move_event_cursor("test", start, next).await.expect("tried"));
        let late = Arc::new(WebhookFanout { from: start, to: next, ..WebhookFanout::default() });
        assert!(!world.store.write_webhook_fanout("test", late).await.expect("tried"));
        assert_eq!(world.store.event_cursor("test").await.expect("read"), next);
    }
}

#[tokio::test]
async fn events_find_their_webhooks_once_each_by_channel_and_type() {
    for world in worlds().await {
        let desk = inbox(&world, "desk").await;
        let other = inbox(&world, "other").await;
        let whole = world.store.organization_scope(desk.organization()).await.expect("read").expect("there");
        let pod = desk.without_inbox();
        let everything = made(&world, &whole, new(&world)).await;
        let mut both = new(&world);
        both.pod_ids = vec![desk.pod_or_default()];
        both.inbox_ids = vec![desk.inbox().expect("an inbox").id.clone()];
        let both = made(&world, &whole, both).await;
        let of_pod = made(&world, &pod, new(&world)).await;
        let of_inbox = made(&world, &desk, new(&world)).await;
        let mut spam = new(&world);
        spam.event_types = vec!["message.received.spam".to_owned()];
        let spam = made(&world, &desk, spam).await;
        let paused = made(&world, &desk, new(&world)).await;
        let change = podmail_store::WebhookChange { enabled: Some(false), ..Default::default() };
        world.store.update_webhook(&desk, &paused.webhook_id, change, world.now()).await.expect("changed");

        put(&world, mail(&world, &desk, "a", 0, &[], &[])).await;
        put(&world, mail(&world, &desk, "b", 0, &[], &["spam"])).await;
        put(&world, mail(&world, &other, "c", 0, &[], &[])).await;
        let log = log(&world, Position::default(), 10).await;
        let found = world.store.webhooks_of(&log.events).await.expect("read");
        let mut ids: Vec<Vec<_>> =
            found.iter().map(|targets| targets.iter().map(|t| t.webhook_id.clone()).collect()).collect();
        ids.iter_mut().for_each(|ids: &mut Vec<_>| ids.sort());
        let expected = vec![everything.webhook_id, both.webhook_id, of_pod.webhook_id, of_inbox.webhook_id];
        assert_eq!(ids, vec![expected, vec![spam.webhook_id], vec![]]);
    }
}

#[tokio::test]
async fn a_due_delivery_is_leased_by_one_worker_and_gone_once_delivered() {
    for world in worlds().await {
        let desk = inbox(&world, "desk").await;
        let one = made(&world, &desk, new(&world)).await;
        made(&world, &desk, new(&world)).await;
        let events = events(&world, &desk, &["a"]).await;
        let keys = fan_out(&world, &events, None).await;
        assert_eq!(keys.len(), 2);
        let due = world.store.next_webhook_deliveries(&[], 10).await.expect("read");
        assert_eq!(due.iter().map(|due| due.due_at).collect::<Vec<_>>(), vec![world.now(); 2]);
        let rest = world.store.next_webhook_deliveries(&[one.webhook_id], 10).await.expect("read");
        assert_eq!(rest.len(), 1);

        let until = world.now().plus(Duration::from_secs(60));
        let lease = |lease: &'static str| {
            world.store.lease_webhook_deliveries(keys.clone(), lease, world.now(), until)
        };
        let (first, second) = tokio::join!(lease(LEASE), lease("msg_other"));
        let (first, second) = (first.expect("leased"), second.expect("leased"));
        assert_eq!(first.len() + second.len(), 2, "each delivery went to one worker");
        assert_eq!(lease("msg_late").await.expect("looked"), vec![]);

        let (_, bytes) = world.store.webhook_attempt(&keys[0]).await.expect("read").expect("there");
        assert_eq!(bytes, b"payload");
        record(&world, &keys[..1], &events[0], WebhookOutcome::Delivered).await;
        assert_eq!(world.store.webhook_attempt(&keys[0]).await.expect("read"), None);
        assert!(world.store.webhook_attempt(&keys[1]).await.expect("read").is_some(), "its payload stays");
        record(&world, &keys[1..], &events[0], WebhookOutcome::GivenUp).await;
        assert_eq!(world.store.next_webhook_deliveries(&[], 10).await.expect("read"), vec![]);
        assert_eq!(
            world.store.sweep_event_payloads().await.expect("swept"),
            0,
            "the payload went with the last"
        );
    }
}

#[tokio::test]
async fn a_delivery_that_is_given_back_is_due_at_once_unless_another_worker_has_it() {
    for world in worlds().await {
        let desk = inbox(&world, "desk").await;
        made(&world, &desk, new(&world)).await;
        let events = events(&world, &desk, &["a"]).await;
        let keys = fan_out(&world, &events, None).await;
        let until = world.now().plus(Duration::from_secs(60));
        let leased = world.store.lease_webhook_deliveries(keys.clone(), LEASE, world.now(), until).await;
        assert_eq!(leased.expect("leased").len(), 1);
        for (lease, due) in [("msg_other", 0), (LEASE, 1)] {
            world.store.release_webhook_deliveries(keys.clone(), lease, world.now()).await.expect("released");
            let found = world.store.next_webhook_deliveries(&[], 10).await.expect("read");
            assert_eq!(found.iter().filter(|found| found.due_at <= world.now()).count(), due, "{lease}");
        }
    }
}

#[tokio::test]
async fn a_retry_comes_back_when_it_is_due_unless_another_worker_took_it_over() {
    for world in worlds().await {
        let desk = inbox(&world, "desk").await;
        made(&world, &desk, new(&world)).await;
        made(&world, &desk, new(&world)).await;
        let events = events(&world, &desk, &["a"]).await;
        let mine = fan_out(&world, &events, Some(LEASE)).await;
        let later = world.now().plus(Duration::from_secs(5));
        record(&world, &mine[..1], &events[0], WebhookOutcome::Retry { due_at: later }).await;
        let taken = world
            .store
            .lease_webhook_deliveries(mine[1..].to_vec(), "msg_other", world.now(), later)
            .await
            .expect("leased");
        assert_eq!(taken.len(), 1, "the lease had run out");
        record(&world, &mine[1..], &events[0], WebhookOutcome::Retry { due_at: world.now() }).await;
        world.clock.advance(Duration::from_secs(5));
        let leased = world
            .store
            .lease_webhook_deliveries(mine.clone(), LEASE, world.now(), world.now())
            .await
            .expect("leased");
        let mut attempts: Vec<_> =
            leased.iter().map(|leased| (leased.key.clone(), leased.attempts)).collect();
        attempts.sort();
        assert_eq!(attempts, vec![(mine[0].clone(), 1), (mine[1].clone(), 0)]);
    }
}

#[tokio::test]
async fn a_webhook_that_only_fails_is_disabled_and_a_success_resets_its_clock() {
    for world in worlds().await {
        let desk = inbox(&world, "desk").await;
        let webhook = made(&world, &desk, new(&world)).await;
        let events = events(&world, &desk, &["a"]).await;
        let keys = fan_out(&world, &events, Some(LEASE)).await;
        let enabled = async || {
            world.store.webhook(&desk, &webhook.webhook_id).await.expect("read").expect("there").enabled
        };
        let fail = async |minutes: u64| {
            world.clock.advance(Duration::from_secs(60 * minutes));
            let outcome = WebhookOutcome::Retry { due_at: world.now() };
            record(&world, &keys, &events[0], outcome).await
        };
        // The second failure starts the clock; the limit is an hour.
        for (minutes, disabled) in [(0, 0), (50, 0), (50, 0)] {
            assert_eq!(fail(minutes).await, disabled);
        }
        record(&world, &keys, &events[0], WebhookOutcome::Delivered).await;
        let keys = fan_out(&world, &events, Some(LEASE)).await;
        for (minutes, disabled) in [(30, 0), (1, 0), (59, 0), (2, 1)] {
            assert!(enabled().await);
            world.clock.advance(Duration::from_secs(60 * minutes));
            let outcome = WebhookOutcome::Retry { due_at: world.now() };
            assert_eq!(record(&world, &keys, &events[0], outcome).await, disabled, "after {minutes} minutes");
        }
        assert!(!enabled().await);
        assert_eq!(world.store.next_webhook_deliveries(&[], 10).await.expect("read"), vec![]);
        assert_eq!(world.store.sweep_event_payloads().await.expect("swept"), 0);
    }
}
