//! Who is at the door: from a secret to a [`Caller`], and from a caller to the pod or inbox that a path names.
//!
//! Every call reads the key from the store, so a deleted key is refused from the next request on, on every node. The
//! times of use are kept in memory and written in batches.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use podmail_domain::source::hex;
use podmail_domain::{ApiKeyId, InboxId, OrganizationId, Timestamp};

use crate::{App, Caller, Error, Result, Unauthorized};

/// Keys whose use is remembered until the next flush; further ones are noted after it.
const USED_KEYS_MAX: usize = 10_000;
/// Longest secret that is looked up, in bytes; ours have 70.
const SECRET_BYTES_MAX: usize = 256;

/// Times of use that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct UsedKeys(Mutex<HashMap<ApiKeyId, (OrganizationId, Timestamp)>>);

impl UsedKeys {
    fn remember(&self, organization: OrganizationId, key: ApiKeyId, at: Timestamp) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < USED_KEYS_MAX || used.contains_key(&key) {
            used.insert(key, (organization, at));
        }
    }

    fn take(&self) -> HashMap<ApiKeyId, (OrganizationId, Timestamp)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    <[u8; 32]>::try_from(digest.as_ref()).expect("SHA-256 has 32 bytes")
}

/// What is stored of a secret: its SHA-256 in lower-case hexadecimal. Secrets are 256 random bits, so nothing slower
/// is needed.
pub fn hash_secret(secret: &str) -> String {
    hex(&sha256(secret.as_bytes()))
}

impl App {
    /// The caller behind an API key.
    ///
    /// # Errors
    /// `Unauthorized` when the key is unknown, deleted or expired.
    pub async fn authenticate(&self, secret: &str) -> Result<Caller> {
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            return Err(Error::Unauthorized(Unauthorized::UnknownApiKey));
        }
        let Some(credential) = self.store().credential(&hash_secret(secret)).await? else {
            return Err(Error::Unauthorized(Unauthorized::UnknownApiKey));
        };
        let now = self.now();
        if credential.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::Unauthorized(Unauthorized::ApiKeyExpired));
        }
        self.inner.used_keys.remember(credential.scope.organization(), credential.api_key_id, now);
        Ok(Caller {
            own: credential.scope.clone(),
            scope: credential.scope,
            permissions: credential.permissions,
            api_key_id: credential.api_key_id,
            expires_at: credential.expires_at,
            suspended: credential.suspended,
        })
    }

    /// The caller narrowed to a pod, given by id or `client_id`.
    ///
    /// # Errors
    /// `NotFound` when there is none in the caller's scope.
    pub async fn narrow_to_pod(&self, caller: &Caller, pod: &str) -> Result<Caller> {
        let scope = self.store().pod_scope(&caller.scope, pod).await?.ok_or(Error::NotFound("Pod"))?;
        Ok(Caller { scope, ..caller.clone() })
    }

    /// The caller narrowed to an inbox.
    ///
    /// # Errors
    /// `NotFound` when there is none in the caller's scope.
    pub async fn narrow_to_inbox(&self, caller: &Caller, inbox: &str) -> Result<Caller> {
        let id = InboxId::parse(inbox).ok_or(Error::NotFound("Inbox"))?;
        let scope = self.store().inbox_scope(&caller.scope, &id).await?.ok_or(Error::NotFound("Inbox"))?;
        Ok(Caller { scope, ..caller.clone() })
    }

    /// Writes the times of use that were noted since the last call. Meant to run at least once a minute and at
    /// shutdown; what a crash loses is at most the time in between.
    ///
    /// # Errors
    /// When the store fails; the times of this batch are then lost, which later uses repair.
    pub async fn flush_used_keys(&self) -> Result<()> {
        let used = self.inner.used_keys.take();
        if used.is_empty() {
            return Ok(());
        }
        let batch = used.into_iter().map(|(key, (organization, at))| (organization, key, at)).collect();
        Ok(self.store().touch_keys(batch).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_as_its_sha256() {
        assert_eq!(hash_secret("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
