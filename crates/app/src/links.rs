//! Download links: bearer secrets that work without a key, bound to one object, signed (HMAC-SHA256) and expiring.
//!
//! A link names organization, inbox, message and what of it; the signature covers all of that, the expiry, and random
//! bits that make every link another one.

use std::time::Duration;

use podmail_domain::source::{hex, random};
use podmail_domain::thread::Attachment;
use podmail_domain::{AttachmentId, DraftId, InboxKey, MessageKey, OrganizationId, Timestamp, limits};
use podmail_store::{Draft, Message, Scope};

use crate::{App, Error, Result};

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The message's bytes.
    Raw,
    /// An attachment's bytes.
    Attachment(AttachmentId),
    /// The plain text taken from an attachment.
    Text(AttachmentId),
}

/// What the part of a link that names an attachment starts with when it is one of a draft.
const OF_DRAFT: &str = "draft-";

/// Bytes behind a link, ready to be served.
#[derive(Clone, Debug)]
pub struct Download {
    /// Media type as stored.
    pub content_type: String,
    /// File name, already cleaned.
    pub filename: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What stands before the attachment's id in a link to its text.
const TEXT: &str = "text_";

impl App {
    pub(crate) async fn link(
        &self,
        scope: &Scope,
        message: &Message,
        target: Target,
    ) -> Result<(String, Timestamp)> {
        let expires = self.link_end();
        Ok((self.link_until(scope, message, target, expires).await?, expires))
    }

    /// A link that ends at `expires`.
    pub(crate) async fn link_until(
        &self,
        scope: &Scope,
        message: &Message,
        target: Target,
        expires: Timestamp,
    ) -> Result<String> {
        let what = match target {
            Target::Raw => "raw".to_owned(),
            Target::Attachment(id) => id.to_string(),
            Target::Text(id) => format!("{TEXT}{id}"),
        };
        let of = format!("{}.{}.{}", scope.organization(), message.inbox_key, message.message_key);
        self.signed(&of, &what, expires).await
    }

    /// A link to an attachment of a draft.
    pub(crate) async fn draft_link(&self, draft: &Draft, id: AttachmentId) -> Result<(String, Timestamp)> {
        let of = format!("{}.{}.{}", draft.organization_id, draft.inbox_key, draft.draft_id);
        let expires = self.link_end();
        Ok((self.signed(&of, &format!("{OF_DRAFT}{id}"), expires).await?, expires))
    }

    /// When a link made now ends, in whole seconds.
    fn link_end(&self) -> Timestamp {
        let end = self.now().plus(Duration::from_secs(limits::DOWNLOAD_LINK_SECONDS));
        Timestamp::from_seconds(end.seconds())
    }

    async fn signed(&self, of: &str, what: &str, expires: Timestamp) -> Result<String> {
        let nonce = hex(&random::<6>(self.ids()));
        let subject = format!("{of}.{what}.{nonce}.{}", expires.seconds());
        let token = self.token_of(&subject).await?;
        Ok(format!("{}/downloads/{token}", self.settings().public_url.trim_end_matches('/')))
    }

    /// The bytes behind a link's token.
    ///
    /// # Errors
    /// [`Error::BadLink`] when the signature is wrong or the link has expired, [`Error::NotFound`] when the
    /// message is gone.
    pub async fn download(&self, token: &str) -> Result<Download> {
        let subject = self.subject_of(token).await?.ok_or(Error::BadLink)?;
        let parts: Vec<&str> = subject.split('.').collect();
        let [organization, inbox, key, what, _, expires] = parts.as_slice() else {
            return Err(Error::BadLink);
        };
        let expires = expires.parse().map(Timestamp::from_seconds).map_err(|_| Error::BadLink)?;
        if self.now() >= expires {
            return Err(Error::BadLink);
        }
        let gone = || Error::NotFound("Message");
        let organization = OrganizationId::parse(organization).ok_or_else(gone)?;
        let inbox = InboxKey::parse(inbox).ok_or_else(gone)?;
        if let Some(attachment) = what.strip_prefix(OF_DRAFT) {
            return self.draft_download(organization, inbox, key, attachment).await;
        }
        let key = MessageKey::parse(key).ok_or_else(gone)?;
        let scope = self.store().inbox_scope_by_key(organization, inbox).await?.ok_or_else(gone)?;
        let message = self.store().message_by_key(&scope, key).await?.ok_or_else(gone)?;
        if let Some(id) = what.strip_prefix(TEXT) {
            return self.text_download(&scope, &message, id).await;
        }
        let raw = self.raw_bytes(&scope, &message).await?;
        if *what == "raw" {
            return Ok(Download {
                content_type: "message/rfc822".to_owned(),
                filename: "message.eml".to_owned(),
                bytes: raw,
            });
        }
        let stored = AttachmentId::parse(what)
            .and_then(|id| message.attachments.iter().find(|stored| stored.attachment_id == id))
            .ok_or(Error::NotFound("Attachment"))?;
        let part = stored.part;
        let bytes = crate::messages::heavy(move || podmail_mime::part_bytes(&raw, part))
            .await?
            .ok_or(Error::NotFound("Attachment"))?;
        Ok(served(stored, bytes))
    }

    async fn text_download(&self, scope: &Scope, message: &Message, id: &str) -> Result<Download> {
        let gone = || Error::NotFound("Attachment");
        let stored = AttachmentId::parse(id)
            .and_then(|id| message.attachments.iter().find(|stored| stored.attachment_id == id))
            .ok_or_else(gone)?;
        let packed =
            self.store().attachment_text(scope, message, stored.attachment_id).await?.ok_or_else(gone)?;
        Ok(Download {
            content_type: "text/plain; charset=utf-8".to_owned(),
            filename: format!("{}.txt", stored.filename.as_deref().unwrap_or("attachment")),
            bytes: podmail_blob::decompress(&packed, crate::texts::TEXT_BYTES_MAX)?,
        })
    }

    async fn draft_download(
        &self,
        organization: OrganizationId,
        inbox: InboxKey,
        draft: &str,
        attachment: &str,
    ) -> Result<Download> {
        let gone = || Error::NotFound("Draft");
        let draft = DraftId::parse(draft).ok_or_else(gone)?;
        let attachment = AttachmentId::parse(attachment).ok_or_else(gone)?;
        let scope = self.store().inbox_scope_by_key(organization, inbox).await?.ok_or_else(gone)?;
        let draft = self.store().draft(&scope, draft, self.now()).await?.ok_or_else(gone)?;
        let stored = draft
            .content
            .attachments
            .iter()
            .find(|stored| stored.attachment_id == attachment)
            .ok_or(Error::NotFound("Attachment"))?;
        let bytes = self.draft_file(&draft, stored).await?;
        Ok(served(stored, bytes))
    }
}

fn served(stored: &Attachment, bytes: Vec<u8>) -> Download {
    Download {
        content_type: stored.content_type.clone().unwrap_or_else(|| "application/octet-stream".to_owned()),
        filename: stored.filename.clone().unwrap_or_else(|| "attachment".to_owned()),
        bytes,
    }
}
