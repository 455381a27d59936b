//! Which records a domain needs, what is known of them, and what follows from that for the domain. Pure.
//!
//! Invariant: the list is a function of the domain and the settings; the store keeps only what a check said about each
//! value, so that a changed setting shows as a record that is missing, never as one that was checked.

use podmail_api_types::domains::VerificationRecord;
use podmail_store::{Domain, DomainFlags, DomainStatus};
use serde::{Deserialize, Serialize};

use crate::Settings;

/// Priority of the MX records that customers publish.
const MX_PRIORITY: u16 = 10;

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// MX of the domain.
    Inbound,
    /// MX of everything below.
    WildcardInbound,
    /// Public key of signatures (RFC 6376 §3.6.1).
    Dkim,
    /// Who may send with the return path (RFC 7208).
    Spf,
    /// Where bounces go.
    ReturnPath,
    /// Policy of the domain (RFC 7489 §6.1).
    Dmarc,
    /// Host of tracking pixels.
    Tracking,
}

impl Purpose {
    /// `TXT`, `CNAME` or `MX`.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Inbound | Self::WildcardInbound | Self::ReturnPath => "MX",
            Self::Dkim | Self::Spf | Self::Dmarc => "TXT",
            Self::Tracking => "CNAME",
        }
    }

    /// Whether sending needs it: signatures and the return path.
    const fn carries_sending(self) -> bool {
        matches!(self, Self::Dkim | Self::Spf | Self::ReturnPath)
    }
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordState {
    /// Nothing of its kind at the name.
    Missing,
    /// Something else.
    Mismatch,
    /// The right one among others.
    Duplicate,
    /// As wanted.
    Valid,
}

impl RecordState {
    /// Status on the wire.
    pub const fn status(self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::Mismatch | Self::Duplicate => "INVALID",
            Self::Valid => "VALID",
        }
    }
    /// Reason on the wire.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Mismatch => Some("value_mismatch"),
            Self::Duplicate => Some("duplicate_records"),
            Self::Missing | Self::Valid => None,
        }
    }
}

/// A record to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is for.
    pub purpose: Purpose,
    /// Fully qualified, without a trailing dot.
    pub name: String,
    /// Unquoted and unsplit.
    pub value: String,
    /// What is known of it.
    pub state: RecordState,
}

impl Record {
    /// Priority, of MX records.
    pub fn priority(&self) -> Option<u16> {
        (self.purpose.kind() == "MX").then_some(MX_PRIORITY)
    }

    pub(super) fn to_api(&self) -> VerificationRecord {
        VerificationRecord {
            kind: self.purpose.kind(),
            name: self.name.clone(),
            value: self.value.clone(),
            priority: self.priority(),
            status: self.state.status(),
            reason: self.state.reason(),
        }
    }
}

/// What the records of a domain depend on.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The domain.
    pub domain: &'a str,
    /// Its settings.
    pub flags: DomainFlags,
    /// Selector of its key.
    pub selector: &'a str,
    /// Its public key, base64.
    pub public_key: &'a str,
}

impl<'a> Wanted<'a> {
    /// Of a stored domain.
    pub fn of(domain: &'a Domain) -> Self {
        Self {
            domain: domain.domain.as_str(),
            flags: domain.flags,
            selector: &domain.dkim_selector,
            public_key: &domain.dkim_public,
        }
    }
}

/// The records of a domain in the documented order, all of them missing.
pub fn wanted(wanted: Wanted<'_>, settings: &Settings) -> Vec<Record> {
    let Wanted { domain, flags, selector, public_key } = wanted;
    let record =
        |purpose, name: String, value: String| Record { purpose, name, value, state: RecordState::Missing };
    let return_path = format!("mail.{domain}");
    let dkim = format!("{selector}._domainkey.{domain}");
    let dmarc = format!("v=DMARC1; p=reject; rua=mailto:{}", settings.dmarc_mailbox);
    let all = [
        flags.inbound.then(|| record(Purpose::Inbound, domain.to_owned(), settings.hostname.clone())),
        flags
            .subdomains
            .then(|| record(Purpose::WildcardInbound, format!("*.{domain}"), settings.hostname.clone())),
        Some(record(Purpose::Dkim, dkim, format!("v=DKIM1; k=rsa; p={public_key}"))),
        Some(record(Purpose::Spf, return_path.clone(), format!("v=spf1 include:{} -all", settings.spf_name))),
        Some(record(Purpose::ReturnPath, return_path, settings.feedback_host.clone())),
        Some(record(Purpose::Dmarc, format!("_dmarc.{domain}"), dmarc)),
        flags
            .tracking
            .then(|| record(Purpose::Tracking, format!("link.{domain}"), settings.tracking_host.clone())),
    ];
    all.into_iter().flatten().collect()
}

#[derive(Serialize, Deserialize)]
struct Known {
    purpose: Purpose,
    value: String,
    state: RecordState,
}

/// What the store keeps of the records.
pub(super) fn to_stored(records: &[Record]) -> String {
    let known: Vec<Known> = records
        .iter()
        .map(|record| Known { purpose: record.purpose, value: record.value.clone(), state: record.state })
        .collect();
    serde_json::to_string(&known).expect("strings and names are JSON")
}

/// The records that a domain needs now, with what is known of each.
pub fn current(domain: &Domain, settings: &Settings) -> Vec<Record> {
    let known: Vec<Known> = serde_json::from_str(&domain.records).unwrap_or_default();
    let mut records = wanted(Wanted::of(domain), settings);
    for record in &mut records {
        let same = known.iter().find(|known| known.purpose == record.purpose && known.value == record.value);
        record.state = same.map_or(RecordState::Missing, |known| known.state);
    }
    records
}

/// The status that follows from the records, and its reason. Wrong comes before missing: it needs action.
pub fn status(records: &[Record]) -> (DomainStatus, Option<&'static str>) {
    let any = |status: &str| records.iter().any(|record| record.state.status() == status);
    if any("INVALID") {
        (DomainStatus::Invalid, Some("dns_records_invalid"))
    } else if any("MISSING") {
        (DomainStatus::Pending, Some("dns_records_missing"))
    } else {
        (DomainStatus::Verified, None)
    }
}

/// Whether what sending needs is in place.
pub fn carry_sending(records: &[Record]) -> bool {
    records
        .iter()
        .filter(|record| record.purpose.carries_sending())
        .all(|record| record.state == RecordState::Valid)
}
