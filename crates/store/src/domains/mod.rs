//! Customers' domains: creating, listing, changing, deleting, and leasing those whose records are due for a check.
//!
//! The store does not judge: status, records and rights are decided by the caller on a row that it read, and written
//! only if the row is still the one it read ([`Domain::version`]). The private DKIM key leaves through
//! [`Store::sending_domain`] alone.

mod check;
mod create;

use podmail_domain::{DomainName, OrganizationId, PodId, Timestamp};

use crate::db::{Bytes, Conn, Query, args};
use crate::page::{Cursor, Order, Page};
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Error, Result, Store};

pub use check::{DomainChange, NextCheck};
pub use create::{DomainAdmission, DomainCreated, NewDomain};

/// How far the verification of a domain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DomainStatus {
    /// No check has been started.
    NotStarted,
    /// A required record is missing, none is wrong.
    Pending,
    /// A record is wrong.
    Invalid,
    /// Activation failed.
    Failed,
    /// The sending side is being activated.
    Verifying,
    /// All records are in place.
    Verified,
}

impl DomainStatus {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "NOT_STARTED",
            Self::Pending => "PENDING",
            Self::Invalid => "INVALID",
            Self::Failed => "FAILED",
            Self::Verifying => "VERIFYING",
            Self::Verified => "VERIFIED",
        }
    }
    /// The status of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::NotStarted, Self::Pending, Self::Invalid, Self::Failed, Self::Verifying, Self::Verified]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// What the owner switches on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainFlags {
    /// Bounce and complaint reports are also stored as messages.
    pub feedback: bool,
    /// Mail to the domain is received.
    pub inbound: bool,
    /// Inboxes may lie below the domain.
    pub subdomains: bool,
    /// Opens may be tracked.
    pub tracking: bool,
}

/// A domain without its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Owner.
    pub organization_id: OrganizationId,
    /// Name and id.
    pub domain: DomainName,
    /// The only pod it serves; `None` when it serves all of them.
    pub pod_id: Option<PodId>,
    /// Given by the creator.
    pub client_id: Option<String>,
    /// See [`DomainStatus`].
    pub status: DomainStatus,
    /// Why it is not verified.
    pub reason: Option<String>,
    /// Settings.
    pub flags: DomainFlags,
    /// Selector of the DKIM key.
    pub dkim_selector: String,
    /// Public DKIM key, base64.
    pub dkim_public: String,
    /// What the last check found, in the caller's own form (JSON).
    pub records: String,
    /// First time it was verified.
    pub verified_at: Option<Timestamp>,
    /// Whether it may send: verified once, and what signing and bounces need is still in place.
    pub sending: bool,
    /// Whether its records count as valid on the operator's word.
    pub forced: bool,
    /// Checks that failed one after the other since it was last found verified.
    pub failed_checks: i64,
    /// When it will be checked.
    pub next_check_at: Option<Timestamp>,
    /// When it was last checked.
    pub checked_at: Option<Timestamp>,
    /// From when the intervals between checks stretch.
    pub checks_since: Timestamp,
    /// When somebody last asked for a check.
    pub verify_requested_at: Option<Timestamp>,
    /// Counts changes.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its last visible change.
    pub updated_at: Timestamp,
}

/// What signs and sends for a domain. Holds a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SendingDomain {
    /// Name, the `d=` of signatures.
    pub domain: DomainName,
    /// Whether mail may be sent from it.
    pub may_send: bool,
    /// Whether mail to one recipient gets List-Unsubscribe of our own.
    pub unsubscribe_links: bool,
    /// Selector, the `s=` of signatures.
    pub selector: String,
    /// Private key, PKCS#8 in DER.
    pub private_pkcs8: Vec<u8>,
}

impl std::fmt::Debug for SendingDomain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendingDomain")
            .field("domain", &self.domain)
            .field("may_send", &self.may_send)
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct DomainRow {
    organization_id: String,
    domain: String,
    pod_id: Option<String>,
    client_id: Option<String>,
    status: String,
    reason: Option<String>,
    feedback_enabled: i64,
    inbound_enabled: i64,
    subdomains_enabled: i64,
    tracking_enabled: i64,
    dkim_selector: String,
    dkim_public: String,
    records: String,
    verified_at: Option<i64>,
    sending: i64,
    forced: i64,
    failed_checks: i64,
    next_check_at: Option<i64>,
    checked_at: Option<i64>,
    checks_since: i64,
    verify_requested_at: Option<i64>,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

fn read(row: DomainRow) -> Result<Domain> {
    Ok(Domain {
        organization_id: id(&row.organization_id, OrganizationId::parse)?,
        domain: id(&row.domain, DomainName::parse)?,
        pod_id: row.pod_id.as_deref().map(|pod| id(pod, PodId::parse)).transpose()?,
        client_id: row.client_id,
        status: DomainStatus::parse(&row.status).ok_or(Error::Corrupt("a domain's status"))?,
        reason: row.reason,
        flags: DomainFlags {
            feedback: row.feedback_enabled != 0,
            inbound: row.inbound_enabled != 0,
            subdomains: row.subdomains_enabled != 0,
            tracking: row.tracking_enabled != 0,
        },
        dkim_selector: row.dkim_selector,
        dkim_public: row.dkim_public,
        records: row.records,
        verified_at: row.verified_at.map(Timestamp::from_micros),
        sending: row.sending != 0,
        forced: row.forced != 0,
        failed_checks: row.failed_checks,
        next_check_at: row.next_check_at.map(Timestamp::from_micros),
        checked_at: row.checked_at.map(Timestamp::from_micros),
        checks_since: Timestamp::from_micros(row.checks_since),
        verify_requested_at: row.verify_requested_at.map(Timestamp::from_micros),
        version: row.version,
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
    })
}

/// The row, whatever pod it belongs to.
async fn row(conn: &mut Conn, organization: OrganizationId, domain: &DomainName) -> Result<Option<Domain>> {
    let row: Option<DomainRow> = conn
        .one(
            "SELECT organization_id, domain, pod_id, client_id, status, reason, feedback_enabled, inbound_enabled, \
             subdomains_enabled, tracking_enabled, dkim_selector, dkim_public, records, verified_at, sending, forced, \
             failed_checks, next_check_at, checked_at, checks_since, verify_requested_at, version, created_at, \
             updated_at FROM domains WHERE organization_id = $1 AND domain = $2",
            args![organization, domain],
        )
        .await?;
    row.map(read).transpose()
}

async fn owner(conn: &mut Conn, domain: &str) -> Result<Option<OrganizationId>> {
    let row: Option<(String,)> =
        conn.one("SELECT organization_id FROM domain_directory WHERE domain = $1", args![domain]).await?;
    row.map(|(owner,)| id(&owner, OrganizationId::parse)).transpose()
}

async fn delete(tx: &mut Tx, scope: &Scope, domain: &DomainName) -> Result<bool> {
    let organization = scope.organization();
    let found = row(tx, organization, domain).await?.filter(|found| scope.covers(found.pod_id, None));
    if found.is_none() {
        return Ok(false);
    }
    tx.run("DELETE FROM domains WHERE organization_id = $1 AND domain = $2", args![organization, domain])
        .await?;
    tx.run(
        "DELETE FROM client_ids WHERE organization_id = $1 AND kind = 'domain' AND resource_id = $2",
        args![organization, domain],
    )
    .await?;
    tx.run(
        "DELETE FROM domain_directory WHERE domain = $1 AND organization_id = $2",
        args![domain, organization],
    )
    .await?;
    Ok(true)
}

impl Store {
    /// A domain that lies in the scope.
    pub async fn domain(&self, scope: &Scope, domain: &DomainName) -> Result<Option<Domain>> {
        let found = row(&mut self.reader().await?, scope.organization(), domain).await?;
        Ok(found.filter(|found| scope.covers(found.pod_id, None)))
    }

    /// The scope's domains by time of creation.
    pub async fn domains(
        &self,
        scope: &Scope,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Domain>> {
        let mut query = Query::new(
            "SELECT organization_id, domain, pod_id, client_id, status, reason, feedback_enabled, inbound_enabled, \
             subdomains_enabled, tracking_enabled, dkim_selector, dkim_public, records, verified_at, sending, forced, \
             failed_checks, next_check_at, checked_at, checks_since, verify_requested_at, version, created_at, \
             updated_at FROM domains WHERE organization_id = $1",
            args![scope.organization()],
        );
        if let Some(pod) = scope.pod() {
            query.and("pod_id = ?", args![pod]);
        }
        order.seek(&mut query, "created_at", "domain", after, limit);
        let rows: Vec<DomainRow> = query.all(&mut self.reader().await?).await?;
        let items = rows.into_iter().map(read).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(items, limit, |domain| Cursor::new(domain.created_at, &domain.domain)))
    }

    /// Deletes a domain of the scope and frees its name and `client_id`; inboxes and mail stay. `false`: not in scope.
    pub async fn delete_domain(&self, scope: &Scope, domain: &DomainName) -> Result<bool> {
        self.write((scope.clone(), domain.clone()), |tx, (scope, domain)| Box::pin(delete(tx, scope, domain)))
            .await
    }

    /// A domain by its name, whoever owns it: for operators.
    pub async fn domain_by_name(&self, domain: &DomainName) -> Result<Option<Domain>> {
        let mut conn = self.reader().await?;
        match owner(&mut conn, domain.as_str()).await? {
            Some(owner) => row(&mut conn, owner, domain).await,
            None => Ok(None),
        }
    }

    /// The key and the right to send of a domain of the scope's organization. `None`: it has no such domain.
    pub async fn sending_domain(
        &self,
        scope: &Scope,
        governing_domain: &str,
    ) -> Result<Option<SendingDomain>> {
        let found: Option<(String, i64, i64, String, Bytes)> = self
            .reader()
            .await?
            .one(
                "SELECT domain, sending, unsubscribe_links, dkim_selector, dkim_private FROM domains \
                 WHERE organization_id = $1 AND domain = $2",
                args![scope.organization(), governing_domain],
            )
            .await?;
        found
            .map(|(domain, sending, links, selector, private_pkcs8)| {
                Ok(SendingDomain {
                    domain: id(&domain, DomainName::parse)?,
                    may_send: sending != 0,
                    unsubscribe_links: links != 0,
                    selector,
                    private_pkcs8: private_pkcs8.0,
                })
            })
            .transpose()
    }

    /// Switches List-Unsubscribe of our own on or off for a domain, whoever owns it: for operators. `false`: nobody has
    /// it.
    pub async fn set_unsubscribe_links(&self, domain: &DomainName, on: bool) -> Result<bool> {
        self.write((domain.clone(), on), |tx, (domain, on)| {
            Box::pin(async move {
                let Some(owner) = owner(tx, domain.as_str()).await? else { return Ok(false) };
                let changed = tx
                    .run(
                        "UPDATE domains SET unsubscribe_links = $3 WHERE organization_id = $1 AND domain = $2",
                        args![owner, domain, *on],
                    )
                    .await?;
                Ok(changed > 0)
            })
        })
        .await
    }
}
