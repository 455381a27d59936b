//! Making a draft: what a reply or forward needs from its source is derived now, and may be changed until it is sent.

use podmail_api_types::drafts as wire;
use podmail_domain::{MessageId, Timestamp, limits};
use podmail_store::{DraftContent, DraftCreated, DraftKind, NewDraft};

use crate::send::{Draft as Checked, Kind, compose, own_mailbox, texts};
use crate::{App, Caller, Error, Issue, Result};

/// A draft to make.
#[derive(Debug)]
pub struct NewDraftInput {
    /// What it says, checked.
    pub checked: Checked,
    /// The message of the inbox that it answers.
    pub in_reply_to: Option<MessageId>,
    /// The message of the inbox that it passes on.
    pub forward_of: Option<MessageId>,
    /// Answers everybody.
    pub reply_all: bool,
    /// When to send it; in the future.
    pub send_at: Option<Timestamp>,
    /// The creator's own name for it.
    pub client_id: Option<String>,
}

impl App {
    /// What a `client_id` made, as it is now or as it was sent. A repeated create gets it whatever else it says: its
    /// `send_at` may be over by now.
    pub async fn draft_of_client_id(&self, caller: &Caller, client_id: &str) -> Result<Option<wire::Draft>> {
        self.store().draft_by_client_id(&caller.scope, client_id, self.now()).await?.map(made).transpose()
    }

    /// Makes a draft in the caller's inbox. A `client_id` that was used before gives what it made then.
    pub async fn create_draft(&self, caller: &Caller, input: NewDraftInput) -> Result<wire::Draft> {
        let (scope, now) = (&caller.scope, self.now());
        let source = match (&input.in_reply_to, &input.forward_of) {
            (Some(id), _) | (None, Some(id)) => Some(self.message(caller, id).await?),
            (None, None) => None,
        };
        let (draft_kind, kind) = match &source {
            None => (DraftKind::Plain, Kind::Send),
            Some(source) if input.forward_of.is_some() => (DraftKind::Forward, Kind::Forward(source)),
            Some(source) if input.reply_all => (DraftKind::ReplyAll, Kind::ReplyAll(source)),
            Some(source) => (DraftKind::Reply, Kind::Reply(source)),
        };
        let mut checked = input.checked;
        let mut references = Vec::new();
        if let Some(message) = &source {
            let inbox = self.store().inbox(scope).await?.ok_or(Error::NotFound("Inbox"))?;
            let own = own_mailbox(&inbox);
            let source = self.source(scope, message).await?;
            let separate = self.inboxes_among(&source.tagged_own(&own)).await?;
            let addressed = match compose::recipients(kind, &checked, Some(&source), &own, &separate) {
                // Nobody to answer: a draft can still be given recipients.
                Err(Error::Unprocessable(_)) => compose::Addressed {
                    to: Vec::new(),
                    cc: std::mem::take(&mut checked.cc),
                    bcc: std::mem::take(&mut checked.bcc),
                },
                addressed => addressed?,
            };
            if addressed.count() > limits::SEND_RECIPIENTS {
                return Err(Error::invalid(Issue::too_big(["to".into()], "array", limits::SEND_RECIPIENTS)));
            }
            (checked.to, checked.cc, checked.bcc) = (addressed.to, addressed.cc, addressed.bcc);
            if checked.subject.is_none() {
                checked.subject = match draft_kind {
                    DraftKind::Forward => compose::forward_subject(&checked, &source),
                    DraftKind::Plain | DraftKind::Reply | DraftKind::ReplyAll => {
                        compose::reply_subject(&checked, &source)
                    }
                };
            }
            references = source.references();
        }
        let files = self.files(caller, "attachments", std::mem::take(&mut checked.attachments)).await?;
        let objects: Vec<String> = files.iter().filter_map(super::object).collect();
        let content = DraftContent {
            kind: draft_kind,
            client_id: input.client_id,
            thread_id: source.as_ref().map(|source| source.thread_id),
            reply_to: texts(&checked.reply_to),
            to: texts(&checked.to),
            cc: texts(&checked.cc),
            bcc: texts(&checked.bcc),
            subject: checked.subject,
            preview: checked.text.as_deref().and_then(podmail_mime::preview),
            in_reply_to: source
                .as_ref()
                .filter(|_| draft_kind != DraftKind::Forward)
                .map(|source| source.message_id.to_string()),
            forward_of: source
                .as_ref()
                .filter(|_| draft_kind == DraftKind::Forward)
                .map(|source| source.message_id.to_string()),
            references,
            attachments: Vec::new(),
            failure: None,
        };
        let new = NewDraft {
            scope: scope.clone(),
            labels: checked.labels,
            content,
            text: checked.text,
            html: checked.html,
            files,
            send_at: input.send_at,
            now,
        };
        let created = self.store().create_draft(new).await?;
        if !matches!(created, DraftCreated::Created(_)) {
            self.discard(objects).await;
        }
        made(created)
    }
}

fn made(created: DraftCreated) -> Result<wire::Draft> {
    match created {
        DraftCreated::Created(draft) | DraftCreated::Existing(draft) => Ok(super::full(*draft)),
        DraftCreated::Elsewhere => {
            Err(Error::AlreadyExists { resource: "Draft", suggestions: Vec::new(), fix: None })
        }
        DraftCreated::Gone => Err(Error::NotFound("Inbox")),
    }
}
