//! API keys. The secret is in one answer only, that of the create.

use std::collections::BTreeMap;
use std::fmt;

use podmail_domain::{ApiKeyId, InboxId, PodId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// The family of a credential. Clients tell the families apart by it, so it is always present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApiKeyType {
    /// A secret in the `Authorization` header.
    Bearer,
}

/// A key as lists, get and update show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApiKey {
    /// The family.
    pub r#type: ApiKeyType,
    /// Its id.
    pub api_key_id: ApiKeyId,
    /// First 12 characters of the secret.
    pub prefix: String,
    /// For people.
    pub name: String,
    /// Of pod and inbox keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<PodId>,
    /// Of inbox keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox_id: Option<InboxId>,
    /// As stored, `false` members included; absent is unrestricted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<BTreeMap<String, bool>>,
    /// Its last noted use; absent until the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
}

/// Answer of a create, the only one with the secret.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CreatedApiKey {
    /// Its id.
    pub api_key_id: ApiKeyId,
    /// The secret.
    pub api_key: String,
    /// First 12 characters of the secret.
    pub prefix: String,
    /// For people.
    pub name: String,
    /// Of pod and inbox keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<PodId>,
    /// Of inbox keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox_id: Option<InboxId>,
    /// As stored; absent is unrestricted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<BTreeMap<String, bool>>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl fmt::Debug for CreatedApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret stays out of traces.
        f.debug_struct("CreatedApiKey").field("api_key_id", &self.api_key_id).finish_non_exhaustive()
    }
}
