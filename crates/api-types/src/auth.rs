//! Who a credential is.

use podmail_domain::{ApiKeyId, InboxId, OrganizationId, PodId};
use schemars::JsonSchema;
use serde::Serialize;

/// The level of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScopeType {
    /// Everything in the organization.
    Organization,
    /// One pod.
    Pod,
    /// One inbox.
    Inbox,
}

/// Answer of `GET /v0/auth/me`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Identity {
    /// The level.
    pub scope_type: ScopeType,
    /// Id of the narrowest scope.
    pub scope_id: String,
    /// Always.
    pub organization_id: OrganizationId,
    /// Of pod and inbox scopes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<PodId>,
    /// Of inbox scopes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox_id: Option<InboxId>,
    /// Absent for credentials that are not keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_id: Option<ApiKeyId>,
}
