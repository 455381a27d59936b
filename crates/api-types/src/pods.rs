//! Pods.

use podmail_domain::{PodId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// A tenant of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Pod {
    /// Its id; the default pod's equals the organization's.
    pub pod_id: PodId,
    /// For people.
    pub name: String,
    /// The creator's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Its last change.
    pub updated_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}
