//! The rules of creating, on a whole product with a database of its own.

use std::sync::Arc;

use podmail_api_types::inboxes::{Inbox, InboxStatus};
use podmail_blob::Blobs;
use podmail_bus::Bus;
use podmail_dns::MockResolver;
use podmail_domain::{Permissions, PodId};
use podmail_egress::{Egress, Policy};
use podmail_store::{KeySecret, Limits, Location, NewOrganization, Order, Store};
use podmail_testkit::{Database, FakeClock, TestIds, databases};

use super::{CreateInbox, UpdateInbox, metadata_change};
use crate::domains::{CreateDomain, UpdateDomain};
use crate::{App, Caller, Error, Parts, PodSubdomains, Settings};

struct World {
    app: App,
    _database: Database,
    _writer: tokio::task::JoinSet<()>,
}

async fn world(subdomains: PodSubdomains) -> World {
    let database = databases().await.into_iter().next().expect("SQLite is always there");
    let (bus, clock, ids) = (Bus::default(), Arc::new(FakeClock::default()), Arc::new(TestIds::default()));
    let location = Location::parse(&database.url).expect("a known URL");
    let opened = Store::open(&location, ids.clone(), crate::on_commit(bus.clone())).await;
    let (store, task) = opened.expect("an open store");
    let mut writer = tokio::task::JoinSet::new();
    writer.spawn(task);
    let resolver = Arc::new(MockResolver::new());
    let settings = Settings { pod_subdomains: subdomains, ..Settings::for_domain("pm.test") };
    let egress = Egress::new(resolver.clone(), Policy::default()).expect("a client");
    let blobs = Blobs::folder(database.folder.path()).expect("a folder");
    let app = App::new(Parts { store, blobs, bus, resolver, egress, clock, ids, settings });
    World { app, _database: database, _writer: writer }
}

impl World {
    async fn organization(&self, name: &str, inbox_limit: Option<u64>) -> Caller {
        let new = NewOrganization {
            name: name.to_owned(),
            limits: Limits { inbox_limit, ..Limits::default() },
            key_name: "First".to_owned(),
            secret: KeySecret { hash: name.to_owned(), prefix: "am_us_000000".to_owned() },
        };
        self.app.store().create_organization(new, self.app.now()).await.expect("made");
        let found = self.app.store().credential(name).await.expect("read").expect("known");
        Caller {
            scope: found.scope.clone(),
            own: found.scope,
            permissions: Permissions::UNRESTRICTED,
            api_key_id: found.api_key_id,
            expires_at: None,
            suspended: false,
        }
    }

    /// An organization's key on a new pod's routes.
    async fn pod(&self, caller: &Caller, client_id: &str) -> Caller {
        let (store, now) = (self.app.store(), self.app.now());
        let made = store.create_pod(&caller.scope, "Tenant".to_owned(), Some(client_id.to_owned()), now);
        let pod = made.await.expect("made").pod_id.to_string();
        let scope = store.pod_scope(&caller.scope, &pod).await.expect("read").expect("in scope");
        Caller { scope, ..caller.clone() }
    }

    async fn create(&self, caller: &Caller, input: CreateInbox) -> Result<Inbox, Error> {
        self.app.create_inbox(caller, input).await
    }

    async fn named(&self, caller: &Caller, username: &str) -> Result<String, Error> {
        let input = CreateInbox { username: Some(username.to_owned()), ..CreateInbox::default() };
        self.create(caller, input).await.map(|inbox| inbox.inbox_id.to_string())
    }

    async fn on(&self, caller: &Caller, username: &str, domain: &str) -> Result<String, Error> {
        let username = Some(username.to_owned());
        let input = CreateInbox { username, domain: Some(domain.to_owned()), ..CreateInbox::default() };
        self.create(caller, input).await.map(|inbox| inbox.inbox_id.to_string())
    }

    async fn domain(&self, caller: &Caller, name: &str) {
        let create = CreateDomain {
            domain: self.app.new_domain_name(name).expect("a name"),
            feedback_enabled: None,
            inbound_enabled: None,
            subdomains_enabled: None,
            tracking_enabled: None,
            allow_conflicting_provider: true,
            client_id: None,
        };
        self.app.create_domain(caller, create).await.expect("made");
    }

    async fn verify(&self, name: &str) {
        self.app.operator_verify_domain(name, true).await.expect("verified");
    }
}

#[tokio::test]
async fn an_inbox_without_a_name_gets_a_random_one() {
    let world = world(PodSubdomains::Conflict).await;
    let acme = world.organization("acme", None).await;
    for _ in 0..20 {
        let inbox = world.create(&acme, CreateInbox::default()).await.expect("made");
        let (local, domain) = inbox.inbox_id.as_str().split_once('@').expect("an address");
        let (word, digits) = local.split_at(local.len() - 3);
        assert!(word.bytes().all(|b| b.is_ascii_lowercase()) && word.len() >= 6, "{local}");
        assert!(digits.bytes().all(|b| b.is_ascii_digit()), "{local}");
        assert_eq!((domain, &inbox.email), ("pm.test", &inbox.inbox_id));
        assert_eq!(inbox.pod_id, PodId::default_of(acme.scope.organization()));
        assert_eq!((inbox.status, inbox.metadata, inbox.client_id), (None, None, None));
    }
}

#[tokio::test]
async fn a_taken_name_is_told_openly_to_its_own_organization_only() {
    let world = world(PodSubdomains::Conflict).await;
    let (acme, other) = (world.organization("acme", None).await, world.organization("other", None).await);
    assert_eq!(world.named(&acme, "support-agent").await.expect("made"), "support-agent@pm.test");
    match world.named(&acme, "support-agent").await {
        Err(Error::AlreadyExists { resource, suggestions, fix }) => {
            assert_eq!((resource, suggestions.len()), ("Inbox", 3));
            for name in suggestions {
                let digits = name.strip_prefix("support-agent").expect("the asked name");
                assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{name}");
                assert_eq!(world.named(&acme, &name).await.expect("free"), format!("{name}@pm.test"));
            }
            assert!(fix.expect("a fix").contains("support-agent@pm.test"));
        }
        outcome => panic!("{outcome:?}"),
    }
    let taken = world.named(&other, "support-agent").await;
    assert!(matches!(taken, Err(Error::ResourceTaken { .. })), "{taken:?}");

    // A key of one pod does not learn what another pod of its organization holds.
    let routed = world.pod(&acme, "tenant").await;
    let tenant = Caller { own: routed.scope.clone(), ..routed.clone() };
    let hidden = world.on(&tenant, "support-agent", "pm.test").await;
    assert!(matches!(hidden, Err(Error::ResourceTaken { .. })), "{hidden:?}");
    let open = world.on(&routed, "support-agent", "PM.test").await;
    assert!(matches!(open, Err(Error::AlreadyExists { .. })), "{open:?}");

    let long = "x".repeat(64);
    world.named(&acme, &long).await.expect("made");
    let again = world.named(&acme, &long).await;
    assert!(
        matches!(&again, Err(Error::AlreadyExists { suggestions, .. })
        if suggestions.len() == 3 && suggestions.iter().all(|name| name.len() == 64)),
        "{again:?}"
    );
    for name in ["postmaster", "admin"] {
        let reserved = world.named(&acme, name).await;
        assert!(matches!(reserved, Err(Error::ResourceTaken { .. })), "{name}: {reserved:?}");
    }
}

#[tokio::test]
async fn a_client_id_returns_what_it_made_unless_it_lies_elsewhere() {
    let world = world(PodSubdomains::Conflict).await;
    let acme = world.organization("acme", Some(1)).await;
    let ask = async |caller: &Caller, name: &str, domain: Option<&str>| {
        let (username, client_id) = (Some(name.to_owned()), Some("c1".to_owned()));
        let domain = domain.map(str::to_owned);
        world.create(caller, CreateInbox { username, domain, client_id, ..CreateInbox::default() }).await
    };
    let first = ask(&acme, "one", None).await.expect("made");
    // Neither another name, nor a domain that is nobody's, nor the quota matters.
    assert_eq!(ask(&acme, "two", Some("nowhere.example")).await.expect("the same"), first);
    let tenant = world.pod(&acme, "tenant").await;
    match ask(&tenant, "one", None).await {
        Err(Error::AlreadyExists { suggestions, fix, .. }) => assert_eq!((suggestions.len(), fix), (0, None)),
        outcome => panic!("{outcome:?}"),
    }
    let full = world.named(&acme, "three").await;
    assert!(matches!(full, Err(Error::LimitExceeded { resource: "inbox", limit: 1 })), "{full:?}");
}

#[tokio::test]
async fn domains_are_used_once_verified_and_by_whom_they_serve() {
    let world = world(PodSubdomains::Conflict).await;
    let (acme, other) = (world.organization("acme", None).await, world.organization("other", None).await);
    let (tenant, sibling) = (world.pod(&acme, "tenant").await, world.pod(&acme, "sibling").await);
    world.domain(&acme, "acme.example").await;
    world.domain(&tenant, "tenant.example").await;
    let unverified = world.on(&acme, "x", "acme.example").await;
    assert!(matches!(unverified, Err(Error::DomainNotVerified { .. })), "{unverified:?}");
    world.verify("acme.example").await;
    world.verify("tenant.example").await;
    assert_eq!(world.on(&acme, "x", "Acme.Example.").await.expect("made"), "x@acme.example");
    assert_eq!(world.on(&sibling, "admin", "acme.example").await.expect("made"), "admin@acme.example");
    assert_eq!(world.on(&tenant, "x", "tenant.example").await.expect("made"), "x@tenant.example");
    let reserved = world.on(&acme, "mailer-daemon", "acme.example").await;
    assert!(matches!(reserved, Err(Error::ResourceTaken { .. })), "{reserved:?}");
    for (caller, domain) in [
        (&other, "acme.example"),
        (&sibling, "tenant.example"),
        (&acme, "tenant.example"),
        (&acme, "unknown.example"),
        (&acme, "example"),
        (&acme, "tenant.pm.test"),
        (&acme, "a b"),
    ] {
        let outcome = world.on(caller, "y", domain).await;
        assert!(matches!(outcome, Err(Error::NotFound("Domain"))), "{domain}: {outcome:?}");
    }

    let below = world.on(&acme, "x", "bot.acme.example").await;
    assert!(matches!(below, Err(Error::Unprocessable(_))), "{below:?}");
    let none = UpdateDomain {
        feedback_enabled: None,
        inbound_enabled: None,
        subdomains_enabled: None,
        tracking_enabled: None,
    };
    let all = UpdateDomain { subdomains_enabled: Some(true), tracking_enabled: Some(true), ..none };
    world.app.update_domain(&acme, "acme.example", all).await.expect("changed");
    world.verify("acme.example").await;
    assert_eq!(world.on(&acme, "x", "bot.acme.example").await.expect("made"), "x@bot.acme.example");
    assert_eq!(world.on(&acme, "x", "a.b.acme.example").await.expect("made"), "x@a.b.acme.example");
    for domain in ["link.acme.example", "x.link.acme.example"] {
        let tracking = world.on(&acme, "x", domain).await;
        assert!(matches!(tracking, Err(Error::Unprocessable(_))), "{domain}: {tracking:?}");
    }
}

#[tokio::test]
async fn pods_share_the_default_domain_as_the_setting_says() {
    for (setting, want) in [
        (PodSubdomains::Conflict, [Some("support@pm.test"), Some("support@tenant-globex.pm.test")]),
        (PodSubdomains::Off, [Some("support@pm.test"), None]),
        (
            PodSubdomains::Always,
            [Some("support@tenant-acme-123.pm.test"), Some("support@tenant-globex.pm.test")],
        ),
    ] {
        let world = world(setting).await;
        let acme = world.organization("acme", None).await;
        let pods = [world.pod(&acme, "tenant-acme-123").await, world.pod(&acme, "tenant-globex").await];
        for (pod, want) in pods.iter().zip(want) {
            let made = world.named(pod, "support").await;
            match want {
                Some(want) => assert_eq!(made.expect("made"), want, "{setting:?}"),
                None => assert!(matches!(made, Err(Error::AlreadyExists { .. })), "{setting:?}: {made:?}"),
            }
        }
        let again = world.named(&pods[1], "support").await;
        assert!(
            matches!(&again, Err(Error::AlreadyExists { fix: Some(fix), .. }) if fix.contains("client_id")),
            "{setting:?}: {again:?}"
        );
        assert_eq!(world.named(&acme, "desk").await.expect("made"), "desk@pm.test", "{setting:?}");
        if setting == PodSubdomains::Conflict {
            let own = "tenant-globex.pm.test";
            assert_eq!(world.on(&pods[1], "x", own).await.expect("made"), "x@tenant-globex.pm.test");
            for name in ["postmaster", "abuse", "mailer-daemon"] {
                let reserved = world.on(&pods[1], name, own).await;
                assert!(matches!(reserved, Err(Error::ResourceTaken { .. })), "{name}: {reserved:?}");
            }
            let foreign = world.on(&pods[0], "x", own).await;
            assert!(matches!(foreign, Err(Error::NotFound("Domain"))), "{foreign:?}");
        }
    }
}

#[tokio::test]
async fn an_inbox_is_changed_and_deleted_within_its_scope() {
    let world = world(PodSubdomains::Conflict).await;
    let acme = world.organization("acme", None).await;
    let made =
        world.create(&acme, CreateInbox { paused: true, ..CreateInbox::default() }).await.expect("made");
    assert_eq!(made.status, Some(InboxStatus::Paused));
    let scope =
        world.app.store().inbox_scope(&acme.scope, &made.inbox_id).await.expect("read").expect("there");
    let inbox = Caller { scope, ..acme.clone() };
    assert_eq!(world.app.inbox(&inbox).await.expect("there"), made);
    let nothing = world.app.update_inbox(&inbox, UpdateInbox::default()).await;
    assert!(matches!(nothing, Err(Error::Invalid(_))), "{nothing:?}");
    let members = serde_json::Map::from_iter([("a".to_owned(), 5.into())]);
    let change = UpdateInbox {
        display_name: Some(Some("Ann".to_owned())),
        paused: Some(false),
        metadata: Some(metadata_change(Some(&members)).expect("good")),
    };
    let changed = world.app.update_inbox(&inbox, change).await.expect("changed");
    assert_eq!((changed.status, changed.display_name.as_deref()), (None, Some("Ann")));
    assert_eq!(changed.metadata, Some(members));
    assert_eq!(world.app.search_inboxes(&acme, "ann", None, 10).await.expect("a page").items, vec![changed]);

    world.app.delete_inbox(&inbox).await.expect("deleted");
    for outcome in [
        world.app.delete_inbox(&inbox).await.map(drop),
        world.app.inbox(&inbox).await.map(drop),
        world
            .app
            .update_inbox(&inbox, UpdateInbox { paused: Some(true), ..UpdateInbox::default() })
            .await
            .map(drop),
    ] {
        assert!(matches!(outcome, Err(Error::NotFound("Inbox"))), "{outcome:?}");
    }
    let list = world.app.list_inboxes(&acme, Order::Descending, None, 10).await.expect("a page");
    assert_eq!(list.items, Vec::new());
    while world.app.purge_once().await.expect("a step") {}
}
