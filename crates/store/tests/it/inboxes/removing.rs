//! Deleting and purging.

use std::time::Duration;

use podmail_domain::label::Restricted;
use podmail_domain::thread::Direction;
use podmail_domain::{MessageId, Permissions};
use podmail_store::{
    Announce, InboxCreated, KeySecret, MessageFilter, NewApiKey, NewDelivery, NewMessage, Order, Scope,
    Stored, StoredBytes,
};

use super::{at, create, listed, made, narrowed, on_own_domain, organization};
use crate::{World, worlds};

#[tokio::test]
async fn a_deleted_address_of_the_shared_domain_waits_for_strangers_only() {
    for world in worlds().await {
        let (acme, other) = (organization(&world, "h1", None).await, organization(&world, "h2", None).await);
        let inbox = made(&world, at(&world, &acme, "desk@pm.test")).await;
        let scope = narrowed(&world, &acme, &inbox).await;
        let secret = KeySecret { hash: "k1".to_owned(), prefix: "am_us_111111".to_owned() };
        let key = NewApiKey {
            name: "K".to_owned(),
            secret,
            permissions: Permissions::UNRESTRICTED,
            expires_at: None,
        };
        world.store.create_key(&scope, key, world.now()).await.expect("made").expect("the inbox is there");
        assert!(world.store.credential("k1").await.expect("read").is_some());
        assert!(world.store.delete_inbox(&scope, world.now()).await.expect("deleted"));
        assert!(!world.store.delete_inbox(&scope, world.now()).await.expect("gone already"));
        assert_eq!(world.store.inbox(&scope).await.expect("read"), None);
        assert!(world.store.credential("k1").await.expect("read").is_none());
        assert_eq!(listed(&world, &acme).await, Vec::<String>::new());
        assert_eq!(world.store.routes(&["desk@pm.test".to_owned()]).await.expect("read").len(), 0);

        world.clock.advance(Duration::from_secs(30 * 24 * 3600 - 1));
        assert_eq!(create(&world, at(&world, &other, "desk@pm.test")).await, InboxCreated::ForeignConflict);
        let again = made(&world, at(&world, &acme, "desk@pm.test")).await;
        assert_ne!(again.inbox_key, inbox.inbox_key);
        let scope = narrowed(&world, &acme, &again).await;
        assert!(world.store.delete_inbox(&scope, world.now()).await.expect("deleted"));
        world.clock.advance(Duration::from_secs(30 * 24 * 3600));
        assert_eq!(
            made(&world, at(&world, &other, "desk@pm.test")).await.organization_id,
            other.organization()
        );

        let own = made(&world, on_own_domain(&world, &acme, "desk@acme.test")).await;
        let scope = narrowed(&world, &acme, &own).await;
        assert!(world.store.delete_inbox(&scope, world.now()).await.expect("deleted"));
        made(&world, on_own_domain(&world, &other, "desk@acme.test")).await;
    }
}

fn message(world: &World, scope: &Scope, n: usize, direction: Direction, object: bool) -> NewMessage {
    let id = |text: String| MessageId::new(&text);
    let bytes =
        if object { StoredBytes::Object(format!("object-{n}")) } else { StoredBytes::Inline(vec![1, 2, 3]) };
    let delivery = NewDelivery {
        recipient: "to@elsewhere.test".to_owned(),
        destination: "elsewhere.test".to_owned(),
        expires_at: world.now(),
    };
    let sent = direction == Direction::Sent;
    NewMessage {
        scope: scope.clone(),
        direction,
        announce: Announce::default(),
        key: None,
        message_id: id(format!("m{n}@pm.test")),
        substitute: id(format!("s{n}@pm.test")),
        aliases: vec![format!("<alias{n}@pm.test>")],
        candidates: Vec::new(),
        thread: None,
        labels: vec!["received".to_owned(), "unread".to_owned()],
        timestamp: world.now(),
        created_at: world.now(),
        size: 3,
        fingerprint: format!("f{n}"),
        sender: "from@elsewhere.test".to_owned(),
        to: vec!["desk@pm.test".to_owned()],
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: None,
        preview: None,
        in_reply_to: None,
        references: Vec::new(),
        attachments: Vec::new(),
        extract_texts: false,
        bytes,
        deliveries: if sent { vec![delivery] } else { Vec::new() },
        draft: None,
        authentication: None,
        idempotency: None,
        original_id: None,
        headers: std::collections::BTreeMap::new(),
        quota_since: None,
    }
}

#[tokio::test]
async fn a_purge_removes_piece_by_piece_what_a_deleted_inbox_held() {
    for world in worlds().await {
        let acme = organization(&world, "h1", None).await;
        let inbox = made(&world, at(&world, &acme, "desk@pm.test")).await;
        let old = narrowed(&world, &acme, &inbox).await;
        let kept = made(&world, at(&world, &acme, "kept@pm.test")).await;
        let kept = narrowed(&world, &acme, &kept).await;
        let messages = (0..5).map(|n| message(&world, &old, n, Direction::Received, n % 2 == 0));
        let sent = message(&world, &old, 5, Direction::Sent, true);
        let other = message(&world, &kept, 6, Direction::Received, false);
        let stored =
            world.store.insert_messages(messages.chain([sent, other]).collect()).await.expect("stored");
        assert!(stored.iter().all(|stored| matches!(stored, Stored::New { .. })), "{stored:?}");
        assert!(world.store.delete_inbox(&old, world.now()).await.expect("deleted"));

        // The address lives again at once, and nothing old shows up in it.
        let again = made(&world, at(&world, &acme, "desk@pm.test")).await;
        let fresh = narrowed(&world, &acme, &again).await;
        let list = async |scope: &Scope| {
            let filter = MessageFilter { visible: Restricted::ALL, ..MessageFilter::default() };
            world
                .store
                .list_messages(scope, &filter, Order::Descending, None, 50)
                .await
                .expect("a page")
                .items
        };
        assert_eq!(list(&fresh).await, Vec::new());
        let late =
            world.store.insert_messages(vec![message(&world, &old, 7, Direction::Received, false)]).await;
        assert_eq!(late.expect("an outcome"), vec![Stored::Gone]);

        let (mut objects, mut steps) = (Vec::new(), 0);
        loop {
            let step = world.store.purge_step(2).await.expect("a step");
            assert!(step.objects.len() <= 2);
            objects.extend(step.objects);
            steps += 1;
            if !step.more {
                break;
            }
        }
        assert_eq!(objects, vec!["object-0", "object-2", "object-4"], "what is still to be sent stays");
        assert!(steps > 10, "{steps} steps");
        assert_eq!(list(&old).await, Vec::new());
        assert_eq!(list(&kept).await.len(), 1);
    }
}
