//! What delivery workers ask of the product: which deliveries are due, what to post, and what an attempt's end means.
//! Retries, giving up and disabling are decided here; sockets and signatures are the workers'.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use podmail_domain::source::random;
use podmail_domain::{EventId, Timestamp, WebhookId, limits};
use podmail_jobs::{AfterLast, RetrySchedule};
use podmail_store::{WebhookDeliveryKey, WebhookOutcome, WebhookResult, WebhookTarget};

use crate::messages::heavy;
use crate::{App, Result};

/// Each delay of the schedule is lengthened by up to this fraction.
const JITTER: f64 = 0.1;
/// How long what the dispatcher knew of a webhook is good for an attempt.
const FRESH: Duration = Duration::from_millis(250);
/// Compressed payloads above this are decompressed off the reactor.
const INLINE_BYTES: usize = 64 * 1024;

/// A delivery leased by this process.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Which; its `delivery_id` is the `svix-id`.
    pub key: WebhookDeliveryKey,
    /// Of which event.
    pub event_id: EventId,
    /// Attempts that were made before.
    pub attempts: u32,
    /// When it was leased.
    pub leased_at: Timestamp,
    ready: Option<Ready>,
}

/// What the dispatcher already has in its hands.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    pub(super) target: Arc<WebhookTarget>,
    pub(super) body: Bytes,
    pub(super) as_of: Timestamp,
}

impl Delivery {
    pub(super) const fn first(
        key: WebhookDeliveryKey,
        event_id: EventId,
        leased_at: Timestamp,
        ready: Option<Ready>,
    ) -> Self {
        Self { key, event_id, attempts: 0, leased_at, ready }
    }
}

/// A delivery that waits in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub key: WebhookDeliveryKey,
    /// How long until it is due; zero when it is.
    pub wait: Duration,
}

/// What to post.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Where to.
    pub url: String,
    /// `whsec_` and the key in base64.
    pub secret: String,
    /// Custom headers.
    pub headers: Vec<(String, String)>,
    /// The same bytes on every attempt.
    pub body: Bytes,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A 2xx answer.
    Delivered,
    /// Anything else.
    Failed,
    /// A failure whose answer asks for no further attempts.
    Aborted,
    /// No attempt: the webhook or the delivery is gone.
    Dropped,
}

/// An attempt that ended.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// Of what.
    pub delivery: Delivery,
    /// How.
    pub verdict: Verdict,
}

impl App {
    /// Deliveries by due time, also ones that are not due yet; those of the `except`ed webhooks are left out.
    pub async fn next_webhook_deliveries(&self, except: &[WebhookId], limit: usize) -> Result<Vec<Due>> {
        let now = self.now();
        let found = self.store().next_webhook_deliveries(except, limit).await?;
        Ok(found.into_iter().map(|due| Due { key: due.key, wait: due.due_at.since(now) }).collect())
    }

    /// Leases those of the named deliveries that are still due.
    pub async fn lease_webhook_deliveries(
        &self,
        keys: Vec<WebhookDeliveryKey>,
        lease: &str,
    ) -> Result<Vec<Delivery>> {
        let now = self.now();
        let until = now.plus(self.settings().work_lease);
        let leased = self.store().lease_webhook_deliveries(keys, lease, now, until).await?;
        Ok(leased
            .into_iter()
            .map(|found| Delivery {
                key: found.key,
                event_id: found.event_id,
                attempts: found.attempts,
                leased_at: now,
                ready: None,
            })
            .collect())
    }

    /// Gives back deliveries that were leased and not attempted: they are due at once, for any node.
    pub async fn release_webhook_deliveries(&self, keys: Vec<WebhookDeliveryKey>, lease: &str) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        Ok(self.store().release_webhook_deliveries(keys, lease, self.now()).await?)
    }

    /// Whether an attempt may still start: past half of its lease a delivery is left to whoever leases it next.
    pub fn lease_holds(&self, delivery: &Delivery) -> bool {
        self.now().since(delivery.leased_at) <= self.settings().work_lease / 2
    }

    /// What to post, with the webhook as it is now; `None` when the delivery, its webhook or its payload is gone, or
    /// the webhook is disabled.
    pub async fn prepare_webhook_delivery(&self, delivery: &mut Delivery) -> Result<Option<Prepared>> {
        let now = self.now();
        if let Some(ready) = delivery.ready.take()
            && now.since(ready.as_of) <= FRESH
        {
            let WebhookTarget { url, secret, headers, .. } = &*ready.target;
            return Ok(Some(Prepared {
                url: url.clone(),
                secret: secret.clone(),
                headers: headers.clone(),
                body: ready.body,
            }));
        }
        let Some((target, bytes)) = self.store().webhook_attempt(&delivery.key).await? else {
            return Ok(None);
        };
        let body = if bytes.len() > INLINE_BYTES {
            heavy(move || podmail_blob::decompress(&bytes, limits::EVENT_BODY_BYTES)).await??
        } else {
            podmail_blob::decompress(&bytes, limits::EVENT_BODY_BYTES)?
        };
        let WebhookTarget { url, secret, headers, .. } = target;
        Ok(Some(Prepared { url, secret, headers, body: body.into() }))
    }

    /// Records attempts made under `lease`: deletes what was delivered or given up, schedules retries, disables
    /// webhooks that only failed for `webhooks.disable_after`.
    pub async fn record_webhook_attempts(&self, attempts: &[Attempted], lease: &str) -> Result<()> {
        let now = self.now();
        let settings = self.settings();
        let schedule =
            RetrySchedule::new(settings.webhook_retry_delays.clone(), AfterLast::GiveUp).with_jitter(JITTER);
        let results = attempts
            .iter()
            .map(|Attempted { delivery, verdict }| WebhookResult {
                key: delivery.key.clone(),
                event_id: delivery.event_id.clone(),
                outcome: match verdict {
                    Verdict::Delivered => WebhookOutcome::Delivered,
                    Verdict::Aborted => WebhookOutcome::GivenUp,
                    Verdict::Dropped => WebhookOutcome::Dropped,
                    Verdict::Failed => schedule
                        .delay(delivery.attempts.saturating_add(1), self.fraction())
                        .map_or(WebhookOutcome::GivenUp, |delay| WebhookOutcome::Retry {
                            due_at: now.plus(delay),
                        }),
                },
                at: now,
            })
            .collect();
        let disabled =
            self.store().record_webhook_results(results, lease, settings.webhook_disable_after).await?;
        for webhook in disabled {
            tracing::warn!(webhook.id = %webhook, "webhook {webhook} was disabled: every attempt failed for too long");
        }
        Ok(())
    }

    /// Removes payloads that nothing waits for any more.
    pub async fn sweep_event_payloads(&self) -> Result<u64> {
        Ok(self.store().sweep_event_payloads().await?)
    }

    fn fraction(&self) -> f64 {
        f64::from(u32::from_le_bytes(random::<4>(self.ids()))) / f64::from(u32::MAX)
    }
}
