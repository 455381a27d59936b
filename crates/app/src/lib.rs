//! What the product does: one module per noun. Edges call in here; everything is decided here, once, on a [`Caller`].

pub mod auth;
mod caller;
pub mod deliveries;
pub mod domains;
pub mod drafts;
pub mod error;
pub mod events;
pub mod filters;
pub mod history;
pub mod inboxes;
pub mod keys;
pub mod links;
pub mod lists;
pub mod messages;
pub mod objects;
mod opens;
pub mod organizations;
pub mod pods;
pub mod readable;
pub mod receive;
pub mod reports;
mod retention;
pub mod search;
pub mod send;
mod settings;
mod signed;
pub mod texts;
pub mod threads;
pub mod unsubscribe;
pub mod webhooks;

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use podmail_blob::Blobs;
use podmail_bus::{Bus, Topic};
use podmail_dns::Resolver;
use podmail_domain::{Clock, IdSource, OrganizationId, Timestamp};
use podmail_egress::Egress;
use podmail_jobs::{Stopped, Tasks};
use podmail_store::{News, OnCommit, Store};

pub use caller::Caller;
pub use podmail_store::{
    Cursor, DraftFilter, LabelChange, ListName, MessageFilter, Order, Page, ThreadFilter, ThreadTime,
};

pub use error::{Error, Explained, Issue, IssueCode, PathItem, Result, Unauthorized};
pub use settings::{InboundAuthentication, PodSubdomains, Settings};

/// The product. Cloning shares everything.
#[derive(Clone, Debug)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    blobs: Blobs,
    bus: Bus,
    resolver: Arc<dyn Resolver>,
    egress: Egress,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    settings: Settings,
    /// Hexadecimal key of signed tokens, read once from the installation's row.
    link_key: OnceLock<String>,
    /// Idempotency keys whose send is running on this node.
    sending: Mutex<HashSet<(OrganizationId, String)>>,
    /// Times of use of keys that are not written yet.
    used_keys: auth::UsedKeys,
    /// What the checks of arriving mail said.
    authentication: receive::AuthenticationCounters,
    /// Objects that nothing referred to and that were removed.
    objects_removed: AtomicU64,
    /// Work that ends although whoever asked for it went away.
    detached: Tasks,
}

/// What the product is made of.
#[derive(Debug)]
pub struct Parts {
    /// Open store, made with [`on_commit`] of the same bus.
    pub store: Store,
    /// Large message bytes.
    pub blobs: Blobs,
    /// Wake-ups.
    pub bus: Bus,
    /// DNS.
    pub resolver: Arc<dyn Resolver>,
    /// Outgoing connections on behalf of tenants.
    pub egress: Egress,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids and randomness.
    pub ids: Arc<dyn IdSource>,
    /// Settings.
    pub settings: Settings,
}

/// Passes the store's news on to the bus.
pub fn on_commit(bus: Bus) -> OnCommit {
    Arc::new(move |news: News| {
        for (there_is, topic) in [
            (news.events, Topic::Events),
            (news.outbound, Topic::Outbound),
            (news.webhooks, Topic::Webhooks),
            (news.purges, Topic::Purges),
            (news.domains, Topic::Domains),
            (news.drafts, Topic::Drafts),
            (news.search, Topic::Search),
        ] {
            if there_is {
                bus.publish(topic);
            }
        }
    })
}

impl App {
    /// Puts the product together.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, blobs, bus, resolver, egress, clock, ids, settings } = parts;
        let (link_key, sending) = (OnceLock::new(), Mutex::new(HashSet::new()));
        let used_keys = auth::UsedKeys::default();
        Self {
            inner: Arc::new(Inner {
                store,
                blobs,
                bus,
                resolver,
                egress,
                clock,
                ids,
                settings,
                link_key,
                sending,
                used_keys,
                authentication: receive::AuthenticationCounters::default(),
                objects_removed: AtomicU64::new(0),
                detached: Tasks::new(),
            }),
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Wake-ups, for workers.
    pub fn bus(&self) -> &Bus {
        &self.inner.bus
    }

    /// Outgoing connections, for workers.
    pub fn egress(&self) -> &Egress {
        &self.inner.egress
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Ids and randomness.
    pub fn ids(&self) -> &dyn IdSource {
        &*self.inner.ids
    }

    /// What opening the database did to its schema.
    pub fn migrated(&self) -> podmail_store::Migrated {
        self.store().migrated()
    }

    /// Whether the database answers.
    pub async fn ready(&self) -> Result<()> {
        Ok(self.store().ready().await?)
    }

    /// Whether large message bytes can be stored, read and removed.
    pub async fn probe_blobs(&self) -> Result<()> {
        Ok(self.blobs().probe().await?)
    }

    /// Waits for work that goes on without whoever asked for it; the rest is aborted after `deadline`. For a shutdown,
    /// once nobody asks any more.
    pub async fn finish_detached(&self, deadline: Duration) -> Stopped {
        self.inner.detached.shutdown(deadline).await
    }

    /// Runs work to its end, also when the returned future is dropped: a client that hangs up must not leave half of
    /// it behind.
    pub(crate) async fn detached<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (done, outcome) = tokio::sync::oneshot::channel();
        self.inner.detached.spawn(name, async move {
            // Nobody may be left to be told.
            drop(done.send(work.await));
        });
        outcome.await.map_err(|_| Error::internal(format!("{name}: the task ended without an outcome")))?
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }
    pub(crate) fn blobs(&self) -> &Blobs {
        &self.inner.blobs
    }
    pub(crate) fn resolver(&self) -> &dyn Resolver {
        &*self.inner.resolver
    }
}
