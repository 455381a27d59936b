//! What an attempt and a report from outside have in common: log lines, the mark that a message left, labels, events,
//! and the bytes of a message that was deleted before its mail was through.

use std::collections::VecDeque;

use podmail_domain::{DeliveryId, EventId, EventType, MessageId, MessageKey, ThreadId, Timestamp};
use serde_json::json;

use super::{DeliveryClaim, DeliveryOutcome};
use crate::Result;
use crate::db::{Value, args};
use crate::insert::{EVENT_VALUES, INSERT_EVENTS};
use crate::lists::Suppression;
use crate::messages::{COLUMNS, Message, MessageRow, messages};
use crate::scope::Scope;
use crate::writer::Tx;

/// A sent message as its deliveries know it: it may have been deleted itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMessage {
    /// The sending inbox.
    pub scope: Scope,
    /// Which message.
    pub message_key: MessageKey,
    /// Its id, as in its bytes.
    pub message_id: MessageId,
    /// Its thread.
    pub thread_id: ThreadId,
}

impl SentMessage {
    pub(super) fn of(claim: &DeliveryClaim) -> Self {
        Self {
            scope: claim.scope.clone(),
            message_key: claim.message_key,
            message_id: claim.message_id.clone(),
            thread_id: claim.thread_id,
        }
    }

    /// What names it and its deliveries: organization, inbox, message.
    pub(super) fn key(&self) -> Result<Vec<Value>> {
        Ok(args![self.scope.organization(), self.scope.inbox_key()?, self.message_key])
    }

    /// The message with its labels; `None` when it was deleted.
    pub(super) async fn stored(&self, tx: &mut Tx) -> Result<Option<Message>> {
        let text = format!(
            "SELECT {COLUMNS} FROM messages m WHERE m.organization_id = $1 AND m.inbox_key = $2 AND m.message_key = $3"
        );
        Ok(messages(tx.all::<MessageRow>(&text, self.key()?).await?)?.into_iter().next())
    }

    /// A row of the event log.
    pub(super) fn event(
        &self,
        tx: &Tx,
        kind: EventType,
        facts: &serde_json::Value,
        now: Timestamp,
    ) -> Vec<Value> {
        let inbox = self.scope.inbox();
        args![
            self.scope.organization(),
            self.scope.pod_or_default(),
            inbox.map(|inbox| inbox.key),
            inbox.map(|inbox| inbox.id.clone()),
            EventId::new(&*tx.ids, now),
            kind.as_str(),
            self.message_key,
            self.thread_id,
            facts.to_string(),
            now
        ]
    }
}

/// A line of a delivery's log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogLine<'a> {
    pub(super) delivery: DeliveryId,
    /// Its number within the delivery.
    pub(super) attempt: i64,
    pub(super) outcome: &'a str,
    pub(super) host: Option<&'a str>,
    pub(super) reply: &'a str,
}

pub(super) async fn log(tx: &mut Tx, sent: &SentMessage, line: LogLine<'_>, now: Timestamp) -> Result<()> {
    tx.run(
        "INSERT INTO delivery_attempts (organization_id, delivery_id, attempt, at, outcome, host, reply) \
         VALUES ($1,$2,$3,$4,$5,$6,$7)",
        args![
            sent.scope.organization(),
            line.delivery,
            line.attempt,
            now,
            line.outcome,
            line.host.map(str::to_owned),
            line.reply
        ],
    )
    .await?;
    Ok(())
}

/// Marks that the message left, the first time; then all its recipients.
pub(super) async fn mark_sent(
    tx: &mut Tx,
    sent: &SentMessage,
    now: Timestamp,
) -> Result<Option<Vec<String>>> {
    let key = sent.key()?;
    let with_now = || key.iter().cloned().chain([now.into()]).collect::<Vec<_>>();
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
            key.clone(),
        )
        .await?;
    Ok(Some(rows.into_iter().map(|(recipient,)| recipient).collect()))
}

/// Keeps permanently bounced addresses from being mailed again, and writes the events of what happened. `sent_to`: the
/// recipients of a message that left just now.
pub(super) async fn announce(
    tx: &mut Tx,
    sent: &SentMessage,
    sent_to: Option<&[String]>,
    applied: &[(&str, &DeliveryOutcome)],
    suppress_in_organization: bool,
    now: Timestamp,
) -> Result<()> {
    for (address, outcome) in applied {
        if matches!(outcome, DeliveryOutcome::Bounced { kind: "Permanent", .. }) {
            let whole = suppress_in_organization;
            crate::lists::suppress(tx, &sent.scope, address, Suppression::Bounce, whole, now).await?;
        }
    }
    let rows = events(tx, sent, sent_to, applied, now);
    write_events(tx, rows).await
}

pub(super) async fn write_events(tx: &mut Tx, rows: VecDeque<Vec<Value>>) -> Result<()> {
    tx.news.events |= !rows.is_empty();
    tx.insert(INSERT_EVENTS, EVENT_VALUES, "", rows).await
}

fn events(
    tx: &Tx,
    sent: &SentMessage,
    sent_to: Option<&[String]>,
    applied: &[(&str, &DeliveryOutcome)],
    now: Timestamp,
) -> VecDeque<Vec<Value>> {
    let (id, at) = (&sent.message_id, now.micros());
    let mut rows = VecDeque::new();
    let mut push = |kind, facts: serde_json::Value| rows.push_back(sent.event(tx, kind, &facts, now));
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

/// In one order whatever that of the recipients.
pub(super) fn labels(applied: &[(&str, &DeliveryOutcome)]) -> Vec<String> {
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

/// Removes the bytes of a deleted message once no copy waits; returns the object to remove.
pub(super) async fn remove_orphan(
    tx: &mut Tx,
    sent: &SentMessage,
    object: Option<&str>,
) -> Result<Vec<String>> {
    let waiting = tx
        .count(
            "SELECT COUNT(*) FROM deliveries WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3 \
             AND state IN ('held', 'ready')",
            sent.key()?,
        )
        .await?;
    if waiting > 0 {
        return Ok(Vec::new());
    }
    tx.run(
        "DELETE FROM message_bytes WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
        sent.key()?,
    )
    .await?;
    Ok(object.map(str::to_owned).into_iter().collect())
}
