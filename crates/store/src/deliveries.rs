//! Outbound mail: which copies are due, who works on them, and what became of them. The worker's side of a send.
//!
//! A leased row is `ready` with a lease token and a `due_at` in the future: a worker that dies loses its lease when
//! that time comes, not the work. Everything that a worker reports names its token, so that one that lost its lease
//! changes nothing. What one attempt brings commits together, see [`finish`]; what is learned after a delivery ended comes
//! in through [`report`].

mod finish;
mod record;
mod report;

use std::collections::HashMap;
use std::time::Duration;

use podmail_domain::{DeliveryId, DomainName, InboxId, MessageId, MessageKey, PodId, ThreadId, Timestamp};

pub use finish::{DeliveryOutcome, DeliveryReport, Finished};
pub use record::SentMessage;
pub use report::{BounceReport, Complainer, Complaint, Reported, ReportedMessage};

use crate::db::{Bytes, Query, Value, args};
use crate::dialect;
use crate::messages::StoredBytes;
use crate::scope::{Scope, id, stored_scope};
use crate::{Result, Store};

/// Due rows that one look considers, per claim that is asked for. Rows of busy pods and destinations do not count.
const WINDOW: usize = 16;
/// Bounds of that window.
const WINDOW_BOUNDS: (usize, usize) = (128, 1024);
/// Recipients of one claim, and so of one SMTP transaction; the rest of the message follows in another one.
const CLAIM_RECIPIENTS: usize = 100;

/// What a worker asks for, and what it is busy with already.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// Claims at most.
    pub limit: usize,
    /// Names the lease; never used before.
    pub token: String,
    /// Now.
    pub now: Timestamp,
    /// How long the rows stay out of reach.
    pub lease: Duration,
    /// Claims of one destination at most, those in `destinations` included.
    pub per_destination: usize,
    /// Claims of one pod at most, those in `pods` included.
    pub per_pod: usize,
    /// Claims being worked on, by destination.
    pub destinations: HashMap<String, usize>,
    /// Claims being worked on, by pod.
    pub pods: HashMap<PodId, usize>,
}

/// Recipients of one message at one destination, leased together.
#[derive(Clone, Debug)]
pub struct DeliveryClaim {
    /// The sending inbox.
    pub scope: Scope,
    /// Which message.
    pub message_key: MessageKey,
    /// Its id, as in its bytes.
    pub message_id: MessageId,
    /// Its thread.
    pub thread_id: ThreadId,
    /// Where its bytes lie when they are not inline.
    pub object: Option<String>,
    /// Domain of the recipients.
    pub destination: String,
    /// The lease.
    pub token: String,
    /// In the order of the send; never empty.
    pub recipients: Vec<ClaimedRecipient>,
}

/// One recipient of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedRecipient {
    /// Which row.
    pub delivery_id: DeliveryId,
    /// Bare address.
    pub address: String,
    /// Finished attempts.
    pub attempts: u32,
    /// When to give up.
    pub expires_at: Timestamp,
}

/// What is needed to put a claim on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryContent {
    /// `None`: they are lost.
    pub bytes: Option<StoredBytes>,
    /// The registered domain that covers the sending inbox; `None` on the shared domain, or when the inbox is gone.
    pub governing_domain: Option<String>,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct CandidateRow {
    organization_id: String,
    inbox_key: String,
    message_key: String,
    pod_id: String,
    destination: String,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct LeasedRow {
    delivery_id: String,
    recipient: String,
    attempts: i64,
    expires_at: i64,
    inbox_id: String,
    message_id: String,
    thread_id: String,
    object: Option<String>,
}

impl Store {
    /// Takes due mail, oldest first, so that no destination and no pod gets more than its share: a slow destination or
    /// a noisy pod delays only itself. Rows of one message and destination come together.
    pub async fn lease_deliveries(&self, request: LeaseRequest) -> Result<Vec<DeliveryClaim>> {
        let candidates = self.due(&request).await?;
        let chosen = choose(candidates, &request)?;
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        self.write((request, chosen), |tx, (request, chosen)| {
            Box::pin(async move {
                let skip = dialect::skip_locked(tx.engine());
                // No index gives this order or compares that sum: so the rows of the one message are looked up, and not
                // everything that is due.
                let text = format!(
                    "UPDATE deliveries SET lease = $1, due_at = $2, updated_at = $3 WHERE organization_id = $4 \
                     AND delivery_id IN (SELECT delivery_id FROM deliveries WHERE organization_id = $4 \
                     AND inbox_key = $5 AND message_key = $6 AND destination = $7 AND state = 'ready' \
                     AND due_at + 0 <= $3 ORDER BY delivery_id || '' LIMIT $8{skip}) \
                     RETURNING delivery_id, recipient, attempts, expires_at, inbox_id, message_id, thread_id, object"
                );
                let mut claims = Vec::with_capacity(chosen.len());
                for candidate in chosen {
                    let rows: Vec<LeasedRow> = tx
                        .all(
                            &text,
                            args![
                                request.token.as_str(),
                                request.now.plus(request.lease),
                                request.now,
                                candidate.organization_id.as_str(),
                                candidate.inbox_key.as_str(),
                                candidate.message_key.as_str(),
                                candidate.destination.as_str(),
                                CLAIM_RECIPIENTS
                            ],
                        )
                        .await?;
                    // Empty: another node was faster.
                    claims.extend(claim(candidate, &request.token, rows)?);
                }
                Ok(claims)
            })
        })
        .await
    }

    /// One candidate per message and destination, those of busy pods and destinations left out, each destination's
    /// and each pod's oldest first.
    async fn due(&self, request: &LeaseRequest) -> Result<Vec<CandidateRow>> {
        let window = (request.limit * WINDOW).clamp(WINDOW_BOUNDS.0, WINDOW_BOUNDS.1);
        // Across tenants by purpose: the queue belongs to the server.
        let mut query = Query::new(
            "WITH due AS (SELECT organization_id, inbox_key, message_key, pod_id, destination, due_at \
             FROM deliveries WHERE state = 'ready' AND due_at <= $1",
            args![request.now],
        );
        let full = |(name, count): (String, usize), most: usize| (count >= most).then(|| Value::from(name));
        let destinations = request.destinations.iter();
        let destinations = destinations.filter_map(|(d, n)| full((d.clone(), *n), request.per_destination));
        exclude(&mut query, "destination", destinations.collect());
        let pods = request.pods.iter().filter_map(|(pod, n)| full((pod.to_string(), *n), request.per_pod));
        exclude(&mut query, "pod_id", pods.collect());
        query.push(
            " ORDER BY due_at LIMIT ?), \
             wanted AS (SELECT organization_id, inbox_key, message_key, pod_id, destination, MIN(due_at) AS due_at \
             FROM due GROUP BY organization_id, inbox_key, message_key, pod_id, destination), \
             by_destination AS (SELECT wanted.*, ROW_NUMBER() OVER \
             (PARTITION BY destination ORDER BY due_at, message_key) AS at_destination FROM wanted), \
             by_pod AS (SELECT by_destination.*, ROW_NUMBER() OVER \
             (PARTITION BY pod_id ORDER BY due_at, message_key) AS at_pod FROM by_destination \
             WHERE at_destination <= ?) \
             SELECT organization_id, inbox_key, message_key, pod_id, destination FROM by_pod \
             WHERE at_pod <= ? ORDER BY at_pod, due_at, message_key",
            args![window, request.per_destination, request.per_pod],
        );
        query.all(&mut self.reader().await?).await
    }

    /// Keeps a claim for longer; `false`: the lease is lost.
    pub async fn renew_delivery(&self, claim: &DeliveryClaim, until: Timestamp) -> Result<bool> {
        self.write((claim.clone(), until), |tx, (claim, until)| {
            Box::pin(async move {
                let touched = tx
                    .run(
                        "UPDATE deliveries SET due_at = $1 WHERE organization_id = $2 AND inbox_key = $3 \
                         AND message_key = $4 AND destination = $5 AND state = 'ready' AND lease = $6",
                        args![
                            *until,
                            claim.scope.organization(),
                            claim.scope.inbox_key()?,
                            claim.message_key,
                            claim.destination.as_str(),
                            claim.token.as_str()
                        ],
                    )
                    .await?;
                Ok(touched > 0)
            })
        })
        .await
    }

    /// Gives a claim back unfinished: it is due again at once.
    pub async fn release_delivery(&self, claim: &DeliveryClaim, now: Timestamp) -> Result<()> {
        self.write((claim.clone(), now), |tx, (claim, now)| {
            Box::pin(async move {
                tx.run(
                    "UPDATE deliveries SET due_at = $1, lease = NULL WHERE organization_id = $2 AND inbox_key = $3 \
                     AND message_key = $4 AND destination = $5 AND state = 'ready' AND lease = $6",
                    args![
                        *now,
                        claim.scope.organization(),
                        claim.scope.inbox_key()?,
                        claim.message_key,
                        claim.destination.as_str(),
                        claim.token.as_str()
                    ],
                )
                .await?;
                tx.news.outbound = true;
                Ok(())
            })
        })
        .await
    }

    /// The bytes of a claimed message, also when the message was deleted meanwhile, and who signs it.
    pub async fn delivery_content(&self, claim: &DeliveryClaim) -> Result<DeliveryContent> {
        let (organization, inbox) = (claim.scope.organization(), claim.scope.inbox_key()?);
        let mut conn = self.reader().await?;
        let bytes = match &claim.object {
            Some(object) => Some(StoredBytes::Object(object.clone())),
            None => conn
                .one::<(Bytes,)>(
                    "SELECT bytes FROM message_bytes WHERE organization_id = $1 AND inbox_key = $2 \
                     AND message_key = $3",
                    args![organization, inbox, claim.message_key],
                )
                .await?
                .map(|(bytes,)| StoredBytes::Inline(bytes.0)),
        };
        let governing: Option<(Option<String>,)> = conn
            .one(
                "SELECT governing_domain FROM inboxes WHERE organization_id = $1 AND inbox_key = $2",
                args![organization, inbox],
            )
            .await?;
        Ok(DeliveryContent { bytes, governing_domain: governing.and_then(|(domain,)| domain) })
    }

    /// Whether a registered domain of this installation takes mail for `domain`: it was verified, receives, and is the
    /// domain itself or covers its subdomains.
    pub async fn domain_is_served(&self, domain: &DomainName) -> Result<bool> {
        let mut query = Query::new(
            "SELECT COUNT(*) FROM domain_directory d JOIN domains m ON m.organization_id = d.organization_id \
             AND m.domain = d.domain WHERE m.verified_at IS NOT NULL AND m.inbound_enabled = 1 \
             AND (m.domain = $1 OR m.subdomains_enabled = 1)",
            args![domain.as_str()],
        );
        let names: Vec<Value> =
            std::iter::once(domain.as_str().to_owned()).chain(domain.parents()).map(Value::from).collect();
        query.and(&format!("d.domain IN ({})", vec!["?"; names.len()].join(",")), names);
        let found: Vec<(i64,)> = query.all(&mut self.reader().await?).await?;
        Ok(found.first().is_some_and(|(count,)| *count > 0))
    }
}

/// Leaves out rows with one of these values; the number of placeholders is a power of two, so that the statement cache
/// holds few texts.
fn exclude(query: &mut Query, column: &str, mut values: Vec<Value>) {
    let Some(last) = values.last().cloned() else { return };
    values.resize(values.len().next_power_of_two(), last);
    query.and(&format!("{column} NOT IN ({})", vec!["?"; values.len()].join(",")), values);
}

/// Fills what is free without exceeding anybody's share, and sorts the result so that all nodes lock in one order.
fn choose(candidates: Vec<CandidateRow>, request: &LeaseRequest) -> Result<Vec<CandidateRow>> {
    let (mut destinations, mut pods) = (request.destinations.clone(), request.pods.clone());
    let mut chosen = Vec::new();
    for candidate in candidates {
        if chosen.len() >= request.limit {
            break;
        }
        let pod = pods.entry(id(&candidate.pod_id, PodId::parse)?).or_default();
        let destination = destinations.entry(candidate.destination.clone()).or_default();
        if *pod < request.per_pod && *destination < request.per_destination {
            *pod += 1;
            *destination += 1;
            chosen.push(candidate);
        }
    }
    chosen.sort_by(|a, b| {
        let key = |row: &CandidateRow| {
            (
                row.organization_id.clone(),
                row.inbox_key.clone(),
                row.message_key.clone(),
                row.destination.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    Ok(chosen)
}

fn claim(candidate: &CandidateRow, token: &str, mut rows: Vec<LeasedRow>) -> Result<Option<DeliveryClaim>> {
    rows.sort_by(|a, b| a.delivery_id.cmp(&b.delivery_id));
    let Some(first) = rows.first() else { return Ok(None) };
    let inbox = id(&first.inbox_id, InboxId::parse)?;
    let scope = stored_scope(
        &candidate.organization_id,
        Some(&candidate.pod_id),
        Some(&candidate.inbox_key),
        Some(inbox.as_str()),
    )?;
    Ok(Some(DeliveryClaim {
        scope,
        message_key: id(&candidate.message_key, MessageKey::parse)?,
        message_id: MessageId::new(&first.message_id),
        thread_id: id(&first.thread_id, ThreadId::parse)?,
        object: first.object.clone(),
        destination: candidate.destination.clone(),
        token: token.to_owned(),
        recipients: rows
            .iter()
            .map(|row| {
                Ok(ClaimedRecipient {
                    delivery_id: id(&row.delivery_id, DeliveryId::parse)?,
                    address: row.recipient.clone(),
                    attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
                    expires_at: Timestamp::from_micros(row.expires_at),
                })
            })
            .collect::<Result<_>>()?,
    }))
}
