//! Entries of allow and block lists.

use podmail_domain::{InboxId, OrganizationId, PodId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ListEntry {
    /// The address or domain, in the form in which it is compared.
    pub entry: String,
    /// Owner.
    pub organization_id: OrganizationId,
    /// The pod whose list it is, or that of the inbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<PodId>,
    /// The inbox whose list it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox_id: Option<InboxId>,
    /// `send`, `receive` or `reply`.
    pub direction: &'static str,
    /// `allow` or `block`.
    pub list_type: &'static str,
    /// `email` or `domain`.
    pub entry_type: &'static str,
    /// Why it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only when true: the operator alone removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// When it was made.
    pub created_at: Timestamp,
}
