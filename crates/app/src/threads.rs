//! Threads as a caller sees them.

use podmail_api_types::messages::{AttachmentResponse, Message};
use podmail_api_types::threads as wire;
use podmail_domain::{AttachmentId, ThreadId};
use podmail_store::{Cursor, LabelChange, Thread, ThreadRelabelled};

use crate::{App, Caller, Error, Result};

impl App {
    /// A thread of which the caller sees at least one message.
    pub async fn thread(&self, caller: &Caller, id: &str) -> Result<Thread> {
        let id = ThreadId::parse(id).ok_or(Error::NotFound("Thread"))?;
        self.store().thread(&caller.scope, id, caller.readable()).await?.ok_or(Error::NotFound("Thread"))
    }

    /// A thread with a page of its visible messages: the newest first page, ascending inside. Returns the position of
    /// the oldest message shown when older ones follow.
    pub async fn thread_page(
        &self,
        caller: &Caller,
        thread: &Thread,
        before: Option<&Cursor>,
        limit: usize,
    ) -> Result<(wire::ThreadItem, Vec<Message>, Option<Cursor>)> {
        let page = self
            .store()
            .thread_messages(&caller.scope, thread.thread_id, caller.readable(), before, limit)
            .await?;
        let mut messages = Vec::with_capacity(page.items.len());
        for message in page.items.iter().rev() {
            messages.push(self.render_message(&message.scope(), message).await?);
        }
        Ok((item(thread), messages, page.next))
    }

    /// A link to an attachment of any visible message of a thread.
    pub async fn thread_attachment(
        &self,
        caller: &Caller,
        thread: &Thread,
        attachment: AttachmentId,
    ) -> Result<AttachmentResponse> {
        let mut before = None;
        loop {
            let page = self
                .store()
                .thread_messages(&caller.scope, thread.thread_id, caller.readable(), before.as_ref(), 100)
                .await?;
            for message in &page.items {
                if message.attachments.iter().any(|stored| stored.attachment_id == attachment) {
                    return self.attachment_link(&message.scope(), message, attachment).await;
                }
            }
            match page.next {
                Some(next) => before = Some(next),
                None => return Err(Error::NotFound("Attachment")),
            }
        }
    }

    /// Changes labels of every visible message of a thread.
    pub async fn relabel_thread(
        &self,
        caller: &Caller,
        thread: &Thread,
        change: LabelChange,
    ) -> Result<wire::ThreadUpdate> {
        let outcome = self
            .store()
            .relabel_thread(&caller.scope, thread.thread_id, change, caller.readable(), self.now())
            .await?;
        match outcome {
            ThreadRelabelled::Done(labels) => Ok(wire::ThreadUpdate { thread_id: thread.thread_id, labels }),
            ThreadRelabelled::NotFound => Err(Error::NotFound("Thread")),
            ThreadRelabelled::TooLarge => Err(Error::Unprocessable(format!(
                "A thread with {} or more messages cannot be updated at once; update its messages instead",
                podmail_domain::limits::THREAD_UPDATE_MESSAGES
            ))),
            ThreadRelabelled::TooManyLabels => Err(crate::messages::too_many_labels()),
        }
    }

    /// Deletes a thread with its messages for good.
    pub async fn delete_thread(&self, caller: &Caller, id: &str) -> Result<()> {
        let id = ThreadId::parse(id).ok_or(Error::NotFound("Thread"))?;
        let objects = self
            .store()
            .delete_thread(&caller.scope, id, caller.readable())
            .await?
            .ok_or(Error::NotFound("Thread"))?;
        self.discard(objects).await;
        Ok(())
    }
}

/// What a list or an event shows of a thread.
pub fn item(thread: &Thread) -> wire::ThreadItem {
    let of = &thread.aggregate;
    wire::ThreadItem {
        organization_id: thread.organization_id,
        pod_id: thread.pod_id,
        inbox_id: thread.inbox_id.clone(),
        thread_id: thread.thread_id,
        labels: of.labels.clone(),
        timestamp: of.timestamp,
        received_timestamp: of.received_timestamp,
        sent_timestamp: of.sent_timestamp,
        senders: of.senders.clone(),
        recipients: of.recipients.clone(),
        subject: of.subject.clone(),
        preview: of.preview.clone(),
        attachments: of.attachments.iter().map(Into::into).collect(),
        last_message_id: of.last_message_id.clone(),
        message_count: of.message_count,
        size: of.size,
        updated_at: of.updated_at,
        created_at: of.created_at,
    }
}
