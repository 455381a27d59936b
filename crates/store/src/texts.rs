//! Plain text of attachments: which messages are still to be looked at, and what was found. A job is written with its
//! message, leased by one worker, and removed with its outcome.
//!
//! Invariant: a text exists only while its message does.

use podmail_domain::{AttachmentId, InboxKey, MessageKey, OrganizationId, Timestamp};

use crate::db::{Bytes, Value, args};
use crate::messages::{Message, lock_inbox};
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Result, Store};

pub(crate) const INSERT_JOBS: &str =
    "INSERT INTO text_jobs (organization_id, inbox_key, message_key, attempts, due_at)";
/// Columns of [`INSERT_JOBS`].
pub(crate) const JOB_VALUES: usize = 5;

pub(crate) fn job_values(message: &Message) -> Vec<Value> {
    args![message.organization_id, message.inbox_key, message.message_key, 0_i64, message.created_at]
}

/// A message whose attachments this worker may look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextJob {
    /// Owner.
    pub organization_id: OrganizationId,
    /// Its inbox.
    pub inbox_key: InboxKey,
    /// Which message.
    pub message_key: MessageKey,
    /// The lease.
    pub token: String,
    /// How often somebody began before.
    pub attempts: u32,
}

/// The text of one attachment, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachmentText {
    /// Whose.
    pub attachment_id: AttachmentId,
    /// zstd.
    pub bytes: Vec<u8>,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct JobRow {
    inbox_key: String,
    message_key: String,
    attempts: i64,
}

impl Store {
    /// The first organization behind `after` that has a due job.
    pub async fn text_job_owner(
        &self,
        after: Option<OrganizationId>,
        now: Timestamp,
    ) -> Result<Option<OrganizationId>> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let row: Option<(String,)> = self
            .reader()
            .await?
            .one(
                "SELECT organization_id FROM text_jobs WHERE organization_id > $1 AND due_at <= $2 \
                 ORDER BY organization_id LIMIT 1",
                args![after, now],
            )
            .await?;
        row.map(|(owner,)| id(&owner, OrganizationId::parse)).transpose()
    }

    /// Leases an organization's oldest due job until `until`; `None` when there is none any more.
    pub async fn lease_text_job(
        &self,
        organization: OrganizationId,
        token: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<TextJob>> {
        self.write_later(
            (organization, token.to_owned(), now, until),
            |tx, (organization, token, now, until)| Box::pin(lease(tx, *organization, token, *now, *until)),
        )
        .await
    }

    /// Ends a job with what it found; `false`, and nothing written, when the lease or the message is gone.
    pub async fn finish_text_job(&self, job: &TextJob, texts: Vec<AttachmentText>) -> Result<bool> {
        self.write_later((job.clone(), texts), |tx, (job, texts)| Box::pin(finish(tx, job, texts))).await
    }

    /// Gives a job back that was not ended, for anybody to begin at once; it does not count as begun. Nothing happens when
    /// the lease is gone.
    pub async fn release_text_job(&self, job: &TextJob, now: Timestamp) -> Result<()> {
        self.write((job.clone(), now), |tx, (job, now)| {
            Box::pin(async move {
                tx.run(
                    "UPDATE text_jobs SET lease = NULL, due_at = $5, attempts = attempts - 1 \
                     WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3 AND lease = $4",
                    args![job.organization_id, job.inbox_key, job.message_key, job.token.as_str(), *now],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The compressed text of an attachment of a message.
    pub async fn attachment_text(
        &self,
        scope: &Scope,
        message: &Message,
        attachment: AttachmentId,
    ) -> Result<Option<Vec<u8>>> {
        let row: Option<(Bytes,)> = self
            .reader()
            .await?
            .one(
                "SELECT bytes FROM attachment_texts WHERE organization_id = $1 AND inbox_key = $2 \
                 AND message_key = $3 AND attachment_id = $4",
                args![scope.organization(), message.inbox_key, message.message_key, attachment],
            )
            .await?;
        Ok(row.map(|(bytes,)| bytes.0))
    }

    /// Whether an attachment of a message has a text.
    pub async fn has_attachment_text(
        &self,
        scope: &Scope,
        message: &Message,
        attachment: AttachmentId,
    ) -> Result<bool> {
        let count = self
            .reader()
            .await?
            .count(
                "SELECT COUNT(*) FROM attachment_texts WHERE organization_id = $1 AND inbox_key = $2 \
                 AND message_key = $3 AND attachment_id = $4",
                args![scope.organization(), message.inbox_key, message.message_key, attachment],
            )
            .await?;
        Ok(count > 0)
    }
}

async fn lease(
    tx: &mut Tx,
    organization: OrganizationId,
    token: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<Option<TextJob>> {
    let row: Option<JobRow> = tx
        .one(
            // As a range of the index that takes turns: an equality and an order by due_at may be read from what is due
            // of everybody.
            "SELECT inbox_key, message_key, attempts FROM text_jobs WHERE (organization_id, due_at) >= ($1, 0) \
             AND (organization_id, due_at) <= ($1, $2) ORDER BY organization_id, due_at LIMIT 1",
            args![organization, now],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let job = TextJob {
        organization_id: organization,
        inbox_key: id(&row.inbox_key, InboxKey::parse)?,
        message_key: id(&row.message_key, MessageKey::parse)?,
        token: token.to_owned(),
        attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
    };
    let taken = tx
        .run(
            "UPDATE text_jobs SET lease = $4, due_at = $5, attempts = attempts + 1 \
             WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3 AND due_at <= $6",
            args![organization, job.inbox_key, job.message_key, token, until, now],
        )
        .await?;
    Ok((taken > 0).then_some(job))
}

async fn finish(tx: &mut Tx, job: &TextJob, texts: &[AttachmentText]) -> Result<bool> {
    // With the inbox's row in hand nobody deletes the message, which would remove the job, in the meantime.
    if !lock_inbox(tx, job.organization_id, job.inbox_key).await? {
        return Ok(false);
    }
    let ended = tx
        .run(
            "DELETE FROM text_jobs WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3 AND lease = $4",
            args![job.organization_id, job.inbox_key, job.message_key, job.token.as_str()],
        )
        .await?;
    if ended == 0 {
        return Ok(false);
    }
    let rows = texts
        .iter()
        .map(|text| {
            args![job.organization_id, job.inbox_key, job.message_key, text.attachment_id, text.bytes.clone()]
        })
        .collect();
    tx.insert(
        "INSERT INTO attachment_texts (organization_id, inbox_key, message_key, attachment_id, bytes)",
        5,
        "",
        rows,
    )
    .await?;
    Ok(true)
}

/// Removes what belongs to a message that is being deleted.
pub(crate) async fn forget(tx: &mut Tx, message: &Message) -> Result<()> {
    if message.attachments.is_empty() {
        return Ok(());
    }
    for statement in [
        "DELETE FROM text_jobs WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
        "DELETE FROM attachment_texts WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
    ] {
        tx.run(statement, args![message.organization_id, message.inbox_key, message.message_key]).await?;
    }
    Ok(())
}

/// Removes what belongs to the oldest messages of a deleted inbox.
pub(crate) async fn forget_up_to(
    tx: &mut Tx,
    organization: OrganizationId,
    inbox: InboxKey,
    last: MessageKey,
) -> Result<()> {
    for statement in [
        "DELETE FROM text_jobs WHERE organization_id = $1 AND inbox_key = $2 AND message_key <= $3",
        "DELETE FROM attachment_texts WHERE organization_id = $1 AND inbox_key = $2 AND message_key <= $3",
    ] {
        tx.run(statement, args![organization, inbox, last]).await?;
    }
    Ok(())
}
