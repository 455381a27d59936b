//! What is learned of a sent message from outside after a server took it: bounce reports and complaints. Reports come
//! from strangers and come again: only what concerns a recipient of the message counts, and only once. State, log,
//! labels, events and suppression commit together.

use podmail_domain::thread::Direction;
use podmail_domain::{DeliveryId, EventType, InboxId, InboxKey, MessageId, MessageKey, ThreadId, Timestamp};
use serde_json::json;

use super::record::{LogLine, SentMessage, announce, labels, log, mark_sent, remove_orphan, write_events};
use super::{DeliveryOutcome, Finished};
use crate::db::{Query, args};
use crate::lists::Suppression;
use crate::messages::{LabelChange, lock_inbox, relabel};
use crate::scope::{Scope, id, stored_scope};
use crate::writer::Tx;
use crate::{Result, Store};

/// A sent message that a report names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedMessage {
    /// Which message.
    pub sent: SentMessage,
    /// Whether its inbox also gets the reports themselves.
    pub feedback: bool,
    /// Its recipients: bare addresses, or as written in its header once its deliveries are forgotten.
    pub recipients: Vec<String>,
}

/// What a report says about one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Names of the recipient, in any case; the first that the message was sent to counts.
    pub addresses: Vec<String>,
    /// Bounced, or deferred; anything else changes nothing.
    pub outcome: DeliveryOutcome,
    /// What the server said, for the log.
    pub said: String,
}

/// A bounce report.
#[derive(Clone, Debug)]
pub struct BounceReport {
    /// What bounced.
    pub sent: SentMessage,
    /// Now.
    pub now: Timestamp,
    /// Who reports it.
    pub host: Option<String>,
    /// Per recipient.
    pub results: Vec<Reported>,
    /// Whether a permanent bounce keeps the whole organization from mailing the address, not only the tenant.
    pub suppress_in_organization: bool,
}

/// Who complained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complainer {
    /// These recipients; they are not mailed again.
    Named(Vec<String>),
    /// One of these.
    OneOf(Vec<String>),
}

/// A complaint by way of a feedback loop.
#[derive(Clone, Debug)]
pub struct Complaint {
    /// What was complained about.
    pub sent: SentMessage,
    /// Now.
    pub now: Timestamp,
    /// Who reports it.
    pub host: Option<String>,
    /// `type` of the event.
    pub kind: &'static str,
    /// `sub_type` of the event.
    pub sub_type: &'static str,
    /// Who complained.
    pub by: Complainer,
    /// Whether it keeps the whole organization from mailing the address, not only the tenant.
    pub suppress_in_organization: bool,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct InboxRow {
    organization_id: String,
    pod_id: String,
    inbox_id: String,
    governing_domain: Option<String>,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct DeliveryRow {
    delivery_id: String,
    recipient: String,
    state: String,
    object: Option<String>,
}

/// State of a delivery that was given up.
const FAILED: &str = "failed";
/// Log line of a recipient who complained.
const COMPLAINED: &str = "complained";
/// Log line of a recipient who may have.
const SUSPECTED: &str = "suspected";

impl Store {
    /// The sent message with these keys, also when it was deleted and only its deliveries are left. Both keys are random:
    /// whoever names them has seen the message's return path, and that is what authenticates a report.
    pub async fn reported_message(
        &self,
        inbox: InboxKey,
        message: MessageKey,
    ) -> Result<Option<ReportedMessage>> {
        let mut conn = self.reader().await?;
        let owner: Option<InboxRow> = conn
            .one(
                "SELECT organization_id, pod_id, inbox_id, governing_domain FROM inboxes WHERE inbox_key = $1",
                args![inbox],
            )
            .await?;
        let Some(owner) = owner else { return Ok(None) };
        let key = inbox.to_string();
        let scope =
            stored_scope(&owner.organization_id, Some(&owner.pod_id), Some(&key), Some(&owner.inbox_id))?;
        let feedback = match &owner.governing_domain {
            None => true,
            Some(domain) => {
                let found: Option<(i64,)> = conn
                    .one(
                        "SELECT feedback_enabled FROM domains WHERE organization_id = $1 AND domain = $2",
                        args![scope.organization(), domain.as_str()],
                    )
                    .await?;
                found.is_some_and(|(enabled,)| enabled != 0)
            }
        };
        let rows: Vec<(String, String, String)> = conn
            .all(
                "SELECT recipient, message_id, thread_id FROM deliveries WHERE organization_id = $1 \
                 AND inbox_key = $2 AND message_key = $3 ORDER BY delivery_id",
                args![scope.organization(), inbox, message],
            )
            .await?;
        drop(conn);
        if let Some((_, message_id, thread)) = rows.first() {
            let sent = SentMessage {
                message_key: message,
                message_id: MessageId::new(message_id),
                thread_id: id(thread, ThreadId::parse)?,
                scope,
            };
            let recipients = rows.into_iter().map(|(recipient, ..)| recipient).collect();
            return Ok(Some(ReportedMessage { sent, feedback, recipients }));
        }
        let found = self.message_by_key(&scope, message).await?;
        Ok(found.filter(|found| found.direction == Direction::Sent).map(|found| ReportedMessage {
            sent: SentMessage {
                scope,
                message_key: message,
                message_id: found.message_id,
                thread_id: found.thread_id,
            },
            feedback,
            recipients: [found.to, found.cc, found.bcc].concat(),
        }))
    }

    /// The inbox at an address, whether it receives or not.
    pub async fn inbox_scope_by_address(&self, address: &InboxId) -> Result<Option<Scope>> {
        let row: Option<(String, String, Option<String>)> = self
            .reader()
            .await?
            .one(
                "SELECT organization_id, pod_id, inbox_key FROM address_directory WHERE address = $1",
                args![address],
            )
            .await?;
        match row {
            Some((organization, pod, Some(key))) => {
                stored_scope(&organization, Some(&pod), Some(&key), Some(address.as_str())).map(Some)
            }
            Some((.., None)) | None => Ok(None),
        }
    }

    /// The message that the scope's inbox sent under this id, or that a relay gave this id to.
    pub async fn sent_message_named(&self, scope: &Scope, name: &str) -> Result<Option<MessageKey>> {
        let mut query = Query::new(
            "SELECT m.message_key FROM messages m WHERE m.organization_id = $1 AND m.inbox_key = $2 \
             AND m.direction = 1 AND m.message_id = $3 \
             UNION ALL SELECT m.message_key FROM message_aliases a JOIN messages m \
             ON m.organization_id = a.organization_id AND m.inbox_key = a.inbox_key \
             AND m.message_key = a.message_key WHERE a.organization_id = $1 AND a.inbox_key = $2 \
             AND a.alias = $3 AND m.direction = 1",
            args![scope.organization(), scope.inbox_key()?, name],
        );
        query.push(" LIMIT 1", Vec::new());
        let found: Vec<(String,)> = query.all(&mut self.reader().await?).await?;
        found.first().map(|(key,)| id(key, MessageKey::parse)).transpose()
    }

    /// Records a bounce report. What it says about strangers, and what it says again, changes nothing.
    pub async fn report_bounce(&self, report: BounceReport) -> Result<Finished> {
        self.write(report, |tx, report| Box::pin(bounce(tx, report))).await
    }

    /// Records a complaint, each recipient's once.
    pub async fn report_complaint(&self, complaint: Complaint) -> Result<Finished> {
        self.write(complaint, |tx, complaint| Box::pin(complain(tx, complaint))).await
    }
}

/// Takes the inbox's row first, as everything does that changes labels, and then reads the message's deliveries.
async fn deliveries(tx: &mut Tx, sent: &SentMessage) -> Result<Vec<DeliveryRow>> {
    lock_inbox(tx, sent.scope.organization(), sent.scope.inbox_key()?).await?;
    tx.all(
        "SELECT delivery_id, recipient, state, object FROM deliveries WHERE organization_id = $1 \
         AND inbox_key = $2 AND message_key = $3 ORDER BY delivery_id",
        sent.key()?,
    )
    .await
}

fn position(rows: &[DeliveryRow], addresses: &[String]) -> Option<usize> {
    addresses
        .iter()
        .find_map(|address| rows.iter().position(|row| row.recipient.eq_ignore_ascii_case(address)))
}

async fn bounce(tx: &mut Tx, report: &BounceReport) -> Result<Finished> {
    let (sent, now) = (&report.sent, report.now);
    let mut rows = deliveries(tx, sent).await?;
    let object = rows.first().and_then(|row| row.object.clone());
    let mut applied: Vec<(String, &DeliveryOutcome)> = Vec::new();
    for result in &report.results {
        let Some(row) = position(&rows, &result.addresses).and_then(|at| rows.get_mut(at)) else { continue };
        if row.state == FAILED {
            continue;
        }
        match &result.outcome {
            DeliveryOutcome::Bounced { .. } => {
                if fail(tx, report, row, &result.said).await? {
                    row.state = FAILED.to_owned();
                    applied.push((row.recipient.clone(), &result.outcome));
                }
            }
            DeliveryOutcome::Deferred { .. } => applied.push((row.recipient.clone(), &result.outcome)),
            DeliveryOutcome::Delivered | DeliveryOutcome::Rejected { .. } => {}
        }
    }
    if applied.is_empty() {
        return Ok(Finished::default());
    }
    let applied: Vec<(&str, &DeliveryOutcome)> =
        applied.iter().map(|(address, outcome)| (address.as_str(), *outcome)).collect();
    // A report may overtake the worker that is about to record that the message left.
    let left = applied.iter().any(|(_, outcome)| matches!(outcome, DeliveryOutcome::Bounced { .. }));
    let sent_to = if left { mark_sent(tx, sent, now).await? } else { None };
    announce(tx, sent, sent_to.as_deref(), &applied, report.suppress_in_organization, now).await?;
    let objects = match sent.stored(tx).await? {
        Some(found) => {
            // A message full of labels keeps them: the events tell the outcome.
            relabel(tx, vec![found], &LabelChange { add: labels(&applied), remove: Vec::new() }, now).await?;
            Vec::new()
        }
        None => remove_orphan(tx, sent, object.as_deref()).await?,
    };
    Ok(Finished { recipients: applied.len(), objects })
}

/// Gives a delivery up on a report's word; a worker that holds it loses its lease. `false`: it was given up, or never
/// left.
async fn fail(tx: &mut Tx, report: &BounceReport, row: &DeliveryRow, said: &str) -> Result<bool> {
    let delivery = id(&row.delivery_id, DeliveryId::parse)?;
    let attempt: Option<(i64,)> = tx
        .one(
            "UPDATE deliveries SET state = 'failed', due_at = $3, lease = NULL, attempts = attempts + 1, \
             last_reply = $4, updated_at = $3 WHERE organization_id = $1 AND delivery_id = $2 \
             AND state IN ('ready', 'done') RETURNING attempts",
            args![report.sent.scope.organization(), delivery, report.now, said],
        )
        .await?;
    let Some((attempt,)) = attempt else { return Ok(false) };
    let line = LogLine { delivery, attempt, outcome: "bounced", host: report.host.as_deref(), reply: said };
    log(tx, &report.sent, line, report.now).await?;
    Ok(true)
}

async fn complain(tx: &mut Tx, complaint: &Complaint) -> Result<Finished> {
    let (sent, now) = (&complaint.sent, complaint.now);
    let rows = deliveries(tx, sent).await?;
    let stored = sent.stored(tx).await?;
    let mut key = sent.key()?;
    key.extend(args![COMPLAINED, SUSPECTED]);
    let known: Vec<(String, String)> = tx
        .all(
            "SELECT a.delivery_id, a.outcome FROM delivery_attempts a JOIN deliveries d \
             ON d.organization_id = a.organization_id AND d.delivery_id = a.delivery_id \
             WHERE d.organization_id = $1 AND a.organization_id = $1 AND d.inbox_key = $2 AND d.message_key = $3 \
             AND a.outcome IN ($4, $5)",
            key,
        )
        .await?;
    // Where the deliveries are forgotten, the label remembers a complaint.
    let forgotten = rows.is_empty();
    let labelled =
        stored.as_ref().is_none_or(|message| message.labels.iter().any(|label| label == COMPLAINED));
    let fresh = |address: &String| {
        let row = position(&rows, std::slice::from_ref(address)).and_then(|at| rows.get(at))?;
        let heard = known.iter().any(|(id, outcome)| *id == row.delivery_id && outcome == COMPLAINED);
        (!heard).then(|| row.recipient.clone())
    };
    let (word, who): (&str, Vec<String>) = match &complaint.by {
        Complainer::Named(all) | Complainer::OneOf(all) if forgotten => {
            (COMPLAINED, if labelled { Vec::new() } else { all.clone() })
        }
        Complainer::Named(all) => (COMPLAINED, all.iter().filter_map(fresh).collect()),
        Complainer::OneOf(all) => (SUSPECTED, if known.is_empty() { all.clone() } else { Vec::new() }),
    };
    if who.is_empty() {
        return Ok(Finished::default());
    }
    for address in &who {
        if let Some(row) = position(&rows, std::slice::from_ref(address)).and_then(|at| rows.get(at)) {
            note(tx, complaint, row, word).await?;
        }
        if matches!(complaint.by, Complainer::Named(_)) {
            let whole = complaint.suppress_in_organization;
            crate::lists::suppress(tx, &sent.scope, address, Suppression::Complaint, whole, now).await?;
        }
    }
    let facts = json!({
        "message_id": sent.message_id, "timestamp": now.micros(),
        "type": complaint.kind, "sub_type": complaint.sub_type, "recipients": who,
    });
    let event = sent.event(tx, EventType::MessageComplained, &facts, now);
    write_events(tx, [event].into()).await?;
    if let Some(found) = stored {
        let change = LabelChange { add: vec![COMPLAINED.to_owned()], remove: Vec::new() };
        relabel(tx, vec![found], &change, now).await?;
    }
    Ok(Finished { recipients: who.len(), objects: Vec::new() })
}

/// Writes a complaint into the log of a delivery.
async fn note(tx: &mut Tx, complaint: &Complaint, row: &DeliveryRow, word: &str) -> Result<()> {
    let delivery = id(&row.delivery_id, DeliveryId::parse)?;
    let attempt: Option<(i64,)> = tx
        .one(
            "UPDATE deliveries SET attempts = attempts + 1, updated_at = $3 WHERE organization_id = $1 \
             AND delivery_id = $2 RETURNING attempts",
            args![complaint.sent.scope.organization(), delivery, complaint.now],
        )
        .await?;
    let Some((attempt,)) = attempt else { return Ok(()) };
    let line =
        LogLine { delivery, attempt, outcome: word, host: complaint.host.as_deref(), reply: complaint.kind };
    log(tx, &complaint.sent, line, complaint.now).await
}
