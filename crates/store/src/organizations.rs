//! Organizations: made by operators together with their default pod and first key; never deleted here.

use podmail_domain::{OrganizationId, PodId, Timestamp};

use crate::db::args;
use crate::keys::{self, KeySecret};
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{ApiKey, Result, Store};

/// Most organizations of one name whose ids are listed for an operator.
const NAMESAKES_MAX: usize = 50;
/// Row of `installation` that remembers that a first organization was made: the one writer of it wins.
const FIRST: &str = "first_organization";
/// Name of every organization's first pod.
pub const DEFAULT_POD_NAME: &str = "Default Pod";

/// Quotas of an organization; `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Inboxes in all pods together.
    pub inbox_limit: Option<u64>,
    /// Domains in all pods together.
    pub domain_limit: Option<u64>,
    /// Recipients mailed within 24 hours.
    pub send_per_day: Option<u64>,
}

/// What an operator changes; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrganizationChange {
    /// `Some(None)` lifts it.
    pub inbox_limit: Option<Option<u64>>,
    /// `Some(None)` lifts it.
    pub domain_limit: Option<Option<u64>>,
    /// `Some(None)` lifts it.
    pub send_per_day: Option<Option<u64>>,
    /// Whether sending is stopped.
    pub suspended: Option<bool>,
    /// Whether it is in Labs.
    pub labs: Option<bool>,
}

/// An organization with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub organization_id: OrganizationId,
    /// The operator's name for it; not unique.
    pub name: String,
    /// Quotas.
    pub limits: Limits,
    /// Whether it may not send.
    pub suspended: bool,
    /// Whether it joined Labs or was taken out; `None` while neither happened.
    pub labs: Option<bool>,
    /// When that was.
    pub labs_at: Option<Timestamp>,
    /// Inboxes, without those being purged.
    pub inbox_count: u64,
    /// Domains.
    pub domain_count: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
}

/// An organization to be made with its first, unrestricted key.
#[derive(Clone, Debug)]
pub struct NewOrganization {
    /// Its name, already checked.
    pub name: String,
    /// Quotas.
    pub limits: Limits,
    /// Name of the first key.
    pub key_name: String,
    /// The first key's secret.
    pub secret: KeySecret,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct OrganizationRow {
    organization_id: String,
    name: String,
    inbox_limit: Option<i64>,
    domain_limit: Option<i64>,
    send_per_day: Option<i64>,
    suspended: i64,
    labs: Option<i64>,
    labs_at: Option<i64>,
    inbox_count: i64,
    domain_count: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<OrganizationRow> for Organization {
    type Error = crate::Error;
    fn try_from(row: OrganizationRow) -> Result<Self> {
        Ok(Self {
            organization_id: id(&row.organization_id, OrganizationId::parse)?,
            name: row.name,
            limits: Limits {
                inbox_limit: row.inbox_limit.map(count),
                domain_limit: row.domain_limit.map(count),
                send_per_day: row.send_per_day.map(count),
            },
            suspended: row.suspended != 0,
            labs: row.labs.map(|labs| labs != 0),
            labs_at: row.labs_at.map(Timestamp::from_micros),
            inbox_count: count(row.inbox_count),
            domain_count: count(row.domain_count),
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn bound(limit: Option<u64>) -> Option<i64> {
    limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

impl Store {
    /// Makes an organization, its default pod and its first key in one transaction.
    pub async fn create_organization(
        &self,
        new: NewOrganization,
        now: Timestamp,
    ) -> Result<(OrganizationId, ApiKey)> {
        self.write((new, now), |tx, (new, now)| Box::pin(create(tx, new, *now))).await
    }

    /// The same, but only on an installation that never had one; `None` otherwise. Several nodes that start at once
    /// make one organization.
    pub async fn create_first_organization(
        &self,
        new: NewOrganization,
        now: Timestamp,
    ) -> Result<Option<(OrganizationId, ApiKey)>> {
        self.write((new, now), |tx, (new, now)| {
            Box::pin(async move {
                let first = tx
                    .run(
                        "INSERT INTO installation (name, value) VALUES ($1, '1') ON CONFLICT DO NOTHING",
                        args![FIRST],
                    )
                    .await?;
                if first == 0 || tx.count("SELECT COUNT(*) FROM organizations", args![]).await? > 0 {
                    return Ok(None);
                }
                create(tx, new, *now).await.map(Some)
            })
        })
        .await
    }

    /// The organization of a scope.
    pub async fn organization(&self, scope: &Scope) -> Result<Option<Organization>> {
        self.organization_by_id(scope.organization()).await
    }

    /// An organization, for operators.
    pub async fn organization_by_id(&self, organization: OrganizationId) -> Result<Option<Organization>> {
        let row: Option<OrganizationRow> = self
            .reader()
            .await?
            .one(
                "SELECT o.organization_id, o.name, o.inbox_limit, o.domain_limit, o.send_per_day, o.suspended, \
                 o.labs, o.labs_at, \
                 (SELECT COUNT(*) FROM inboxes i WHERE i.organization_id = o.organization_id) AS inbox_count, \
                 (SELECT COUNT(*) FROM domains d WHERE d.organization_id = o.organization_id) AS domain_count, \
                 o.created_at, o.updated_at FROM organizations o WHERE o.organization_id = $1",
                args![organization],
            )
            .await?;
        row.map(Organization::try_from).transpose()
    }

    /// The ids of the organizations of exactly this name, oldest first, for operators; at most 50.
    pub async fn organizations_named(&self, name: &str) -> Result<Vec<OrganizationId>> {
        let rows: Vec<(String,)> = self
            .reader()
            .await?
            .all(
                "SELECT organization_id FROM organizations WHERE name = $1 ORDER BY organization_id LIMIT $2",
                args![name, NAMESAKES_MAX],
            )
            .await?;
        rows.into_iter().map(|(found,)| id(&found, OrganizationId::parse)).collect()
    }

    /// Organizations behind `after`, oldest first, for operators.
    pub async fn organizations(
        &self,
        after: Option<OrganizationId>,
        limit: usize,
    ) -> Result<Vec<Organization>> {
        let after = after.map(|after| after.to_string()).unwrap_or_default();
        let rows: Vec<OrganizationRow> = self
            .reader()
            .await?
            .all(
                "SELECT o.organization_id, o.name, o.inbox_limit, o.domain_limit, o.send_per_day, o.suspended, \
                 o.labs, o.labs_at, \
                 (SELECT COUNT(*) FROM inboxes i WHERE i.organization_id = o.organization_id) AS inbox_count, \
                 (SELECT COUNT(*) FROM domains d WHERE d.organization_id = o.organization_id) AS domain_count, \
                 o.created_at, o.updated_at FROM organizations o WHERE o.organization_id > $1 \
                 ORDER BY o.organization_id LIMIT $2",
                args![after, limit],
            )
            .await?;
        rows.into_iter().map(Organization::try_from).collect()
    }

    /// Puts the organization of a scope into Labs unless it is there already, by itself or, with `by_default`, like every
    /// organization that never joined or left; then nothing changes, the time of joining included.
    pub async fn join_labs(&self, scope: &Scope, by_default: bool, now: Timestamp) -> Result<()> {
        self.write((scope.organization(), by_default, now), |tx, (organization, by_default, now)| {
            Box::pin(async move {
                tx.run(
                    "UPDATE organizations SET labs = 1, labs_at = $2, updated_at = $2 \
                     WHERE organization_id = $1 AND COALESCE(labs, $3) = 0",
                    args![*organization, *now, *by_default],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Changes quotas, sending or Labs; `false`: there is no such organization.
    pub async fn set_organization(
        &self,
        organization: OrganizationId,
        change: OrganizationChange,
        now: Timestamp,
    ) -> Result<bool> {
        self.write((organization, change, now), |tx, (organization, change, now)| {
            Box::pin(async move {
                let touched = tx
                    .run(
                        "UPDATE organizations SET \
                         inbox_limit = CASE WHEN $2 = 1 THEN $3 ELSE inbox_limit END, \
                         domain_limit = CASE WHEN $4 = 1 THEN $5 ELSE domain_limit END, \
                         send_per_day = CASE WHEN $6 = 1 THEN $7 ELSE send_per_day END, \
                         suspended = COALESCE($8, suspended), labs = COALESCE($9, labs), \
                         labs_at = CASE WHEN COALESCE($9, labs, -1) = COALESCE(labs, -1) THEN labs_at ELSE $10 END, \
                         updated_at = $10 WHERE organization_id = $1",
                        args![
                            *organization,
                            change.inbox_limit.is_some(),
                            bound(change.inbox_limit.flatten()),
                            change.domain_limit.is_some(),
                            bound(change.domain_limit.flatten()),
                            change.send_per_day.is_some(),
                            bound(change.send_per_day.flatten()),
                            change.suspended.map(i64::from),
                            change.labs.map(i64::from),
                            *now
                        ],
                    )
                    .await?;
                Ok(touched > 0)
            })
        })
        .await
    }
}

async fn create(tx: &mut Tx, new: &NewOrganization, now: Timestamp) -> Result<(OrganizationId, ApiKey)> {
    let organization = OrganizationId::new(&*tx.ids, now);
    tx.run(
        "INSERT INTO organizations (organization_id, name, inbox_limit, domain_limit, send_per_day, suspended, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, 0, $6, $6)",
        args![
            organization,
            new.name.as_str(),
            bound(new.limits.inbox_limit),
            bound(new.limits.domain_limit),
            bound(new.limits.send_per_day),
            now
        ],
    )
    .await?;
    tx.run(
        "INSERT INTO pods (organization_id, pod_id, name, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)",
        args![organization, PodId::default_of(organization), DEFAULT_POD_NAME, now],
    )
    .await?;
    let key = keys::NewApiKey {
        name: new.key_name.clone(),
        secret: new.secret.clone(),
        permissions: podmail_domain::Permissions::UNRESTRICTED,
        expires_at: None,
    };
    let key = keys::insert(tx, &Scope::new(organization, None, None), &key, now).await?;
    Ok((organization, key))
}
