//! Writing down what became of attempts, many at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use podmail_domain::{EventId, OrganizationId, Timestamp, WebhookId};

use super::{CHUNK, WebhookDeliveryKey};
use crate::db::{Value, args};
use crate::messages::tuples;
use crate::webhooks::drop_deliveries;
use crate::writer::Tx;
use crate::{Result, Store};

/// Two failures within this time start the clock that ends in disabling a webhook.
const FAILURE_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// What happens to a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookOutcome {
    /// The receiver has it.
    Delivered,
    /// The attempt failed; the next one is due then.
    Retry {
        /// When.
        due_at: Timestamp,
    },
    /// The attempt failed and was the last one.
    GivenUp,
    /// No attempt was made: the webhook is gone or disabled.
    Dropped,
}

/// The end of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookResult {
    /// Which delivery.
    pub key: WebhookDeliveryKey,
    /// Of which event.
    pub event_id: EventId,
    /// What happens to it.
    pub outcome: WebhookOutcome,
    /// When the attempt ended.
    pub at: Timestamp,
}

type Endpoint = (OrganizationId, WebhookId);

#[derive(Default)]
struct Health {
    succeeded: bool,
    failures: Vec<Timestamp>,
}

impl Store {
    /// Records attempts made under `lease`. Returns the webhooks that were disabled because all attempts of the last
    /// `disable_after` failed. Rows that another worker leased meanwhile are left to it, unless they were delivered.
    pub async fn record_webhook_results(
        &self,
        results: Vec<WebhookResult>,
        lease: &str,
        disable_after: Duration,
    ) -> Result<Vec<WebhookId>> {
        self.write_later((results, lease.to_owned(), disable_after), |tx, (results, lease, disable_after)| {
            Box::pin(async move {
                finish(tx, results).await?;
                postpone(tx, results, lease).await?;
                judge(tx, results, *disable_after).await
            })
        })
        .await
    }

    /// Gives back deliveries that are still leased under `lease`, without an attempt: they are due now.
    pub async fn release_webhook_deliveries(
        &self,
        keys: Vec<WebhookDeliveryKey>,
        lease: &str,
        now: Timestamp,
    ) -> Result<()> {
        self.write((keys, lease.to_owned(), now), |tx, (keys, lease, now)| {
            Box::pin(async move {
                for part in keys.chunks(CHUNK) {
                    let rows: Vec<Vec<Value>> = part.iter().map(WebhookDeliveryKey::values).collect();
                    let (values, mut arguments) = tuples(&rows, 3);
                    let n = arguments.len();
                    arguments.extend(args![*now, lease.as_str()]);
                    let text = format!(
                        "UPDATE webhook_deliveries SET lease = NULL, due_at = ${} \
                         WHERE (organization_id, webhook_id, delivery_id) IN ({values}) AND lease = ${}",
                        n + 1,
                        n + 2
                    );
                    tx.news.webhooks |= tx.run(&text, arguments).await? > 0;
                }
                Ok(())
            })
        })
        .await
    }

    /// Removes payloads that no delivery waits for: two workers that finished the last two deliveries of an event at
    /// the same moment leave one behind (PostgreSQL).
    pub async fn sweep_event_payloads(&self) -> Result<u64> {
        self.write_later((), |tx, ()| {
            Box::pin(tx.run(
                "DELETE FROM event_payloads WHERE NOT EXISTS (SELECT 1 FROM webhook_deliveries d \
                 WHERE d.organization_id = event_payloads.organization_id AND d.event_id = event_payloads.event_id)",
                Vec::new(),
            ))
        })
        .await
    }
}

/// Removes the rows that are done with, and payloads that nobody waits for any more.
async fn finish(tx: &mut Tx, results: &[WebhookResult]) -> Result<()> {
    let done: Vec<&WebhookResult> =
        results.iter().filter(|result| !matches!(result.outcome, WebhookOutcome::Retry { .. })).collect();
    for part in done.chunks(CHUNK) {
        let rows: Vec<Vec<Value>> = part.iter().map(|result| result.key.values()).collect();
        let (values, arguments) = tuples(&rows, 3);
        let text = format!(
            "DELETE FROM webhook_deliveries WHERE (organization_id, webhook_id, delivery_id) IN ({values})"
        );
        tx.run(&text, arguments).await?;
        let mut events: Vec<(OrganizationId, &EventId)> =
            part.iter().map(|result| (result.key.organization_id, &result.event_id)).collect();
        events.sort();
        events.dedup();
        let rows: Vec<Vec<Value>> =
            events.into_iter().map(|(organization, event)| args![organization, event]).collect();
        let (values, arguments) = tuples(&rows, 2);
        let text = format!(
            "DELETE FROM event_payloads WHERE (organization_id, event_id) IN ({values}) AND NOT EXISTS (SELECT 1 \
             FROM webhook_deliveries d WHERE d.organization_id = event_payloads.organization_id \
             AND d.event_id = event_payloads.event_id)"
        );
        tx.run(&text, arguments).await?;
    }
    Ok(())
}

async fn postpone(tx: &mut Tx, results: &[WebhookResult], lease: &str) -> Result<()> {
    let again: Vec<Vec<Value>> = results
        .iter()
        .filter_map(|result| {
            let WebhookOutcome::Retry { due_at } = result.outcome else { return None };
            let mut row = result.key.values();
            row.extend(args![due_at]);
            Some(row)
        })
        .collect();
    for part in again.chunks(CHUNK) {
        let (values, mut arguments) = tuples(part, 4);
        arguments.extend(args![lease]);
        let text = format!(
            "UPDATE webhook_deliveries SET attempts = attempts + 1, due_at = v.due, lease = NULL \
             FROM (SELECT DISTINCT column1 AS o, column2 AS w, column3 AS d, CAST(column4 AS BIGINT) AS due \
             FROM ({values}) AS t) AS v WHERE organization_id = v.o AND webhook_id = v.w AND delivery_id = v.d \
             AND lease = ${}",
            arguments.len()
        );
        tx.run(&text, arguments).await?;
    }
    Ok(())
}

/// Keeps the clocks of failing webhooks and disables those whose time is up.
async fn judge(tx: &mut Tx, results: &[WebhookResult], disable_after: Duration) -> Result<Vec<WebhookId>> {
    let mut endpoints: BTreeMap<Endpoint, Health> = BTreeMap::new();
    for result in results {
        let health =
            endpoints.entry((result.key.organization_id, result.key.webhook_id.clone())).or_default();
        match result.outcome {
            WebhookOutcome::Delivered => health.succeeded = true,
            WebhookOutcome::Retry { .. } | WebhookOutcome::GivenUp => health.failures.push(result.at),
            WebhookOutcome::Dropped => {}
        }
    }
    let well: Vec<Vec<Value>> = endpoints
        .iter()
        .filter(|(_, health)| health.succeeded)
        .map(|((organization, webhook), _)| args![*organization, webhook])
        .collect();
    for part in well.chunks(CHUNK) {
        let (values, arguments) = tuples(part, 2);
        let text = format!(
            "UPDATE webhooks SET failing_since = NULL, last_failure_at = NULL \
             WHERE (organization_id, webhook_id) IN ({values}) AND last_failure_at IS NOT NULL"
        );
        tx.run(&text, arguments).await?;
    }
    let mut disabled = Vec::new();
    for ((organization, webhook), health) in endpoints {
        if !health.succeeded
            && !health.failures.is_empty()
            && failed(tx, organization, &webhook, &health.failures, disable_after).await?
        {
            disabled.push(webhook);
        }
    }
    Ok(disabled)
}

/// Adds failures to a webhook's record; whether it was disabled for them.
async fn failed(
    tx: &mut Tx,
    organization: OrganizationId,
    webhook: &WebhookId,
    failures: &[Timestamp],
    disable_after: Duration,
) -> Result<bool> {
    let row: Option<(Option<i64>, Option<i64>)> = tx
        .one(
            "SELECT failing_since, last_failure_at FROM webhooks \
             WHERE organization_id = $1 AND webhook_id = $2 AND enabled = 1",
            args![organization, webhook],
        )
        .await?;
    let Some((since, last)) = row else { return Ok(false) };
    let (mut since, mut last) = (since.map(Timestamp::from_micros), last.map(Timestamp::from_micros));
    for at in failures {
        if since.is_none() && last.is_some_and(|last| at.since(last) <= FAILURE_WINDOW) {
            since = Some(*at);
        }
        last = last.max(Some(*at));
    }
    let up = since.zip(last).is_some_and(|(since, last)| last.since(since) >= disable_after);
    if !up {
        tx.run(
            "UPDATE webhooks SET failing_since = $3, last_failure_at = $4 \
             WHERE organization_id = $1 AND webhook_id = $2",
            args![organization, webhook, since, last],
        )
        .await?;
        return Ok(false);
    }
    tx.run(
        "UPDATE webhooks SET enabled = 0, failing_since = NULL, last_failure_at = NULL, updated_at = $3 \
         WHERE organization_id = $1 AND webhook_id = $2",
        args![organization, webhook, last],
    )
    .await?;
    drop_deliveries(tx, organization, webhook.as_str()).await?;
    Ok(true)
}
