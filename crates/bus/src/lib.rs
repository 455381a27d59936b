//! "There is news": wakes the parts of one node that read the log or lease work. It carries no data and promises
//! nothing: losing every wake-up costs latency (the poll interval), never an event.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

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
}

/// The bus of one node. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Bus {
    topics: Arc<[Notify; 6]>,
}

impl Bus {
    /// Tells of news. Never blocks; news that nobody waits for is remembered once.
    pub fn publish(&self, topic: Topic) {
        self.notify(topic).notify_one();
    }

    /// Waits for news of `topic`, at most `longest`. One waiter per topic and node: a wake-up goes to one of several.
    pub async fn wait(&self, topic: Topic, longest: Duration) {
        // Both outcomes mean the same to the waiter: look.
        drop(tokio::time::timeout(longest, self.notify(topic).notified()).await);
    }

    fn notify(&self, topic: Topic) -> &Notify {
        let [events, outbound, webhooks, purges, domains, drafts] = &*self.topics;
        match topic {
            Topic::Events => events,
            Topic::Outbound => outbound,
            Topic::Webhooks => webhooks,
            Topic::Purges => purges,
            Topic::Domains => domains,
            Topic::Drafts => drafts,
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
}
