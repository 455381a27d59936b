//! Messages and attachments.

use std::collections::BTreeMap;

use podmail_domain::thread::Attachment as StoredAttachment;
use podmail_domain::{
    AttachmentId, AuthenticationResults, InboxId, MessageId, OrganizationId, PodId, ThreadId, Timestamp,
};
use schemars::JsonSchema;
use serde::Serialize;

/// Metadata of an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Attachment {
    /// Stable id.
    pub attachment_id: AttachmentId,
    /// Decoded bytes.
    pub size: u64,
    /// Decoded file name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Media type without parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `inline` or `attachment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// Without brackets, so that it can be compared with `cid:` in the HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
}

impl From<&StoredAttachment> for Attachment {
    fn from(stored: &StoredAttachment) -> Self {
        Self {
            attachment_id: stored.attachment_id,
            size: stored.size,
            filename: stored.filename.clone(),
            content_type: stored.content_type.clone(),
            content_disposition: stored.content_disposition.clone(),
            content_id: stored.content_id.clone(),
        }
    }
}

/// An attachment with a link to its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AttachmentResponse {
    /// Metadata.
    #[serde(flatten)]
    pub attachment: Attachment,
    /// Works without a key until `expires_at`.
    pub download_url: String,
    /// When the links end.
    pub expires_at: Timestamp,
    /// The plain text of the file, likewise; absent while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_url: Option<String>,
}

/// A message. A list item is the same without the members that only a full message has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Message {
    /// Extra: owner.
    pub organization_id: OrganizationId,
    /// Extra: owner.
    pub pod_id: PodId,
    /// Address of the inbox.
    pub inbox_id: InboxId,
    /// Conversation.
    pub thread_id: ThreadId,
    /// With brackets.
    pub message_id: MessageId,
    /// In order of attachment.
    pub labels: Vec<String>,
    /// Sent: time of acceptance; received: the Date header unless absurd.
    pub timestamp: Timestamp,
    /// `Name <addr>` or `addr`.
    pub from: String,
    /// Full message only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reply_to: Vec<String>,
    /// Always there, possibly empty.
    pub to: Vec<String>,
    /// If any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    /// Of messages sent from this inbox.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<String>,
    /// If non-empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Start of the text body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// Full message only: from the text/plain parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Full message only: from the text/html parts, sanitised when received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// Full message only: what the author newly wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extracted_text: Option<String>,
    /// Full message only: what the author newly wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extracted_html: Option<String>,
    /// In MIME order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// What it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<MessageId>,
    /// Oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Headers that no other member represents.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Extra, full message only: what SPF, DKIM and DMARC said of a received message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authentication_results: Option<AuthenticationResults>,
    /// First open of a tracked message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Timestamp>,
    /// Raw bytes.
    pub size: u64,
    /// Last change.
    pub updated_at: Timestamp,
    /// Storage time.
    pub created_at: Timestamp,
}

/// A full message with a page of its body as Markdown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReadableMessage {
    /// The message as it is when no readable body is asked for.
    #[serde(flatten)]
    pub message: Message,
    /// Extra: the readable body, when it is asked for.
    #[serde(flatten)]
    pub body: Option<MarkdownPage>,
}

/// A page of a body as Markdown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MarkdownPage {
    /// The page, possibly empty.
    pub markdown: String,
    /// Characters of all pages.
    pub markdown_length: usize,
    /// Where the next page begins, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub markdown_next_offset: Option<usize>,
}

/// Answer of label changes on one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MessageUpdate {
    /// Which.
    pub message_id: MessageId,
    /// The complete set afterwards.
    pub labels: Vec<String>,
}

/// Answer of batch-update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BatchUpdate {
    /// Ids requested.
    pub limit: usize,
    /// Messages found.
    pub count: usize,
    /// In request order.
    pub updates: Vec<MessageUpdate>,
}

/// Answer of batch-get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BatchGet {
    /// Ids requested.
    pub limit: usize,
    /// Messages found.
    pub count: usize,
    /// In request order, without bodies.
    pub messages: Vec<Message>,
}

/// Answer of every send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sent {
    /// Final: the header on the wire.
    pub message_id: MessageId,
    /// Its conversation.
    pub thread_id: ThreadId,
}

/// Link to the raw message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RawMessage {
    /// Which.
    pub message_id: MessageId,
    /// Bytes.
    pub size: u64,
    /// Works without a key until `expires_at`.
    pub download_url: String,
    /// When the link ends.
    pub expires_at: Timestamp,
}
