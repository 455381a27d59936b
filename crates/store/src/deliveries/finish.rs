//! What one attempt came to, as one transaction: the rows' states, the log of attempts, labels, events, the relay's
//! name of the message, and the removal of bytes that nobody needs any more.

use podmail_domain::{DeliveryId, Timestamp};

use super::DeliveryClaim;
use super::record::{LogLine, SentMessage, announce, labels, log, mark_sent, remove_orphan};
use crate::db::args;
use crate::messages::{LabelChange, lock_inbox, relabel};
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

/// What an attempt or a report changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Recipients of which something was recorded. Of an attempt none means that the lease was lost.
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
    let (organization, inbox) = (claim.scope.organization(), claim.scope.inbox_key()?);
    let sent = SentMessage::of(claim);
    lock_inbox(tx, organization, inbox).await?;
    let mut applied = Vec::with_capacity(report.results.len());
    for (delivery, outcome, reply) in &report.results {
        if settle(tx, report, &sent, *delivery, outcome, reply).await? {
            let address = claim.recipients.iter().find(|recipient| recipient.delivery_id == *delivery);
            applied.extend(address.map(|recipient| (recipient.address.as_str(), outcome)));
        }
    }
    if applied.is_empty() {
        return Ok(Finished::default());
    }
    let left = report.left
        || applied.iter().any(|(_, outcome)| {
            matches!(outcome, DeliveryOutcome::Delivered | DeliveryOutcome::Bounced { .. })
        });
    let sent_to = if left { mark_sent(tx, &sent, report.now).await? } else { None };
    announce(tx, &sent, sent_to.as_deref(), &applied, report.suppress_in_organization, report.now).await?;
    let objects = match sent.stored(tx).await? {
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
        None => remove_orphan(tx, &sent, claim.object.as_deref()).await?,
    };
    Ok(Finished { recipients: applied.len(), objects })
}

/// Moves one row on; `false`: it is not ours any more.
async fn settle(
    tx: &mut Tx,
    report: &DeliveryReport,
    sent: &SentMessage,
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
    let line = LogLine { delivery, attempt, outcome: word, host: report.host.as_deref(), reply };
    log(tx, sent, line, report.now).await?;
    Ok(true)
}
