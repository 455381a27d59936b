//! All SQL of Podmail: both engines, migrations, and the [`Scope`] without which no tenant data can be read.
//!
//! Reads go through a pool, writes through the writer (see the module `writer`): nobody is answered before the commit
//! that holds his change is durable. What several readers derive from a change (webhooks, for one) they read from the
//! event log with a cursor of their own.

mod db;
mod deliveries;
mod dialect;
mod domains;
mod drafts;
mod embedded;
mod error;
mod events;
mod history;
mod inboxes;
mod insert;
mod installation;
mod keys;
mod lists;
mod messages;
mod migrate;
mod objects;
mod opens;
mod organizations;
mod page;
mod pods;
mod quota;
mod retention;
mod routes;
mod scope;
mod search;
mod texts;
mod threads;
mod webhook_deliveries;
mod webhooks;
mod writer;

use std::fmt;
use std::sync::Arc;

use podmail_domain::IdSource;

pub use db::{Engine, Location};
pub use deliveries::{
    BounceReport, ClaimedRecipient, Complainer, Complaint, DeliveryClaim, DeliveryContent, DeliveryOutcome,
    DeliveryReport, Finished, LeaseRequest, Reported, ReportedMessage, SentMessage,
};
pub use domains::{
    Domain, DomainAdmission, DomainChange, DomainCreated, DomainFlags, DomainStatus, NewDomain, NextCheck,
    SendingDomain,
};
pub use drafts::{
    Draft, DraftChange, DraftChanged, DraftClaim, DraftClaimed, DraftContent, DraftCreated, DraftDeleted,
    DraftFile, DraftFilter, DraftKind, DraftRelease, DraftState, NewDraft, SendFailure, Set,
};
pub use error::{Error, Result};
pub use events::{Event, Log, Position};
pub use history::LabelEvent;
pub use inboxes::{
    GoverningDomain, Inbox, InboxChange, InboxChanged, InboxCreated, InboxPlace, Metadata, MetadataChange,
    NewInbox, PurgeStep, SubdomainUse,
};
pub use insert::{Announce, NewDelivery, NewMessage, Stored};
pub use keys::{
    ApiKey, ApiKeyChange, KeyFamily, KeyLevel, KeyRegistered, KeySecret, KeyWritten, NewApiKey, NewPublicKey,
    PublicKey,
};
pub use lists::{ListEntryDeleted, ListMatches, ListName, StoredListEntry, Suppression};
pub use messages::{LabelChange, Message, MessageFilter, Relabelled, StoredBytes};
pub use migrate::Migrated;
pub use organizations::{DEFAULT_POD_NAME, Limits, NewOrganization, Organization, OrganizationChange};
pub use page::{Cursor, Order, Page};
pub use pods::{Pod, PodDeleted};
pub use quota::SendUsage;
pub use retention::{CLEAN_ROWS, CleanBefore, Cleaned};
pub use routes::Route;
pub use scope::{Credential, InboxRef, Scope};
pub use search::{
    Alternative, Lookup, SearchDocument, SearchHit, SearchIndex, SearchWindow, Terms, document_time,
};
pub use texts::{AttachmentText, TextJob};
pub use threads::{MessageHead, Thread, ThreadFilter, ThreadRelabelled, ThreadTime};
pub use webhook_deliveries::{
    DueWebhookDelivery, LeasedWebhookDelivery, NewEventPayload, NewWebhookDelivery, WebhookDeliveryKey,
    WebhookFanout, WebhookOutcome, WebhookResult, WebhookTarget,
};
pub use webhooks::{HeadersChanged, NewWebhook, Webhook, WebhookChange, WebhookChanged, WebhookCreated};
pub use writer::{News, OnCommit};

/// The open store. Cloning is cheap and shares everything.
#[derive(Clone)]
pub struct Store {
    db: db::Db,
    writer: writer::Writer,
    router: routes::Router,
    migrated: Migrated,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("engine", &self.db.engine()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database, brings its schema up to date, and returns the store with the task that writes and routes: whoever
    /// opens a store has to run that task until the last handle is gone. `on_commit` hears of news after each commit.
    pub async fn open(
        location: &Location,
        ids: Arc<dyn IdSource>,
        on_commit: OnCommit,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static)> {
        let db = db::Db::open(location).await?;
        let migrated = migrate::run(&db).await?;
        let (writer, task) = writer::Writer::new(db.clone(), ids, on_commit);
        let (router, routing) = routes::Router::new(db.clone());
        let task = async move {
            futures_util::future::join(task, routing).await;
        };
        Ok((Self { db, writer, router, migrated }, task))
    }

    /// Which engine this is.
    pub const fn engine(&self) -> Engine {
        self.db.engine()
    }

    /// What opening did to the schema.
    pub const fn migrated(&self) -> Migrated {
        self.migrated
    }

    /// Whether the database answers.
    pub async fn ready(&self) -> Result<()> {
        self.reader().await?.count("SELECT COUNT(*) FROM schema_minimum", Vec::new()).await?;
        Ok(())
    }

    /// Closes the pools; what was not acknowledged is gone, what was is safe.
    pub async fn close(&self) {
        self.db.close().await;
    }

    async fn reader(&self) -> Result<db::Conn> {
        self.db.reader().await
    }

    async fn write<A, T>(&self, args: A, body: writer::Body<A, T>) -> Result<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.writer.write(args, body).await
    }

    async fn write_later<A, T>(&self, args: A, body: writer::Body<A, T>) -> Result<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.writer.write_later(args, body).await
    }
}
