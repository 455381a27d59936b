//! Making, changing and deleting drafts.

use std::collections::HashSet;
use std::time::Duration;

use podmail_domain::thread::Attachment;
use podmail_domain::{AttachmentId, DraftId, Timestamp, label, limits};

use super::{Draft, DraftContent, DraftState, find};
use crate::db::args;
use crate::messages::{LabelChange, StoredBytes, json, lock_inbox};
use crate::scope::Scope;
use crate::writer::Tx;
use crate::{Error, Result, Store};

/// How often a create looks again when the draft that held its `client_id` vanished in between.
const CLIENT_ID_ATTEMPTS: usize = 3;

/// An attachment with its bytes.
#[derive(Clone, Debug)]
pub struct DraftFile {
    /// What is shown of it.
    pub attachment: Attachment,
    /// Compressed bytes, or the durable object that holds them.
    pub bytes: StoredBytes,
}

/// A draft to make in one inbox.
#[derive(Clone, Debug)]
pub struct NewDraft {
    /// The inbox; must be an inbox scope.
    pub scope: Scope,
    /// Custom ones.
    pub labels: Vec<String>,
    /// What it says; `attachments` is filled from `files`.
    pub content: DraftContent,
    /// Plain text body.
    pub text: Option<String>,
    /// HTML body.
    pub html: Option<String>,
    /// In order.
    pub files: Vec<DraftFile>,
    /// When to send it.
    pub send_at: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// Outcome of making a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftCreated {
    /// It is there.
    Created(Box<Draft>),
    /// The `client_id` was used before: what it made, as it is now or as it was sent.
    Existing(Box<Draft>),
    /// The `client_id` was used for something that the scope does not cover.
    Elsewhere,
    /// The inbox is gone.
    Gone,
}

/// A member of a change.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Set<T> {
    /// Leave it.
    #[default]
    Keep,
    /// Make it this.
    To(T),
}

impl<T: Clone> Set<T> {
    fn apply(&self, value: &mut T) {
        if let Self::To(new) = self {
            value.clone_from(new);
        }
    }
}

/// A change of a draft, already checked.
#[derive(Clone, Debug, Default)]
pub struct DraftChange {
    /// Empty clears.
    pub reply_to: Set<Vec<String>>,
    /// Empty clears.
    pub to: Set<Vec<String>>,
    /// Empty clears.
    pub cc: Set<Vec<String>>,
    /// Empty clears.
    pub bcc: Set<Vec<String>>,
    /// `None` clears.
    pub subject: Set<Option<String>>,
    /// `None` clears.
    pub text: Set<Option<String>>,
    /// `None` clears.
    pub html: Set<Option<String>>,
    /// The start of the new text; follows `text`.
    pub preview: Option<String>,
    /// `None` takes a schedule or a failure back.
    pub send_at: Set<Option<Timestamp>>,
    /// Appended after the removals.
    pub add_files: Vec<DraftFile>,
    /// By id.
    pub remove_files: Vec<AttachmentId>,
    /// Custom ones.
    pub labels: LabelChange,
    /// The caller may send. Without it, what a scheduled draft says and to whom stays as it is while it is scheduled.
    pub may_send: bool,
}

impl DraftChange {
    /// Whether it touches what recipients get, or who they are.
    fn rewrites(&self) -> bool {
        let lists = [&self.reply_to, &self.to, &self.cc, &self.bcc].into_iter().any(|set| *set != Set::Keep);
        let texts = [&self.subject, &self.text, &self.html].into_iter().any(|set| *set != Set::Keep);
        lists || texts || !self.add_files.is_empty() || !self.remove_files.is_empty()
    }
}

/// Outcome of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftChanged {
    /// The draft afterwards, and objects that nothing names any more.
    Done(Box<Draft>, Vec<String>),
    /// There is none in scope.
    Absent,
    /// It is being sent.
    Sending,
    /// It is scheduled, and only who may send may change that.
    Scheduled,
    /// It has no attachments with the ids at these positions of `remove_files`.
    NoAttachments(Vec<usize>),
    /// It would have too many recipients.
    TooManyRecipients,
    /// It would have too many attachments.
    TooManyAttachments,
    /// Its attachments would be too large together.
    TooManyBytes,
    /// It would carry too many labels.
    TooManyLabels,
}

/// Outcome of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftDeleted {
    /// It is gone; objects that nothing names any more.
    Done(Vec<String>),
    /// There is none in scope.
    Absent,
    /// It is being sent.
    Sending,
}

impl Store {
    /// Makes a draft.
    pub async fn create_draft(&self, new: NewDraft) -> Result<DraftCreated> {
        self.write(new, |tx, new| Box::pin(create(tx, new))).await
    }

    /// What a `client_id` made, if it was used.
    pub async fn draft_by_client_id(
        &self,
        scope: &Scope,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Option<DraftCreated>> {
        by_client_id(&mut self.reader().await?, scope, client_id, now).await
    }

    /// Changes a draft of the scope's inbox.
    pub async fn update_draft(
        &self,
        scope: &Scope,
        draft: DraftId,
        change: DraftChange,
        now: Timestamp,
    ) -> Result<DraftChanged> {
        self.write((scope.clone(), draft, change, now), |tx, (scope, draft, change, now)| {
            Box::pin(update(tx, scope, *draft, change, *now))
        })
        .await
    }

    /// Deletes a draft of the scope's inbox; its schedule and its `client_id` go with it.
    pub async fn delete_draft(&self, scope: &Scope, draft: DraftId, now: Timestamp) -> Result<DraftDeleted> {
        self.write((scope.clone(), draft, now), |tx, (scope, draft, now)| {
            Box::pin(async move {
                let Some(found) = locked(tx, scope, *draft, *now).await? else { return Ok(DraftDeleted::Absent) };
                if found.state == DraftState::Sending {
                    return Ok(DraftDeleted::Sending);
                }
                if let Some(client_id) = &found.content.client_id {
                    tx.run(
                        "DELETE FROM client_ids WHERE organization_id = $1 AND kind = 'draft' AND client_id = $2 \
                         AND resource_id = $3",
                        args![scope.organization(), client_id.as_str(), *draft],
                    )
                    .await?;
                }
                remove(tx, scope, *draft).await.map(DraftDeleted::Done)
            })
        })
        .await
    }
}

/// Removes a draft's rows; objects that nothing names any more.
pub(super) async fn remove(tx: &mut Tx, scope: &Scope, draft: DraftId) -> Result<Vec<String>> {
    let key = || args![scope.organization(), draft];
    let objects: Vec<(Option<String>,)> = tx
        .all(
            "DELETE FROM draft_attachments WHERE organization_id = $1 AND draft_id = $2 RETURNING object",
            key(),
        )
        .await?;
    tx.run("DELETE FROM drafts WHERE organization_id = $1 AND draft_id = $2", key()).await?;
    Ok(objects.into_iter().filter_map(|(object,)| object).collect())
}

/// Takes the draft's row and reads it: changes of one draft follow one another.
pub(super) async fn locked(
    tx: &mut Tx,
    scope: &Scope,
    draft: DraftId,
    now: Timestamp,
) -> Result<Option<Draft>> {
    tx.run(
        "UPDATE drafts SET updated_at = updated_at WHERE organization_id = $1 AND draft_id = $2",
        args![scope.organization(), draft],
    )
    .await?;
    find(tx, scope, draft, now).await
}

async fn by_client_id(
    conn: &mut crate::db::Conn,
    scope: &Scope,
    client_id: &str,
    now: Timestamp,
) -> Result<Option<DraftCreated>> {
    let organization = scope.organization();
    let known: Option<(String,)> = conn
        .one(
            "SELECT resource_id FROM client_ids WHERE organization_id = $1 AND kind = 'draft' AND client_id = $2",
            args![organization, client_id],
        )
        .await?;
    let Some(draft) = known.and_then(|(draft,)| DraftId::parse(&draft)) else { return Ok(None) };
    let whole = Scope::new(organization, None, None);
    let found = match find(conn, &whole, draft, now).await? {
        Some(found) => Some(found),
        None => {
            let since = now.minus(Duration::from_secs(limits::SENT_DRAFT_DAYS * 24 * 3600));
            let kept: Option<(String,)> = conn
                .one(
                    "SELECT snapshot FROM sent_drafts WHERE organization_id = $1 AND draft_id = $2 AND sent_at > $3 \
                     AND inbox_key NOT IN (SELECT inbox_key FROM purges WHERE organization_id = $1)",
                    args![organization, draft, since],
                )
                .await?;
            kept.map(|(snapshot,)| super::work::from_snapshot(&snapshot)).transpose()?
        }
    };
    Ok(found.map(|found| {
        if scope.covers(Some(found.pod_id), Some(found.inbox_key)) {
            DraftCreated::Existing(Box::new(found))
        } else {
            DraftCreated::Elsewhere
        }
    }))
}

async fn create(tx: &mut Tx, new: &NewDraft) -> Result<DraftCreated> {
    let (organization, inbox) =
        (new.scope.organization(), new.scope.inbox().ok_or(Error::Corrupt("an inbox"))?);
    let draft_id = DraftId::new(&*tx.ids, new.now);
    if !lock_inbox(tx, organization, inbox.key).await? {
        return Ok(DraftCreated::Gone);
    }
    if let Some(client_id) = &new.content.client_id
        && let Some(known) = claim(tx, new, client_id, draft_id).await?
    {
        return Ok(known);
    }
    let state = if new.send_at.is_some() { DraftState::Scheduled } else { DraftState::Plain };
    let mut content = new.content.clone();
    content.attachments = new.files.iter().map(|file| file.attachment.clone()).collect();
    tx.run(
        "INSERT INTO drafts (organization_id, draft_id, pod_id, inbox_key, inbox_id, state, resume, send_at, due_at, \
         labels, content, created_at, updated_at, text, html) \
         VALUES ($1,$2,$3,$4,$5,$6,$6,$7,$7,$8,$9,$10,$10,$11,$12)",
        args![
            organization,
            draft_id,
            new.scope.pod_or_default(),
            inbox.key,
            &inbox.id,
            state.as_str(),
            new.send_at,
            json(&new.labels),
            json(&content),
            new.now,
            new.text.clone(),
            new.html.clone()
        ],
    )
    .await?;
    add_files(tx, &new.scope, draft_id, &new.files).await?;
    tx.news.drafts |= new.send_at.is_some();
    let made = find(tx, &new.scope, draft_id, new.now).await?.ok_or(Error::Race)?;
    Ok(DraftCreated::Created(Box::new(made)))
}

async fn add_files(tx: &mut Tx, scope: &Scope, draft: DraftId, files: &[DraftFile]) -> Result<()> {
    let inbox = scope.inbox_key()?;
    let rows = files
        .iter()
        .map(|file| {
            let (bytes, object) = match &file.bytes {
                StoredBytes::Inline(bytes) => (Some(bytes.clone()), None),
                StoredBytes::Object(name) => (None, Some(name.clone())),
            };
            args![scope.organization(), draft, file.attachment.attachment_id, inbox, bytes, object]
        })
        .collect();
    tx.insert(
        "INSERT INTO draft_attachments (organization_id, draft_id, attachment_id, inbox_key, bytes, object)",
        6,
        "",
        rows,
    )
    .await
}

/// Claims a `client_id` for a new draft, or says what it made before. A concurrent create of the same value waits here
/// until the first one committed.
async fn claim(tx: &mut Tx, new: &NewDraft, client_id: &str, draft: DraftId) -> Result<Option<DraftCreated>> {
    let organization = new.scope.organization();
    for _ in 0..CLIENT_ID_ATTEMPTS {
        let claimed = tx
            .run(
                "INSERT INTO client_ids (organization_id, kind, client_id, resource_id) \
                 VALUES ($1, 'draft', $2, $3) ON CONFLICT DO NOTHING",
                args![organization, client_id, draft],
            )
            .await?;
        if claimed > 0 {
            return Ok(None);
        }
        if let Some(known) = by_client_id(tx, &new.scope, client_id, new.now).await? {
            return Ok(Some(known));
        }
        // What it named was sent long ago, or went with its inbox: the value is free.
        tx.run(
            "DELETE FROM client_ids WHERE organization_id = $1 AND kind = 'draft' AND client_id = $2",
            args![organization, client_id],
        )
        .await?;
    }
    Err(Error::Race)
}

async fn update(
    tx: &mut Tx,
    scope: &Scope,
    draft: DraftId,
    change: &DraftChange,
    now: Timestamp,
) -> Result<DraftChanged> {
    let Some(mut found) = locked(tx, scope, draft, now).await? else { return Ok(DraftChanged::Absent) };
    if found.state == DraftState::Sending {
        return Ok(DraftChanged::Sending);
    }
    // Otherwise a mail that somebody else scheduled would go out with any text and to anybody.
    let stays_scheduled = found.resume == DraftState::Scheduled && change.send_at != Set::To(None);
    if stays_scheduled && change.rewrites() && !change.may_send {
        return Ok(DraftChanged::Scheduled);
    }
    let content = &mut found.content;
    let unknown = content.unknown_attachments(&change.remove_files);
    if !unknown.is_empty() {
        return Ok(DraftChanged::NoAttachments(unknown));
    }
    content.attachments.retain(|attachment| !change.remove_files.contains(&attachment.attachment_id));
    content.attachments.extend(change.add_files.iter().map(|file| file.attachment.clone()));
    if content.attachments.len() > limits::SEND_ATTACHMENTS {
        return Ok(DraftChanged::TooManyAttachments);
    }
    let bytes: u64 = content.attachments.iter().map(|attachment| attachment.size).sum();
    if bytes > limits::DRAFT_ATTACHMENT_BYTES {
        return Ok(DraftChanged::TooManyBytes);
    }
    change.reply_to.apply(&mut content.reply_to);
    change.to.apply(&mut content.to);
    change.cc.apply(&mut content.cc);
    change.bcc.apply(&mut content.bcc);
    let mut seen = HashSet::new();
    for list in [&mut content.to, &mut content.cc, &mut content.bcc] {
        list.retain(|text| seen.insert(recipient(text)));
    }
    change.subject.apply(&mut content.subject);
    if change.text != Set::Keep {
        content.preview.clone_from(&change.preview);
    }
    if content.to.len() + content.cc.len() + content.bcc.len() > limits::SEND_RECIPIENTS {
        return Ok(DraftChanged::TooManyRecipients);
    }
    label::apply(&mut found.labels, &change.labels.add, &change.labels.remove);
    if found.labels.len() > limits::LABELS_PER_MESSAGE {
        return Ok(DraftChanged::TooManyLabels);
    }
    change.text.apply(&mut found.text);
    change.html.apply(&mut found.html);
    if let Set::To(send_at) = change.send_at {
        found.send_at = send_at;
        found.content.failure = None;
        found.resume = if send_at.is_some() { DraftState::Scheduled } else { DraftState::Plain };
    }
    found.state = found.resume;
    // Moves although the clock may stand still between two changes: lists are ordered by it, and it shows milliseconds.
    found.updated_at = now.max(found.updated_at.plus(Duration::from_millis(1)));
    let mut objects = Vec::new();
    for id in &change.remove_files {
        let gone: Vec<(Option<String>,)> = tx
            .all(
                "DELETE FROM draft_attachments WHERE organization_id = $1 AND draft_id = $2 AND attachment_id = $3 \
                 RETURNING object",
                args![scope.organization(), draft, *id],
            )
            .await?;
        objects.extend(gone.into_iter().filter_map(|(object,)| object));
    }
    add_files(tx, scope, draft, &change.add_files).await?;
    save(tx, &found).await?;
    tx.news.drafts |= found.state == DraftState::Scheduled;
    Ok(DraftChanged::Done(Box::new(found), objects))
}

/// What makes two recipients the same one: the bare address in lower case. Stored ones are `name@host` or
/// `Name <name@host>`.
fn recipient(text: &str) -> String {
    let bare = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')).map(|(_, address)| address);
    bare.unwrap_or(text).to_lowercase()
}

/// Writes a draft that nobody sends: its lease is over.
pub(super) async fn save(tx: &mut Tx, draft: &Draft) -> Result<()> {
    let due_at = draft.send_at.filter(|_| draft.state == DraftState::Scheduled);
    tx.run(
        "UPDATE drafts SET state = $3, resume = $4, send_at = $5, due_at = $6, lease = NULL, labels = $7, \
         content = $8, text = $9, html = $10, updated_at = $11 WHERE organization_id = $1 AND draft_id = $2",
        args![
            draft.organization_id,
            draft.draft_id,
            draft.state.as_str(),
            draft.resume.as_str(),
            draft.send_at,
            due_at,
            json(&draft.labels),
            json(&draft.content),
            draft.text.clone(),
            draft.html.clone(),
            draft.updated_at
        ],
    )
    .await?;
    Ok(())
}
