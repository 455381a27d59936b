//! A product without its edges: store, blobs, DNS in memory, a clock that stands still, and the worker.

use std::sync::Arc;
use std::time::Duration;

use podmail_app::{App, Parts, Settings, on_commit};
use podmail_blob::{Blobs, compress};
use podmail_bus::Bus;
use podmail_delivery::{Config, Counters, Route};
use podmail_dns::MockResolver;
use podmail_domain::label::Restricted;
use podmail_domain::thread::Direction;
use podmail_domain::{Clock as _, DomainName, IdSource, InboxId, MessageId};
use podmail_egress::{Egress, Policy};
use podmail_jobs::{Stopped, Tasks};
use podmail_store::{
    Announce, DomainCreated, DomainFlags, DomainStatus, InboxCreated, InboxPlace, KeySecret, Limits,
    Location, NewDelivery, NewDomain, NewInbox, NewMessage, NewOrganization, Order, Position, Scope, Store,
    Stored, StoredBytes,
};
use podmail_testkit::{Database, FakeClock, TestIds, databases};
use serde_json::Value;

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) store: Store,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) dns: MockResolver,
    pub(crate) organization: Scope,
    _database: Database,
    _writer: tokio::task::JoinSet<()>,
}

/// One world per engine; private addresses may be connected to or not.
pub(crate) async fn worlds(allow_private: bool) -> Vec<World> {
    let mut worlds = Vec::new();
    for database in databases().await {
        let ids: Arc<dyn IdSource> = Arc::new(TestIds::default());
        let bus = Bus::default();
        let location = Location::parse(&database.url).unwrap();
        let (store, task) = Store::open(&location, ids.clone(), on_commit(bus.clone())).await.unwrap();
        let mut writer = tokio::task::JoinSet::new();
        writer.spawn(task);
        let clock = Arc::new(FakeClock::default());
        let dns = MockResolver::new();
        let mut settings = Settings::for_domain("pm.test");
        settings.work_poll_interval = Duration::from_millis(20);
        let app = App::new(Parts {
            store: store.clone(),
            blobs: Blobs::folder(&database.folder.path().join("blobs")).unwrap(),
            bus,
            resolver: Arc::new(dns.clone()),
            egress: Egress::new(Arc::new(dns.clone()), Policy { allow_private }).unwrap(),
            clock: clock.clone(),
            ids,
            settings,
        });
        let new = NewOrganization {
            name: "Acme".to_owned(),
            limits: Limits::default(),
            key_name: "First".to_owned(),
            secret: KeySecret { hash: "h".to_owned(), prefix: "am_us_000000".to_owned() },
        };
        let (organization, _) = store.create_organization(new, clock.now()).await.unwrap();
        let organization = store.organization_scope(organization).await.unwrap().unwrap();
        worlds.push(World { app, store, clock, dns, organization, _database: database, _writer: writer });
    }
    worlds
}

/// A running worker.
pub(crate) struct Running {
    pub(crate) tasks: Tasks,
    pub(crate) counters: Arc<Counters>,
}

impl Running {
    /// Ends at once, as a killed process would: nothing is given back.
    pub(crate) async fn kill(self) {
        drop(self.tasks.shutdown(Duration::ZERO).await);
    }
    pub(crate) async fn stop(self) -> Stopped {
        self.tasks.shutdown(Duration::from_secs(20)).await
    }
}

impl World {
    pub(crate) async fn inbox(&self, address: &str) -> Scope {
        let domain = address.rsplit_once('@').unwrap().1;
        self.inbox_below(address, (domain != "pm.test").then_some(domain)).await
    }

    /// An inbox on a name below a registered domain, or below the shared one.
    pub(crate) async fn inbox_below(&self, address: &str, governing_domain: Option<&str>) -> Scope {
        let inbox_id = InboxId::parse(address).unwrap();
        let governing_domain = governing_domain.map(str::to_owned);
        let new = NewInbox {
            scope: self.organization.clone(),
            place: InboxPlace::At { inbox_id, governing_domain },
            display_name: None,
            client_id: None,
            paused: false,
            metadata: None,
            now: self.clock.now(),
        };
        let InboxCreated::Created(inbox) = self.store.create_inbox(new).await.unwrap() else {
            panic!("taken")
        };
        self.store.inbox_scope(&self.organization, &inbox.inbox_id).await.unwrap().unwrap()
    }

    /// A domain of the organization, with a key of its own.
    pub(crate) async fn domain(&self, name: &str) {
        let key = podmail_sender_auth::generate_rsa_2048().unwrap();
        let new = NewDomain {
            domain: DomainName::parse(name).unwrap(),
            client_id: None,
            flags: DomainFlags { feedback: true, inbound: true, subdomains: true, tracking: false },
            status: DomainStatus::Verified,
            reason: None,
            records: "[]".to_owned(),
            dkim_selector: "podmail1".to_owned(),
            dkim_private: key.private_pkcs8,
            dkim_public: key.public_base64,
            next_check_at: None,
            created_at: self.clock.now(),
        };
        let created = self.store.create_domain(&self.organization, new).await.unwrap();
        assert!(matches!(created, DomainCreated::Created(_)), "{created:?}");
    }

    /// Stores a message to be sent, as a send does.
    pub(crate) async fn send(&self, scope: &Scope, id: &str, recipients: &[&str]) -> MessageId {
        let now = self.clock.now();
        let from = scope.inbox().unwrap().id.as_str().to_owned();
        let raw = format!(
            "From: {from}\r\nTo: {}\r\nSubject: Hello\r\nDate: Sun, 01 Mar 2026 09:00:00 +0000\r\n\
             Message-ID: {id}\r\n\r\nHello.\r\n",
            recipients.join(", ")
        );
        let expires_at = now.plus(self.app.settings().delivery_expire_after);
        let deliveries = recipients.iter().map(|recipient| NewDelivery {
            recipient: (*recipient).to_owned(),
            destination: recipient.rsplit_once('@').unwrap().1.to_owned(),
            expires_at,
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
            size: raw.len().try_into().unwrap(),
            fingerprint: id.to_owned(),
            sender: from,
            to: recipients.iter().map(|recipient| (*recipient).to_owned()).collect(),
            cc: vec![],
            bcc: vec![],
            subject: None,
            preview: None,
            in_reply_to: None,
            references: vec![],
            attachments: vec![],
            extract_texts: false,
            bytes: StoredBytes::Inline(compress(raw.as_bytes())),
            deliveries: deliveries.collect(),
            draft: None,
            authentication: None,
            idempotency: None,
            original_id: None,
            headers: std::collections::BTreeMap::new(),
            quota_since: None,
        };
        let stored = self.store.insert_messages(vec![new]).await.unwrap();
        let [Stored::New { message_id, .. }] = stored.as_slice() else { panic!("{stored:?}") };
        message_id.clone()
    }

    pub(crate) fn run(&self, route: Route) -> Running {
        self.run_with(Config::new(route, "mx.pm.test"))
    }

    pub(crate) fn run_mx(&self, port: u16) -> Running {
        self.run_with(Config { mx_port: port, ..Config::new(Route::Mx, "mx.pm.test") })
    }

    pub(crate) fn run_with(&self, config: Config) -> Running {
        let tasks = Tasks::new();
        let counters = podmail_delivery::run(self.app.clone(), config, &tasks).unwrap();
        Running { tasks, counters }
    }

    /// Type and facts of every event about sending, in order of the log.
    pub(crate) async fn events(&self) -> Vec<(String, Value)> {
        let mut log = self.store.read_log(Position::default(), 1000).await.unwrap();
        // On PostgreSQL a transaction of another test may hold the end of the log back for a moment.
        while log.more {
            tokio::task::yield_now().await;
            log = self.store.read_log(Position::default(), 1000).await.unwrap();
        }
        log.events
            .iter()
            .filter(|event| !event.event_type.as_str().starts_with("message.received"))
            .map(|event| (event.event_type.as_str().to_owned(), serde_json::from_str(&event.facts).unwrap()))
            .collect()
    }

    pub(crate) async fn types(&self) -> Vec<String> {
        self.events().await.into_iter().map(|(kind, _)| kind).collect()
    }

    pub(crate) async fn count(&self, kind: &str) -> usize {
        self.types().await.iter().filter(|known| *known == kind).count()
    }

    pub(crate) async fn labels(&self, scope: &Scope, id: &MessageId) -> Vec<String> {
        self.store.message(scope, id, Restricted::ALL).await.unwrap().unwrap().labels
    }

    pub(crate) async fn messages(&self, scope: &Scope) -> usize {
        let filter = podmail_store::MessageFilter { visible: Restricted::ALL, ..Default::default() };
        let page = self.store.list_messages(scope, &filter, Order::Ascending, None, 100).await.unwrap();
        page.items.len()
    }
}

/// Waits for a condition, at most half a minute.
macro_rules! until {
    ($condition:expr) => {{
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        while !$condition {
            assert!(tokio::time::Instant::now() < deadline, "never: {}", stringify!($condition));
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }};
}
pub(crate) use until;
