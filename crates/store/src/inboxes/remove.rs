//! Deleting an inbox. One transaction makes everything of it invisible and frees its names; what it held is removed
//! afterwards, piece by piece, behind everything else that wants to write.
//!
//! Invariant: bytes that a delivery still needs stay until that delivery is done.

use podmail_domain::{InboxId, InboxKey, MessageKey, OrganizationId, Timestamp};

use crate::db::args;
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Error, Result, Store};

/// What one step of a purge did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeStep {
    /// Objects that no row names any more: to be removed from the object store.
    pub objects: Vec<String>,
    /// Whether there may be more to do.
    pub more: bool,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct RemovedRow {
    inbox_id: String,
    governing_domain: Option<String>,
    client_id: Option<String>,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct DoomedRow {
    message_key: String,
    object: Option<String>,
}

impl Store {
    /// Deletes the scope's inbox; `false` when it is gone already. From the commit on nothing shows it, its keys open
    /// nothing, and mail to it is refused.
    pub async fn delete_inbox(&self, scope: &Scope, now: Timestamp) -> Result<bool> {
        self.write((scope.clone(), now), |tx, (scope, now)| Box::pin(delete(tx, scope, *now))).await
    }

    /// Removes up to `limit` rows of one table of one deleted inbox.
    pub async fn purge_step(&self, limit: usize) -> Result<PurgeStep> {
        self.write_later(limit, |tx, limit| Box::pin(purge(tx, *limit))).await
    }
}

async fn delete(tx: &mut Tx, scope: &Scope, now: Timestamp) -> Result<bool> {
    let (organization, key) = (scope.organization(), scope.inbox_key()?);
    let row: Option<RemovedRow> = tx
        .one(
            "DELETE FROM inboxes WHERE organization_id = $1 AND inbox_key = $2 \
             RETURNING inbox_id, governing_domain, client_id",
            args![organization, key],
        )
        .await?;
    let Some(row) = row else { return Ok(false) };
    let inbox_id = id(&row.inbox_id, InboxId::parse)?;
    if row.governing_domain.is_none() {
        // On the shared domain a stranger must not inherit the address at once.
        tx.run(
            "UPDATE address_directory SET inbox_key = NULL, released_at = $3 WHERE address = $1 AND inbox_key = $2",
            args![&inbox_id, key, now],
        )
        .await?;
    } else {
        tx.run("DELETE FROM address_directory WHERE address = $1 AND inbox_key = $2", args![&inbox_id, key])
            .await?;
    }
    tx.run(
        "DELETE FROM key_directory WHERE organization_id = $1 AND key_hash IN \
         (SELECT key_hash FROM api_keys WHERE organization_id = $1 AND inbox_key = $2)",
        args![organization, key],
    )
    .await?;
    tx.run(
        "DELETE FROM client_ids WHERE organization_id = $1 AND kind = 'public_key' AND client_id IN \
         (SELECT client_id FROM api_keys WHERE organization_id = $1 AND inbox_key = $2)",
        args![organization, key],
    )
    .await?;
    tx.run("DELETE FROM api_keys WHERE organization_id = $1 AND inbox_key = $2", args![organization, key])
        .await?;
    if let Some(client_id) = row.client_id {
        tx.run(
            "DELETE FROM client_ids WHERE organization_id = $1 AND kind = 'inbox' AND client_id = $2 \
             AND resource_id = $3",
            args![organization, client_id, key],
        )
        .await?;
    }
    crate::webhooks::forget_inbox(tx, organization, key, &inbox_id).await?;
    tx.run(
        "INSERT INTO purges (organization_id, inbox_key, created_at) VALUES ($1,$2,$3)",
        args![organization, key, now],
    )
    .await?;
    tx.news.purges = true;
    Ok(true)
}

async fn purge(tx: &mut Tx, limit: usize) -> Result<PurgeStep> {
    let oldest: Option<(String, String)> = tx
        .one(
            "SELECT organization_id, inbox_key FROM purges ORDER BY created_at, inbox_key LIMIT 1",
            Vec::new(),
        )
        .await?;
    let Some((organization, key)) = oldest else { return Ok(PurgeStep { objects: Vec::new(), more: false }) };
    let (organization, key) = (id(&organization, OrganizationId::parse)?, id(&key, InboxKey::parse)?);
    if let Some(objects) = purge_messages(tx, organization, key, limit).await? {
        return Ok(PurgeStep { objects, more: true });
    }
    if crate::search::purge(tx, organization, key, limit).await? {
        return Ok(PurgeStep { objects: Vec::new(), more: true });
    }
    if let Some(objects) = crate::drafts::purge(tx, organization, key, limit).await? {
        return Ok(PurgeStep { objects, more: true });
    }
    let more = PurgeStep { objects: Vec::new(), more: true };
    for statement in REST {
        if tx.run(statement, args![organization, key, limit]).await? > 0 {
            return Ok(more);
        }
    }
    tx.run("DELETE FROM purges WHERE organization_id = $1 AND inbox_key = $2", args![organization, key])
        .await?;
    Ok(more)
}

/// What is left of an inbox when its messages are gone.
const REST: [&str; 6] = [
    "DELETE FROM list_entries WHERE organization_id = $1 AND owner = $2 AND (direction, list_type, entry) IN \
     (SELECT direction, list_type, entry FROM list_entries WHERE organization_id = $1 AND owner = $2 LIMIT $3)",
    "DELETE FROM message_labels WHERE organization_id = $1 AND inbox_key = $2 AND (label, timestamp, message_key) IN \
     (SELECT label, timestamp, message_key FROM message_labels WHERE organization_id = $1 AND inbox_key = $2 LIMIT $3)",
    "DELETE FROM label_events WHERE organization_id = $1 AND inbox_key = $2 AND seq IN \
     (SELECT seq FROM label_events WHERE organization_id = $1 AND inbox_key = $2 LIMIT $3)",
    "DELETE FROM message_aliases WHERE organization_id = $1 AND inbox_key = $2 AND (alias, message_key) IN \
     (SELECT alias, message_key FROM message_aliases WHERE organization_id = $1 AND inbox_key = $2 LIMIT $3)",
    // Bytes that were kept for a delivery which ended while the message still had its row.
    "DELETE FROM message_bytes WHERE organization_id = $1 AND inbox_key = $2 AND message_key IN \
     (SELECT b.message_key FROM message_bytes b WHERE b.organization_id = $1 AND b.inbox_key = $2 \
     AND b.message_key NOT IN (SELECT d.message_key FROM deliveries d WHERE d.organization_id = $1 \
     AND d.inbox_key = $2 AND d.state IN ('held', 'ready')) LIMIT $3)",
    "DELETE FROM threads WHERE organization_id = $1 AND inbox_key = $2 AND (thread_id, restricted) IN \
     (SELECT thread_id, restricted FROM threads WHERE organization_id = $1 AND inbox_key = $2 LIMIT $3)",
];

/// Removes messages with their bytes, oldest first. `None`: there are none left.
async fn purge_messages(
    tx: &mut Tx,
    organization: OrganizationId,
    inbox: InboxKey,
    limit: usize,
) -> Result<Option<Vec<String>>> {
    let doomed: Vec<DoomedRow> = tx
        .all(
            "SELECT message_key, object FROM messages WHERE organization_id = $1 AND inbox_key = $2 \
             ORDER BY message_key LIMIT $3",
            args![organization, inbox, limit],
        )
        .await?;
    let Some(last) = doomed.last() else { return Ok(None) };
    let last = MessageKey::parse(&last.message_key).ok_or(Error::Corrupt("an id"))?;
    let waiting: Vec<(String,)> = tx
        .all(
            "SELECT DISTINCT message_key FROM deliveries WHERE organization_id = $1 AND inbox_key = $2 \
             AND message_key <= $3 AND state IN ('held', 'ready')",
            args![organization, inbox, last],
        )
        .await?;
    tx.run(
        "DELETE FROM message_bytes WHERE organization_id = $1 AND inbox_key = $2 AND message_key <= $3 \
         AND message_key NOT IN (SELECT message_key FROM deliveries WHERE organization_id = $1 AND inbox_key = $2 \
         AND message_key <= $3 AND state IN ('held', 'ready'))",
        args![organization, inbox, last],
    )
    .await?;
    crate::texts::forget_up_to(tx, organization, inbox, last).await?;
    tx.run(
        "DELETE FROM messages WHERE organization_id = $1 AND inbox_key = $2 AND message_key <= $3",
        args![organization, inbox, last],
    )
    .await?;
    let idle = |row: &DoomedRow| !waiting.iter().any(|(key,)| *key == row.message_key);
    Ok(Some(doomed.into_iter().filter(idle).filter_map(|row| row.object).collect()))
}
