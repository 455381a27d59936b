//! Settings of the product's rules. `server::config` fills them in; the field names follow `docs/configuration.md`.

use std::sync::Arc;
use std::time::Duration;

use podmail_domain::limits;

use crate::domains::DomainConnect;

/// Where an inbox without a domain lies in pods other than the default one (`tenancy.pod_subdomains`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PodSubdomains {
    /// On the shared domain, on the pod's subdomain when the address is taken by another pod.
    #[default]
    Conflict,
    /// Always on the pod's subdomain.
    Always,
    /// Always on the shared domain.
    Off,
}

/// What SPF, DKIM and DMARC results do to mail from the internet (`inbound.authentication`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum InboundAuthentication {
    /// What the domains' policies ask.
    #[default]
    Standard,
    /// Any explicit failure refuses, also when DMARC passes.
    Strict,
    /// Nothing is refused; what `Standard` refuses is labelled `unauthenticated`.
    Label,
    /// Nothing is looked up, refused or labelled.
    Off,
}

/// The settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The shared domain that new inboxes get, lower case (`--domain`).
    pub domain: String,
    /// Name in the SMTP banner, what customers' MX records point to (`--hostname`).
    pub hostname: String,
    /// Base of download links, without a trailing slash (`--public-url`).
    pub public_url: String,
    /// Base of `docs` links in errors (`docs.url`).
    pub docs_url: String,
    /// See [`PodSubdomains`].
    pub pod_subdomains: PodSubdomains,
    /// `labs.available`: organizations may join Labs, which has the features that are still previews.
    pub labs_available: bool,
    /// `labs.everyone`: organizations that neither joined nor were taken out are in Labs.
    pub labs_everyone: bool,
    /// `records.spf_name`: what customers' SPF records include.
    pub spf_name: String,
    /// `records.feedback_host`: MX of the return path.
    pub feedback_host: String,
    /// `records.tracking_host`: CNAME target of open tracking.
    pub tracking_host: String,
    /// `records.dmarc_mailbox`: where DMARC reports go.
    pub dmarc_mailbox: String,
    /// `domains.check_interval`: first interval of the checks of a new domain; `None` leaves them to `verify`.
    pub domain_check_interval: Option<Duration>,
    /// `domains.recheck_interval`: of a verified one; `None` never.
    pub domain_recheck_interval: Option<Duration>,
    /// Section `domain_connect`: the operator's template at DNS providers, if there is one.
    pub domain_connect: Option<Arc<DomainConnect>>,
    /// `webhooks.limit`: URL webhooks per organization.
    pub webhook_limit: u64,
    /// `webhooks.retry_delays`: delays after the first attempt.
    pub webhook_retry_delays: Vec<Duration>,
    /// `webhooks.disable_after`: only failures for this long disable an endpoint.
    pub webhook_disable_after: Duration,
    /// `delivery.retry_delays`; the last one repeats.
    pub delivery_retry_delays: Vec<Duration>,
    /// `delivery.expire_after`.
    pub delivery_expire_after: Duration,
    /// `retention.deliveries`: how long the end of a delivery and its attempts are kept; two days at least, because
    /// quotas count a day's.
    pub retention_deliveries: Duration,
    /// `retention.events`: how long events are kept that every reader has passed.
    pub retention_events: Duration,
    /// `suppression.scope` is `organization`: bounces keep the whole organization from mailing an address.
    pub suppress_in_organization: bool,
    /// `work.lease`: how long work of a killed process stays out of reach.
    pub work_lease: Duration,
    /// `work.poll_interval`: how often a worker looks without being woken.
    pub work_poll_interval: Duration,
    /// `limits.max_request_bytes`.
    pub max_request_bytes: usize,
    /// `inbound.max_message_bytes`.
    pub max_message_bytes: usize,
    /// `inbound.authentication`.
    pub inbound_authentication: InboundAuthentication,
    /// `inbound.trusted_arc_sealers`, lower case.
    pub trusted_arc_sealers: Vec<String>,
    /// `--allow-private-egress`: webhooks may use plain HTTP and private addresses.
    pub allow_private_egress: bool,
    /// `limits.requests_per_second` per organization, burst twice that; 0 is off.
    pub requests_per_second: u32,
}

impl Settings {
    /// Defaults of `serve` for a shared domain.
    pub fn for_domain(domain: &str) -> Self {
        let hostname = format!("mx.{domain}");
        Self {
            domain: domain.to_owned(),
            public_url: String::from("http://127.0.0.1:8080"),
            docs_url: String::from("http://127.0.0.1:8080/docs"),
            pod_subdomains: PodSubdomains::default(),
            labs_available: true,
            labs_everyone: false,
            spf_name: format!("spf.{domain}"),
            feedback_host: hostname.clone(),
            tracking_host: format!("link.{domain}"),
            dmarc_mailbox: format!("dmarc@{domain}"),
            hostname,
            domain_check_interval: Some(Duration::from_secs(60)),
            domain_recheck_interval: Some(Duration::from_secs(24 * 3600)),
            domain_connect: None,
            webhook_limit: 10_000,
            webhook_retry_delays: [5, 300, 1800, 7200, 18_000, 36_000, 36_000]
                .map(Duration::from_secs)
                .to_vec(),
            webhook_disable_after: Duration::from_secs(120 * 3600),
            delivery_retry_delays: [60, 300, 900, 1800, 3600, 7200, 14_400].map(Duration::from_secs).to_vec(),
            suppress_in_organization: false,
            delivery_expire_after: Duration::from_secs(5 * 24 * 3600),
            retention_deliveries: Duration::from_secs(90 * 24 * 3600),
            retention_events: Duration::from_secs(90 * 24 * 3600),
            work_lease: Duration::from_secs(60),
            work_poll_interval: Duration::from_secs(1),
            max_request_bytes: limits::REQUEST_BYTES,
            max_message_bytes: limits::INBOUND_MESSAGE_BYTES,
            inbound_authentication: InboundAuthentication::Standard,
            trusted_arc_sealers: Vec::new(),
            allow_private_egress: false,
            requests_per_second: 1000,
        }
    }
}
