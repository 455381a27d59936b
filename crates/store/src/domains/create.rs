//! Creating a domain in one transaction: who asked before under this `client_id`, who holds the name or one above it,
//! the quota, the rows. Creates of one organization follow one another (its row is taken first).

use podmail_domain::{DomainName, Timestamp};

use super::{Domain, DomainFlags, DomainStatus, owner, row};
use crate::db::{Conn, args};
use crate::pods::lock_pod;
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Error, Result, Store};

/// A domain to make. Its pod is the scope's.
#[derive(Clone, PartialEq, Eq)]
pub struct NewDomain {
    /// The name.
    pub domain: DomainName,
    /// Given by the creator, already validated.
    pub client_id: Option<String>,
    /// Settings.
    pub flags: DomainFlags,
    /// First status.
    pub status: DomainStatus,
    /// Its reason.
    pub reason: Option<String>,
    /// Selector of the DKIM key.
    pub dkim_selector: String,
    /// PKCS#8, secret.
    pub dkim_private: Vec<u8>,
    /// Public DKIM key, base64.
    pub dkim_public: String,
    /// What is known of its records (JSON).
    pub records: String,
    /// First check; `None` leaves it to a request.
    pub next_check_at: Option<Timestamp>,
    /// Now.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for NewDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewDomain").field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// Whether a name can be taken, and what stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainAdmission {
    /// Nothing.
    Free,
    /// The same `client_id` made this one, and the scope covers it.
    Existing(Box<Domain>),
    /// The organization has it already, or its `client_id` names something outside the scope.
    AlreadyExists,
    /// Another organization has it, or has verified a domain above it.
    Taken,
    /// The organization has as many domains as it may.
    LimitReached(u64),
}

/// What became of a create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DomainCreated {
    /// Made.
    Created(Box<Domain>),
    /// Not made: see [`DomainAdmission`], never `Free`.
    Refused(DomainAdmission),
    /// The pod has been deleted.
    PodGone,
}

async fn admission(
    conn: &mut Conn,
    scope: &Scope,
    domain: &DomainName,
    client_id: Option<&str>,
) -> Result<DomainAdmission> {
    let organization = scope.organization();
    if let Some(client_id) = client_id {
        let named: Option<(String,)> = conn
            .one(
                "SELECT resource_id FROM client_ids \
                 WHERE organization_id = $1 AND kind = 'domain' AND client_id = $2",
                args![organization, client_id],
            )
            .await?;
        if let Some((name,)) = named {
            let found = row(conn, organization, &id(&name, DomainName::parse)?).await?;
            return Ok(match found {
                Some(found) if scope.covers(found.pod_id, None) => DomainAdmission::Existing(Box::new(found)),
                _ => DomainAdmission::AlreadyExists,
            });
        }
    }
    match owner(conn, domain.as_str()).await? {
        Some(owner) if owner == organization => return Ok(DomainAdmission::AlreadyExists),
        Some(_) => return Ok(DomainAdmission::Taken),
        None => {}
    }
    for parent in domain.parents() {
        let Some(owner) = owner(conn, &parent).await?.filter(|owner| *owner != organization) else {
            continue;
        };
        let verified = conn
            .count(
                "SELECT COUNT(*) FROM domains WHERE organization_id = $1 AND domain = $2 \
                 AND (status = 'VERIFIED' OR sending = 1)",
                args![owner, parent],
            )
            .await?;
        if verified > 0 {
            return Ok(DomainAdmission::Taken);
        }
    }
    let limit: Option<(Option<i64>,)> = conn
        .one("SELECT domain_limit FROM organizations WHERE organization_id = $1", args![organization])
        .await?;
    if let Some((Some(limit),)) = limit {
        let count = conn
            .count("SELECT COUNT(*) FROM domains WHERE organization_id = $1", args![organization])
            .await?;
        if count >= limit {
            return Ok(DomainAdmission::LimitReached(u64::try_from(limit).unwrap_or(0)));
        }
    }
    Ok(DomainAdmission::Free)
}

async fn create(tx: &mut Tx, scope: &Scope, new: &NewDomain) -> Result<DomainCreated> {
    let organization = scope.organization();
    // Creates of one organization run one after the other: its quota and its client ids hold whoever else creates.
    tx.run(
        "UPDATE organizations SET updated_at = updated_at WHERE organization_id = $1",
        args![organization],
    )
    .await?;
    if let Some(pod) = scope.pod()
        && !lock_pod(tx, organization, pod).await?
    {
        return Ok(DomainCreated::PodGone);
    }
    match admission(tx, scope, &new.domain, new.client_id.as_deref()).await? {
        DomainAdmission::Free => {}
        refused @ (DomainAdmission::Existing(_)
        | DomainAdmission::AlreadyExists
        | DomainAdmission::Taken
        | DomainAdmission::LimitReached(_)) => return Ok(DomainCreated::Refused(refused)),
    }
    let taken = tx
        .run(
            "INSERT INTO domain_directory (domain, organization_id) VALUES ($1,$2) ON CONFLICT (domain) DO NOTHING",
            args![&new.domain, organization],
        )
        .await?
        == 0;
    if taken {
        return Ok(DomainCreated::Refused(DomainAdmission::Taken));
    }
    if let Some(client_id) = &new.client_id {
        tx.run(
            "INSERT INTO client_ids (organization_id, kind, client_id, resource_id) VALUES ($1,'domain',$2,$3)",
            args![organization, client_id.as_str(), &new.domain],
        )
        .await?;
    }
    tx.run(
        "INSERT INTO domains (organization_id, domain, pod_id, client_id, status, reason, feedback_enabled, \
         inbound_enabled, subdomains_enabled, tracking_enabled, dkim_selector, dkim_private, dkim_public, records, \
         sending, forced, failed_checks, next_check_at, checks_since, version, created_at, updated_at) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,0,0,0,$15,$16,1,$16,$16)",
        args![
            organization,
            &new.domain,
            scope.pod(),
            new.client_id.clone(),
            new.status.as_str(),
            new.reason.clone(),
            new.flags.feedback,
            new.flags.inbound,
            new.flags.subdomains,
            new.flags.tracking,
            new.dkim_selector.as_str(),
            new.dkim_private.clone(),
            new.dkim_public.as_str(),
            new.records.as_str(),
            new.next_check_at,
            new.created_at
        ],
    )
    .await?;
    let made =
        row(tx, organization, &new.domain).await?.ok_or(Error::Corrupt("a domain that was just made"))?;
    Ok(DomainCreated::Created(Box::new(made)))
}

impl Store {
    /// Whether a create would be let in; decided again by [`Self::create_domain`].
    pub async fn domain_admission(
        &self,
        scope: &Scope,
        domain: &DomainName,
        client_id: Option<&str>,
    ) -> Result<DomainAdmission> {
        admission(&mut self.reader().await?, scope, domain, client_id).await
    }

    /// Makes a domain of the scope's pod, or of the whole organization.
    pub async fn create_domain(&self, scope: &Scope, new: NewDomain) -> Result<DomainCreated> {
        self.write((scope.clone(), new), |tx, (scope, new)| Box::pin(create(tx, scope, new))).await
    }
}
