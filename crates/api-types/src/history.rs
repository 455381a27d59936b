//! The label history of an inbox.

use podmail_domain::{InboxId, MessageId, OrganizationId, PodId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// One label added to or removed from one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LabelEvent {
    /// Owner.
    pub organization_id: OrganizationId,
    /// Owner.
    pub pod_id: PodId,
    /// Whose history.
    pub inbox_id: InboxId,
    /// Grows lexicographically with time.
    pub event_id: String,
    /// `label.added` or `label.removed`.
    pub event_type: &'static str,
    /// Of which message.
    pub message_id: MessageId,
    /// Exactly one.
    pub label: String,
    /// When it happened.
    pub event_at: Timestamp,
    /// When it was recorded: the same commit.
    pub created_at: Timestamp,
}
