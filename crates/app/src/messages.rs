//! Reading and changing messages. What a message says beyond its list item (bodies, headers, extracted text) is
//! derived from the raw bytes when it is asked for: the raw message is the truth.

use std::collections::BTreeMap;

use podmail_api_types::messages as wire;
use podmail_domain::label::Restricted;
use podmail_domain::thread::Direction;
use podmail_domain::{AttachmentId, MessageId};
use podmail_store::{LabelChange, Message, Relabelled, Scope, StoredBytes};

use crate::links::Target;
use crate::{App, Caller, Error, Issue, Result};

/// Bodies above this are rendered off the reactor: parsing and sanitising them takes milliseconds.
const RENDER_INLINE_BYTES: u64 = 16 * 1024;

impl App {
    /// A message that the caller may see, restricted or not.
    pub async fn message(&self, caller: &Caller, id: &MessageId) -> Result<Message> {
        self.store().message(&caller.scope, id, caller.readable()).await?.ok_or(Error::NotFound("Message"))
    }

    /// Messages by id in request order, without bodies; unknown and invisible ones are left out.
    pub async fn batch_get(&self, caller: &Caller, ids: &[MessageId]) -> Result<wire::BatchGet> {
        let mut found = self.store().messages_by_id(&caller.scope, ids, caller.readable()).await?;
        found.sort_by_key(|message| ids.iter().position(|id| *id == message.message_id));
        let mut messages = Vec::with_capacity(found.len());
        for message in &found {
            let mut full = self.render_message(&caller.scope, message).await?;
            (full.text, full.html, full.extracted_text, full.extracted_html) = (None, None, None, None);
            messages.push(full);
        }
        Ok(wire::BatchGet { limit: ids.len(), count: messages.len(), messages })
    }

    /// Changes labels of messages, all or nothing; answers in request order.
    pub async fn relabel_messages(
        &self,
        caller: &Caller,
        ids: &[MessageId],
        change: LabelChange,
    ) -> Result<Vec<wire::MessageUpdate>> {
        let outcome = self
            .store()
            .relabel_messages(&caller.scope, ids.to_vec(), change, caller.readable(), self.now())
            .await?;
        match outcome {
            Relabelled::Done(updates) => Ok(updates
                .into_iter()
                .map(|(message_id, labels)| wire::MessageUpdate { message_id, labels })
                .collect()),
            Relabelled::TooMany => Err(too_many_labels()),
        }
    }

    /// Deletes a message for good.
    pub async fn delete_message(&self, caller: &Caller, id: &MessageId) -> Result<()> {
        let objects = self
            .store()
            .delete_message(&caller.scope, id, caller.readable())
            .await?
            .ok_or(Error::NotFound("Message"))?;
        self.discard(objects).await;
        Ok(())
    }

    /// A link to the raw message.
    pub async fn raw_message(&self, caller: &Caller, id: &MessageId) -> Result<wire::RawMessage> {
        let message = self.message(caller, id).await?;
        let (download_url, expires_at) = self.link(&caller.scope, &message, Target::Raw).await?;
        Ok(wire::RawMessage { message_id: message.message_id, size: message.size, download_url, expires_at })
    }

    /// A link to an attachment of a message.
    pub async fn message_attachment(
        &self,
        caller: &Caller,
        id: &MessageId,
        attachment: AttachmentId,
    ) -> Result<wire::AttachmentResponse> {
        let message = self.message(caller, id).await?;
        self.attachment_link(&caller.scope, &message, attachment).await
    }

    pub(crate) async fn attachment_link(
        &self,
        scope: &Scope,
        message: &Message,
        attachment: AttachmentId,
    ) -> Result<wire::AttachmentResponse> {
        let stored = message
            .attachments
            .iter()
            .find(|stored| stored.attachment_id == attachment)
            .ok_or(Error::NotFound("Attachment"))?;
        let (download_url, expires_at) = self.link(scope, message, Target::Attachment(attachment)).await?;
        let text_url = if self.store().has_attachment_text(scope, message, attachment).await? {
            Some(self.link_until(scope, message, Target::Text(attachment), expires_at).await?)
        } else {
            None
        };
        Ok(wire::AttachmentResponse { attachment: stored.into(), download_url, expires_at, text_url })
    }

    /// The raw bytes of a message, as received or as sent.
    pub(crate) async fn raw_bytes(&self, scope: &Scope, message: &Message) -> Result<Vec<u8>> {
        let stored = self.store().message_bytes(scope, message).await?.ok_or(Error::NotFound("Message"))?;
        self.unpack(stored, message.size).await
    }

    /// Decompresses stored bytes of a message of `size` bytes.
    pub(crate) async fn unpack(&self, stored: StoredBytes, size: u64) -> Result<Vec<u8>> {
        let max = usize::try_from(size).unwrap_or(usize::MAX);
        match stored {
            StoredBytes::Inline(bytes) => Ok(podmail_blob::decompress(&bytes, max)?),
            StoredBytes::Object(name) => {
                let bytes = self.blobs().get(&name).await?.ok_or(Error::NotFound("Message"))?;
                heavy(move || podmail_blob::decompress(&bytes, max)).await?.map_err(Error::from)
            }
        }
    }

    /// Removes objects that nothing refers to any more. What cannot be removed now only wastes disk.
    pub(crate) async fn discard(&self, objects: Vec<String>) {
        for name in objects {
            if let Err(error) = self.blobs().delete(&name).await {
                tracing::warn!(error = %error, "an unreferenced object could not be removed");
            }
        }
    }

    /// The full message: list item plus everything derived from the raw bytes.
    pub async fn render_message(&self, scope: &Scope, message: &Message) -> Result<wire::Message> {
        let raw = self.raw_bytes(scope, message).await?;
        let message = message.clone();
        if message.size <= RENDER_INLINE_BYTES {
            return Ok(full(&message, &raw));
        }
        heavy(move || full(&message, &raw)).await
    }
}

/// Runs work that would keep the reactor busy.
pub(crate) async fn heavy<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

pub(crate) fn too_many_labels() -> Error {
    Error::invalid(Issue::too_big(["add_labels".into()], "array", podmail_domain::limits::LABELS_PER_MESSAGE))
}

/// What a list shows of a message.
pub(crate) fn item(message: &Message) -> wire::Message {
    wire::Message {
        organization_id: message.organization_id,
        pod_id: message.pod_id,
        inbox_id: message.inbox_id.clone(),
        thread_id: message.thread_id,
        message_id: message.message_id.clone(),
        labels: message.labels.clone(),
        timestamp: message.timestamp,
        from: message.sender.clone(),
        reply_to: Vec::new(),
        to: message.to.clone(),
        cc: message.cc.clone(),
        bcc: message.bcc.clone(),
        subject: message.subject.clone(),
        preview: message.preview.clone(),
        text: None,
        html: None,
        extracted_text: None,
        extracted_html: None,
        attachments: message.attachments.iter().map(Into::into).collect(),
        in_reply_to: message.in_reply_to.clone(),
        references: message.references.clone(),
        headers: message.headers.clone(),
        authentication_results: None,
        opened_at: message.opened_at,
        size: message.size,
        updated_at: message.updated_at,
        created_at: message.created_at,
    }
}

/// The list item plus what the raw bytes say.
fn full(message: &Message, raw: &[u8]) -> wire::Message {
    let mut parsed = podmail_mime::parse(raw);
    if message.direction == Direction::Sent && parsed.last_line_end_added {
        // Ours, for the transport: whoever sent the text gets it back exactly as it was given.
        for body in [&mut parsed.text, &mut parsed.html].into_iter().flatten() {
            if body.ends_with('\n') {
                body.pop();
            }
        }
    }
    let mut headers: BTreeMap<String, String> = parsed.headers.into_iter().collect();
    // The sender's own id, where ours had to replace it.
    if let Some(original) = parsed.message_id.filter(|original| original != message.message_id.as_str()) {
        headers.insert("Message-ID".to_owned(), original);
    }
    let html = parsed.html.map(|html| match message.direction {
        Direction::Received => podmail_mime::sanitize_html(&html),
        Direction::Sent => html,
    });
    wire::Message {
        reply_to: parsed.reply_to.iter().map(ToString::to_string).collect(),
        extracted_text: parsed.text.as_deref().and_then(|text| match message.direction {
            // Where our own quote begins is no guess.
            Direction::Sent => podmail_mime::new_text(text)
                .map(str::to_owned)
                .filter(|new| !new.is_empty())
                .or_else(|| podmail_mime::extract::extract_text(text)),
            Direction::Received => podmail_mime::extract::extract_text(text),
        }),
        extracted_html: html.as_deref().and_then(podmail_mime::extract::extract_html),
        text: parsed.text,
        html,
        headers,
        authentication_results: message.authentication.clone(),
        ..item(message)
    }
}

/// Which restricted labels a list shows, given what the request included.
pub fn included(mut include: impl FnMut(&str) -> bool) -> Restricted {
    Restricted::LABELS.into_iter().filter(|label| include(label)).fold(Restricted::NONE, Restricted::with)
}
