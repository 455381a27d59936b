//! Customers' domains: who may take which name, which records it needs, and whether they are there.
//!
//! [`records`] lists and judges, [`check`] asks the DNS, `decide` says what follows, [`zone`] writes the zone file,
//! `operator` is the way in for whoever runs the installation, `signer` keeps the shared domain's key, `setup` tells who
//! runs a domain's DNS and mail so far.

pub mod check;
mod connect;
mod decide;
mod operator;
pub mod records;
mod setup;
mod signer;
#[cfg(test)]
mod tests;
pub mod zone;

use std::time::Duration;

use futures_util::StreamExt as _;
use podmail_api_types::domains as api;
use podmail_domain::{DomainName, limits, source};
use podmail_store::{
    Cursor, Domain, DomainAdmission, DomainChange, DomainCreated, DomainFlags, DomainStatus, NewDomain,
    NextCheck, Order, Page, Scope,
};
use tokio::sync::Semaphore;

use crate::error::{Error, Issue, Result};
use crate::{App, Caller, Settings};

pub use connect::DomainConnect;
pub use operator::{DomainReport, RecordReport};
pub use signer::SharedSignerKey;

/// Keys that are made at the same time: each keeps a core busy for tenths of a second.
const KEYS_AT_ONCE: usize = 2;
/// Domains that one look for work takes.
const CHECKS: usize = 16;
/// Domains that are checked at the same time, each with up to eight look-ups.
const CHECKS_AT_ONCE: usize = 8;
/// How often a change is decided again because the domain changed meanwhile.
const ATTEMPTS: usize = 8;

static KEYS: Semaphore = Semaphore::const_new(KEYS_AT_ONCE);

/// A domain to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateDomain {
    /// A name that [`App::new_domain_name`] let through.
    pub domain: DomainName,
    /// Default on.
    pub feedback_enabled: Option<bool>,
    /// Default on.
    pub inbound_enabled: Option<bool>,
    /// Default off.
    pub subdomains_enabled: Option<bool>,
    /// Default off.
    pub tracking_enabled: Option<bool>,
    /// Take the domain although another provider receives its mail.
    pub allow_conflicting_provider: bool,
    /// Validated.
    pub client_id: Option<String>,
}

/// Settings to change; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpdateDomain {
    /// See [`DomainFlags::feedback`].
    pub feedback_enabled: Option<bool>,
    /// See [`DomainFlags::inbound`].
    pub inbound_enabled: Option<bool>,
    /// See [`DomainFlags::subdomains`].
    pub subdomains_enabled: Option<bool>,
    /// See [`DomainFlags::tracking`].
    pub tracking_enabled: Option<bool>,
}

impl UpdateDomain {
    fn apply(self, flags: DomainFlags) -> DomainFlags {
        DomainFlags {
            feedback: self.feedback_enabled.unwrap_or(flags.feedback),
            inbound: self.inbound_enabled.unwrap_or(flags.inbound),
            subdomains: self.subdomains_enabled.unwrap_or(flags.subdomains),
            tracking: self.tracking_enabled.unwrap_or(flags.tracking),
        }
    }
}

/// A new key, made off the reactor.
pub(super) async fn new_key() -> Result<podmail_sender_auth::DkimKey> {
    let _permit = KEYS.acquire().await.map_err(Error::internal)?;
    tokio::task::spawn_blocking(podmail_sender_auth::generate_rsa_2048)
        .await
        .map_err(Error::internal)?
        .map_err(Error::internal)
}

/// The domain as the API shows it.
pub(crate) fn to_api(domain: &Domain, settings: &Settings) -> api::Domain {
    api::Domain {
        domain_id: domain.domain.clone(),
        domain: domain.domain.clone(),
        pod_id: domain.pod_id,
        status: domain.status.as_str(),
        reason: domain.reason.clone(),
        feedback_enabled: domain.flags.feedback,
        inbound_enabled: domain.flags.inbound,
        subdomains_enabled: domain.flags.subdomains,
        tracking_enabled: domain.flags.tracking,
        records: records::current(domain, settings).iter().map(records::Record::to_api).collect(),
        client_id: domain.client_id.clone(),
        updated_at: domain.updated_at,
        created_at: domain.created_at,
    }
}

fn to_item(domain: Domain) -> api::DomainItem {
    api::DomainItem {
        domain_id: domain.domain.clone(),
        domain: domain.domain,
        pod_id: domain.pod_id,
        feedback_enabled: domain.flags.feedback,
        inbound_enabled: domain.flags.inbound,
        subdomains_enabled: domain.flags.subdomains,
        tracking_enabled: domain.flags.tracking,
        client_id: domain.client_id,
        updated_at: domain.updated_at,
        created_at: domain.created_at,
    }
}

const fn not_found() -> Error {
    Error::NotFound("Domain")
}

impl App {
    /// Reads the name of a domain to be created: one that mail can have, that no registry and not this installation
    /// owns.
    pub fn new_domain_name(&self, text: &str) -> std::result::Result<DomainName, Issue> {
        let refuse = |message: &str| Issue::custom(["domain".into()], message);
        let name = DomainName::parse(text)
            .ok_or_else(|| Issue::format(["domain".into()], "domain", "Invalid domain name"))?;
        if name.is_public_suffix() {
            return Err(refuse("Invalid domain name: anybody can register names directly below it"));
        }
        let settings = self.settings();
        let own = [
            &settings.domain,
            &settings.hostname,
            &settings.spf_name,
            &settings.feedback_host,
            &settings.tracking_host,
        ];
        if own.into_iter().any(|own| name.as_str() == own || name.is_below(own)) {
            return Err(refuse("Invalid domain name: it belongs to this installation"));
        }
        Ok(name)
    }

    /// Takes a domain for the caller's pod, or for the whole organization.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], [`Error::ResourceTaken`], [`Error::LimitExceeded`], and [`Error::Unprocessable`] when
    /// another provider receives the domain's mail.
    pub async fn create_domain(&self, caller: &Caller, create: CreateDomain) -> Result<api::Domain> {
        let (scope, domain) = (&caller.scope, &create.domain);
        let client_id = create.client_id.as_deref();
        // Asked before any work is done; the transaction asks again.
        if let Some(existing) =
            self.admitted(self.store().domain_admission(scope, domain, client_id).await?)?
        {
            return Ok(existing);
        }
        let flags = DomainFlags {
            feedback: create.feedback_enabled.unwrap_or(true),
            inbound: create.inbound_enabled.unwrap_or(true),
            subdomains: create.subdomains_enabled.unwrap_or(false),
            tracking: create.tracking_enabled.unwrap_or(false),
        };
        if flags.inbound
            && !create.allow_conflicting_provider
            && check::is_google(self.resolver(), domain).await
        {
            return Err(Error::Unprocessable(format!(
                "Mail for {domain} goes to Google Workspace. Pass inbound_enabled: false to only send from it, or \
                 allow_conflicting_provider: true to share it"
            )));
        }
        let key = new_key().await?;
        let selector = format!("podmail{}", source::hex(&source::random::<3>(self.ids())));
        let wanted = records::Wanted {
            domain: domain.as_str(),
            flags,
            selector: &selector,
            public_key: &key.public_base64,
        };
        let records = records::wanted(wanted, self.settings());
        let now = self.now();
        let interval = self.settings().domain_check_interval;
        let (status, reason) = match interval {
            Some(_) => records::status(&records),
            None => (DomainStatus::NotStarted, None),
        };
        let new = NewDomain {
            domain: domain.clone(),
            client_id: create.client_id.clone(),
            flags,
            status,
            reason: reason.map(str::to_owned),
            records: records::to_stored(&records),
            dkim_selector: selector,
            dkim_private: key.private_pkcs8,
            dkim_public: key.public_base64,
            next_check_at: interval.map(|interval| now.plus(interval)),
            created_at: now,
        };
        match self.store().create_domain(scope, new).await? {
            DomainCreated::Created(domain) => {
                tracing::info!(organization.id = %domain.organization_id, domain = %domain.domain, "domain created");
                Ok(to_api(&domain, self.settings()))
            }
            DomainCreated::Refused(why) => {
                self.admitted(why)?.ok_or_else(|| Error::internal("a create was refused without a reason"))
            }
            DomainCreated::PodGone => Err(Error::NotFound("Pod")),
        }
    }

    /// `None` when nothing is in the way, the domain when it was made before.
    fn admitted(&self, admission: DomainAdmission) -> Result<Option<api::Domain>> {
        match admission {
            DomainAdmission::Free => Ok(None),
            DomainAdmission::Existing(domain) => Ok(Some(to_api(&domain, self.settings()))),
            DomainAdmission::AlreadyExists => {
                Err(Error::AlreadyExists { resource: "Domain", suggestions: Vec::new(), fix: None })
            }
            DomainAdmission::Taken => Err(Error::ResourceTaken { resource: "Domain" }),
            DomainAdmission::LimitReached(limit) => Err(Error::LimitExceeded { resource: "domain", limit }),
        }
    }

    async fn stored_domain(&self, scope: &Scope, domain_id: &str) -> Result<Domain> {
        let name = DomainName::parse(domain_id).ok_or_else(not_found)?;
        self.store().domain(scope, &name).await?.ok_or_else(not_found)
    }

    /// One domain.
    pub async fn domain(&self, caller: &Caller, domain_id: &str) -> Result<api::Domain> {
        let domain = self.stored_domain(&caller.scope, domain_id).await?;
        Ok(to_api(&domain, self.settings()))
    }

    /// The scope's domains by time of creation.
    pub async fn domains(
        &self,
        caller: &Caller,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<api::DomainItem>> {
        Ok(self.store().domains(&caller.scope, order, after, limit).await?.map(to_item))
    }

    /// Changes settings. What was earned stays; a newly needed record makes a verified domain pending.
    pub async fn update_domain(
        &self,
        caller: &Caller,
        domain_id: &str,
        update: UpdateDomain,
    ) -> Result<api::Domain> {
        for _ in 0..ATTEMPTS {
            let domain = self.stored_domain(&caller.scope, domain_id).await?;
            let now = self.now();
            let (next, next_check) =
                decide::after_change(&domain, update.apply(domain.flags), self.settings(), now);
            if self.write_domain(&domain, &next, next_check).await? {
                return Ok(to_api(&next, self.settings()));
            }
        }
        Err(Error::RaceCondition)
    }

    /// Deletes a domain; its inboxes stop sending and receiving, their data stays.
    pub async fn delete_domain(&self, caller: &Caller, domain_id: &str) -> Result<()> {
        let name = DomainName::parse(domain_id).ok_or_else(not_found)?;
        if self.store().delete_domain(&caller.scope, &name).await? { Ok(()) } else { Err(not_found()) }
    }

    /// Asks for a check, which starts at once and goes on after this returned.
    ///
    /// # Errors
    /// [`Error::RateLimited`] within [`limits::DOMAIN_VERIFY_SECONDS`] of the last request, [`Error::Unprocessable`]
    /// when the DNS gives no answer about the domain at all.
    pub async fn verify_domain(&self, caller: &Caller, domain_id: &str) -> Result<()> {
        let domain = self.stored_domain(&caller.scope, domain_id).await?;
        let pause = Duration::from_secs(limits::DOMAIN_VERIFY_SECONDS);
        let now = self.now();
        if let Some(last) = domain.verify_requested_at {
            let left = pause.saturating_sub(now.since(last));
            if !left.is_zero() {
                return Err(Error::RateLimited { retry_after_seconds: left.as_secs().max(1) });
            }
        }
        if !check::answers(self.resolver(), &domain.domain).await {
            return Err(Error::Unprocessable(format!("No name server answers for {}", domain.domain)));
        }
        if self.store().request_domain_check(&domain, now, now.minus(pause)).await? {
            return Ok(());
        }
        self.stored_domain(&caller.scope, domain_id).await?;
        Err(Error::RateLimited { retry_after_seconds: limits::DOMAIN_VERIFY_SECONDS })
    }

    /// The records as a zone file.
    pub async fn domain_zone_file(&self, caller: &Caller, domain_id: &str) -> Result<(DomainName, String)> {
        let domain = self.stored_domain(&caller.scope, domain_id).await?;
        let text = zone::zone_file(domain.domain.as_str(), &records::current(&domain, self.settings()));
        Ok((domain.domain, text))
    }

    /// Checks domains that are due; returns how many it took. Call again while it returns more than zero.
    pub async fn check_domains_once(&self) -> Result<usize> {
        let now = self.now();
        let leased = self.store().lease_domains(now, now.plus(self.settings().work_lease), CHECKS).await?;
        let count = leased.len();
        futures_util::stream::iter(leased)
            .for_each_concurrent(CHECKS_AT_ONCE, |(_, domain)| async move {
                let checked = Box::pin(self.check_domain(&domain, NextCheck::SetUnlessAsked)).await;
                if let Err(error) = checked {
                    // The lease ends by itself and the domain is due again.
                    tracing::warn!(domain = %domain.domain, error = %error, "a domain could not be checked");
                }
            })
            .await;
        Ok(count)
    }

    /// Checks one domain and writes what follows. Returns what the DNS said; `None` when the domain changed meanwhile.
    async fn check_domain(
        &self,
        domain: &Domain,
        next_check: NextCheck,
    ) -> Result<Option<Vec<check::Found>>> {
        let wanted = records::current(domain, self.settings());
        let found = check::look(self.resolver(), &domain.domain, &wanted).await;
        let next = decide::after_check(domain, &found, self.settings(), self.now());
        let written = self.write_domain(domain, &next, next_check).await?;
        Ok(written.then_some(found))
    }

    /// Writes a decision and, when it made the domain verified, the event.
    async fn write_domain(&self, before: &Domain, next: &Domain, next_check: NextCheck) -> Result<bool> {
        let verified = next.status == DomainStatus::Verified && before.status != DomainStatus::Verified;
        let verified_event = verified
            .then(|| serde_json::to_string(&to_api(next, self.settings())))
            .transpose()
            .map_err(Error::internal)?;
        let change = DomainChange { domain: next.clone(), next_check, verified_event, at: self.now() };
        let written = self.store().change_domain(change).await?;
        if written && next.status != before.status {
            tracing::info!(
                organization.id = %next.organization_id,
                domain = %next.domain,
                domain.status = next.status.as_str(),
                "the status of a domain changed"
            );
        }
        Ok(written)
    }
}
