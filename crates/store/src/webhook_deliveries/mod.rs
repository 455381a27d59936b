//! Posts to make: one row per event and webhook, written with the dispatcher's cursor, leased by workers, gone once the
//! post succeeded or was given up. A payload stays as long as a row of its event.

mod record;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use podmail_domain::{EventId, EventType, OrganizationId, Timestamp, WebhookDeliveryId, WebhookId};

use crate::db::{Bytes, Query, Value, args};
use crate::events::{Event, Position, move_cursor};
use crate::messages::{list, tuples};
use crate::scope::id;
use crate::webhooks::headers;
use crate::{Result, Store, dialect};

pub use record::{WebhookOutcome, WebhookResult};

/// Rows that one statement names by key.
const CHUNK: usize = 256;

/// What an attempt needs to know of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookTarget {
    /// Owner.
    pub organization_id: OrganizationId,
    /// Which.
    pub webhook_id: WebhookId,
    /// Where to post.
    pub url: String,
    /// `whsec_` and the key in base64.
    pub secret: String,
    /// Custom headers.
    pub headers: Vec<(String, String)>,
    /// Subscribed types; `None`: everything but the filtered ones.
    pub event_types: Option<Vec<String>>,
    /// Whether its last attempt failed.
    pub failing: bool,
}

impl WebhookTarget {
    fn takes(&self, event_type: EventType) -> bool {
        match &self.event_types {
            Some(types) => types.iter().any(|name| name == event_type.as_str()),
            None => !matches!(
                event_type,
                EventType::MessageReceivedSpam
                    | EventType::MessageReceivedBlocked
                    | EventType::MessageReceivedUnauthenticated
            ),
        }
    }
}

/// Names one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebhookDeliveryKey {
    /// Owner.
    pub organization_id: OrganizationId,
    /// To whom.
    pub webhook_id: WebhookId,
    /// Which; the `svix-id` of every attempt.
    pub delivery_id: WebhookDeliveryId,
}

impl WebhookDeliveryKey {
    fn values(&self) -> Vec<Value> {
        args![self.organization_id, &self.webhook_id, &self.delivery_id]
    }
}

/// A delivery to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWebhookDelivery {
    /// Which.
    pub key: WebhookDeliveryKey,
    /// Of which event.
    pub event_id: EventId,
    /// When it is due; the end of the lease when it is leased.
    pub due_at: Timestamp,
    /// The worker that makes the first attempt at once.
    pub lease: Option<String>,
    /// Now.
    pub created_at: Timestamp,
}

/// A payload to keep while deliveries need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEventPayload {
    /// Owner.
    pub organization_id: OrganizationId,
    /// Of which event.
    pub event_id: EventId,
    /// Compressed.
    pub bytes: Vec<u8>,
}

/// What a dispatcher derived from a piece of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookFanout {
    /// Where the cursor stood.
    pub from: Position,
    /// Where it stands afterwards.
    pub to: Position,
    /// One per event with deliveries.
    pub payloads: Vec<NewEventPayload>,
    /// One per event and webhook.
    pub deliveries: Vec<NewWebhookDelivery>,
}

/// A delivery that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueWebhookDelivery {
    /// Which.
    pub key: WebhookDeliveryKey,
    /// When it is due.
    pub due_at: Timestamp,
}

/// A delivery that this worker may attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeasedWebhookDelivery {
    /// Which.
    pub key: WebhookDeliveryKey,
    /// Of which event.
    pub event_id: EventId,
    /// Attempts that were made.
    pub attempts: u32,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct TargetRow {
    kind: String,
    channel: String,
    organization_id: String,
    webhook_id: String,
    url: String,
    secret: String,
    headers: Option<String>,
    event_types: Option<String>,
    last_failure_at: Option<i64>,
}

type Channel = (OrganizationId, &'static str, String);

/// Where webhooks listen that hear of this event.
fn channels(event: &Event) -> Vec<Channel> {
    let organization = event.scope.organization();
    let mut channels = vec![(organization, "organization", String::new())];
    channels.extend(event.scope.pod().map(|pod| (organization, "pod", pod.to_string())));
    channels.extend(event.scope.inbox().map(|inbox| (organization, "inbox", inbox.key.to_string())));
    channels
}

impl Store {
    /// The enabled webhooks that each of these events goes to, each webhook once per event.
    pub async fn webhooks_of(&self, events: &[Event]) -> Result<Vec<Vec<Arc<WebhookTarget>>>> {
        let wanted: HashSet<Channel> = events.iter().flat_map(channels).collect();
        let rows: Vec<Vec<Value>> = wanted
            .into_iter()
            .map(|(organization, kind, channel)| args![organization, kind, channel])
            .collect();
        let (mut listening, mut targets) =
            (HashMap::<Channel, Vec<Arc<WebhookTarget>>>::new(), HashMap::new());
        let mut conn = self.reader().await?;
        for part in rows.chunks(CHUNK) {
            let (values, arguments) = tuples(part, 3);
            let text = format!(
                // CROSS: SQLite keeps the order of the tables and does not begin with all webhooks.
                "SELECT c.kind, c.channel, w.organization_id, w.webhook_id, w.url, w.secret, w.headers, \
                 w.event_types, w.last_failure_at FROM webhook_channels c CROSS JOIN webhooks w \
                 WHERE w.organization_id = c.organization_id AND w.webhook_id = c.webhook_id \
                 AND (c.organization_id, c.kind, c.channel) IN ({values}) AND w.enabled = 1"
            );
            for row in conn.all::<TargetRow>(&text, arguments).await? {
                let kind = match row.kind.as_str() {
                    "organization" => "organization",
                    "pod" => "pod",
                    _ => "inbox",
                };
                let channel = (id(&row.organization_id, OrganizationId::parse)?, kind, row.channel.clone());
                let known = targets.get(&row.webhook_id).cloned();
                let target = match known {
                    Some(target) => target,
                    None => {
                        let target = Arc::new(target(&row)?);
                        targets.insert(row.webhook_id, Arc::clone(&target));
                        target
                    }
                };
                listening.entry(channel).or_default().push(target);
            }
        }
        Ok(events.iter().map(|event| takers(event, &listening)).collect())
    }

    /// Writes payloads, deliveries and the cursor in one transaction; `false`, and nothing written, when another
    /// dispatcher was there first.
    pub async fn write_webhook_fanout(&self, cursor: &str, fanout: Arc<WebhookFanout>) -> Result<bool> {
        self.write((cursor.to_owned(), fanout), |tx, (cursor, fanout)| {
            Box::pin(async move {
                if !move_cursor(tx, cursor, fanout.from, fanout.to).await? {
                    return Ok(false);
                }
                let payloads = fanout
                    .payloads
                    .iter()
                    .map(|payload| args![payload.organization_id, &payload.event_id, payload.bytes.clone()])
                    .collect();
                tx.insert(
                    "INSERT INTO event_payloads (organization_id, event_id, bytes)",
                    3,
                    " ON CONFLICT (organization_id, event_id) DO NOTHING",
                    payloads,
                )
                .await?;
                let mut rows = VecDeque::with_capacity(fanout.deliveries.len());
                for delivery in &fanout.deliveries {
                    tx.news.webhooks |= delivery.lease.is_none();
                    let mut row = delivery.key.values();
                    row.extend(args![
                        &delivery.event_id,
                        0_i64,
                        delivery.due_at,
                        delivery.lease.clone(),
                        delivery.created_at
                    ]);
                    rows.push_back(row);
                }
                tx.insert(
                    "INSERT INTO webhook_deliveries (organization_id, webhook_id, delivery_id, event_id, attempts, \
                     due_at, lease, created_at)",
                    8,
                    "",
                    rows,
                )
                .await?;
                Ok(true)
            })
        })
        .await
    }

    /// Deliveries by due time, those of the `except`ed webhooks left out; also ones that are not due yet.
    pub async fn next_webhook_deliveries(
        &self,
        except: &[WebhookId],
        limit: usize,
    ) -> Result<Vec<DueWebhookDelivery>> {
        let mut query = Query::new(
            "SELECT organization_id, webhook_id, delivery_id, due_at FROM webhook_deliveries WHERE due_at >= $1",
            args![i64::MIN],
        );
        if let Some(last) = except.last() {
            let count = except.len().next_power_of_two();
            let marks = vec!["?"; count].join(",");
            let padded = except.iter().chain(std::iter::repeat_n(last, count - except.len()));
            query.and(&format!("webhook_id NOT IN ({marks})"), padded.map(Value::from).collect());
        }
        query.push(" ORDER BY due_at LIMIT ?", args![limit]);
        let rows: Vec<(String, String, String, i64)> = query.all(&mut self.reader().await?).await?;
        rows.into_iter()
            .map(|(organization, webhook, delivery, due_at)| {
                Ok(DueWebhookDelivery {
                    key: key(&organization, &webhook, &delivery)?,
                    due_at: Timestamp::from_micros(due_at),
                })
            })
            .collect()
    }

    /// Leases those of the named deliveries that are still there and due, until `until`.
    pub async fn lease_webhook_deliveries(
        &self,
        keys: Vec<WebhookDeliveryKey>,
        lease: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<LeasedWebhookDelivery>> {
        self.write((keys, lease.to_owned(), now, until), |tx, (keys, lease, now, until)| {
            Box::pin(async move {
                let mut leased = Vec::with_capacity(keys.len());
                for part in keys.chunks(CHUNK) {
                    let rows: Vec<Vec<Value>> = part.iter().map(WebhookDeliveryKey::values).collect();
                    let (values, mut arguments) = tuples(&rows, 3);
                    let n = arguments.len();
                    arguments.extend(args![lease.as_str(), *until, *now]);
                    let text = format!(
                        "UPDATE webhook_deliveries SET lease = ${}, due_at = ${} \
                         WHERE (organization_id, webhook_id, delivery_id) IN (SELECT organization_id, webhook_id, \
                         delivery_id FROM webhook_deliveries WHERE (organization_id, webhook_id, delivery_id) \
                         IN ({values}) AND due_at <= ${}{}) \
                         RETURNING organization_id, webhook_id, delivery_id, event_id, attempts",
                        n + 1,
                        n + 2,
                        n + 3,
                        dialect::skip_locked(tx.engine()),
                    );
                    for (organization, webhook, delivery, event, attempts) in
                        tx.all::<(String, String, String, String, i64)>(&text, arguments).await?
                    {
                        leased.push(LeasedWebhookDelivery {
                            key: key(&organization, &webhook, &delivery)?,
                            event_id: id(&event, EventId::parse)?,
                            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
                        });
                    }
                }
                Ok(leased)
            })
        })
        .await
    }

    /// What an attempt needs: the webhook as it is now and the compressed payload. `None` when the delivery, its
    /// webhook or its payload is gone, or the webhook is disabled.
    pub async fn webhook_attempt(
        &self,
        delivery: &WebhookDeliveryKey,
    ) -> Result<Option<(WebhookTarget, Vec<u8>)>> {
        #[derive(sqlx::FromRow, serde::Deserialize)]
        struct Row {
            url: String,
            secret: String,
            headers: Option<String>,
            last_failure_at: Option<i64>,
            bytes: Bytes,
        }
        let row: Option<Row> = self
            .reader()
            .await?
            .one(
                "SELECT w.url, w.secret, w.headers, w.last_failure_at, p.bytes FROM webhook_deliveries d \
                 JOIN webhooks w ON w.organization_id = d.organization_id AND w.webhook_id = d.webhook_id \
                 JOIN event_payloads p ON p.organization_id = d.organization_id AND p.event_id = d.event_id \
                 WHERE d.organization_id = $1 AND d.webhook_id = $2 AND d.delivery_id = $3 AND w.enabled = 1",
                delivery.values(),
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let target = WebhookTarget {
            organization_id: delivery.organization_id,
            webhook_id: delivery.webhook_id.clone(),
            url: row.url,
            secret: row.secret,
            headers: headers(row.headers.as_deref())?,
            event_types: None,
            failing: row.last_failure_at.is_some(),
        };
        Ok(Some((target, row.bytes.0)))
    }
}

fn key(organization: &str, webhook: &str, delivery: &str) -> Result<WebhookDeliveryKey> {
    Ok(WebhookDeliveryKey {
        organization_id: id(organization, OrganizationId::parse)?,
        webhook_id: id(webhook, WebhookId::parse)?,
        delivery_id: id(delivery, WebhookDeliveryId::parse)?,
    })
}

fn target(row: &TargetRow) -> Result<WebhookTarget> {
    Ok(WebhookTarget {
        organization_id: id(&row.organization_id, OrganizationId::parse)?,
        webhook_id: id(&row.webhook_id, WebhookId::parse)?,
        url: row.url.clone(),
        secret: row.secret.clone(),
        headers: headers(row.headers.as_deref())?,
        event_types: row.event_types.as_deref().map(list).transpose()?,
        failing: row.last_failure_at.is_some(),
    })
}

fn takers(event: &Event, listening: &HashMap<Channel, Vec<Arc<WebhookTarget>>>) -> Vec<Arc<WebhookTarget>> {
    let mut seen = HashSet::new();
    channels(event)
        .iter()
        .filter_map(|channel| listening.get(channel))
        .flatten()
        .filter(|target| target.takes(event.event_type) && seen.insert(target.webhook_id.as_str()))
        .cloned()
        .collect()
}
