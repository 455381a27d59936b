//! Pods.

use std::time::Duration;

use podmail_domain::{EmailAddress, InboxId, PodId};
use podmail_store::{
    Cursor, InboxCreated, InboxPlace, KeyLevel, KeySecret, Limits, NewApiKey, NewInbox, NewOrganization,
    Order, PodDeleted, Scope,
};

use crate::{World, worlds};

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

async fn pod(world: &World, scope: &Scope, client_id: Option<&str>) -> Scope {
    let client_id = client_id.map(str::to_owned);
    let pod = world.store.create_pod(scope, "Tenant".to_owned(), client_id, world.now()).await.expect("made");
    world.store.pod_scope(scope, &pod.pod_id.to_string()).await.expect("read").expect("in scope")
}

#[tokio::test]
async fn parallel_creates_with_one_client_id_give_one_pod() {
    for world in worlds().await {
        let scope = organization(&world, "h1").await;
        let other = organization(&world, "h2").await;
        let creates = (0..20).map(|n| {
            let (store, scope, now) = (world.store.clone(), scope.clone(), world.now());
            async move {
                store.create_pod(&scope, format!("n{n}"), Some("t-1".to_owned()), now).await.expect("a pod")
            }
        });
        let pods = futures_util::future::join_all(creates).await;
        assert!(pods.iter().all(|pod| *pod == pods[0]), "{pods:?}");
        assert_eq!(pods[0].client_id.as_deref(), Some("t-1"));
        let page = world.store.pods(&scope, Order::Descending, None, 50).await.expect("a page");
        assert_eq!(page.items.len(), 2, "the default pod and the new one");

        let stranger =
            world.store.create_pod(&other, "x".to_owned(), Some("t-1".to_owned()), world.now()).await;
        assert_ne!(stranger.expect("made").pod_id, pods[0].pod_id);
        assert_eq!(
            world.store.pod_scope(&scope, "t-1").await.expect("read").expect("found").pod(),
            Some(pods[0].pod_id)
        );
    }
}

#[tokio::test]
async fn a_pod_list_pages_both_ways_and_a_pod_scope_sees_itself_only() {
    for world in worlds().await {
        let scope = organization(&world, "h1").await;
        let other = organization(&world, "h2").await;
        let mut made = vec![PodId::default_of(scope.organization())];
        for _ in 0..3 {
            world.clock.advance(Duration::from_secs(1));
            made.push(pod(&world, &scope, None).await.pod().expect("a pod scope"));
        }
        for order in [Order::Ascending, Order::Descending] {
            let mut want = made.clone();
            if order == Order::Descending {
                want.reverse();
            }
            let (mut seen, mut after): (Vec<PodId>, Option<Cursor>) = (Vec::new(), None);
            loop {
                let page = world.store.pods(&scope, order, after.as_ref(), 3).await.expect("a page");
                seen.extend(page.items.iter().map(|pod| pod.pod_id));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, want, "{order:?}");
        }
        let narrow =
            world.store.pod_scope(&scope, &made[1].to_string()).await.expect("read").expect("in scope");
        let page = world.store.pods(&narrow, Order::Descending, None, 10).await.expect("a page");
        assert_eq!(page.items.iter().map(|pod| pod.pod_id).collect::<Vec<_>>(), vec![made[1]]);
        assert!(world.store.pod_scope(&narrow, &made[2].to_string()).await.expect("read").is_none());
        assert!(world.store.pod_scope(&other, &made[1].to_string()).await.expect("read").is_none());
    }
}

#[tokio::test]
async fn deleting_a_pod_takes_its_keys_and_frees_its_client_id() {
    for world in worlds().await {
        let scope = organization(&world, "h1").await;
        let tenant = pod(&world, &scope, Some("t-1")).await;
        let key = NewApiKey {
            name: "k".to_owned(),
            secret: KeySecret { hash: "pod-key".to_owned(), prefix: "am_us_111111".to_owned() },
            permissions: podmail_domain::Permissions::UNRESTRICTED,
            expires_at: None,
        };
        world
            .store
            .create_key(&tenant, key.clone(), world.now())
            .await
            .expect("made")
            .expect("the pod is there");
        assert_eq!(world.store.delete_pod(&tenant).await.expect("deleted"), PodDeleted::Done);
        assert!(world.store.credential("pod-key").await.expect("read").is_none());
        assert!(world.store.pod(&tenant).await.expect("read").is_none());
        let page = world
            .store
            .keys(&scope, KeyLevel::Covered, None, Order::Descending, None, 10)
            .await
            .expect("a page");
        assert_eq!(page.items.len(), 1, "the organization's own");
        assert_eq!(world.store.delete_pod(&tenant).await.expect("an answer"), PodDeleted::Absent);
        assert!(world.store.create_key(&tenant, key, world.now()).await.expect("an answer").is_none());
        assert_ne!(pod(&world, &scope, Some("t-1")).await.pod(), tenant.pod());
    }
}

#[tokio::test]
async fn the_default_pod_stays() {
    for world in worlds().await {
        let scope = organization(&world, "h1").await;
        let default = PodId::default_of(scope.organization()).to_string();
        let default = world.store.pod_scope(&scope, &default).await.expect("read").expect("in scope");
        assert_eq!(world.store.delete_pod(&default).await.expect("an answer"), PodDeleted::Default);
        assert!(world.store.pod(&default).await.expect("read").is_some());
    }
}

async fn inbox(world: &World, scope: &Scope, address: &str) -> Scope {
    let inbox_id = InboxId::of(&EmailAddress::parse(address).expect("an address"));
    let new = NewInbox {
        scope: scope.clone(),
        place: InboxPlace::At { inbox_id: inbox_id.clone(), governing_domain: None },
        display_name: None,
        client_id: None,
        paused: false,
        metadata: None,
        now: world.now(),
    };
    let made = world.store.create_inbox(new).await.expect("made");
    assert!(matches!(made, InboxCreated::Created(_)), "{made:?}");
    world.store.inbox_scope(scope, &inbox_id).await.expect("read").expect("in scope")
}

#[tokio::test]
async fn a_pod_with_an_inbox_stays_until_the_inbox_is_deleted() {
    for world in worlds().await {
        let scope = organization(&world, "h1").await;
        let tenant = pod(&world, &scope, None).await;
        let desk = inbox(&world, &tenant, "desk@podmail.test").await;
        let key = NewApiKey {
            name: "k".to_owned(),
            secret: KeySecret { hash: "inbox-key".to_owned(), prefix: "am_us_111111".to_owned() },
            permissions: podmail_domain::Permissions::UNRESTRICTED,
            expires_at: None,
        };
        let key =
            world.store.create_key(&desk, key, world.now()).await.expect("made").expect("the inbox is there");
        assert_eq!((key.pod_id, key.inbox.as_ref()), (tenant.pod(), desk.inbox()));
        let credential = world.store.credential("inbox-key").await.expect("read").expect("known");
        assert_eq!(credential.scope, desk);
        for (within, level, count) in [
            (&scope, KeyLevel::Covered, 2),
            (&scope, KeyLevel::Exact, 1),
            (&tenant, KeyLevel::Covered, 1),
            (&tenant, KeyLevel::Exact, 0),
            (&desk, KeyLevel::Exact, 1),
        ] {
            let page =
                world.store.keys(within, level, None, Order::Descending, None, 10).await.expect("a page");
            assert_eq!(page.items.len(), count, "{within:?} {level:?}");
        }
        let counted = world.store.organization(&scope).await.expect("read").expect("there");
        assert_eq!(counted.inbox_count, 1);

        assert_eq!(world.store.delete_pod(&tenant).await.expect("an answer"), PodDeleted::HasInboxes);
        assert!(world.store.delete_inbox(&desk, world.now()).await.expect("deleted"));
        assert_eq!(
            world.store.delete_pod(&tenant).await.expect("deleted"),
            PodDeleted::Done,
            "purge still due"
        );
        assert!(world.store.credential("inbox-key").await.expect("read").is_none());
    }
}
