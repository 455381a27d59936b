//! Outbound mail as the queue worker sees it: what to deliver, under which names, and what the answers mean. The
//! worker (crate `delivery`) speaks SMTP and decides nothing; whether mail bounced, when it is tried again and what
//! that says to the sender is decided here.

mod outcome;

use std::collections::HashMap;

use bytes::Bytes;
use podmail_blob::decompress;
use podmail_dns::{DnsError, Mx};
use podmail_domain::{DomainName, PodId, limits, source};
use podmail_jobs::{AfterLast, RetrySchedule};
use podmail_store::{DeliveryOutcome, DeliveryReport, LeaseRequest, StoredBytes};

pub(crate) use outcome::reported;
pub use outcome::{Answer, Attempt, Summary};
pub use podmail_store::{ClaimedRecipient, DeliveryClaim};

use crate::messages::heavy;
use crate::reports::address::{Purpose, ReportAddress};
use crate::{App, Result};

/// Retries are spread over this part of their delay.
const RETRY_JITTER: f64 = 0.1;

/// What a worker can take, and what it is busy with.
#[derive(Clone, Debug, Default)]
pub struct Capacity {
    /// Further claims.
    pub free: usize,
    /// Claims of one destination at most.
    pub per_destination: usize,
    /// Claims of one pod at most.
    pub per_pod: usize,
    /// Claims being worked on, by destination.
    pub destinations: HashMap<String, usize>,
    /// Claims being worked on, by pod.
    pub pods: HashMap<PodId, usize>,
}

/// A message as it goes out, before signing.
#[derive(Clone, Debug)]
pub struct OutboundMail {
    /// As stored.
    pub raw: Bytes,
    /// Envelope sender.
    pub envelope_from: String,
    /// The domain that answers for it, DKIM's `d=`.
    pub signing_domain: String,
}

/// A domain's DKIM key.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// `d=`
    pub domain: String,
    /// `s=`
    pub selector: String,
    /// PKCS#8 in DER. Secret.
    pub private_pkcs8: Vec<u8>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}

/// Whose mail a recipient's domain is, given that the address has no inbox here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The installation's own: nobody else can have the address.
    Shared,
    /// A verified domain of a customer that receives here, possibly beside other hosts.
    Registered,
    /// Somebody else's.
    Elsewhere,
}

impl App {
    /// Takes due mail for a worker, see `Store::lease_deliveries`.
    pub async fn lease_deliveries(&self, capacity: Capacity) -> Result<Vec<DeliveryClaim>> {
        let now = self.now();
        let request = LeaseRequest {
            limit: capacity.free,
            token: self.ids().uuid7(now).to_string(),
            now,
            lease: self.settings().work_lease,
            per_destination: capacity.per_destination,
            per_pod: capacity.per_pod,
            destinations: capacity.destinations,
            pods: capacity.pods,
        };
        Ok(self.store().lease_deliveries(request).await?)
    }

    /// Keeps a claim for another lease; `false`: somebody else has it, stop.
    pub async fn renew_delivery(&self, claim: &DeliveryClaim) -> Result<bool> {
        Ok(self.store().renew_delivery(claim, self.now().plus(self.settings().work_lease)).await?)
    }

    /// Gives a claim back unfinished.
    pub async fn release_delivery(&self, claim: &DeliveryClaim) -> Result<()> {
        Ok(self.store().release_delivery(claim, self.now()).await?)
    }

    /// What to deliver; `None` when the bytes are lost, which a worker cannot mend.
    pub async fn outbound_mail(&self, claim: &DeliveryClaim) -> Result<Option<OutboundMail>> {
        let content = self.store().delivery_content(claim).await?;
        let compressed = match content.bytes {
            Some(StoredBytes::Inline(bytes)) => Some(Bytes::from(bytes)),
            Some(StoredBytes::Object(name)) => self.blobs().get(&name).await?,
            None => None,
        };
        let Some(compressed) = compressed else { return Ok(None) };
        let raw = heavy(move || decompress(&compressed, limits::SENT_MESSAGE_BYTES)).await??;
        let inbox = claim.scope.inbox().map(|inbox| inbox.id.clone());
        let inbox_key = claim.scope.inbox().map(|inbox| inbox.key);
        let address = inbox.as_ref().map_or("", |inbox| inbox.as_str());
        // An inbox that is gone leaves its domain in its address.
        let own = content.governing_domain.or_else(|| {
            let domain = inbox.as_ref().map_or("", |inbox| inbox.domain());
            (!self.is_shared(domain)).then(|| domain.to_owned())
        });
        let envelope_from = match inbox_key {
            Some(inbox) => {
                let local = ReportAddress { purpose: Purpose::Bounce, inbox, message: claim.message_key };
                format!("{local}@{}", self.report_host(own.as_deref()))
            }
            None => address.to_owned(),
        };
        let signing_domain = own.unwrap_or_else(|| self.settings().domain.clone());
        Ok(Some(OutboundMail { raw: raw.into(), envelope_from, signing_domain }))
    }

    /// The key that signs for a domain; `None` when it has none.
    pub async fn signing_key(&self, claim: &DeliveryClaim, domain: &str) -> Result<Option<SigningKey>> {
        if domain == self.settings().domain {
            let key = self.shared_signer_key().await?;
            let (domain, selector, private_pkcs8) = (key.domain, key.selector, key.private_pkcs8);
            return Ok(Some(SigningKey { domain, selector, private_pkcs8 }));
        }
        let found = self.store().sending_domain(&claim.scope, domain).await?;
        Ok(found.map(|found| SigningKey {
            domain: found.domain.as_str().to_owned(),
            selector: found.selector,
            private_pkcs8: found.private_pkcs8,
        }))
    }

    /// Who receives for a domain. Asked for addresses without an inbox only.
    pub async fn served(&self, domain: &str) -> Result<Served> {
        if self.is_shared(domain) {
            return Ok(Served::Shared);
        }
        let Some(name) = DomainName::parse(domain) else { return Ok(Served::Elsewhere) };
        let registered = self.store().domain_is_served(&name).await?;
        Ok(if registered { Served::Registered } else { Served::Elsewhere })
    }

    pub(crate) fn is_shared(&self, domain: &str) -> bool {
        let shared = &self.settings().domain;
        domain == shared || domain.strip_suffix(shared.as_str()).is_some_and(|rest| rest.ends_with('.'))
    }

    /// The hosts that take mail for a domain, best first, as DNS says.
    pub async fn mail_exchangers(&self, domain: &str) -> std::result::Result<Vec<Mx>, DnsError> {
        self.resolver().mx(domain).await
    }

    /// Addresses of a host, unfiltered: for hosts that the operator configured, and to tell why a host cannot be
    /// reached.
    pub async fn host_addresses(&self, host: &str) -> std::result::Result<Vec<std::net::IpAddr>, DnsError> {
        self.resolver().addresses(host).await
    }

    /// Records what an attempt came to: states, log, labels and events, in one transaction.
    pub async fn delivery_result(&self, claim: &DeliveryClaim, attempt: &Attempt) -> Result<Summary> {
        let now = self.now();
        let schedule = RetrySchedule::new(self.settings().delivery_retry_delays.clone(), AfterLast::Repeat)
            .with_jitter(RETRY_JITTER);
        let mut results = Vec::with_capacity(claim.recipients.len());
        let mut summary = Summary::default();
        for (recipient, (answer, text)) in claim.recipients.iter().zip(&attempt.answers) {
            let random = f64::from(u32::from_le_bytes(source::random(self.ids()))) / f64::from(u32::MAX);
            let outcome = outcome::decide(answer, recipient, &schedule, random, now);
            summary.count(&outcome);
            results.push((recipient.delivery_id, outcome, text.clone()));
        }
        let report = DeliveryReport {
            claim: claim.clone(),
            now,
            host: attempt.host.clone(),
            left: attempt.left,
            suppress_in_organization: self.settings().suppress_in_organization,
            results,
            aliases: attempt.aliases.clone(),
        };
        let finished = self.store().finish_delivery(report).await?;
        self.discard(finished.objects).await;
        Ok(if finished.recipients == 0 { Summary { lost: true, ..Summary::default() } } else { summary })
    }
}

impl Summary {
    fn count(&mut self, outcome: &DeliveryOutcome) {
        match outcome {
            DeliveryOutcome::Delivered => self.delivered += 1,
            DeliveryOutcome::Bounced { .. } => self.bounced += 1,
            DeliveryOutcome::Deferred { .. } => self.deferred += 1,
            DeliveryOutcome::Rejected { .. } => self.rejected += 1,
        }
    }
}
