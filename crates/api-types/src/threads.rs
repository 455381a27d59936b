//! Threads.

use podmail_domain::{InboxId, MessageId, OrganizationId, PodId, ThreadId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::messages::{Attachment, ReadableMessage};

/// A thread as lists and events show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ThreadItem {
    /// Extra: owner.
    pub organization_id: OrganizationId,
    /// Extra: owner.
    pub pod_id: PodId,
    /// Address of the inbox.
    pub inbox_id: InboxId,
    /// Which.
    pub thread_id: ThreadId,
    /// Union over the messages, in order of first appearance.
    pub labels: Vec<String>,
    /// Newest message.
    pub timestamp: Timestamp,
    /// Newest received message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_timestamp: Option<Timestamp>,
    /// Newest sent message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_timestamp: Option<Timestamp>,
    /// Distinct, first appearance first.
    pub senders: Vec<String>,
    /// Distinct, first appearance first.
    pub recipients: Vec<String>,
    /// Of the first message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Of the last message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// In message order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Newest message.
    pub last_message_id: MessageId,
    /// Number of messages.
    pub message_count: u64,
    /// Sum of the messages' sizes.
    pub size: u64,
    /// Last change of any message.
    pub updated_at: Timestamp,
    /// Creation.
    pub created_at: Timestamp,
}

/// A thread with a page of its messages: the answer of a get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Thread {
    /// The thread.
    #[serde(flatten)]
    pub thread: ThreadItem,
    /// Messages in this page.
    pub count: usize,
    /// As asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Leads to the older messages; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
    /// Oldest first.
    pub messages: Vec<ReadableMessage>,
}

/// Answer of label changes on a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ThreadUpdate {
    /// Which.
    pub thread_id: ThreadId,
    /// Union afterwards.
    pub labels: Vec<String>,
}
