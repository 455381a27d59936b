//! Labels of stored messages: changing them, their index, and the history that tells of each change.

use podmail_domain::Timestamp;
use podmail_domain::label::{self, Restricted};

use super::{LabelChange, Message, Relabelled, json};
use crate::db::args;
use crate::writer::Tx;
use crate::{Result, threads};

/// Applies a label change to messages whose inboxes are locked, records its history and refreshes the threads.
pub(crate) async fn relabel(
    tx: &mut Tx,
    found: Vec<Message>,
    change: &LabelChange,
    now: Timestamp,
) -> Result<Relabelled> {
    let mut done = Vec::with_capacity(found.len());
    let mut changed = Vec::new();
    for mut message in found {
        let (added, removed) = label::apply(&mut message.labels, &change.add, &change.remove);
        if !added.is_empty() && label::counted(&message.labels) > podmail_domain::limits::LABELS_PER_MESSAGE {
            return Ok(Relabelled::TooMany);
        }
        done.push((message.message_id.clone(), message.labels.clone()));
        if !(added.is_empty() && removed.is_empty()) {
            changed.push((message, added, removed));
        }
    }
    let mut stale = std::collections::BTreeSet::new();
    for (message, added, removed) in &changed {
        let restricted = Restricted::of(message.labels.iter().map(String::as_str));
        tx.run(
            "UPDATE messages SET labels = $4, restricted = $5, updated_at = $6 \
             WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
            args![
                message.organization_id,
                message.inbox_key,
                message.message_key,
                json(&message.labels),
                i64::from(restricted.bits()),
                now
            ],
        )
        .await?;
        for label in removed {
            unlabel(tx, message, label).await?;
        }
        for label in added {
            tx.run(
                "INSERT INTO message_labels (organization_id, inbox_key, label, timestamp, message_key) \
                 VALUES ($1,$2,$3,$4,$5)",
                args![
                    message.organization_id,
                    message.inbox_key,
                    label.as_str(),
                    message.timestamp,
                    message.message_key
                ],
            )
            .await?;
        }
        record(tx, message, added, removed, now).await?;
        stale.insert((message.inbox_key, message.thread_id));
    }
    if let Some((first, ..)) = changed.first() {
        let organization = first.organization_id;
        for (_, thread) in stale {
            threads::refresh(tx, organization, thread).await?;
        }
    }
    Ok(Relabelled::Done(done))
}

/// Takes a label off a message in the index of labels.
pub(super) async fn unlabel(tx: &mut Tx, message: &Message, label: &str) -> Result<()> {
    tx.run(
        "DELETE FROM message_labels WHERE organization_id = $1 AND inbox_key = $2 AND label = $3 \
         AND timestamp = $4 AND message_key = $5",
        args![message.organization_id, message.inbox_key, label, message.timestamp, message.message_key],
    )
    .await?;
    Ok(())
}

/// Writes label history, one row per label really added or removed.
async fn record(
    tx: &mut Tx,
    message: &Message,
    added: &[String],
    removed: &[String],
    now: Timestamp,
) -> Result<()> {
    let count = added.len() + removed.len();
    let last: Option<(i64,)> = tx
        .one(
            "UPDATE inboxes SET label_seq = label_seq + $3 WHERE organization_id = $1 AND inbox_key = $2 \
             RETURNING label_seq",
            args![message.organization_id, message.inbox_key, count],
        )
        .await?;
    let Some((last,)) = last else { return Ok(()) };
    let first = last - i64::try_from(count).unwrap_or(0) + 1;
    let changes = removed.iter().map(|label| (label, false)).chain(added.iter().map(|label| (label, true)));
    let rows = (first..)
        .zip(changes)
        .map(|(seq, (label, added))| label_event(message, seq, label, added, now))
        .collect();
    tx.insert(LABEL_EVENTS, 9, "", rows).await
}

pub(crate) const LABEL_EVENTS: &str = "INSERT INTO label_events (organization_id, inbox_key, seq, pod_id, message_key, \
    message_id, label, added, event_at)";

pub(crate) fn label_event(
    message: &Message,
    seq: i64,
    label: &str,
    added: bool,
    now: Timestamp,
) -> Vec<crate::db::Value> {
    args![
        message.organization_id,
        message.inbox_key,
        seq,
        message.pod_id,
        message.message_key,
        &message.message_id,
        label,
        added,
        now
    ]
}
