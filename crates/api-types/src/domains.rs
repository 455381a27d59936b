//! Domains as the API and the `domain.verified` payload show them. No private key has a place here.

use podmail_domain::{DomainName, PodId, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// A DNS record that the owner has to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VerificationRecord {
    /// `TXT`, `CNAME` or `MX`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Fully qualified, without a trailing dot.
    pub name: String,
    /// TXT unquoted and unsplit, MX without the priority.
    pub value: String,
    /// MX only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// `MISSING`, `INVALID` or `VALID`.
    pub status: &'static str,
    /// On `INVALID`: `duplicate_records` or `value_mismatch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// A domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Domain {
    /// The same as `domain`.
    pub domain_id: DomainName,
    /// Lower case, A-labels, no trailing dot.
    pub domain: DomainName,
    /// When it serves one pod only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<PodId>,
    /// `NOT_STARTED`, `PENDING`, `INVALID`, `FAILED`, `VERIFYING` or `VERIFIED`.
    pub status: &'static str,
    /// Why it is not verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Bounce and complaint reports are also stored as messages.
    pub feedback_enabled: bool,
    /// Mail to the domain is received.
    pub inbound_enabled: bool,
    /// Inboxes may lie below the domain.
    pub subdomains_enabled: bool,
    /// Opens may be tracked.
    pub tracking_enabled: bool,
    /// What to publish, in the documented order.
    pub records: Vec<VerificationRecord>,
    /// Given by the creator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Last visible change.
    pub updated_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A domain in a list: without status, reason and records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DomainItem {
    /// The same as `domain`.
    pub domain_id: DomainName,
    /// See [`Domain::domain`].
    pub domain: DomainName,
    /// See [`Domain::pod_id`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<PodId>,
    /// See [`Domain::feedback_enabled`].
    pub feedback_enabled: bool,
    /// See [`Domain::inbound_enabled`].
    pub inbound_enabled: bool,
    /// See [`Domain::subdomains_enabled`].
    pub subdomains_enabled: bool,
    /// See [`Domain::tracking_enabled`].
    pub tracking_enabled: bool,
    /// See [`Domain::client_id`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// See [`Domain::updated_at`].
    pub updated_at: Timestamp,
    /// See [`Domain::created_at`].
    pub created_at: Timestamp,
}

/// What is known about setting a domain up with one click.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SetupLink {
    /// Whether there is a link; without one the records are entered by hand.
    pub supported: bool,
    /// Who runs the domain's DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_name: Option<String>,
    /// The page at the DNS provider, for a browser: it shows the records and asks for consent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Suggested width of its window in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u64>,
    /// Suggested height of its window in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// Comes back when the provider redirects the browser: keep it and compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Who receives the domain's mail and would no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicting_provider: Option<String>,
}

/// A page of domains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Domains {
    /// Domains in this page.
    pub count: usize,
    /// As asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
    /// The domains.
    pub domains: Vec<DomainItem>,
}
