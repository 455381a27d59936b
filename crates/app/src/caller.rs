//! Who is asking: a scope that the store made, and the flags of the key. A permission check happens once, here.

use podmail_domain::label::Restricted;
use podmail_domain::{ApiKeyId, Permission, Permissions, Timestamp};
use podmail_store::Scope;

use crate::error::{Error, Result};

/// What keys of a pod or an inbox never may.
const POD_DENIED: [Permission; 2] = [Permission::PodCreate, Permission::PodDelete];
const ORGANIZATION_KEY: &str = "a key of the organization";
const POD_KEY: &str = "a key of the pod or of the organization";

/// The credential behind a request and what it covers. `scope` is the key's own; `scope` is what the path
/// narrowed it to.
#[derive(Debug, Clone)]
pub struct Caller {
    /// What the request may touch: the key's scope intersected with the path.
    pub scope: Scope,
    /// The key's own scope, whatever the path says.
    pub own: Scope,
    /// The key's flags.
    pub permissions: Permissions,
    /// Which key.
    pub api_key_id: ApiKeyId,
    /// When the key ends.
    pub expires_at: Option<Timestamp>,
    /// Whether the organization may not send.
    pub suspended: bool,
}

impl Caller {
    /// Whether flags and scope together allow it: narrower keys lose abilities that no flag restores.
    pub fn allows(&self, permission: Permission) -> bool {
        self.scope_allows(permission) && self.permissions.allows(permission)
    }

    /// Fails with the flag's name when it is not allowed, or with the keys that could be.
    pub fn require(&self, permission: Permission) -> Result<()> {
        let name = permission.as_str();
        if !self.scope_allows(permission) {
            let needs = if POD_DENIED.contains(&permission) { ORGANIZATION_KEY } else { POD_KEY };
            return Err(Error::KeyTooNarrow { permission: name, needs });
        }
        if self.permissions.allows(permission) { Ok(()) } else { Err(Error::MissingPermission(name)) }
    }

    /// Fails unless the key is one of the organization.
    pub fn require_organization_key(&self) -> Result<()> {
        if self.own.pod().is_none() && self.own.inbox().is_none() {
            return Ok(());
        }
        Err(Error::KeyTooNarrow { permission: "organization_read", needs: ORGANIZATION_KEY })
    }

    /// Which restricted labels the key may see.
    pub fn readable(&self) -> Restricted {
        self.permissions.readable_labels()
    }

    /// The flags that are effective within the key's scope.
    pub fn effective(&self) -> Permissions {
        if self.permissions.unrestricted() {
            return Permissions::UNRESTRICTED;
        }
        Permissions(Some(
            Permission::ALL
                .iter()
                .filter(|p| self.allows(**p))
                .map(|p| (p.as_str().to_owned(), true))
                .collect(),
        ))
    }

    fn scope_allows(&self, permission: Permission) -> bool {
        let pod_denied = POD_DENIED.contains(&permission);
        let inbox_denied = pod_denied
            || matches!(
                permission,
                Permission::InboxCreate
                    | Permission::DomainRead
                    | Permission::DomainCreate
                    | Permission::DomainUpdate
                    | Permission::DomainDelete
                    | Permission::PodRead
                    | Permission::PodUpdate
            );
        match (self.own.pod(), self.own.inbox()) {
            (_, Some(_)) => !inbox_denied,
            (Some(_), None) => !pod_denied,
            (None, None) => true,
        }
    }
}
