//! "There is news": wakes the parts of an installation that read the log or lease work. It carries no data and promises
//! nothing: losing every wake-up costs latency (the poll interval), never an event.
//!
//! Inside a node a [`Bus`] is enough. Between nodes, [`Bus::link`] passes the news on over a [`Wire`]: PostgreSQL's
//! `LISTEN/NOTIFY` ([`Postgres`]) or a NATS server ([`Nats`]).

mod link;
mod nats;
mod postgres;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;

pub use link::Timing;
pub use nats::Nats;
pub use postgres::Postgres;

/// What there may be news of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// New rows in the event log.
    Events,
    /// Outbound mail.
    Outbound,
    /// Webhook deliveries.
    Webhooks,
    /// Deleted inboxes.
    Purges,
    /// Domains to check.
    Domains,
    /// Drafts that were scheduled.
    Drafts,
    /// Messages for the full-text index.
    Search,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Events,
        Self::Outbound,
        Self::Webhooks,
        Self::Purges,
        Self::Domains,
        Self::Drafts,
        Self::Search,
    ];

    /// Its name in notices between nodes; never changed, because nodes of two versions talk to each other.
    const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Outbound => "outbound",
            Self::Webhooks => "webhooks",
            Self::Purges => "purges",
            Self::Domains => "domains",
            Self::Drafts => "drafts",
            Self::Search => "search",
        }
    }

    const fn bit(self) -> u32 {
        match self {
            Self::Events => 1,
            Self::Outbound => 2,
            Self::Webhooks => 4,
            Self::Purges => 8,
            Self::Domains => 16,
            Self::Drafts => 32,
            Self::Search => 64,
        }
    }
}

/// Failures of a wire between nodes. They cost latency only, so they are logged and tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL refused or is away.
    #[error("{0}")]
    Postgres(#[from] sqlx::Error),
    /// NATS refused or is away.
    #[error("NATS: {0}")]
    Nats(String),
    /// The connection ended.
    #[error("the connection was lost")]
    Lost,
}

/// Carries short notices to all nodes of an installation, the sender included.
pub trait Wire: std::fmt::Debug + Send + Sync {
    /// Hands a notice (ASCII, at most some hundred bytes) to the wire.
    fn send<'a>(&'a self, notice: &'a str) -> BoxFuture<'a, Result<(), Error>>;
    /// Begins to listen; notices sent after this returned are received.
    fn listen(&self) -> BoxFuture<'_, Result<Box<dyn Notices>, Error>>;
}

/// Notices that arrive.
pub trait Notices: Send {
    /// The next one. After an error nothing more comes: listen anew.
    fn next(&mut self) -> BoxFuture<'_, Result<String, Error>>;
}

/// The bus of one node. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Bus {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    topics: [Notify; 7],
    /// Topics that other nodes have not been told of yet, as bits.
    untold: AtomicU32,
    /// Told when `untold` got a bit.
    news: Notify,
}

impl Bus {
    /// Tells this node, and other nodes when there is a link to them. Never blocks; news that nobody waits for is
    /// remembered once.
    pub fn publish(&self, topic: Topic) {
        self.notify(topic).notify_one();
        self.untold(topic.bit());
    }

    /// Waits for news of `topic`, at most `longest`. One waiter per topic and node: a wake-up goes to one of several.
    pub async fn wait(&self, topic: Topic, longest: Duration) {
        // Both outcomes mean the same to the waiter: look.
        drop(tokio::time::timeout(longest, self.notify(topic).notified()).await);
    }

    /// Wakes this node only.
    fn wake(&self, topic: Topic) {
        self.notify(topic).notify_one();
    }

    fn untold(&self, bits: u32) {
        self.shared.untold.fetch_or(bits, Ordering::AcqRel);
        self.shared.news.notify_one();
    }

    fn notify(&self, topic: Topic) -> &Notify {
        let [events, outbound, webhooks, purges, domains, drafts, search] = &self.shared.topics;
        match topic {
            Topic::Events => events,
            Topic::Outbound => outbound,
            Topic::Webhooks => webhooks,
            Topic::Purges => purges,
            Topic::Domains => domains,
            Topic::Drafts => drafts,
            Topic::Search => search,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn news_before_the_wait_is_not_lost() {
        let bus = Bus::default();
        bus.publish(Topic::Events);
        tokio::time::timeout(Duration::from_secs(5), bus.wait(Topic::Events, Duration::from_secs(60)))
            .await
            .expect("woken at once");
    }

    #[test]
    fn every_topic_has_a_name_and_a_bit_of_its_own() {
        let names: std::collections::HashSet<_> = Topic::ALL.iter().map(|topic| topic.name()).collect();
        assert_eq!(names.len(), Topic::ALL.len());
        assert_eq!(Topic::ALL.iter().fold(0, |bits, topic| bits | topic.bit()).count_ones(), 7);
    }
}
