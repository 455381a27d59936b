//! Registered public keys. They are rows of `api_keys` without a secret: nothing leads to them from `key_directory`, so
//! they open nothing by themselves. Their `client_id` is unique in the organization and names them beside their id.

use podmail_domain::{ApiKeyId, OrganizationId, Permissions, Timestamp};

use super::{ApiKey, ApiKeyRow, KeyLevel, lock_level};
use crate::db::args;
use crate::scope::Scope;
use crate::writer::Tx;
use crate::{Error, Result, Store};

/// How often a registration looks again when the key that held its `client_id` vanished in between.
const CLIENT_ID_ATTEMPTS: usize = 3;

/// What a registered public key has beyond any other key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The JWK as RFC 7638 writes it to be hashed: one spelling per key.
    pub jwk: String,
    /// The creator's own name for it.
    pub client_id: Option<String>,
    /// The key that registered it, which may be gone since.
    pub created_by: ApiKeyId,
}

/// A public key to be registered; its level is that of the scope it is registered in.
#[derive(Clone, Debug)]
pub struct NewPublicKey {
    /// For people, already checked.
    pub name: String,
    /// The key.
    pub public: PublicKey,
    /// Its flags; never unrestricted.
    pub permissions: Permissions,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// Outcome of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRegistered {
    /// It is new.
    Created(ApiKey),
    /// The same key was registered under the same `client_id` before.
    Existing(ApiKey),
    /// Another key has the `client_id`.
    OtherKey,
    /// The `client_id` names a key outside of the scope.
    Elsewhere,
    /// The scope's pod or inbox is gone.
    Gone,
}

impl Store {
    /// Registers a public key at the level of `scope`. `level` says where an earlier registration of its `client_id`
    /// may lie.
    pub async fn register_public_key(
        &self,
        scope: &Scope,
        level: KeyLevel,
        new: NewPublicKey,
        now: Timestamp,
    ) -> Result<KeyRegistered> {
        self.write((scope.clone(), level, new, now), |tx, (scope, level, new, now)| {
            Box::pin(register(tx, scope, *level, new, *now))
        })
        .await
    }

    /// The registered public key of the scope with this `client_id`.
    pub async fn key_by_client_id(
        &self,
        scope: &Scope,
        level: KeyLevel,
        client_id: &str,
    ) -> Result<Option<ApiKey>> {
        let row: Option<ApiKeyRow> = self
            .reader()
            .await?
            .one(
                "SELECT k.api_key_id, k.pod_id, k.inbox_key, k.inbox_id, k.prefix, k.name, k.permissions, \
                 k.expires_at, k.used_at, k.created_at, k.updated_at, k.public_key, k.client_id, k.created_by \
                 FROM client_ids c \
                 JOIN api_keys k ON k.organization_id = c.organization_id AND k.api_key_id = c.resource_id \
                 WHERE c.organization_id = $1 AND c.kind = 'public_key' AND c.client_id = $2",
                args![scope.organization(), client_id],
            )
            .await?;
        let found = row.map(ApiKey::try_from).transpose()?;
        Ok(found.filter(|key| key.lies_in(scope, level)))
    }
}

async fn register(
    tx: &mut Tx,
    scope: &Scope,
    level: KeyLevel,
    new: &NewPublicKey,
    now: Timestamp,
) -> Result<KeyRegistered> {
    if !lock_level(tx, scope).await? {
        return Ok(KeyRegistered::Gone);
    }
    let (organization, api_key_id) = (scope.organization(), ApiKeyId::new(&*tx.ids, now));
    if let Some(client_id) = &new.public.client_id
        && let Some(existing) = claim(tx, organization, client_id, api_key_id).await?
    {
        let same = existing.public.as_ref().is_some_and(|public| public.jwk == new.public.jwk);
        return Ok(match (existing.lies_in(scope, level), same) {
            (false, _) => KeyRegistered::Elsewhere,
            (true, false) => KeyRegistered::OtherKey,
            (true, true) => KeyRegistered::Existing(existing),
        });
    }
    let inbox = scope.inbox().cloned();
    tx.run(
        "INSERT INTO api_keys (organization_id, api_key_id, pod_id, inbox_key, inbox_id, key_hash, prefix, name, \
         permissions, expires_at, created_at, updated_at, public_key, client_id, created_by) \
         VALUES ($1, $2, $3, $4, $5, '', '', $6, $7, $8, $9, $9, $10, $11, $12)",
        args![
            organization,
            api_key_id,
            scope.pod(),
            inbox.as_ref().map(|inbox| inbox.key),
            inbox.as_ref().map(|inbox| inbox.id.clone()),
            new.name.as_str(),
            new.permissions.to_json(),
            new.expires_at,
            now,
            new.public.jwk.as_str(),
            new.public.client_id.as_deref(),
            new.public.created_by
        ],
    )
    .await?;
    Ok(KeyRegistered::Created(ApiKey {
        api_key_id,
        pod_id: scope.pod(),
        inbox,
        prefix: String::new(),
        name: new.name.clone(),
        permissions: new.permissions.clone(),
        expires_at: new.expires_at,
        used_at: None,
        created_at: now,
        updated_at: now,
        public: Some(new.public.clone()),
    }))
}

/// Claims a `client_id` for a new key, or returns the key that has it. A concurrent registration of the same value
/// waits here until the first one committed.
async fn claim(
    tx: &mut Tx,
    organization: OrganizationId,
    client_id: &str,
    api_key_id: ApiKeyId,
) -> Result<Option<ApiKey>> {
    for _ in 0..CLIENT_ID_ATTEMPTS {
        let claimed = tx
            .run(
                "INSERT INTO client_ids (organization_id, kind, client_id, resource_id) \
                 VALUES ($1, 'public_key', $2, $3) ON CONFLICT DO NOTHING",
                args![organization, client_id, api_key_id],
            )
            .await?;
        if claimed > 0 {
            return Ok(None);
        }
        let row: Option<ApiKeyRow> = tx
            .one(
                "SELECT k.api_key_id, k.pod_id, k.inbox_key, k.inbox_id, k.prefix, k.name, k.permissions, \
                 k.expires_at, k.used_at, k.created_at, k.updated_at, k.public_key, k.client_id, k.created_by \
                 FROM client_ids c \
                 JOIN api_keys k ON k.organization_id = c.organization_id AND k.api_key_id = c.resource_id \
                 WHERE c.organization_id = $1 AND c.kind = 'public_key' AND c.client_id = $2",
                args![organization, client_id],
            )
            .await?;
        if let Some(row) = row {
            return ApiKey::try_from(row).map(Some);
        }
    }
    Err(Error::Race)
}
