//! Webhooks: creation, ownership, channels, headers, and what remains when an inbox or a pod goes.

use podmail_domain::{InboxId, WebhookId};
use podmail_store::{
    HeadersChanged, NewWebhook, Order, Scope, Webhook, WebhookChange, WebhookChanged, WebhookCreated,
};

use crate::messages::{inbox, inbox_of};
use crate::{World, worlds};

/// A webhook for received mail.
pub(crate) fn new(world: &World) -> NewWebhook {
    NewWebhook {
        webhook_id: WebhookId::new(&*world.ids, world.now()),
        url: "https://x.example/h".to_owned(),
        secret: "whsec_AAEC".to_owned(),
        event_types: vec!["message.received".to_owned()],
        pod_ids: Vec::new(),
        inbox_ids: Vec::new(),
        headers: Vec::new(),
        client_id: None,
        limit: 10,
        created_at: world.now(),
    }
}

/// A webhook that is made without objection.
pub(crate) async fn made(world: &World, scope: &Scope, new: NewWebhook) -> Webhook {
    match world.store.create_webhook(scope, new).await.expect("an outcome") {
        WebhookCreated::Made(webhook) => *webhook,
        other => panic!("{other:?}"),
    }
}

async fn whole(world: &World, scope: &Scope) -> Scope {
    world.store.organization_scope(scope.organization()).await.expect("read").expect("there")
}

async fn pod(world: &World, scope: &Scope, name: &str) -> Scope {
    let pod = world.store.create_pod(scope, name.to_owned(), None, world.now()).await.expect("made");
    world.store.pod_scope(scope, &pod.pod_id.to_string()).await.expect("read").expect("in scope")
}

fn address(scope: &Scope) -> InboxId {
    scope.inbox().expect("an inbox").id.clone()
}

async fn change(world: &World, scope: &Scope, webhook: &Webhook, change: WebhookChange) -> WebhookChanged {
    let change = WebhookChange { channel_limit: 2, ..change };
    world.store.update_webhook(scope, &webhook.webhook_id, change, world.now()).await.expect("an outcome")
}

#[tokio::test]
async fn a_webhook_is_seen_within_its_owner_and_not_beyond() {
    for world in worlds().await {
        let desk = inbox(&world, "desk").await;
        let (all, stranger) = (whole(&world, &desk).await, inbox(&world, "stranger").await);
        let other_pod = pod(&world, &all, "other").await;
        let of_organization = made(&world, &all, new(&world)).await;
        let of_pod = made(&world, &desk.without_inbox(), new(&world)).await;
        let of_inbox = made(&world, &desk, new(&world)).await;
        assert_eq!(of_inbox.pod_id, desk.pod(), "an inbox's webhook tells the pod, too");
        let ids = |webhooks: &[&Webhook]| webhooks.iter().map(|w| w.webhook_id.clone()).collect::<Vec<_>>();
        for (scope, seen) in [
            (&all, ids(&[&of_inbox, &of_pod, &of_organization])),
            (&desk.without_inbox(), ids(&[&of_inbox, &of_pod])),
            (&desk, ids(&[&of_inbox])),
            (&other_pod, vec![]),
            (&stranger, vec![]),
            (&whole(&world, &stranger).await, vec![]),
        ] {
            let page = world.store.list_webhooks(scope, Order::Descending, None, 10).await.expect("read");
            let listed: Vec<_> = page.items.iter().map(|webhook| webhook.webhook_id.clone()).collect();
            assert_eq!(listed, seen);
            for webhook in [&of_organization, &of_pod, &of_inbox] {
                let found = world.store.webhook(scope, &webhook.webhook_id).await.expect("read");
                assert_eq!(found.is_some(), seen.contains(&webhook.webhook_id));
                if found.is_none() {
                    assert_eq!(
                        change(&world, scope, webhook, WebhookChange::default()).await,
                        WebhookChanged::NotFound
                    );
                    assert!(!world.store.delete_webhook(scope, &webhook.webhook_id).await.expect("tried"));
                }
            }
        }
        assert!(world.store.delete_webhook(&all, &of_pod.webhook_id).await.expect("deleted"));
        assert_eq!(world.store.webhook(&all, &of_pod.webhook_id).await.expect("read"), None);
    }
}

#[tokio::test]
async fn twenty_creations_with_one_client_id_make_one_webhook() {
    for world in worlds().await {
        let desk = inbox(&world, "desk").await;
        let all = whole(&world, &desk).await;
        let named = || NewWebhook { client_id: Some("hook-1".to_owned()), ..new(&world) };
        let mut creations = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (store, scope, new) = (world.store.clone(), all.clone(), named());
            creations.spawn(async move { store.create_webhook(&scope, new).await.expect("an outcome") });
        }
        let outcomes = creations.join_all().await;
        let made = outcomes.iter().filter(|outcome| matches!(outcome, WebhookCreated::Made(_))).count();
        assert_eq!(made, 1);
        let page = world.store.list_webhooks(&all, Order::Descending, None, 50).await.expect("read");
        assert_eq!(page.items.len(), 1);
        for outcome in outcomes {
            let (WebhookCreated::Made(webhook) | WebhookCreated::Existing(webhook)) = outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!(*webhook, page.items[0]);
        }
        let elsewhere = world.store.create_webhook(&desk, named()).await.expect("an outcome");
        assert_eq!(elsewhere, WebhookCreated::Elsewhere);
        assert!(world.store.delete_webhook(&all, &page.items[0].webhook_id).await.expect("deleted"));
        assert!(matches!(
            world.store.create_webhook(&desk, named()).await.expect("an outcome"),
            WebhookCreated::Made(_)
        ));
    }
}

#[tokio::test]
async fn the_limit_and_channels_out_of_scope_refuse_a_creation() {
    for world in worlds().await {
        let desk = inbox(&world, "desk").await;
        let all = whole(&world, &desk).await;
        let second = pod(&world, &all, "second").await;
        let elsewhere = inbox_of(&world, &second, "elsewhere").await;
        let stranger = inbox(&world, "stranger").await;
        let listing = |inboxes: Vec<InboxId>| NewWebhook { inbox_ids: inboxes, ..new(&world) };
        let pods = |pod| NewWebhook { pod_ids: vec![pod], ..new(&world) };
        for (scope, new, want) in [
            (&all, listing(vec![address(&stranger)]), WebhookCreated::NoSuchInbox),
            (&second, listing(vec![address(&desk)]), WebhookCreated::NoSuchInbox),
            (&all, pods(stranger.pod_or_default()), WebhookCreated::NoSuchPod),
            (&all, NewWebhook { limit: 0, ..new(&world) }, WebhookCreated::LimitReached),
        ] {
            assert_eq!(world.store.create_webhook(scope, new).await.expect("an outcome"), want);
        }
        made(&world, &all, listing(vec![address(&desk), address(&elsewhere)])).await;
        let full = NewWebhook { limit: 1, ..new(&world) };
        assert_eq!(
            world.store.create_webhook(&desk, full).await.expect("an outcome"),
            WebhookCreated::LimitReached
        );
    }
}

#[tokio::test]
async fn lists_only_widen_and_a_scoped_webhook_keeps_a_channel() {
    for world in worlds().await {
        let desk = inbox(&world, "desk").await;
        let all = whole(&world, &desk).await;
        let second = inbox_of(&world, &all, "second").await;
        let other = inbox_of(&world, &pod(&world, &all, "other").await, "other").await;
        let ids = |scopes: &[&Scope]| scopes.iter().map(|scope| address(scope)).collect::<Vec<_>>();
        let texts =
            |scopes: &[&Scope]| scopes.iter().map(|scope| address(scope).to_string()).collect::<Vec<_>>();
        let webhook = made(&world, &all, NewWebhook { inbox_ids: ids(&[&desk]), ..new(&world) }).await;

        let remove = WebhookChange { remove_inbox_ids: texts(&[&desk]), ..WebhookChange::default() };
        assert_eq!(change(&world, &all, &webhook, remove.clone()).await, WebhookChanged::NoChannelLeft);
        let add = WebhookChange { add_inbox_ids: ids(&[&second, &desk]), ..WebhookChange::default() };
        let WebhookChanged::Done(changed) = change(&world, &all, &webhook, add).await else {
            panic!("added")
        };
        assert_eq!(changed.inbox_ids, ids(&[&desk, &second]));
        let more = WebhookChange { add_inbox_ids: ids(&[&other]), ..WebhookChange::default() };
        assert_eq!(change(&world, &all, &webhook, more.clone()).await, WebhookChanged::TooManyChannels);
        let WebhookChanged::Done(changed) = change(&world, &all, &webhook, remove).await else {
            panic!("removed")
        };
        assert_eq!(changed.inbox_ids, ids(&[&second]));

        let of_pod = made(&world, &desk.without_inbox(), new(&world)).await;
        assert_eq!(
            change(&world, &all, &of_pod, more).await,
            WebhookChanged::NoSuchInbox,
            "another pod's inbox"
        );
        let add = WebhookChange { add_inbox_ids: ids(&[&desk]), ..WebhookChange::default() };
        let WebhookChanged::Done(changed) = change(&world, &all, &of_pod, add).await else { panic!("added") };
        assert!(changed.whole, "it still receives the whole pod");
        let remove = WebhookChange { remove_inbox_ids: texts(&[&desk]), ..WebhookChange::default() };
        assert!(matches!(change(&world, &all, &of_pod, remove).await, WebhookChanged::Done(_)));
    }
}

#[tokio::test]
async fn headers_are_replaced_without_regard_to_case_and_bounded() {
    for world in worlds().await {
        let desk = inbox(&world, "desk").await;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let webhook =
            made(&world, &desk, NewWebhook { headers: vec![pair("Authorization", "s1")], ..new(&world) })
                .await;
        let id = &webhook.webhook_id;
        let names = async || world.store.webhook_header_names(&desk, id).await.expect("read").expect("there");
        assert_eq!(names().await, ["Authorization"]);
        let set = |set: Vec<(String, String)>, remove: &[&str]| {
            let remove = remove.iter().map(|name| (*name).to_owned()).collect();
            world.store.update_webhook_headers(&desk, id, set, remove, 2, world.now())
        };
        assert_eq!(set(vec![pair("authorization", "s2")], &[]).await.expect("set"), HeadersChanged::Done);
        assert_eq!(names().await, ["authorization"]);
        let three = vec![pair("X-A", "1"), pair("X-B", "2")];
        assert_eq!(set(three.clone(), &["x-none"]).await.expect("tried"), HeadersChanged::TooMany);
        assert_eq!(set(three, &["AUTHORIZATION"]).await.expect("set"), HeadersChanged::Done);
        assert_eq!(names().await, ["X-A", "X-B"]);
        let stranger = inbox(&world, "stranger").await;
        assert_eq!(world.store.webhook_header_names(&stranger, id).await.expect("read"), None);
    }
}

#[tokio::test]
async fn deleting_an_inbox_or_a_pod_narrows_or_disables_but_never_widens() {
    for world in worlds().await {
        let desk = inbox(&world, "desk").await;
        let all = whole(&world, &desk).await;
        let other_pod = pod(&world, &all, "other").await;
        let other = inbox_of(&world, &other_pod, "other").await;
        let listing = |inboxes: &[&Scope]| NewWebhook {
            inbox_ids: inboxes.iter().map(|scope| address(scope)).collect(),
            ..new(&world)
        };
        let both = made(&world, &all, listing(&[&desk, &other])).await;
        let only = made(&world, &all, listing(&[&other])).await;
        let owned =
            made(&world, &other, NewWebhook { client_id: Some("mine".to_owned()), ..new(&world) }).await;
        let pod_list = NewWebhook { pod_ids: vec![other_pod.pod_or_default()], ..new(&world) };
        let listed_pod = made(&world, &all, pod_list).await;
        let of_pod = made(&world, &other_pod, new(&world)).await;
        let now =
            async |webhook: &Webhook| world.store.webhook(&all, &webhook.webhook_id).await.expect("read");

        world.store.delete_inbox(&other, world.now()).await.expect("deleted");
        assert_eq!(now(&owned).await, None);
        let seen = now(&both).await.expect("there");
        assert_eq!((seen.inbox_ids, seen.enabled), (vec![address(&desk)], true));
        let seen = now(&only).await.expect("there");
        assert_eq!((seen.inbox_ids, seen.enabled), (vec![], false));
        made(&world, &all, NewWebhook { client_id: Some("mine".to_owned()), ..new(&world) }).await;

        world.store.delete_pod(&other_pod).await.expect("deleted");
        assert_eq!(now(&of_pod).await, None);
        let seen = now(&listed_pod).await.expect("there");
        assert_eq!((seen.pod_ids, seen.enabled), (vec![], false));
    }
}
