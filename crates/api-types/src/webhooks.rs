//! Webhooks, and the JSON of events as every channel carries them.

use podmail_domain::{EventId, InboxId, MessageId, PodId, ThreadId, Timestamp, WebhookId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::messages::Message;
use crate::threads::ThreadItem;

/// A webhook. Custom headers are not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Webhook {
    /// Its id.
    pub webhook_id: WebhookId,
    /// Where events are posted to.
    pub url: String,
    /// Subscribed types; absent on imported ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_types: Option<Vec<String>>,
    /// Subscribed pods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pod_ids: Vec<PodId>,
    /// Subscribed inboxes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inbox_ids: Vec<InboxId>,
    /// Owner, on webhooks of a pod or an inbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<PodId>,
    /// Owner, on webhooks of an inbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox_id: Option<InboxId>,
    /// `whsec_` and the signing key in base64.
    pub secret: String,
    /// Whether events are delivered.
    pub enabled: bool,
    /// As given by the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Last change.
    pub updated_at: Timestamp,
    /// Creation.
    pub created_at: Timestamp,
}

/// A page of webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Webhooks {
    /// Items in this page.
    pub count: usize,
    /// As requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Leads to the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
    /// The items.
    pub webhooks: Vec<Webhook>,
}

/// Names of the custom headers of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WebhookHeaders {
    /// In the casing last set.
    pub header_names: Vec<String>,
}

/// What every event starts with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Envelope {
    /// Always `event`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What happened.
    pub event_type: &'static str,
    /// The same on every channel and attempt.
    pub event_id: EventId,
}

/// `message.received` and its filtered variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MessageReceived {
    /// Start.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// As of the event.
    pub message: Message,
    /// As of the event.
    pub thread: ThreadItem,
}

/// What the events of an outbound message have in common; `more` are the members of the one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MessageStatus {
    /// Address of the inbox.
    pub inbox_id: InboxId,
    /// Conversation.
    pub thread_id: ThreadId,
    /// With brackets.
    pub message_id: MessageId,
    /// When it happened.
    pub timestamp: Timestamp,
    /// `recipients`, `type`, `sub_type`, `reason`, as the event has them.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Any other event: the envelope and the members of its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OtherEvent {
    /// Start.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The payload under its key or keys.
    #[serde(flatten)]
    pub payload: Map<String, Value>,
}
