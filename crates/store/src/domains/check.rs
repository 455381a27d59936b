//! Leasing domains that are due for a check, and writing what was decided about them.
//!
//! While a check runs, `next_check_at` equals `leased_until`: a killed check is due again by itself, and a request that
//! comes meanwhile is seen because it makes them differ.

use podmail_domain::{
    DomainName, EventId, EventType, InboxKey, MessageKey, OrganizationId, ThreadId, Timestamp,
};

use super::{Domain, row};
use crate::db::args;
use crate::insert::{EVENT_VALUES, INSERT_EVENTS};
use crate::scope::{Scope, id, stored_scope};
use crate::writer::Tx;
use crate::{Result, Store};

/// What a change does to the time of the next check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextCheck {
    /// Writes `next_check_at` of the changed row.
    Set,
    /// The same at the end of a leased check, but a check that was asked for meanwhile stays due.
    SetUnlessAsked,
    /// Leaves it.
    Keep,
}

/// What to write of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainChange {
    /// The row as it shall be: status, reason, flags, records, rights, times. Its `version` is that of the row read;
    /// names, owner, keys and `verify_requested_at` are left as they are stored.
    pub domain: Domain,
    /// What becomes of the time of the next check.
    pub next_check: NextCheck,
    /// JSON of the domain as it is now, when the change is worth a `domain.verified`.
    pub verified_event: Option<String>,
    /// Now.
    pub at: Timestamp,
}

async fn change(tx: &mut Tx, change: &DomainChange) -> Result<bool> {
    let domain = &change.domain;
    let next_check = match change.next_check {
        NextCheck::Set => 0_i64,
        NextCheck::SetUnlessAsked => 1,
        NextCheck::Keep => 2,
    };
    let changed = tx
        .run(
            "UPDATE domains SET status = $3, reason = $4, feedback_enabled = $5, inbound_enabled = $6, \
             subdomains_enabled = $7, tracking_enabled = $8, records = $9, verified_at = $10, sending = $11, \
             forced = $12, failed_checks = $13, checked_at = $14, checks_since = $15, updated_at = $16, \
             next_check_at = CASE WHEN $17 = 2 OR ($17 = 1 AND next_check_at <> leased_until) \
             THEN next_check_at ELSE $18 END, \
             leased_until = NULL, version = version + 1 \
             WHERE organization_id = $1 AND domain = $2 AND version = $19",
            args![
                domain.organization_id,
                &domain.domain,
                domain.status.as_str(),
                domain.reason.clone(),
                domain.flags.feedback,
                domain.flags.inbound,
                domain.flags.subdomains,
                domain.flags.tracking,
                domain.records.as_str(),
                domain.verified_at,
                domain.sending,
                domain.forced,
                domain.failed_checks,
                domain.checked_at,
                domain.checks_since,
                domain.updated_at,
                next_check,
                domain.next_check_at,
                domain.version
            ],
        )
        .await?
        > 0;
    if !changed {
        return Ok(false);
    }
    tx.news.domains |=
        change.next_check == NextCheck::Set && domain.next_check_at.is_some_and(|due| due <= change.at);
    if let Some(facts) = &change.verified_event {
        let event = args![
            domain.organization_id,
            domain.pod_id,
            None::<InboxKey>,
            None::<String>,
            EventId::new(&*tx.ids, change.at),
            EventType::DomainVerified.as_str(),
            None::<MessageKey>,
            None::<ThreadId>,
            facts.as_str(),
            change.at
        ];
        tx.insert(INSERT_EVENTS, EVENT_VALUES, "", [event].into()).await?;
        tx.news.events = true;
    }
    Ok(true)
}

impl Store {
    /// Writes a decision about a domain, with its event. `false`: the domain changed since it was read, or is gone.
    pub async fn change_domain(&self, decided: DomainChange) -> Result<bool> {
        self.write(decided, |tx, decided| Box::pin(change(tx, decided))).await
    }

    /// Makes a domain due now and takes back the operator's word on it, unless somebody asked after `not_after`.
    /// `false`: somebody did, or it is gone.
    pub async fn request_domain_check(
        &self,
        domain: &Domain,
        now: Timestamp,
        not_after: Timestamp,
    ) -> Result<bool> {
        self.write((domain.organization_id, domain.domain.clone(), now, not_after), |tx, args| {
            Box::pin(async move {
                let (organization, domain, now, not_after) = args;
                let asked = tx
                    .run(
                        "UPDATE domains SET next_check_at = $3, verify_requested_at = $3, version = version + forced, forced = 0 \
                         WHERE organization_id = $1 AND domain = $2 \
                         AND (verify_requested_at IS NULL OR verify_requested_at <= $4)",
                        args![*organization, domain, *now, *not_after],
                    )
                    .await?
                    > 0;
                tx.news.domains |= asked;
                Ok(asked)
            })
        })
        .await
    }

    /// Takes up to `limit` domains that are due for a check, for all organizations. They are due again at `until`
    /// unless [`Self::change_domain`] says otherwise before.
    pub async fn lease_domains(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Scope, Domain)>> {
        let due = self
            .reader()
            .await?
            .count(
                "SELECT COUNT(*) FROM (SELECT domain FROM domains WHERE next_check_at <= $1 \
                 AND (leased_until IS NULL OR leased_until <= $1) LIMIT 1) AS due",
                args![now],
            )
            .await?;
        if due == 0 {
            return Ok(Vec::new());
        }
        self.write((now, until, limit), |tx, (now, until, limit)| {
            Box::pin(async move {
                let due: Vec<(String, String)> = tx
                    .all(
                        "SELECT organization_id, domain FROM domains WHERE next_check_at <= $1 \
                         AND (leased_until IS NULL OR leased_until <= $1) ORDER BY next_check_at LIMIT $2",
                        args![*now, *limit],
                    )
                    .await?;
                let mut leased = Vec::with_capacity(due.len());
                for (organization, name) in due {
                    // Another node may have been faster; its claim shows here.
                    let won = tx
                        .run(
                            "UPDATE domains SET leased_until = $3, next_check_at = $3 \
                             WHERE organization_id = $1 AND domain = $2 AND next_check_at <= $4 \
                             AND (leased_until IS NULL OR leased_until <= $4)",
                            args![organization.as_str(), name.as_str(), *until, *now],
                        )
                        .await?
                        > 0;
                    if !won {
                        continue;
                    }
                    let owner = id(&organization, OrganizationId::parse)?;
                    if let Some(domain) = row(tx, owner, &id(&name, DomainName::parse)?).await? {
                        let pod = domain.pod_id.map(|pod| pod.to_string());
                        leased.push((stored_scope(&organization, pod.as_deref(), None, None)?, domain));
                    }
                }
                Ok(leased)
            })
        })
        .await
    }
}
