//! What a caller may see. A [`Scope`] can only be made here, by looking something up: a key, a recipient's address, a
//! leased job, an operator's organization. Every query on tenant data takes one.

use podmail_domain::{ApiKeyId, InboxId, InboxKey, OrganizationId, Permissions, PodId, Timestamp};

use crate::db::{Query, args};
use crate::{Error, Result, Store};

/// One incarnation of an inbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InboxRef {
    /// Which incarnation.
    pub key: InboxKey,
    /// Its address.
    pub id: InboxId,
}

/// What one caller may see. Fields are private: holding a `Scope` proves that the store looked it up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    organization: OrganizationId,
    pod: Option<PodId>,
    inbox: Option<InboxRef>,
}

impl Scope {
    pub(crate) const fn new(
        organization: OrganizationId,
        pod: Option<PodId>,
        inbox: Option<InboxRef>,
    ) -> Self {
        Self { organization, pod, inbox }
    }
    /// The organization, always.
    pub const fn organization(&self) -> OrganizationId {
        self.organization
    }
    /// The pod; present on pod and inbox scopes.
    pub const fn pod(&self) -> Option<PodId> {
        self.pod
    }
    /// The inbox; present on inbox scopes.
    pub const fn inbox(&self) -> Option<&InboxRef> {
        self.inbox.as_ref()
    }
    /// The pod that things made here belong to: the scope's own, or the default one.
    pub fn pod_or_default(&self) -> PodId {
        self.pod.unwrap_or_else(|| PodId::default_of(self.organization))
    }
    /// The same organization and pod without the inbox.
    #[must_use]
    pub fn without_inbox(&self) -> Self {
        Self { inbox: None, ..self.clone() }
    }
    /// Whether a resource of this pod and inbox lies inside.
    pub fn covers(&self, pod: Option<PodId>, inbox: Option<InboxKey>) -> bool {
        match (&self.pod, &self.inbox) {
            (_, Some(own)) => inbox == Some(own.key),
            (Some(own), None) => pod == Some(*own),
            (None, None) => true,
        }
    }
    pub(crate) fn inbox_key(&self) -> Result<InboxKey> {
        self.inbox.as_ref().map(|inbox| inbox.key).ok_or(Error::Corrupt("an inbox scope was expected"))
    }

    /// Narrows a query on a table with `pod_id` and `inbox_key` to this scope. At the levels above an inbox, rows of
    /// deleted inboxes that are still being purged are left out.
    pub(crate) fn narrow(&self, query: &mut Query, table: &str) {
        if let Some(inbox) = &self.inbox {
            query.and(&format!("{table}.inbox_key = ?"), args![inbox.key]);
            return;
        }
        if let Some(pod) = self.pod {
            query.and(&format!("{table}.pod_id = ?"), args![pod]);
        }
        query.and(
            &format!("{table}.inbox_key NOT IN (SELECT inbox_key FROM purges WHERE organization_id = ?)"),
            args![self.organization],
        );
    }
}

/// A key that was found, with what it opens.
#[derive(Clone, Debug)]
pub struct Credential {
    /// What it covers.
    pub scope: Scope,
    /// Its flags.
    pub permissions: Permissions,
    /// Which key it is.
    pub api_key_id: ApiKeyId,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Whether its organization may not send.
    pub suspended: bool,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct CredentialRow {
    organization_id: String,
    api_key_id: String,
    pod_id: Option<String>,
    inbox_key: Option<String>,
    inbox_id: Option<String>,
    permissions: Option<String>,
    expires_at: Option<i64>,
    suspended: i64,
}

/// Reads a stored id.
pub(crate) fn id<T>(text: &str, parse: fn(&str) -> Option<T>) -> Result<T> {
    parse(text).ok_or(Error::Corrupt("an id"))
}

/// Makes a scope from stored ids.
pub(crate) fn stored_scope(
    organization: &str,
    pod: Option<&str>,
    inbox_key: Option<&str>,
    inbox_id: Option<&str>,
) -> Result<Scope> {
    let inbox = match (inbox_key, inbox_id) {
        (Some(key), Some(address)) => {
            Some(InboxRef { key: id(key, InboxKey::parse)?, id: id(address, InboxId::parse)? })
        }
        _ => None,
    };
    Ok(Scope {
        organization: id(organization, OrganizationId::parse)?,
        pod: pod.map(|pod| id(pod, PodId::parse)).transpose()?,
        inbox,
    })
}

impl Store {
    /// The key with this hash, expired or not: one indexed read, nothing cached.
    pub async fn credential(&self, key_hash: &str) -> Result<Option<Credential>> {
        let row: Option<CredentialRow> = self
            .reader()
            .await?
            .one(
                "SELECT k.organization_id, k.api_key_id, k.pod_id, k.inbox_key, k.inbox_id, k.permissions, \
                 k.expires_at, o.suspended FROM key_directory d \
                 JOIN api_keys k ON k.organization_id = d.organization_id AND k.api_key_id = d.api_key_id \
                 JOIN organizations o ON o.organization_id = d.organization_id WHERE d.key_hash = $1",
                args![key_hash],
            )
            .await?;
        row.map(|row| {
            Ok(Credential {
                scope: stored_scope(
                    &row.organization_id,
                    row.pod_id.as_deref(),
                    row.inbox_key.as_deref(),
                    row.inbox_id.as_deref(),
                )?,
                permissions: Permissions::from_json(row.permissions.as_deref()),
                api_key_id: id(&row.api_key_id, ApiKeyId::parse)?,
                expires_at: row.expires_at.map(Timestamp::from_micros),
                suspended: row.suspended != 0,
            })
        })
        .transpose()
    }

    /// An organization as a whole, for operators and for the server's own work.
    pub async fn organization_scope(&self, organization: OrganizationId) -> Result<Option<Scope>> {
        let found: Option<(i64,)> = self
            .reader()
            .await?
            .one("SELECT suspended FROM organizations WHERE organization_id = $1", args![organization])
            .await?;
        Ok(found.map(|_| Scope::new(organization, None, None)))
    }

    /// Narrows to a pod of the scope, given by id or, when no id matches, by `client_id`. `None`: not in scope.
    pub async fn pod_scope(&self, scope: &Scope, pod: &str) -> Result<Option<Scope>> {
        let mut conn = self.reader().await?;
        let organization = scope.organization;
        let mut found: Option<(String,)> = None;
        if let Some(pod_id) = PodId::parse(pod) {
            found = conn
                .one(
                    "SELECT pod_id FROM pods WHERE organization_id = $1 AND pod_id = $2",
                    args![organization, pod_id],
                )
                .await?;
        }
        if found.is_none() {
            found = conn
                .one(
                    "SELECT resource_id FROM client_ids \
                     WHERE organization_id = $1 AND kind = 'pod' AND client_id = $2",
                    args![organization, pod],
                )
                .await?;
        }
        let Some((pod_id,)) = found else { return Ok(None) };
        let pod_id = id(&pod_id, PodId::parse)?;
        let covered = scope.inbox.is_none() && scope.covers(Some(pod_id), None);
        Ok(covered.then(|| Scope::new(organization, Some(pod_id), None)))
    }

    /// Narrows to an inbox of the scope. `None`: not in scope.
    pub async fn inbox_scope(&self, scope: &Scope, inbox: &InboxId) -> Result<Option<Scope>> {
        let row: Option<(String, String)> = self
            .reader()
            .await?
            .one(
                "SELECT inbox_key, pod_id FROM inboxes WHERE organization_id = $1 AND inbox_id = $2",
                args![scope.organization, inbox],
            )
            .await?;
        let Some((key, pod)) = row else { return Ok(None) };
        let (key, pod) = (id(&key, InboxKey::parse)?, id(&pod, PodId::parse)?);
        Ok(scope
            .covers(Some(pod), Some(key))
            .then(|| Scope::new(scope.organization, Some(pod), Some(InboxRef { key, id: inbox.clone() }))))
    }

    /// An inbox by its incarnation: for links and jobs that name one.
    pub async fn inbox_scope_by_key(
        &self,
        organization: OrganizationId,
        inbox: InboxKey,
    ) -> Result<Option<Scope>> {
        let row: Option<(String, String)> = self
            .reader()
            .await?
            .one(
                "SELECT pod_id, inbox_id FROM inboxes WHERE organization_id = $1 AND inbox_key = $2",
                args![organization, inbox],
            )
            .await?;
        row.map(|(pod, address)| {
            let inbox = InboxRef { key: inbox, id: id(&address, InboxId::parse)? };
            Ok(Scope::new(organization, Some(id(&pod, PodId::parse)?), Some(inbox)))
        })
        .transpose()
    }
}
