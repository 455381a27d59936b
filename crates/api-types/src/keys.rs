//! API keys. The secret is in one answer only, that of the create.

use std::collections::BTreeMap;
use std::fmt;

use podmail_domain::{ApiKeyId, InboxId, PodId, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// A credential of either family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Credential {
    /// A secret in the `Authorization` header.
    Bearer(ApiKey),
    /// A registered public key.
    PublicKey(PublicKeyCredential),
}

/// The family of a registered public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PublicKeyType {
    /// The public half of a key pair.
    PublicKey,
}

/// A public P-256 key (RFC 7518, section 6.2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicJwk {
    /// Always `EC`.
    pub kty: String,
    /// Always `P-256`.
    pub crv: String,
    /// A coordinate, 43 characters of base64url.
    pub x: String,
    /// The other coordinate.
    pub y: String,
}

/// A public key and its name for machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PublicKeyMaterial {
    /// The key.
    pub jwk: PublicJwk,
    /// SHA-256 thumbprint of RFC 7638 in base64url without padding.
    pub fingerprint: String,
}

/// Who made a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApiKeyCreator {
    /// The key that was used for it, which may be gone since.
    pub api_key_id: ApiKeyId,
}

/// A registered public key. It has no secret and opens nothing by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PublicKeyCredential {
    /// The family.
    pub r#type: PublicKeyType,
    /// Its id.
    pub api_key_id: ApiKeyId,
    /// The creator's own name for it, which stands for the id in paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// For people.
    pub name: String,
    /// The key.
    pub public_key: PublicKeyMaterial,
    /// Of pod and inbox keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<PodId>,
    /// Of inbox keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inbox_id: Option<InboxId>,
    /// Its last noted use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
    /// As stored, `false` members included.
    pub permissions: BTreeMap<String, bool>,
    /// Who registered it.
    pub created_by: ApiKeyCreator,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// Answer of a create: a secret, or the public key that was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum CreatedCredential {
    /// A new secret.
    Bearer(CreatedApiKey),
    /// A registered public key.
    PublicKey(PublicKeyCredential),
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
