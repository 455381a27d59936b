//! Organizations.

use podmail_domain::{OrganizationId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// Answer of `GET /v0/organizations`. Limits are left out when unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Organization {
    /// Its id.
    pub organization_id: OrganizationId,
    /// Inboxes in all pods together.
    pub inbox_count: u64,
    /// Domains in all pods together.
    pub domain_count: u64,
    /// Inboxes it may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox_limit: Option<u64>,
    /// Domains it may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_limit: Option<u64>,
    /// Its last change.
    pub updated_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Whether the organization has the features that are still previews.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OrganizationLabs {
    /// Whether it is in Labs.
    pub enabled: bool,
    /// When it joined; null while it is not in Labs.
    pub enabled_at: Option<Timestamp>,
    /// Whether this installation offers Labs.
    pub available: bool,
}
