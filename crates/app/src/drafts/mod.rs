//! Drafts: messages that wait for their author, for a reviewer, or for their time. A draft shows the author's part
//! only; what it answers or passes on is quoted when it is sent.

mod create;
mod send;
mod work;

use podmail_api_types::drafts as wire;
use podmail_api_types::messages::AttachmentResponse;
use podmail_domain::thread::Attachment;
use podmail_domain::{AttachmentId, DraftId, Permission, Timestamp, limits};
use podmail_store::{
    Cursor, Draft, DraftChange, DraftChanged, DraftDeleted, DraftFile, DraftFilter, DraftKind, DraftState,
    LabelChange, Order, Page,
};

pub use create::NewDraftInput;
pub use podmail_store::Set;

use crate::send::check::{Attachment as Given, Source as Bytes};
use crate::{App, Caller, Error, Issue, Result};
use send::Quoted;

/// A change of a draft, checked but for what only the stored draft decides.
#[derive(Debug, Default)]
pub struct DraftUpdate {
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
    /// `None` takes a schedule or a failure back.
    pub send_at: Set<Option<Timestamp>>,
    /// Appended after the removals.
    pub add_attachments: Vec<Given>,
    /// See [`removals`].
    pub remove_attachments: Vec<AttachmentId>,
    /// Custom ones.
    pub labels: LabelChange,
}

impl App {
    /// A draft that the caller may see.
    pub async fn draft(&self, caller: &Caller, draft: DraftId) -> Result<Draft> {
        self.store().draft(&caller.scope, draft, self.now()).await?.ok_or(Error::NotFound("Draft"))
    }

    /// The full draft.
    pub async fn full_draft(&self, caller: &Caller, draft: DraftId) -> Result<wire::Draft> {
        Ok(full(self.draft(caller, draft).await?))
    }

    /// A page of drafts of the caller's scope.
    pub async fn list_drafts(
        &self,
        caller: &Caller,
        filter: &DraftFilter,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::Draft>> {
        let page = self.store().drafts(&caller.scope, filter, order, after, limit, self.now()).await?;
        Ok(page.map(item))
    }

    /// A link to an attachment of a draft.
    pub async fn draft_attachment(
        &self,
        caller: &Caller,
        draft: DraftId,
        attachment: AttachmentId,
    ) -> Result<AttachmentResponse> {
        let draft = self.draft(caller, draft).await?;
        let stored = draft
            .content
            .attachments
            .iter()
            .find(|stored| stored.attachment_id == attachment)
            .ok_or(Error::NotFound("Attachment"))?;
        let (download_url, expires_at) = self.draft_link(&draft, attachment).await?;
        Ok(AttachmentResponse { attachment: stored.into(), download_url, expires_at, text_url: None })
    }

    /// Changes a draft.
    pub async fn update_draft(
        &self,
        caller: &Caller,
        draft: DraftId,
        update: DraftUpdate,
    ) -> Result<wire::Draft> {
        let known = self.draft(caller, draft).await?;
        // Whoever turns an answer or a forward to somebody else decides who reads the message that it quotes; whoever
        // schedules it, that they do.
        let turned = [&update.to, &update.cc, &update.bcc].into_iter().any(|set| *set != Set::Keep);
        if turned && known.content.kind != DraftKind::Plain {
            caller.require(Permission::MessageRead)?;
        }
        let scheduled = matches!(update.send_at, Set::To(Some(_)));
        if (turned || scheduled) && matches!(self.draft_source(caller, &known).await?, Quoted::Hidden) {
            return Err(Error::NotFound("Message"));
        }
        // A draft that is being sent is told before anything is fetched for it.
        if known.state == DraftState::Sending {
            return Err(sending());
        }
        let add_files = self.files(caller, "add_attachments", update.add_attachments).await?;
        let names: Vec<String> = add_files.iter().filter_map(object).collect();
        let preview = match &update.text {
            Set::To(Some(text)) => podmail_mime::preview(text),
            Set::To(None) | Set::Keep => None,
        };
        let change = DraftChange {
            reply_to: update.reply_to,
            to: update.to,
            cc: update.cc,
            bcc: update.bcc,
            subject: update.subject,
            text: update.text,
            html: update.html,
            preview,
            send_at: update.send_at,
            add_files,
            remove_files: update.remove_attachments,
            labels: update.labels,
            may_send: caller.allows(Permission::DraftSend),
        };
        let outcome = self.store().update_draft(&caller.scope, draft, change, self.now()).await?;
        if !matches!(outcome, DraftChanged::Done(..)) {
            self.discard(names).await;
        }
        let too_big = |field: &str, max| Error::invalid(Issue::too_big([field.into()], "array", max));
        match outcome {
            DraftChanged::Done(draft, objects) => {
                self.discard(objects).await;
                Ok(full(*draft))
            }
            DraftChanged::Absent => Err(Error::NotFound("Draft")),
            DraftChanged::Sending => Err(sending()),
            DraftChanged::Scheduled => Err(Error::MissingPermission(Permission::DraftSend.as_str())),
            DraftChanged::NoAttachments(unknown) => {
                Err(Error::Invalid(unknown.into_iter().map(no_attachment).collect()))
            }
            DraftChanged::TooManyRecipients => Err(too_big("to", limits::SEND_RECIPIENTS)),
            DraftChanged::TooManyAttachments => Err(too_big("add_attachments", limits::SEND_ATTACHMENTS)),
            DraftChanged::TooManyBytes => Err(too_large("add_attachments")),
            DraftChanged::TooManyLabels => Err(crate::messages::too_many_labels()),
        }
    }

    /// Deletes a draft and with it its schedule.
    pub async fn delete_draft(&self, caller: &Caller, draft: DraftId) -> Result<()> {
        match self.store().delete_draft(&caller.scope, draft, self.now()).await? {
            DraftDeleted::Done(objects) => {
                self.discard(objects).await;
                Ok(())
            }
            DraftDeleted::Absent => Err(Error::NotFound("Draft")),
            DraftDeleted::Sending => Err(sending()),
        }
    }

    /// Fetches and stores the attachments of one member of a request.
    async fn files(&self, caller: &Caller, field: &str, mut given: Vec<Given>) -> Result<Vec<DraftFile>> {
        self.fetch_attachments(field, &mut given).await?;
        if given.iter().map(Given::bytes).sum::<u64>() > limits::DRAFT_ATTACHMENT_BYTES {
            return Err(too_large(field));
        }
        let mut files = Vec::with_capacity(given.len());
        for attachment in &given {
            let part = crate::send::compose::part(attachment);
            let stored = Attachment {
                attachment_id: AttachmentId::new(self.ids(), self.now()),
                part: 0,
                size: part.bytes.len() as u64,
                filename: part.filename,
                content_type: Some(part.content_type),
                content_disposition: Some(part.disposition.as_str().to_owned()),
                content_id: part.content_id,
            };
            let bytes = part.bytes;
            let compressed = crate::messages::heavy(move || podmail_blob::compress(&bytes)).await?;
            files.push(DraftFile {
                attachment: stored,
                bytes: self.store_bytes(&caller.scope, &compressed).await?,
            });
        }
        Ok(files)
    }

    /// The bytes of a draft's attachment.
    pub(crate) async fn draft_file(&self, draft: &Draft, attachment: &Attachment) -> Result<Vec<u8>> {
        let stored = self
            .store()
            .draft_bytes(&draft.scope(), draft.draft_id, attachment.attachment_id)
            .await?
            .ok_or(Error::NotFound("Attachment"))?;
        self.unpack(stored, attachment.size).await
    }
}

fn object(file: &DraftFile) -> Option<String> {
    match &file.bytes {
        podmail_store::StoredBytes::Object(name) => Some(name.clone()),
        podmail_store::StoredBytes::Inline(_) => None,
    }
}

/// The ids of `remove_attachments`, or every one that is none of the draft's.
pub fn removals(draft: &Draft, given: &[String]) -> std::result::Result<Vec<AttachmentId>, Vec<Issue>> {
    let ids: Vec<Option<AttachmentId>> = given.iter().map(|text| AttachmentId::parse(text)).collect();
    let known = |id: &AttachmentId| draft.content.unknown_attachments(&[*id]).is_empty();
    let unknown: Vec<Issue> = ids
        .iter()
        .enumerate()
        .filter(|(_, id)| !id.as_ref().is_some_and(known))
        .map(|(n, _)| no_attachment(n))
        .collect();
    if unknown.is_empty() { Ok(ids.into_iter().flatten().collect()) } else { Err(unknown) }
}

fn no_attachment(n: usize) -> Issue {
    Issue::custom(["remove_attachments".into(), n.into()], "The draft has no attachment with this id")
}

fn too_large(field: &str) -> Error {
    let max = usize::try_from(limits::DRAFT_ATTACHMENT_BYTES).unwrap_or(usize::MAX);
    let mut issue = Issue::too_big([field.into()], "file", max);
    issue.message = format!("Too big: expected the attachments to have at most {max} bytes together");
    Error::invalid(issue)
}

fn sending() -> Error {
    Error::Conflict("The draft is being sent".to_owned())
}

/// Attachments with bytes, as a send takes them.
fn attached(attachment: &Attachment, bytes: Vec<u8>) -> Given {
    Given {
        source: Bytes::Bytes(bytes),
        filename: attachment.filename.clone(),
        content_type: attachment.content_type.clone(),
        disposition: match attachment.content_disposition.as_deref() {
            Some("inline") => podmail_mime::Disposition::Inline,
            _ => podmail_mime::Disposition::Attachment,
        },
        content_id: attachment.content_id.clone(),
    }
}

/// What a list shows of a draft.
fn item(draft: Draft) -> wire::Draft {
    let scheduled = draft.resume == DraftState::Scheduled;
    let marks = ["draft".to_owned()].into_iter().chain(scheduled.then(|| "scheduled".to_owned()));
    let content = draft.content;
    wire::Draft {
        organization_id: draft.organization_id,
        pod_id: draft.pod_id,
        inbox_id: draft.inbox_id,
        draft_id: draft.draft_id,
        thread_id: content.thread_id,
        client_id: None,
        labels: marks.chain(draft.labels).collect(),
        reply_to: Vec::new(),
        to: content.to,
        cc: content.cc,
        bcc: content.bcc,
        subject: content.subject,
        preview: content.preview,
        text: None,
        html: None,
        attachments: content.attachments.iter().map(Into::into).collect(),
        in_reply_to: content.in_reply_to,
        forward_of: content.forward_of,
        references: Vec::new(),
        send_status: match draft.state {
            DraftState::Plain => None,
            DraftState::Scheduled => Some("scheduled"),
            DraftState::Sending => Some("sending"),
            DraftState::Failed => Some("failed"),
        },
        send_at: draft.send_at,
        send_error: content
            .failure
            .map(|failure| wire::SendError { code: failure.code, message: failure.message }),
        updated_at: draft.updated_at,
        created_at: None,
    }
}

/// The list item plus what only a full draft shows.
fn full(mut draft: Draft) -> wire::Draft {
    let (text, html, created_at) = (draft.text.take(), draft.html.take(), draft.created_at);
    let (client_id, reply_to) = (draft.content.client_id.take(), std::mem::take(&mut draft.content.reply_to));
    let references = std::mem::take(&mut draft.content.references);
    wire::Draft { text, html, client_id, reply_to, references, created_at: Some(created_at), ..item(draft) }
}
