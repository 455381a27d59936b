//! Drafts.

use podmail_domain::{DraftId, InboxId, OrganizationId, PodId, ThreadId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::messages::Attachment;

/// A draft. A list item is the same without the members that only a full draft has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Draft {
    /// Extra: owner.
    pub organization_id: OrganizationId,
    /// Extra: owner.
    pub pod_id: PodId,
    /// Address of the inbox.
    pub inbox_id: InboxId,
    /// Its id.
    pub draft_id: DraftId,
    /// Extra: the conversation that a reply or forward goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    /// Full drafts only: the creator's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// `draft`, then `scheduled` while it is, then custom ones in order of attachment.
    pub labels: Vec<String>,
    /// Full drafts only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reply_to: Vec<String>,
    /// Omitted when empty, unlike that of messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
    /// As written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cc: Vec<String>,
    /// As written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bcc: Vec<String>,
    /// As written, or derived from the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Start of the text body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// Full drafts only: the author's part, without a quote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Full drafts only: the author's part, without a quote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// The author's own, without those of a forwarded message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// The message that it passes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_of: Option<String>,
    /// Full drafts only: oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// `scheduled`, `sending` or `failed`; absent when never scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_status: Option<&'static str>,
    /// When it is to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_at: Option<Timestamp>,
    /// Extra: why it was refused at its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_error: Option<SendError>,
    /// Its last change.
    pub updated_at: Timestamp,
    /// Full drafts only: when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

/// Why a scheduled draft was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SendError {
    /// A code of the API's errors.
    pub code: String,
    /// For people.
    pub message: String,
}
