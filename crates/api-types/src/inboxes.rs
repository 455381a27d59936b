//! Inboxes as the API shows them.

use podmail_domain::{InboxId, OrganizationId, PodId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// An inbox.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Inbox {
    /// Owner.
    pub organization_id: OrganizationId,
    /// The pod that it lies in.
    pub pod_id: PodId,
    /// Its address, lower case; also its id.
    pub inbox_id: InboxId,
    /// The same address.
    pub email: InboxId,
    /// Shown before the address in `From`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What the client called it on create.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Only ever `paused`; absent while active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<InboxStatus>,
    /// What the client keeps with it: strings, numbers and booleans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Last change.
    pub updated_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Whether an inbox works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InboxStatus {
    /// Neither sends nor stores.
    Paused,
}

/// A page of inboxes.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Inboxes {
    /// Inboxes in this page.
    pub count: usize,
    /// As asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
    /// The inboxes.
    pub inboxes: Vec<Inbox>,
}
