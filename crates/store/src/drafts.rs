//! Drafts: unsent messages of an inbox. `change` writes them, `work` leases and sends them.
//!
//! Invariant: a draft is taken out by the transaction that stores its message, and only by whoever holds its lease; so
//! it becomes one message, whoever else tries and whatever is killed when.

mod change;
mod tidy;
mod work;

use podmail_domain::thread::Attachment;
use podmail_domain::{AttachmentId, DraftId, InboxId, InboxKey, OrganizationId, PodId, ThreadId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::db::{Bytes, Conn, Query, args};
use crate::messages::{StoredBytes, json, list};
use crate::page::{Cursor, Order, Page};
use crate::scope::{InboxRef, Scope, id};
use crate::{Error, Result, Store};

pub use change::{DraftChange, DraftChanged, DraftCreated, DraftDeleted, DraftFile, NewDraft, Set};
pub use work::{DraftClaim, DraftClaimed, DraftRelease};
pub(crate) use work::{consume, purge};

/// What a draft is for; fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DraftKind {
    /// A new mail.
    Plain,
    /// An answer to the sender.
    Reply,
    /// An answer to everybody.
    ReplyAll,
    /// Passing a message on.
    Forward,
}

/// Where a draft stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DraftState {
    /// Waits for its author.
    Plain,
    /// Waits for its time.
    Scheduled,
    /// Is being sent.
    Sending,
    /// Was refused at its time.
    Failed,
}

impl DraftState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Scheduled => "scheduled",
            Self::Sending => "sending",
            Self::Failed => "failed",
        }
    }
    pub(crate) fn parse(text: &str) -> Result<Self> {
        [Self::Plain, Self::Scheduled, Self::Sending, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(Error::Corrupt("the state of a draft"))
    }
}

/// Why a scheduled draft was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendFailure {
    /// A code of the API's errors.
    pub code: String,
    /// For people.
    pub message: String,
}

/// What a draft says, without its bodies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftContent {
    /// What it is for.
    pub kind: DraftKind,
    /// The creator's own name for it.
    pub client_id: Option<String>,
    /// The conversation that it goes on.
    pub thread_id: Option<ThreadId>,
    /// As written.
    pub reply_to: Vec<String>,
    /// As written.
    pub to: Vec<String>,
    /// As written.
    pub cc: Vec<String>,
    /// As written.
    pub bcc: Vec<String>,
    /// As written.
    pub subject: Option<String>,
    /// Start of the text body.
    pub preview: Option<String>,
    /// The message that it answers.
    pub in_reply_to: Option<String>,
    /// The message that it passes on.
    pub forward_of: Option<String>,
    /// Oldest first.
    pub references: Vec<String>,
    /// In order; `part` means nothing here.
    pub attachments: Vec<Attachment>,
    /// Of the last attempt to send it at its time.
    pub failure: Option<SendFailure>,
}

impl DraftContent {
    /// Positions of the ids that are none of its attachments'.
    pub fn unknown_attachments(&self, ids: &[AttachmentId]) -> Vec<usize> {
        let known = |id: &AttachmentId| self.attachments.iter().any(|own| own.attachment_id == *id);
        ids.iter().enumerate().filter(|(_, id)| !known(id)).map(|(n, _)| n).collect()
    }
}

/// An unsent message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Owner.
    pub organization_id: OrganizationId,
    /// Owner.
    pub pod_id: PodId,
    /// Incarnation of the inbox.
    pub inbox_key: InboxKey,
    /// Address of the inbox.
    pub inbox_id: InboxId,
    /// Its id.
    pub draft_id: DraftId,
    /// Where it stands.
    pub state: DraftState,
    /// What it goes back to when it is not sent after all; equals `state` unless it is being sent.
    pub resume: DraftState,
    /// When it is to be sent.
    pub send_at: Option<Timestamp>,
    /// Custom ones, in order of attachment.
    pub labels: Vec<String>,
    /// What it says.
    pub content: DraftContent,
    /// Plain text body; absent in lists.
    pub text: Option<String>,
    /// HTML body; absent in lists.
    pub html: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
}

impl Draft {
    /// The inbox it lies in: whoever holds a draft has been shown it.
    pub fn scope(&self) -> Scope {
        let inbox = InboxRef { key: self.inbox_key, id: self.inbox_id.clone() };
        Scope::new(self.organization_id, Some(self.pod_id), Some(inbox))
    }
}

/// What a list of drafts keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DraftFilter {
    /// Carries all of these.
    pub labels: Vec<String>,
    /// `updated_at` below.
    pub before: Option<Timestamp>,
    /// `updated_at` at or above.
    pub after: Option<Timestamp>,
}

const LIST_COLUMNS: &str = "d.organization_id, d.draft_id, d.pod_id, d.inbox_key, d.inbox_id, d.state, d.resume, \
    d.send_at, d.due_at, d.labels, d.content, d.created_at, d.updated_at, NULL AS text, NULL AS html";
const COLUMNS: &str = "d.organization_id, d.draft_id, d.pod_id, d.inbox_key, d.inbox_id, d.state, d.resume, \
    d.send_at, d.due_at, d.labels, d.content, d.created_at, d.updated_at, d.text, d.html";

#[derive(sqlx::FromRow, serde::Deserialize)]
struct DraftRow {
    organization_id: String,
    draft_id: String,
    pod_id: String,
    inbox_key: String,
    inbox_id: String,
    state: String,
    resume: String,
    send_at: Option<i64>,
    due_at: Option<i64>,
    labels: String,
    content: String,
    created_at: i64,
    updated_at: i64,
    text: Option<String>,
    html: Option<String>,
}

impl DraftRow {
    /// A draft whose sender's lease ran out is not being sent any more.
    fn read(self, now: Timestamp) -> Result<Draft> {
        let (mut state, resume) = (DraftState::parse(&self.state)?, DraftState::parse(&self.resume)?);
        if state == DraftState::Sending && self.due_at.is_none_or(|until| until <= now.micros()) {
            state = resume;
        }
        Ok(Draft {
            organization_id: id(&self.organization_id, OrganizationId::parse)?,
            pod_id: id(&self.pod_id, PodId::parse)?,
            inbox_key: id(&self.inbox_key, InboxKey::parse)?,
            inbox_id: id(&self.inbox_id, InboxId::parse)?,
            draft_id: id(&self.draft_id, DraftId::parse)?,
            state,
            resume,
            send_at: self.send_at.map(Timestamp::from_micros),
            labels: list(&self.labels)?,
            content: serde_json::from_str(&self.content).map_err(|_| Error::Corrupt("a draft"))?,
            text: self.text,
            html: self.html,
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
        })
    }
}

async fn find(conn: &mut Conn, scope: &Scope, draft: DraftId, now: Timestamp) -> Result<Option<Draft>> {
    let mut query = Query::new(
        &format!("SELECT {COLUMNS} FROM drafts d WHERE d.organization_id = $1 AND d.draft_id = $2"),
        args![scope.organization(), draft],
    );
    scope.narrow(&mut query, "d");
    let rows: Vec<DraftRow> = query.all(conn).await?;
    rows.into_iter().next().map(|row| row.read(now)).transpose()
}

impl Store {
    /// A draft of the scope, with its bodies.
    pub async fn draft(&self, scope: &Scope, draft: DraftId, now: Timestamp) -> Result<Option<Draft>> {
        find(&mut self.reader().await?, scope, draft, now).await
    }

    /// A page of drafts of the scope by their last change, without bodies.
    pub async fn drafts(
        &self,
        scope: &Scope,
        filter: &DraftFilter,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page<Draft>> {
        let mut query = Query::new(
            &format!("SELECT {LIST_COLUMNS} FROM drafts d WHERE d.organization_id = $1"),
            args![scope.organization()],
        );
        scope.narrow(&mut query, "d");
        let contains = crate::dialect::contains(self.engine());
        for label in &filter.labels {
            match label.as_str() {
                "draft" => {}
                "scheduled" => query.and("d.resume = ?", args![DraftState::Scheduled.as_str()]),
                label => query.and(&format!("{contains}(d.labels, ?) > 0"), args![json(&label)]),
            }
        }
        if let Some(before) = filter.before {
            query.and("d.updated_at < ?", args![before]);
        }
        if let Some(after) = filter.after {
            query.and("d.updated_at >= ?", args![after]);
        }
        order.seek(&mut query, "d.updated_at", "d.draft_id", after, limit);
        let rows: Vec<DraftRow> = query.all(&mut self.reader().await?).await?;
        let drafts = rows.into_iter().map(|row| row.read(now)).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(drafts, limit, |draft| Cursor::new(draft.updated_at, draft.draft_id)))
    }

    /// The stored bytes of a draft's attachment.
    pub async fn draft_bytes(
        &self,
        scope: &Scope,
        draft: DraftId,
        attachment: AttachmentId,
    ) -> Result<Option<StoredBytes>> {
        let row: Option<(Option<Bytes>, Option<String>)> = self
            .reader()
            .await?
            .one(
                "SELECT bytes, object FROM draft_attachments WHERE organization_id = $1 AND draft_id = $2 \
                 AND attachment_id = $3 AND inbox_key = $4",
                args![scope.organization(), draft, attachment, scope.inbox_key()?],
            )
            .await?;
        Ok(match row {
            Some((_, Some(object))) => Some(StoredBytes::Object(object)),
            Some((Some(bytes), None)) => Some(StoredBytes::Inline(bytes.0)),
            Some((None, None)) | None => None,
        })
    }
}
