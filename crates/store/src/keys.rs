//! API keys. Only the hash of a secret is kept; it is unique in the installation through `key_directory`, and it is
//! looked up on every request, so a deleted key stops working at once.

mod register;

use podmail_domain::{ApiKeyId, InboxId, InboxKey, OrganizationId, Permissions, PodId, Timestamp};

use crate::db::{Query, args};
use crate::page::{Cursor, Order, Page};
use crate::scope::{InboxRef, Scope, id};
use crate::writer::Tx;
use crate::{Error, Result, Store, messages, pods};

pub use register::{KeyRegistered, NewPublicKey, PublicKey};

/// Keys whose use is noted in one transaction.
const TOUCH_CHUNK: usize = 100;

/// A key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub api_key_id: ApiKeyId,
    /// Present on pod and inbox keys.
    pub pod_id: Option<PodId>,
    /// Present on inbox keys.
    pub inbox: Option<InboxRef>,
    /// The start of the secret, for people.
    pub prefix: String,
    /// For people.
    pub name: String,
    /// Its flags as stored.
    pub permissions: Permissions,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Its last noted use.
    pub used_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
    /// Of registered public keys, which have no secret.
    pub public: Option<PublicKey>,
}

/// What is kept of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySecret {
    /// SHA-256 of the secret, hexadecimal.
    pub hash: String,
    /// The start of the secret.
    pub prefix: String,
}

/// A key to be made; its level is that of the scope it is made in.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// For people, already checked.
    pub name: String,
    /// What to keep of the secret.
    pub secret: KeySecret,
    /// Its flags.
    pub permissions: Permissions,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// A change of a key; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeyChange {
    /// For people, already checked.
    pub name: Option<String>,
    /// Replaces all flags.
    pub permissions: Option<Permissions>,
}

/// Kinds of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFamily {
    /// A secret in the `Authorization` header.
    Bearer,
    /// A registered public key.
    PublicKey,
}

/// Which keys of a scope are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLevel {
    /// All that the scope covers.
    Covered,
    /// Only those made at exactly the scope's level.
    Exact,
}

/// Outcome of a change that was decided on an earlier read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyWritten<T> {
    /// Done.
    Done(T),
    /// The key is gone.
    Absent,
    /// Its flags are no longer those that were decided on; nothing changed.
    Changed,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct ApiKeyRow {
    api_key_id: String,
    pod_id: Option<String>,
    inbox_key: Option<String>,
    inbox_id: Option<String>,
    prefix: String,
    name: String,
    permissions: Option<String>,
    expires_at: Option<i64>,
    used_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    public_key: Option<String>,
    client_id: Option<String>,
    created_by: Option<String>,
}

impl TryFrom<ApiKeyRow> for ApiKey {
    type Error = Error;
    fn try_from(row: ApiKeyRow) -> Result<Self> {
        let inbox = match (row.inbox_key, row.inbox_id) {
            (Some(key), Some(address)) => {
                Some(InboxRef { key: id(&key, InboxKey::parse)?, id: id(&address, InboxId::parse)? })
            }
            _ => None,
        };
        let public = match (row.public_key, row.created_by) {
            (Some(jwk), Some(by)) => {
                let created_by = id(&by, ApiKeyId::parse)?;
                Some(PublicKey { jwk, client_id: row.client_id, created_by })
            }
            _ => None,
        };
        Ok(Self {
            public,
            api_key_id: id(&row.api_key_id, ApiKeyId::parse)?,
            pod_id: row.pod_id.map(|pod| id(&pod, PodId::parse)).transpose()?,
            inbox,
            prefix: row.prefix,
            name: row.name,
            permissions: Permissions::from_json(row.permissions.as_deref()),
            expires_at: row.expires_at.map(Timestamp::from_micros),
            used_at: row.used_at.map(Timestamp::from_micros),
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

impl ApiKey {
    fn lies_in(&self, scope: &Scope, level: KeyLevel) -> bool {
        let inbox = self.inbox.as_ref().map(|inbox| inbox.key);
        match level {
            KeyLevel::Covered => scope.covers(self.pod_id, inbox),
            KeyLevel::Exact => {
                scope.covers(self.pod_id, inbox)
                    && self.pod_id.is_some() == scope.pod().is_some()
                    && inbox.is_some() == scope.inbox().is_some()
            }
        }
    }
}

impl Store {
    /// Makes a key at the level of `scope`; `None`: the pod or inbox is gone.
    pub async fn create_key(&self, scope: &Scope, new: NewApiKey, now: Timestamp) -> Result<Option<ApiKey>> {
        self.write((scope.clone(), new, now), |tx, (scope, new, now)| {
            Box::pin(async move {
                if !lock_level(tx, scope).await? {
                    return Ok(None);
                }
                insert(tx, scope, new, *now).await.map(Some)
            })
        })
        .await
    }

    /// Keys of the scope, by creation; of one family, or of all.
    pub async fn keys(
        &self,
        scope: &Scope,
        level: KeyLevel,
        family: Option<KeyFamily>,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<ApiKey>> {
        let mut query = Query::new(
            "SELECT k.api_key_id, k.pod_id, k.inbox_key, k.inbox_id, k.prefix, k.name, k.permissions, k.expires_at, \
             k.used_at, k.created_at, k.updated_at, k.public_key, k.client_id, k.created_by FROM api_keys k WHERE k.organization_id = $1",
            args![scope.organization()],
        );
        match (scope.inbox(), scope.pod()) {
            (Some(inbox), _) => query.and("k.inbox_key = ?", args![inbox.key]),
            (None, Some(pod)) => query.and("k.pod_id = ?", args![pod]),
            (None, None) => {}
        }
        if level == KeyLevel::Exact && scope.inbox().is_none() {
            query.and("k.inbox_key IS NULL", args![]);
            if scope.pod().is_none() {
                query.and("k.pod_id IS NULL", args![]);
            }
        }
        match family {
            Some(KeyFamily::Bearer) => query.and("k.public_key IS NULL", args![]),
            Some(KeyFamily::PublicKey) => query.and("k.public_key IS NOT NULL", args![]),
            None => {}
        }
        order.seek(&mut query, "k.created_at", "k.api_key_id", after, limit);
        let rows: Vec<ApiKeyRow> = query.all(&mut self.reader().await?).await?;
        let keys = rows.into_iter().map(ApiKey::try_from).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(keys, limit, |key| Cursor::new(key.created_at, key.api_key_id)))
    }

    /// A key of the scope.
    pub async fn key(&self, scope: &Scope, level: KeyLevel, key: ApiKeyId) -> Result<Option<ApiKey>> {
        let row: Option<ApiKeyRow> = self
            .reader()
            .await?
            .one(
                "SELECT api_key_id, pod_id, inbox_key, inbox_id, prefix, name, permissions, expires_at, used_at, \
                 created_at, updated_at, public_key, client_id, created_by FROM api_keys WHERE organization_id = $1 AND api_key_id = $2",
                args![scope.organization(), key],
            )
            .await?;
        let found = row.map(ApiKey::try_from).transpose()?;
        Ok(found.filter(|key| key.lies_in(scope, level)))
    }

    /// Changes a key of the scope, provided its flags are still those of `seen`.
    pub async fn update_key(
        &self,
        scope: &Scope,
        seen: &ApiKey,
        change: ApiKeyChange,
        now: Timestamp,
    ) -> Result<KeyWritten<ApiKey>> {
        self.write((scope.organization(), seen.clone(), change, now), |tx, (organization, seen, change, now)| {
            Box::pin(async move {
                let replace = change.permissions.is_some();
                let row: Option<ApiKeyRow> = tx
                    .one(
                        "UPDATE api_keys SET name = COALESCE($3, name), \
                         permissions = CASE WHEN $4 = 1 THEN $5 ELSE permissions END, updated_at = $6 \
                         WHERE organization_id = $1 AND api_key_id = $2 \
                         AND ($4 = 0 OR permissions IS NOT DISTINCT FROM $7) \
                         RETURNING api_key_id, pod_id, inbox_key, inbox_id, prefix, name, permissions, expires_at, \
                         used_at, created_at, updated_at, public_key, client_id, created_by",
                        args![
                            *organization,
                            seen.api_key_id,
                            change.name.as_deref(),
                            replace,
                            change.permissions.as_ref().and_then(Permissions::to_json),
                            *now,
                            seen.permissions.to_json()
                        ],
                    )
                    .await?;
                match row {
                    Some(row) => Ok(KeyWritten::Done(ApiKey::try_from(row)?)),
                    None => missed(tx, *organization, seen.api_key_id).await,
                }
            })
        })
        .await
    }

    /// Deletes a key of the scope, provided its flags are still those of `seen`.
    pub async fn delete_key(&self, scope: &Scope, seen: &ApiKey) -> Result<KeyWritten<()>> {
        self.write((scope.organization(), seen.clone()), |tx, (organization, seen)| {
            Box::pin(async move {
                let row: Option<(String, Option<String>)> = tx
                    .one(
                        "DELETE FROM api_keys WHERE organization_id = $1 AND api_key_id = $2 \
                         AND permissions IS NOT DISTINCT FROM $3 RETURNING key_hash, client_id",
                        args![*organization, seen.api_key_id, seen.permissions.to_json()],
                    )
                    .await?;
                let Some((hash, client_id)) = row else {
                    return missed(tx, *organization, seen.api_key_id).await;
                };
                if let Some(client_id) = client_id {
                    tx.run(
                        "DELETE FROM client_ids WHERE organization_id = $1 AND kind = 'public_key' AND client_id = $2",
                        args![*organization, client_id],
                    )
                    .await?;
                }
                tx.run(
                    "DELETE FROM key_directory WHERE organization_id = $1 AND key_hash = $2",
                    args![*organization, hash],
                )
                .await?;
                Ok(KeyWritten::Done(()))
            })
        })
        .await
    }

    /// Notes the use of keys; a key that is gone, or that has a later use, stays as it is.
    pub async fn touch_keys(&self, mut uses: Vec<(OrganizationId, ApiKeyId, Timestamp)>) -> Result<()> {
        // In one order everywhere, so that two nodes do not wait for one another.
        uses.sort_unstable();
        for chunk in uses.chunks(TOUCH_CHUNK) {
            self.write_later(chunk.to_vec(), |tx, uses| {
                Box::pin(async move {
                    for (organization, key, at) in uses {
                        tx.run(
                            "UPDATE api_keys SET used_at = $3 WHERE organization_id = $1 AND api_key_id = $2 \
                             AND (used_at IS NULL OR used_at < $3)",
                            args![*organization, *key, *at],
                        )
                        .await?;
                    }
                    Ok(())
                })
            })
            .await?;
        }
        Ok(())
    }
}

/// Holds on to the pod or inbox of a scope until the transaction ends; `false`: it is gone.
async fn lock_level(tx: &mut Tx, scope: &Scope) -> Result<bool> {
    match (scope.pod(), scope.inbox()) {
        (_, Some(inbox)) => messages::lock_inbox(tx, scope.organization(), inbox.key).await,
        (Some(pod), None) => pods::lock_pod(tx, scope.organization(), pod).await,
        (None, None) => Ok(true),
    }
}

/// Why a conditional change touched nothing.
async fn missed<T>(tx: &mut Tx, organization: OrganizationId, key: ApiKeyId) -> Result<KeyWritten<T>> {
    let left = tx
        .count(
            "SELECT COUNT(*) FROM api_keys WHERE organization_id = $1 AND api_key_id = $2",
            args![organization, key],
        )
        .await?;
    Ok(if left > 0 { KeyWritten::Changed } else { KeyWritten::Absent })
}

/// Writes a key and its directory entry. Secrets are 256 random bits: a clash is a bug and fails.
pub(crate) async fn insert(tx: &mut Tx, scope: &Scope, new: &NewApiKey, now: Timestamp) -> Result<ApiKey> {
    let api_key_id = ApiKeyId::new(&*tx.ids, now);
    let organization = scope.organization();
    let inbox = scope.inbox().cloned();
    tx.run(
        "INSERT INTO key_directory (key_hash, organization_id, api_key_id) VALUES ($1, $2, $3)",
        args![new.secret.hash.as_str(), organization, api_key_id],
    )
    .await?;
    tx.run(
        "INSERT INTO api_keys (organization_id, api_key_id, pod_id, inbox_key, inbox_id, key_hash, prefix, name, \
         permissions, expires_at, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        args![
            organization,
            api_key_id,
            scope.pod(),
            inbox.as_ref().map(|inbox| inbox.key),
            inbox.as_ref().map(|inbox| inbox.id.clone()),
            new.secret.hash.as_str(),
            new.secret.prefix.as_str(),
            new.name.as_str(),
            new.permissions.to_json(),
            new.expires_at,
            now
        ],
    )
    .await?;
    Ok(ApiKey {
        api_key_id,
        pod_id: scope.pod(),
        inbox,
        prefix: new.secret.prefix.clone(),
        name: new.name.clone(),
        permissions: new.permissions.clone(),
        expires_at: new.expires_at,
        used_at: None,
        created_at: now,
        updated_at: now,
        public: None,
    })
}
