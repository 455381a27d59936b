//! Sending a draft, whether somebody asks for it or its time has come: claim it, build its message, and store that in
//! the transaction that takes the draft out.

use podmail_api_types::messages::Sent;
use podmail_domain::label::Restricted;
use podmail_domain::{DraftId, MessageId, label, limits};
use podmail_mime::Mailbox;
use podmail_store::{
    Draft, DraftClaim, DraftClaimed, DraftContent, DraftKind, DraftRelease, LabelChange, Message,
};

use crate::send::{Draft as Checked, Idempotency, Kind};
use crate::{App, Caller, Error, Issue, Result};

/// What a draft answers or passes on.
pub(super) enum Quoted {
    /// This.
    Shown(Box<Message>),
    /// A message with a restricted label that the caller may not read.
    Hidden,
    /// It is a plain draft, or the message was deleted.
    Nothing,
}

impl App {
    /// Sends a draft of the caller's inbox now; `labels` are those of the message, on top of the draft's own. Once
    /// begun it ends, although the client hangs up: a claim that nobody releases would hold the draft for its lease.
    pub async fn send_draft(
        &self,
        caller: &Caller,
        draft: DraftId,
        labels: LabelChange,
        idempotency: Option<Idempotency>,
    ) -> Result<Sent> {
        let (app, caller) = (self.clone(), caller.clone());
        let work = async move { app.claim_and_send(&caller, draft, &labels, idempotency).await };
        self.detached("draft send", work).await
    }

    async fn claim_and_send(
        &self,
        caller: &Caller,
        draft: DraftId,
        labels: &LabelChange,
        idempotency: Option<Idempotency>,
    ) -> Result<Sent> {
        let now = self.now();
        let until = now.plus(self.settings().work_lease);
        let claim = match self.store().claim_draft(&caller.scope, draft, now, until).await? {
            DraftClaimed::Claimed(claim) => *claim,
            DraftClaimed::Absent => return Err(Error::NotFound("Draft")),
            DraftClaimed::Sending => return Err(super::sending()),
        };
        // An earlier use of the key answers without touching the draft.
        let keyed = idempotency.is_some();
        let sent = self.send_claimed(caller, &claim, labels, idempotency).await;
        if sent.is_err() || keyed {
            self.store().release_draft(claim, DraftRelease::Back, self.now()).await?;
        }
        sent
    }

    /// Makes a claimed draft into a message. The claim is over when this succeeds, and only then.
    pub(super) async fn send_claimed(
        &self,
        caller: &Caller,
        claim: &DraftClaim,
        labels: &LabelChange,
        idempotency: Option<Idempotency>,
    ) -> Result<Sent> {
        let draft = &claim.draft;
        let content = &draft.content;
        if content.to.is_empty() && content.cc.is_empty() && content.bcc.is_empty() {
            return Err(Error::Unprocessable(
                "The draft has no recipients: to, cc, or bcc must be specified".to_owned(),
            ));
        }
        let source = self.draft_source(caller, draft).await?;
        let kind = match (content.kind, &source) {
            (DraftKind::Plain, _) => Kind::Send,
            (DraftKind::Reply, Quoted::Shown(source)) => Kind::Reply(source),
            (DraftKind::ReplyAll, Quoted::Shown(source)) => Kind::ReplyAll(source),
            (DraftKind::Forward, Quoted::Shown(source)) => Kind::Forward(source),
            // The answer still goes to its conversation, only without a quote.
            (DraftKind::Reply | DraftKind::ReplyAll, Quoted::Hidden | Quoted::Nothing) => Kind::Send,
            (DraftKind::Forward, Quoted::Hidden) => return Err(Error::NotFound("Message")),
            (DraftKind::Forward, Quoted::Nothing) => {
                return Err(Error::Unprocessable("The message to forward was deleted".to_owned()));
            }
        };
        let mut own_labels = draft.labels.clone();
        label::apply(&mut own_labels, &labels.add, &labels.remove);
        if own_labels.len() > limits::LABELS_PER_MESSAGE {
            return Err(Error::invalid(Issue::too_big(
                ["add_labels".into()],
                "array",
                limits::LABELS_PER_MESSAGE,
            )));
        }
        let mut attachments = Vec::with_capacity(content.attachments.len());
        for attachment in &content.attachments {
            attachments.push(super::attached(attachment, self.draft_file(draft, attachment).await?));
        }
        let checked = Checked {
            to: mailboxes(&content.to),
            cc: mailboxes(&content.cc),
            bcc: mailboxes(&content.bcc),
            reply_to: mailboxes(&content.reply_to),
            subject: content.subject.clone(),
            text: draft.text.clone(),
            html: draft.html.clone(),
            labels: own_labels,
            attachments,
            headers: match source {
                Quoted::Shown(_) => Vec::new(),
                Quoted::Hidden | Quoted::Nothing => links(content),
            },
            reply_all: false,
            track_opens: false,
            settled: true,
        };
        let objects = self.draft_objects(draft).await?;
        let sent = self.submit(caller, kind, checked, idempotency, Some(claim)).await?;
        self.discard(objects).await;
        Ok(sent)
    }

    /// What a draft answers or passes on, as far as the caller may see it: labels may have hidden it since the draft
    /// was made. Whether the caller may read messages at all does not matter, as whoever made the draft was asked.
    pub(super) async fn draft_source(&self, caller: &Caller, draft: &Draft) -> Result<Quoted> {
        let Some(id) = draft.content.in_reply_to.as_ref().or(draft.content.forward_of.as_ref()) else {
            return Ok(Quoted::Nothing);
        };
        let found = self.store().message(&draft.scope(), &MessageId::new(id), Restricted::ALL).await?;
        Ok(match found {
            Some(source) if source.restricted.within(caller.readable()) => Quoted::Shown(Box::new(source)),
            Some(_) => Quoted::Hidden,
            None => Quoted::Nothing,
        })
    }

    async fn draft_objects(&self, draft: &Draft) -> Result<Vec<String>> {
        let mut objects = Vec::new();
        for attachment in &draft.content.attachments {
            let stored =
                self.store().draft_bytes(&draft.scope(), draft.draft_id, attachment.attachment_id).await?;
            if let Some(podmail_store::StoredBytes::Object(name)) = stored {
                objects.push(name);
            }
        }
        Ok(objects)
    }
}

/// Stored addresses were parsed when they were written.
fn mailboxes(texts: &[String]) -> Vec<Mailbox> {
    texts.iter().filter_map(|text| Mailbox::parse(text).ok()).collect()
}

/// The headers that tie an answer to a conversation whose message is gone.
fn links(content: &DraftContent) -> Vec<(String, String)> {
    let Some(last) = content.references.last().or(content.in_reply_to.as_ref()) else { return Vec::new() };
    vec![("In-Reply-To".to_owned(), last.clone()), ("References".to_owned(), content.references.join(" "))]
}
