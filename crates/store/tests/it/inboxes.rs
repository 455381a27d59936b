//! Inboxes.

mod finding;
mod removing;

use std::time::Duration;

use podmail_domain::{InboxId, OrganizationId, PodId};
use podmail_store::{
    Inbox, InboxChange, InboxChanged, InboxCreated, InboxPlace, KeySecret, Limits, Metadata, MetadataChange,
    NewInbox, NewOrganization, Order, Scope, SubdomainUse,
};
use serde_json::json;

use crate::{World, worlds};

const SHARED: &str = "pm.test";

async fn organization(world: &World, hash: &str, inbox_limit: Option<u64>) -> Scope {
    let new = NewOrganization {
        name: "Acme".to_owned(),
        limits: Limits { inbox_limit, ..Limits::default() },
        key_name: "First".to_owned(),
        secret: KeySecret { hash: hash.to_owned(), prefix: "am_us_000000".to_owned() },
    };
    let (organization, _) = world.store.create_organization(new, world.now()).await.expect("made");
    world.store.organization_scope(organization).await.expect("read").expect("there")
}

async fn pod(world: &World, scope: &Scope, name: &str, client_id: Option<&str>) -> Scope {
    let client_id = client_id.map(str::to_owned);
    let pod = world.store.create_pod(scope, name.to_owned(), client_id, world.now()).await.expect("made");
    world.store.pod_scope(scope, &pod.pod_id.to_string()).await.expect("read").expect("in scope")
}

fn at(world: &World, scope: &Scope, address: &str) -> NewInbox {
    NewInbox {
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
    }
}

fn on_own_domain(world: &World, scope: &Scope, address: &str) -> NewInbox {
    let inbox_id = InboxId::parse(address).expect("an address");
    let governing_domain = Some(inbox_id.domain().to_owned());
    NewInbox { place: InboxPlace::At { inbox_id, governing_domain }, ..at(world, scope, address) }
}

fn in_pod(world: &World, scope: &Scope, username: &str, subdomain: SubdomainUse) -> NewInbox {
    let place = InboxPlace::Pod { username: username.to_owned(), shared: SHARED.to_owned(), subdomain };
    NewInbox { place, ..at(world, scope, "x@x") }
}

async fn create(world: &World, new: NewInbox) -> InboxCreated {
    world.store.create_inbox(new).await.expect("an outcome")
}

async fn made(world: &World, new: NewInbox) -> Inbox {
    inbox_of(create(world, new).await)
}

fn inbox_of(outcome: InboxCreated) -> Inbox {
    let (InboxCreated::Created(inbox) | InboxCreated::Existing(inbox)) = outcome else {
        panic!("{outcome:?}")
    };
    *inbox
}

async fn narrowed(world: &World, scope: &Scope, inbox: &Inbox) -> Scope {
    world.store.inbox_scope(scope, &inbox.inbox_id).await.expect("read").expect("in scope")
}

async fn listed(world: &World, scope: &Scope) -> Vec<String> {
    let page = world.store.list_inboxes(scope, Order::Descending, None, 50).await.expect("a page");
    page.items.into_iter().map(|inbox| inbox.inbox_id.to_string()).collect()
}

fn metadata(value: &serde_json::Value) -> Metadata {
    value.as_object().expect("an object").clone()
}

#[tokio::test]
async fn an_address_belongs_to_one_inbox_of_the_installation() {
    for world in worlds().await {
        let (acme, other) = (organization(&world, "h1", None).await, organization(&world, "h2", None).await);
        let inbox = made(&world, at(&world, &acme, "desk@pm.test")).await;
        assert_eq!(inbox.pod_id, PodId::default_of(acme.organization()));
        assert_eq!((inbox.created_at, inbox.updated_at), (world.now(), world.now()));
        let scope = narrowed(&world, &acme, &inbox).await;
        assert_eq!(world.store.inbox(&scope).await.expect("read"), Some(inbox.clone()));

        let again = create(&world, at(&world, &acme, "desk@pm.test")).await;
        assert_eq!(again, InboxCreated::OwnConflict { pod: inbox.pod_id, inbox_id: inbox.inbox_id.clone() });
        assert_eq!(create(&world, at(&world, &other, "desk@pm.test")).await, InboxCreated::ForeignConflict);
        assert_eq!(world.store.inbox_scope(&other, &inbox.inbox_id).await.expect("read"), None);
        assert_eq!(listed(&world, &other).await, Vec::<String>::new());

        let names = ["desk@pm.test", "desk1@pm.test"].map(|text| InboxId::parse(text).expect("an address"));
        assert_eq!(world.store.free_addresses(names.to_vec()).await.expect("read"), names[1..].to_vec());
    }
}

#[tokio::test]
async fn parallel_creates_of_one_address_make_one_inbox() {
    for world in worlds().await {
        let mut scopes = Vec::new();
        for hash in ["h1", "h2"] {
            scopes.push(organization(&world, hash, None).await);
        }
        let creates = (0..20).map(|n| create(&world, at(&world, &scopes[n % 2], "desk@pm.test")));
        let outcomes = futures_util::future::join_all(creates).await;
        let made = outcomes.iter().filter(|outcome| matches!(outcome, InboxCreated::Created(_))).count();
        assert_eq!(made, 1, "{outcomes:?}");
        assert_eq!(listed(&world, &scopes[0]).await.len() + listed(&world, &scopes[1]).await.len(), 1);
    }
}

#[tokio::test]
async fn parallel_creates_with_one_client_id_make_one_inbox() {
    for world in worlds().await {
        let (acme, other) =
            (organization(&world, "h1", Some(1)).await, organization(&world, "h2", None).await);
        let creates = (0..20).map(|n| {
            let new = at(&world, &acme, &format!("n{n}@pm.test"));
            create(&world, NewInbox { client_id: Some("c1".to_owned()), ..new })
        });
        let outcomes = futures_util::future::join_all(creates).await;
        let inboxes: Vec<Inbox> = outcomes.into_iter().map(inbox_of).collect();
        assert!(inboxes.iter().all(|inbox| *inbox == inboxes[0]), "{inboxes:?}");
        assert_eq!(inboxes[0].client_id.as_deref(), Some("c1"));
        assert_eq!(listed(&world, &acme).await.len(), 1);
        assert_eq!(world.store.inbox_of_client_id(&other, "c1").await.expect("read"), None);

        let pod = pod(&world, &acme, "Tenant", None).await;
        let new = NewInbox { client_id: Some("c1".to_owned()), ..at(&world, &pod, "x@pm.test") };
        assert_eq!(create(&world, new).await, InboxCreated::ClientIdElsewhere);

        let scope = narrowed(&world, &acme, &inboxes[0]).await;
        assert!(world.store.delete_inbox(&scope, world.now()).await.expect("deleted"));
        assert_eq!(
            world.store.inbox_of_client_id(&acme, "c1").await.expect("read"),
            None,
            "deleting frees it"
        );
    }
}

#[tokio::test]
async fn the_quota_holds_against_parallel_creates_and_deleted_inboxes_do_not_count() {
    for world in worlds().await {
        let acme = organization(&world, "h1", Some(3)).await;
        let creates = (0..10).map(|n| create(&world, at(&world, &acme, &format!("n{n}@pm.test"))));
        let outcomes = futures_util::future::join_all(creates).await;
        let refused = outcomes.iter().filter(|outcome| **outcome == InboxCreated::LimitReached(3)).count();
        assert_eq!((refused, listed(&world, &acme).await.len()), (7, 3));
        let first = world.store.list_inboxes(&acme, Order::Ascending, None, 1).await.expect("a page").items;
        let scope = narrowed(&world, &acme, &first[0]).await;
        assert!(world.store.delete_inbox(&scope, world.now()).await.expect("deleted"));
        made(&world, at(&world, &acme, "next@pm.test")).await;
        assert_eq!(create(&world, at(&world, &acme, "more@pm.test")).await, InboxCreated::LimitReached(3));
    }
}

#[tokio::test]
async fn a_conflict_on_the_shared_domain_leads_to_the_pods_subdomain() {
    for world in worlds().await {
        let acme = organization(&world, "h1", None).await;
        let first = pod(&world, &acme, "Acme", Some("tenant-acme-123")).await;
        let second = pod(&world, &acme, "Globex", Some("tenant-globex")).await;
        let third = pod(&world, &acme, "Tenant GLOBEX!", None).await;
        let service = pod(&world, &acme, "Mail", None).await;
        let address = async |scope: &Scope| {
            made(&world, in_pod(&world, scope, "support", SubdomainUse::OnConflict))
                .await
                .inbox_id
                .to_string()
        };
        assert_eq!(address(&first).await, "support@pm.test");
        assert_eq!(world.store.pod_subdomain(&first).await.expect("read"), None);
        assert_eq!(address(&second).await, "support@tenant-globex.pm.test");
        assert_eq!(address(&third).await, "support@tenant-globex-2.pm.test");
        let random = address(&service).await;
        assert!(
            random.starts_with("support@pod-") && random.len() == "support@pod-12345678.pm.test".len(),
            "{random}"
        );
        for scope in [&first, &second] {
            let again = create(&world, in_pod(&world, scope, "support", SubdomainUse::OnConflict)).await;
            let pod = scope.pod().expect("a pod");
            assert!(
                matches!(&again, InboxCreated::OwnConflict { pod: found, .. } if *found == pod),
                "{again:?}"
            );
        }
        let always = made(&world, in_pod(&world, &second, "sales", SubdomainUse::Always)).await;
        assert_eq!(always.inbox_id.as_str(), "sales@tenant-globex.pm.test");
        assert_eq!(always.governing_domain, None);
        // The address that was free on the shared domain meanwhile does not give the pod a second `support`.
        let shared = InboxId::parse("support@pm.test").expect("an address");
        let scope = world.store.inbox_scope(&acme, &shared).await.expect("read").expect("in scope");
        assert!(world.store.delete_inbox(&scope, world.now()).await.expect("deleted"));
        let again = create(&world, in_pod(&world, &second, "support", SubdomainUse::OnConflict)).await;
        assert!(matches!(again, InboxCreated::OwnConflict { .. }), "{again:?}");
    }
}

#[tokio::test]
async fn parallel_conflicts_give_every_pod_one_label() {
    for world in worlds().await {
        let acme = organization(&world, "h1", None).await;
        made(&world, at(&world, &acme, "support@pm.test")).await;
        let mut pods = Vec::new();
        for _ in 0..3 {
            pods.push(pod(&world, &acme, "Same", None).await);
        }
        let creates = (0..12).map(|n| {
            let name = format!("n{}", n / 3);
            let new = in_pod(&world, &pods[n % 3], &name, SubdomainUse::Always);
            create(&world, new)
        });
        let mut names: Vec<String> = futures_util::future::join_all(creates)
            .await
            .into_iter()
            .map(|outcome| inbox_of(outcome).inbox_id.domain().to_owned())
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names, vec!["same-2.pm.test", "same-3.pm.test", "same.pm.test"]);
    }
}

#[tokio::test]
async fn metadata_merges_atomically_and_numbers_stay_as_they_are() {
    for world in worlds().await {
        let acme = organization(&world, "h1", None).await;
        let first = metadata(&json!({"a": "1", "b": 2, "c": true, "d": 19.99}));
        let new = NewInbox { metadata: Some(first.clone()), ..at(&world, &acme, "desk@pm.test") };
        let inbox = made(&world, new).await;
        let scope = narrowed(&world, &acme, &inbox).await;
        let read = async || world.store.inbox(&scope).await.expect("read").expect("there");
        let stored = serde_json::to_string(&read().await.metadata).expect("JSON");
        assert_eq!(stored, r#"{"a":"1","b":2,"c":true,"d":19.99}"#);

        let merge = |members: serde_json::Value| InboxChange {
            metadata: Some(MetadataChange::Merge(metadata(&members))),
            ..InboxChange::default()
        };
        let change =
            async |change| world.store.change_inbox(&scope, change, world.now()).await.expect("an outcome");
        let changes = (0..20).map(|n| change(merge(json!({ format!("k{n}"): n }))));
        futures_util::future::join_all(changes).await;
        assert_eq!(read().await.metadata.map(|all| all.len()), Some(24), "no change was lost");

        change(merge(json!({"b": null, "never": null, "d": "x"}))).await;
        let now = read().await.metadata.expect("some");
        assert_eq!((now.len(), now.get("b"), now.get("d")), (23, None, Some(&json!("x"))));

        let many = (0..234).map(|n| (format!("m{n}"), json!(n))).collect::<Metadata>();
        assert_eq!(change(merge(many.into())).await, InboxChanged::TooMuchMetadata);
        assert_eq!(read().await.metadata.map(|all| all.len()), Some(23), "nothing changed");

        world.clock.advance(Duration::from_secs(5));
        let clear = InboxChange { metadata: Some(MetadataChange::Clear), ..InboxChange::default() };
        change(clear).await;
        let cleared = read().await;
        assert_eq!((cleared.metadata, cleared.updated_at), (None, world.now()));
        change(merge(json!({"gone": 1}))).await;
        change(merge(json!({"gone": null}))).await;
        assert_eq!(read().await.metadata, None);
    }
}

#[tokio::test]
async fn changes_touch_what_they_name_only() {
    for world in worlds().await {
        let acme = organization(&world, "h1", None).await;
        let new = NewInbox { display_name: Some("Ann".to_owned()), ..at(&world, &acme, "desk@pm.test") };
        let scope = narrowed(&world, &acme, &made(&world, new).await).await;
        let change = async |change| match world.store.change_inbox(&scope, change, world.now()).await {
            Ok(InboxChanged::Done(inbox)) => (inbox.display_name, inbox.paused),
            other => panic!("{other:?}"),
        };
        let pause = InboxChange { paused: Some(true), ..InboxChange::default() };
        assert_eq!(change(pause).await, (Some("Ann".to_owned()), true));
        let routes = world.store.routes(&["desk@pm.test".to_owned()]).await.expect("read");
        assert!(routes[0].1.paused);
        let clear = InboxChange { display_name: Some(None), paused: Some(false), ..InboxChange::default() };
        assert_eq!(change(clear).await, (None, false));
        assert!(world.store.delete_inbox(&scope, world.now()).await.expect("deleted"));
        let late = world.store.change_inbox(&scope, InboxChange::default(), world.now()).await;
        assert_eq!(late.expect("an outcome"), InboxChanged::Gone);
    }
}

#[tokio::test]
async fn an_unknown_pod_or_organization_gets_no_inbox() {
    for world in worlds().await {
        let acme = organization(&world, "h1", None).await;
        let tenant = pod(&world, &acme, "Tenant", None).await;
        world.store.delete_pod(&tenant).await.expect("deleted");
        assert_eq!(create(&world, at(&world, &tenant, "desk@pm.test")).await, InboxCreated::PodGone);
        let unknown = OrganizationId::new(&*world.ids, world.now());
        assert_eq!(world.store.organization_scope(unknown).await.expect("read"), None);
    }
}
