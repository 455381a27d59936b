//! Domains on a whole product with a database of its own: created, checked, demoted, vouched for, deleted.

use std::sync::Arc;
use std::time::Duration;

use podmail_api_types::domains::Domain;
use podmail_blob::Blobs;
use podmail_bus::Bus;
use podmail_dns::{MockResolver, Mx};
use podmail_domain::{EventType, Permissions};
use podmail_egress::{Egress, Policy};
use podmail_store::{KeySecret, Limits, Location, NewOrganization, Position, Store};
use podmail_testkit::{Database, FakeClock, TestIds, databases};

use crate::domains::{CreateDomain, UpdateDomain};
use crate::inboxes::CreateInbox;
use crate::{App, Caller, Error, Order, Parts, Settings};

const D: &str = "acme.example";

pub(super) struct World {
    pub(super) app: App,
    pub(super) dns: MockResolver,
    clock: Arc<FakeClock>,
    _database: Database,
    _writer: tokio::task::JoinSet<()>,
}

pub(super) async fn world_with(settings: Settings) -> World {
    let database = databases().await.into_iter().next().expect("SQLite is always there");
    let (bus, clock, ids) = (Bus::default(), Arc::new(FakeClock::default()), Arc::new(TestIds::default()));
    let location = Location::parse(&database.url).expect("a known URL");
    let opened = Store::open(&location, ids.clone(), crate::on_commit(bus.clone())).await;
    let (store, task) = opened.expect("an open store");
    let mut writer = tokio::task::JoinSet::new();
    writer.spawn(task);
    let dns = MockResolver::new();
    let resolver = Arc::new(dns.clone());
    let egress = Egress::new(resolver.clone(), Policy { allow_private: settings.allow_private_egress })
        .expect("a client");
    let blobs = Blobs::folder(database.folder.path()).expect("a folder");
    let app = App::new(Parts { store, blobs, bus, resolver, egress, clock: clock.clone(), ids, settings });
    World { app, dns, clock, _database: database, _writer: writer }
}

async fn world() -> World {
    world_with(Settings::for_domain("pm.test")).await
}

fn named(app: &App, domain: &str) -> CreateDomain {
    CreateDomain {
        domain: app.new_domain_name(domain).expect("a name"),
        feedback_enabled: None,
        inbound_enabled: None,
        subdomains_enabled: None,
        tracking_enabled: None,
        allow_conflicting_provider: false,
        client_id: None,
    }
}

impl World {
    async fn organization(&self, name: &str) -> Caller {
        let new = NewOrganization {
            name: name.to_owned(),
            limits: Limits::default(),
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

    async fn create(&self, caller: &Caller, domain: &str) -> Result<Domain, Error> {
        self.app.create_domain(caller, named(&self.app, domain)).await
    }

    fn publish(&self, domain: &Domain) {
        for record in &domain.records {
            let value = record.value.clone();
            match (record.kind, record.priority) {
                ("TXT", _) => self.dns.set_txt(&record.name, vec![value]),
                ("MX", Some(priority)) => self.dns.set_mx(&record.name, vec![Mx { priority, host: value }]),
                _ => self.dns.set_cname(&record.name, Some(&value)),
            }
        }
    }

    fn withdraw_dkim(&self, domain: &Domain) {
        for record in domain.records.iter().filter(|record| record.name.contains("._domainkey.")) {
            self.dns.set_txt(&record.name, Vec::new());
        }
    }

    /// Runs what is due after `later`.
    async fn check(&self, later: Duration) -> usize {
        self.clock.advance(later);
        self.app.check_domains_once().await.expect("checked")
    }

    async fn status(&self, caller: &Caller) -> (&'static str, Option<String>) {
        let domain = self.app.domain(caller, D).await.expect("there");
        (domain.status, domain.reason)
    }

    async fn verified(&self, caller: &Caller) -> Domain {
        let domain = self.create(caller, D).await.expect("made");
        self.publish(&domain);
        assert_eq!(self.check(Duration::from_secs(60)).await, 1);
        self.app.domain(caller, D).await.expect("there")
    }

    async fn may_send(&self, caller: &Caller) -> bool {
        self.app.store().sending_domain(&caller.scope, D).await.expect("read").is_some_and(|d| d.may_send)
    }

    async fn events(&self) -> Vec<serde_json::Value> {
        let log = self.app.store().read_log(Position::default(), 100).await.expect("a log");
        let all = log.events.into_iter().filter(|event| event.event_type == EventType::DomainVerified);
        all.map(|event| serde_json::from_str(&event.facts).expect("JSON")).collect()
    }
}

#[tokio::test]
async fn a_new_domain_has_five_missing_records_and_the_documented_defaults() {
    let world = world().await;
    let acme = world.organization("acme").await;
    let domain = world.create(&acme, "Acme.Example.").await.expect("made");
    assert_eq!((domain.domain_id.as_str(), domain.domain.as_str(), domain.pod_id), (D, D, None));
    assert_eq!((domain.status, domain.reason.as_deref()), ("PENDING", Some("dns_records_missing")));
    let flags =
        (domain.feedback_enabled, domain.inbound_enabled, domain.subdomains_enabled, domain.tracking_enabled);
    assert_eq!(flags, (true, true, false, false));
    assert_eq!(domain.records.len(), 5);
    assert!(domain.records.iter().all(|record| record.status == "MISSING"));
    assert_eq!(world.app.domain(&acme, "ACME.example").await.expect("there"), domain);
    let page = world.app.domains(&acme, Order::Descending, None, 10).await.expect("a page");
    let item = serde_json::to_value(page.items).expect("JSON");
    assert!(item[0].get("status").is_none() && item[0].get("records").is_none(), "{item}");
    assert!(!serde_json::to_string(&domain).expect("JSON").contains("private"));
}

#[tokio::test]
async fn names_that_cannot_be_anybodys_mail_domain_are_refused() {
    let world = world().await;
    for name in ["localhost", "1.2.3.4", "co.uk", "", "pm.test", "a.pm.test", "mx.pm.test", "a b.example"] {
        assert!(world.app.new_domain_name(name).is_err(), "{name}");
    }
    assert_eq!(
        world.app.new_domain_name("BÜCHER.example.").expect("a name").as_str(),
        "xn--bcher-kva.example"
    );
}

#[tokio::test]
async fn a_second_create_is_told_apart_by_client_id_and_owner() {
    let world = world().await;
    let (acme, other) = (world.organization("acme").await, world.organization("other").await);
    let input = CreateDomain { client_id: Some("c-1".to_owned()), ..named(&world.app, D) };
    let first = world.app.create_domain(&acme, input.clone()).await.expect("made");
    assert_eq!(world.app.create_domain(&acme, input.clone()).await.expect("the same"), first);
    let again = world.create(&acme, D).await;
    assert!(matches!(again, Err(Error::AlreadyExists { resource: "Domain", .. })), "{again:?}");
    let foreign = world.app.create_domain(&other, input).await;
    assert!(matches!(foreign, Err(Error::ResourceTaken { resource: "Domain" })), "{foreign:?}");
    let unseen = world.app.domain(&other, D).await;
    assert!(matches!(unseen, Err(Error::NotFound("Domain"))), "{unseen:?}");
}

#[tokio::test]
async fn googles_mail_hosts_stand_in_the_way_of_receiving_only() {
    let world = world().await;
    let acme = world.organization("acme").await;
    world.dns.set_mx(D, vec![Mx { priority: 1, host: "smtp.google.com".to_owned() }]);
    let refused = world.create(&acme, D).await;
    assert!(matches!(refused, Err(Error::Unprocessable(_))), "{refused:?}");
    let send_only = CreateDomain { inbound_enabled: Some(false), ..named(&world.app, D) };
    world.app.create_domain(&acme, send_only).await.expect("made");
    world.app.delete_domain(&acme, D).await.expect("deleted");
    let shared = CreateDomain { allow_conflicting_provider: true, ..named(&world.app, D) };
    world.app.create_domain(&acme, shared).await.expect("made");
    world.app.delete_domain(&acme, D).await.expect("deleted");
    world.dns.set_failure(D, true);
    world.create(&acme, D).await.expect("a failed look-up refuses nothing");
}

// domains.md check 21
#[tokio::test]
async fn a_requested_check_verifies_a_published_domain_with_one_event() {
    let world = world().await;
    let acme = world.organization("acme").await;
    let domain = world.create(&acme, D).await.expect("made");
    world.publish(&domain);
    assert_eq!(world.check(Duration::ZERO).await, 0, "the first check by itself comes later");
    world.app.verify_domain(&acme, D).await.expect("asked");
    let again = world.app.verify_domain(&acme, D).await;
    assert!(matches!(again, Err(Error::RateLimited { retry_after_seconds: 10 })), "{again:?}");
    assert_eq!(world.check(Duration::ZERO).await, 1);
    let verified = world.app.domain(&acme, D).await.expect("there");
    assert_eq!((verified.status, verified.reason.as_deref()), ("VERIFIED", None));
    assert!(verified.records.iter().all(|record| record.status == "VALID"));
    assert!(world.may_send(&acme).await);
    assert_eq!(world.check(Duration::from_secs(24 * 3600)).await, 1);
    assert_eq!(world.events().await, vec![serde_json::to_value(&verified).expect("JSON")]);
}

#[tokio::test]
async fn wrong_values_make_a_domain_invalid_and_silence_is_no_answer() {
    let world = world().await;
    let acme = world.organization("acme").await;
    let domain = world.create(&acme, D).await.expect("made");
    world.publish(&domain);
    let mail = "mail.acme.example";
    let spf = domain.records[2].value.clone();
    world.dns.set_txt(mail, vec!["v=spf1 -all".to_owned(), spf]);
    world.check(Duration::from_secs(60)).await;
    let checked = world.app.domain(&acme, D).await.expect("there");
    assert_eq!((checked.status, checked.reason.as_deref()), ("INVALID", Some("dns_records_invalid")));
    assert_eq!(
        (checked.records[2].status, checked.records[2].reason),
        ("INVALID", Some("duplicate_records"))
    );

    world.dns.set_failure(D, true);
    let unanswered = world.app.verify_domain(&acme, D).await;
    assert!(matches!(unanswered, Err(Error::Unprocessable(_))), "{unanswered:?}");
}

#[tokio::test]
async fn a_withdrawn_key_stops_sending_after_the_second_failed_check() {
    let world = world().await;
    let acme = world.organization("acme").await;
    let domain = world.verified(&acme).await;
    world.withdraw_dkim(&domain);
    assert_eq!(world.check(Duration::from_secs(24 * 3600)).await, 1);
    assert_eq!((world.status(&acme).await.0, world.may_send(&acme).await), ("VERIFIED", true));
    assert_eq!(world.check(Duration::from_secs(60)).await, 1);
    assert_eq!(world.status(&acme).await, ("PENDING", Some("dns_records_missing".to_owned())));
    assert!(!world.may_send(&acme).await);
    let inbox = || CreateInbox { domain: Some(D.to_owned()), ..CreateInbox::default() };
    let refused = world.app.create_inbox(&acme, inbox()).await;
    assert!(matches!(refused, Err(Error::DomainNotVerified { .. })), "{refused:?}");
    world.publish(&domain);
    assert_eq!(world.check(Duration::from_secs(60)).await, 1);
    assert_eq!((world.status(&acme).await.0, world.may_send(&acme).await), ("VERIFIED", true));
    world.app.create_inbox(&acme, inbox()).await.expect("taken again");
    assert_eq!(world.events().await.len(), 2, "verified once more");
}

#[tokio::test]
async fn a_new_setting_waits_for_its_record_and_sending_does_not() {
    let world = world().await;
    let acme = world.organization("acme").await;
    world.verified(&acme).await;
    let wildcard = UpdateDomain { subdomains_enabled: Some(true), ..UpdateDomain::default() };
    let pending = world.app.update_domain(&acme, D, wildcard).await.expect("changed");
    assert_eq!((pending.status, pending.records[1].status), ("PENDING", "MISSING"));
    assert_eq!(pending.records[1].name, "*.acme.example");
    assert!(world.may_send(&acme).await);
    world.publish(&pending);
    assert_eq!(world.check(Duration::ZERO).await, 1, "the new record is looked for at once");
    assert_eq!(world.status(&acme).await, ("VERIFIED", None));
    let quiet = UpdateDomain { feedback_enabled: Some(false), ..UpdateDomain::default() };
    let changed = world.app.update_domain(&acme, D, quiet).await.expect("changed");
    assert_eq!(
        (changed.feedback_enabled, changed.subdomains_enabled, changed.status),
        (false, true, "VERIFIED")
    );
}

#[tokio::test]
async fn an_operators_word_holds_until_somebody_asks() {
    let world = world().await;
    let acme = world.organization("acme").await;
    world.create(&acme, D).await.expect("made");
    let report = world.app.operator_verify_domain(D, true).await.expect("vouched for");
    assert_eq!((report.status, report.forced), (Some("VERIFIED"), true));
    assert!(report.records.iter().all(|record| record.record.status == "VALID"));
    assert_eq!(world.check(Duration::from_secs(40 * 24 * 3600)).await, 0);
    assert!(world.may_send(&acme).await);
    assert_eq!(world.events().await.len(), 1);

    world.app.verify_domain(&acme, D).await.expect("asked");
    assert_eq!(world.check(Duration::ZERO).await, 1);
    assert_eq!(world.check(Duration::from_secs(60)).await, 1);
    assert_eq!(world.status(&acme).await, ("PENDING", Some("dns_records_missing".to_owned())));

    let report = world.app.operator_verify_domain(D, false).await.expect("checked");
    assert_eq!((report.status, report.forced), (Some("PENDING"), false));
    assert_eq!(report.records[0].found, Some(Vec::new()));
    let unknown = world.app.operator_verify_domain("nobodys.example", true).await;
    assert!(matches!(unknown, Err(Error::NotFound("Domain"))), "{unknown:?}");
}

#[tokio::test]
async fn without_automatic_checks_a_domain_has_not_started_until_somebody_asks() {
    let off = Settings {
        domain_check_interval: None,
        domain_recheck_interval: None,
        ..Settings::for_domain("pm.test")
    };
    let world = world_with(off).await;
    let acme = world.organization("acme").await;
    assert_eq!(world.create(&acme, D).await.expect("made").status, "NOT_STARTED");
    assert_eq!(world.check(Duration::from_secs(3600)).await, 0);
    world.app.verify_domain(&acme, D).await.expect("asked");
    assert_eq!(world.check(Duration::ZERO).await, 1);
    assert_eq!(world.status(&acme).await, ("PENDING", Some("dns_records_missing".to_owned())));
}

#[tokio::test]
async fn the_shared_domain_has_one_key_and_a_report() {
    let world = world().await;
    let (first, second) = tokio::join!(world.app.shared_signer_key(), world.app.shared_signer_key());
    let key = first.expect("a key");
    assert_eq!(second.expect("a key"), key);
    assert_eq!(key.domain, "pm.test");
    podmail_sender_auth::Signer::new(&key.domain, &key.selector, &key.private_pkcs8).expect("it signs");
    let report = world.app.domain_report("pm.test").await.expect("a report");
    assert_eq!(report.status, None);
    // Bounces come to the domain itself, so its own SPF record has to name us.
    let names: Vec<&str> = report.records.iter().map(|record| record.record.name.as_str()).collect();
    let dkim = format!("{}._domainkey.pm.test", key.selector);
    assert_eq!(names, ["pm.test", "*.pm.test", &dkim, "pm.test", "_dmarc.pm.test"]);
    assert!(report.records.iter().any(|record| record.record.value.ends_with(&key.public_base64)));
}
