//! What one attempt came to, as one transaction: the rows' states, the log of attempts, labels, events, the relay's
//! name of the message, and the removal of bytes that nobody needs any more.

use std::collections::VecDeque;

use podmail_domain::{DeliveryId, EventId, EventType, Timestamp};
use serde_json::json;

use super::{DeliveryClaim, inbox_of};
use crate::db::{Value, args};
use crate::insert::{EVENT_VALUES, INSERT_EVENTS};
use crate::lists::Suppression;
use crate::messages::{COLUMNS, LabelChange, Message, MessageRow, lock_inbox, messages, relabel};
use crate::writer::Tx;
use crate::{Result, Store};

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// Somebody took responsibility for it.
    Delivered,
    /// Given up; `kind` and `sub_type` as in the event.
    Bounced {
        /// `Permanent` or `Transient`.
        kind: &'static str,
        /// For example `NoEmail`.
        sub_type: &'static str,
    },
    /// Not yet; tried again at this time.
    Deferred {
        /// When it is due again.
        due_at: Timestamp,
    },
    /// Refused here, before it left.
    Rejected {
        /// For the event.
        reason: String,
    },
}

/// The result of one attempt.
#[derive(Clone, Debug)]
pub struct DeliveryReport {
    /// What was attempted.
    pub claim: DeliveryClaim,
    /// Now.
    pub now: Timestamp,
    /// Whom we spoke with.
    pub host: Option<String>,
    /// Whether the message was offered to somebody, whatever the answer.
    pub left: bool,
    /// Per recipient of the claim: the outcome, and what was said, for the log.
    pub results: Vec<(DeliveryId, DeliveryOutcome, String)>,
    /// Whether a permanent bounce keeps the whole organization from mailing the address, not only the tenant.
    pub suppress_in_organization: bool,
    /// Names by which answers may call the message.
    pub aliases: Vec<String>,
}

/// What a report changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Recipients that were still leased to the reporter. None: the lease was lost and nothing changed.
    pub recipients: usize,
    /// Objects that nothing refers to any more.
    pub objects: Vec<String>,
}

impl Store {
    /// Records the result of an attempt. Recipients whose lease the reporter lost meanwhile are left alone.
    pub async fn finish_delivery(&self, report: DeliveryReport) -> Result<Finished> {
        self.write(report, |tx, report| Box::pin(finish(tx, report))).await
    }
}

async fn finish(tx: &mut Tx, report: &DeliveryReport) -> Result<Finished> {
    let claim = &report.claim;
    let (organization, inbox) = (claim.scope.organization(), inbox_of(claim)?);
    lock_inbox(tx, organization, inbox).await?;
    let mut applied = Vec::with_capacity(report.results.len());
    for (delivery, outcome, reply) in &report.results {
        if settle(tx, report, *delivery, outcome, reply).await? {
            let address = claim.recipients.iter().find(|recipient| recipient.delivery_id == *delivery);
            applied.extend(address.map(|recipient| (recipient.address.as_str(), outcome)));
        }
    }
    if applied.is_empty() {
        return Ok(Finished::default());
    }
    for (address, outcome) in &applied {
        if matches!(outcome, DeliveryOutcome::Bounced { kind: "Permanent", .. }) {
            let whole = report.suppress_in_organization;
            crate::lists::suppress(tx, &claim.scope, address, Suppression::Bounce, whole, report.now).await?;
        }
    }
    let left = report.left
        || applied.iter().any(|(_, outcome)| {
            matches!(outcome, DeliveryOutcome::Delivered | DeliveryOutcome::Bounced { .. })
        });
    let sent_to = if left { mark_sent(tx, report).await? } else { None };
    let rows = events(tx, report, sent_to.as_deref(), &applied);
    tx.news.events |= !rows.is_empty();
    tx.insert(INSERT_EVENTS, EVENT_VALUES, "", rows).await?;
    let objects = match message(tx, claim).await? {
        Some(found) => {
            for alias in &report.aliases {
                tx.run(
                    "INSERT INTO message_aliases (organization_id, inbox_key, alias, message_key) \
                     VALUES ($1,$2,$3,$4) ON CONFLICT DO NOTHING",
                    args![organization, inbox, alias.as_str(), claim.message_key],
                )
                .await?;
            }
            // A message full of labels keeps them: the events tell the outcome.
            relabel(tx, vec![found], &LabelChange { add: labels(&applied), remove: Vec::new() }, report.now)
                .await?;
            Vec::new()
        }
        None => remove_orphan(tx, claim).await?,
    };
    Ok(Finished { recipients: applied.len(), objects })
}

/// Moves one row on; `false`: it is not ours any more.
async fn settle(
    tx: &mut Tx,
    report: &DeliveryReport,
    delivery: DeliveryId,
    outcome: &DeliveryOutcome,
    reply: &str,
) -> Result<bool> {
    let (state, due_at, word) = match outcome {
        DeliveryOutcome::Delivered => ("done", report.now, "delivered"),
        DeliveryOutcome::Bounced { .. } => ("failed", report.now, "bounced"),
        DeliveryOutcome::Rejected { .. } => ("failed", report.now, "rejected"),
        DeliveryOutcome::Deferred { due_at } => ("ready", *due_at, "deferred"),
    };
    let organization = report.claim.scope.organization();
    let attempt: Option<(i64,)> = tx
        .one(
            "UPDATE deliveries SET state = $1, due_at = $2, lease = NULL, attempts = attempts + 1, last_reply = $3, \
             updated_at = $4 WHERE organization_id = $5 AND delivery_id = $6 AND state = 'ready' AND lease = $7 \
             RETURNING attempts",
            args![state, due_at, reply, report.now, organization, delivery, report.claim.token.as_str()],
        )
        .await?;
    let Some((attempt,)) = attempt else { return Ok(false) };
    tx.run(
        "INSERT INTO delivery_attempts (organization_id, delivery_id, attempt, at, outcome, host, reply) \
         VALUES ($1,$2,$3,$4,$5,$6,$7)",
        args![organization, delivery, attempt, report.now, word, report.host.clone(), reply],
    )
    .await?;
    Ok(true)
}

/// Marks that the message left, the first time; then all its recipients.
async fn mark_sent(tx: &mut Tx, report: &DeliveryReport) -> Result<Option<Vec<String>>> {
    let claim = &report.claim;
    let key = [Value::from(claim.scope.organization()), inbox_of(claim)?.into(), claim.message_key.into()];
    let with_now = || key.iter().cloned().chain([report.now.into()]).collect::<Vec<_>>();
    let marked = tx
        .run(
            "UPDATE deliveries SET sent_at = $4 WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3 \
             AND sent_at IS NULL",
            with_now(),
        )
        .await?;
    if marked == 0 {
        return Ok(None);
    }
    tx.run(
        "UPDATE messages SET sent_at = $4 WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
        with_now(),
    )
    .await?;
    let rows: Vec<(String,)> = tx
        .all(
            "SELECT recipient FROM deliveries WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3 \
             ORDER BY delivery_id",
            key.to_vec(),
        )
        .await?;
    Ok(Some(rows.into_iter().map(|(recipient,)| recipient).collect()))
}

fn events(
    tx: &Tx,
    report: &DeliveryReport,
    sent_to: Option<&[String]>,
    applied: &[(&str, &DeliveryOutcome)],
) -> VecDeque<Vec<Value>> {
    let (id, at) = (&report.claim.message_id, report.now.micros());
    let mut rows = VecDeque::new();
    let mut push =
        |kind, facts: serde_json::Value| rows.push_back(event(tx, report, kind, &facts.to_string()));
    if let Some(recipients) = sent_to {
        push(EventType::MessageSent, json!({"message_id": id, "timestamp": at, "recipients": recipients}));
    }
    let delivered: Vec<&str> = applied
        .iter()
        .filter(|(_, outcome)| **outcome == DeliveryOutcome::Delivered)
        .map(|(address, _)| *address)
        .collect();
    if !delivered.is_empty() {
        push(
            EventType::MessageDelivered,
            json!({"message_id": id, "timestamp": at, "recipients": delivered}),
        );
    }
    // One event per kind of failure: it has one type for all its recipients.
    let mut bounces: Vec<(&str, &str, Vec<serde_json::Value>)> = Vec::new();
    let mut reasons: Vec<&str> = Vec::new();
    for (address, outcome) in applied {
        match outcome {
            DeliveryOutcome::Bounced { kind, sub_type } => {
                let recipient = json!({"address": address, "status": "bounced"});
                match bounces.iter_mut().find(|(k, s, _)| k == kind && s == sub_type) {
                    Some((.., recipients)) => recipients.push(recipient),
                    None => bounces.push((kind, sub_type, vec![recipient])),
                }
            }
            DeliveryOutcome::Rejected { reason } if !reasons.contains(&reason.as_str()) => {
                reasons.push(reason)
            }
            DeliveryOutcome::Rejected { .. }
            | DeliveryOutcome::Delivered
            | DeliveryOutcome::Deferred { .. } => {}
        }
    }
    for (kind, sub_type, recipients) in bounces {
        push(
            EventType::MessageBounced,
            json!({"message_id": id, "timestamp": at, "type": kind, "sub_type": sub_type, "recipients": recipients}),
        );
    }
    for reason in reasons {
        push(EventType::MessageRejected, json!({"message_id": id, "timestamp": at, "reason": reason}));
    }
    rows
}

/// A row of the event log; the message itself may be gone.
fn event(tx: &Tx, report: &DeliveryReport, kind: EventType, facts: &str) -> Vec<Value> {
    let claim = &report.claim;
    let inbox = claim.scope.inbox();
    args![
        claim.scope.organization(),
        claim.scope.pod_or_default(),
        inbox.map(|inbox| inbox.key),
        inbox.map(|inbox| inbox.id.clone()),
        EventId::new(&*tx.ids, report.now),
        kind.as_str(),
        claim.message_key,
        claim.thread_id,
        facts,
        report.now
    ]
}

/// In one order whatever that of the recipients.
fn labels(applied: &[(&str, &DeliveryOutcome)]) -> Vec<String> {
    let label = |outcome: &DeliveryOutcome| match outcome {
        DeliveryOutcome::Delivered => "delivered",
        DeliveryOutcome::Bounced { .. } => "bounced",
        DeliveryOutcome::Deferred { .. } => "delayed",
        DeliveryOutcome::Rejected { .. } => "rejected",
    };
    ["delivered", "bounced", "delayed", "rejected"]
        .iter()
        .filter(|wanted| applied.iter().any(|(_, outcome)| label(outcome) == **wanted))
        .map(|wanted| (*wanted).to_owned())
        .collect()
}

async fn message(tx: &mut Tx, claim: &DeliveryClaim) -> Result<Option<Message>> {
    let text = format!(
        "SELECT {COLUMNS} FROM messages m WHERE m.organization_id = $1 AND m.inbox_key = $2 AND m.message_key = $3"
    );
    let values = args![claim.scope.organization(), inbox_of(claim)?, claim.message_key];
    Ok(messages(tx.all::<MessageRow>(&text, values).await?)?.into_iter().next())
}

/// Removes the bytes of a deleted message once no copy waits; returns the object to remove.
async fn remove_orphan(tx: &mut Tx, claim: &DeliveryClaim) -> Result<Vec<String>> {
    let key = args![claim.scope.organization(), inbox_of(claim)?, claim.message_key];
    let waiting = tx
        .count(
            "SELECT COUNT(*) FROM deliveries WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3 \
             AND state IN ('held', 'ready')",
            key.clone(),
        )
        .await?;
    if waiting > 0 {
        return Ok(Vec::new());
    }
    tx.run(
        "DELETE FROM message_bytes WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
        key,
    )
    .await?;
    Ok(claim.object.iter().cloned().collect())
}
