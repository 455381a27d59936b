//! Sending a draft, whether somebody asks for it or its time has come: claim it, build its message, and store that in
//! the transaction that takes the draft out.

use podmail_api_types::messages::Sent;
use podmail_domain::{DraftId, MessageId, label, limits};
use podmail_mime::Mailbox;
use podmail_store::{
    Draft, DraftClaim, DraftClaimed, DraftContent, DraftKind, DraftRelease, LabelChange, Message,
};

use crate::send::{Draft as Checked, Idempotency, Kind};
use crate::{App, Caller, Error, Issue, Result};

impl App {
    /// Sends a draft of the caller's inbox now; `labels` are those of the message, on top of the draft's own.
    pub async fn send_draft(
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
        let source = self.draft_source(draft).await?;
        let kind = match (content.kind, &source) {
            (DraftKind::Plain, _) => Kind::Send,
            (DraftKind::Reply, Some(source)) => Kind::Reply(source),
            (DraftKind::ReplyAll, Some(source)) => Kind::ReplyAll(source),
            (DraftKind::Forward, Some(source)) => Kind::Forward(source),
            // The answer still goes to its conversation, only without a quote.
            (DraftKind::Reply | DraftKind::ReplyAll, None) => Kind::Send,
            (DraftKind::Forward, None) => {
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
            headers: if source.is_none() { links(content) } else { Vec::new() },
            reply_all: false,
            track_opens: false,
            settled: true,
        };
        let objects = self.draft_objects(draft).await?;
        let sent = self.submit(caller, kind, checked, idempotency, Some(claim)).await?;
        self.discard(objects).await;
        Ok(sent)
    }

    async fn draft_source(&self, draft: &Draft) -> Result<Option<Message>> {
        let Some(id) = draft.content.in_reply_to.as_ref().or(draft.content.forward_of.as_ref()) else {
            return Ok(None);
        };
        let visible = podmail_domain::label::Restricted::ALL;
        Ok(self.store().message(&draft.scope(), &MessageId::new(id), visible).await?)
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
