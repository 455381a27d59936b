//! Passes news on between nodes. One task tells: whatever became known within a few milliseconds is one notice, apart
//! from the transactions that brought it. The other listens, and starts again when its connection ends.
//!
//! A node that sends nothing sends an empty notice now and then. It hears its own, so silence means that the connection
//! is dead, or that something between here and the server swallows subscriptions.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{Bus, Error, Notices, Topic, Wire};

/// Longer notices are no notices of ours.
const NOTICE_BYTES: usize = 512;

/// The times of a link.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Least time between two notices of a node.
    pub pace: Duration,
    /// A node that had nothing to tell for this long sends an empty notice.
    pub heartbeat: Duration,
    /// Hearing nothing for this long means that nothing gets through.
    pub silence: Duration,
    /// How long sending a notice or beginning to listen may take.
    pub longest: Duration,
    /// First and longest pause after a failure.
    pub backoff: (Duration, Duration),
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            pace: Duration::from_millis(3),
            heartbeat: Duration::from_secs(30),
            silence: Duration::from_secs(100),
            longest: Duration::from_secs(10),
            backoff: (Duration::from_millis(100), Duration::from_secs(30)),
        }
    }
}

impl Timing {
    /// Pause after that many failures in a row, doubling from the first to the longest.
    fn pause(&self, failures: u32) -> Duration {
        let (first, longest) = self.backoff;
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        first.saturating_mul(factor).min(longest)
    }
}

impl Bus {
    /// Exchanges news with the other nodes until `token` is cancelled; what is untold by then is told before this
    /// returns. `node` names this node among them, without spaces.
    pub async fn link(&self, wire: Arc<dyn Wire>, node: &str, timing: Timing, token: CancellationToken) {
        let listening = async {
            tokio::select! {
                () = token.cancelled() => {}
                () = self.hear(&*wire, node, timing) => {}
            }
        };
        futures_util::future::join(self.tell(&*wire, node, timing, &token), listening).await;
    }

    async fn tell(&self, wire: &dyn Wire, node: &str, timing: Timing, token: &CancellationToken) {
        let mut failures = 0;
        loop {
            let last = tokio::select! {
                biased;
                () = token.cancelled() => true,
                () = self.shared.news.notified() => false,
                () = tokio::time::sleep(timing.heartbeat) => false,
            };
            let bits = self.shared.untold.swap(0, Ordering::AcqRel);
            if last && bits == 0 {
                return;
            }
            let sent = timeout(timing.longest, wire.send(&notice(node, bits))).await;
            let pause = match sent.unwrap_or(Err(Error::Lost)) {
                Ok(()) => {
                    failures = 0;
                    timing.pace
                }
                Err(error) => {
                    failures += 1;
                    if failures == 1 {
                        tracing::warn!(error = %error, "other nodes cannot be told of news; they look by themselves");
                    }
                    self.untold(bits);
                    timing.pause(failures)
                }
            };
            if last {
                return;
            }
            tokio::select! {
                () = token.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn hear(&self, wire: &dyn Wire, node: &str, timing: Timing) {
        let mut failures = 0;
        loop {
            let listening = timeout(timing.longest, wire.listen()).await.unwrap_or(Err(Error::Lost));
            let error = match listening {
                Ok(mut notices) => {
                    // Whatever was told while nobody listened.
                    Topic::ALL.into_iter().for_each(|topic| self.wake(topic));
                    self.receive(&mut *notices, node, timing.silence, &mut failures).await
                }
                Err(error) => error,
            };
            failures += 1;
            if failures == 1 {
                tracing::warn!(error = %error, "news of other nodes is not heard; this one looks by itself");
            }
            tokio::time::sleep(timing.pause(failures)).await;
        }
    }

    /// Wakes this node by what arrives, until nothing does any more.
    async fn receive(
        &self,
        notices: &mut dyn Notices,
        node: &str,
        silence: Duration,
        failures: &mut u32,
    ) -> Error {
        loop {
            match timeout(silence, notices.next()).await {
                Ok(Ok(text)) => {
                    if std::mem::take(failures) > 0 {
                        tracing::info!("news of other nodes is heard again");
                    }
                    for topic in topics(&text, node) {
                        self.wake(topic);
                    }
                }
                Ok(Err(error)) => return error,
                Err(_) => return Error::Lost,
            }
        }
    }
}

/// The node's name and those of the topics.
fn notice(node: &str, bits: u32) -> String {
    let mut text = node.to_owned();
    for topic in Topic::ALL.into_iter().filter(|topic| bits & topic.bit() != 0) {
        text.push(' ');
        text.push_str(topic.name());
    }
    text
}

/// What another node tells; nothing when it is our own notice. Names of newer nodes' topics are skipped.
fn topics<'a>(text: &'a str, node: &str) -> impl Iterator<Item = Topic> + use<'a> {
    let mut words = if text.len() <= NOTICE_BYTES { text } else { "" }.split(' ');
    let own = words.next() == Some(node);
    let known = |word: &str| Topic::ALL.into_iter().find(|topic| topic.name() == word);
    words.filter(move |_| !own).filter_map(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let timing = Timing::default();
        let pauses = [1, 2, 3, 9, 10, 4_000_000].map(|failures| timing.pause(failures).as_millis());
        assert_eq!(pauses, [100, 200, 400, 25_600, 30_000, 30_000]);
    }

    #[test]
    fn a_notice_names_its_topics_and_is_not_heard_by_its_sender() {
        let text = notice("a", Topic::Events.bit() | Topic::Domains.bit());
        assert_eq!(text, "a events domains");
        assert_eq!(topics(&text, "b").collect::<Vec<_>>(), [Topic::Events, Topic::Domains]);
        assert_eq!(topics(&text, "a").count(), 0);
        assert_eq!(topics("z novelties outbound", "a").collect::<Vec<_>>(), [Topic::Outbound]);
        assert_eq!(topics(&format!("z {}", "events ".repeat(100)), "a").count(), 0);
    }
}
