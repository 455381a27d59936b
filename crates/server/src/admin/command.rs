//! Commands and their results, as values that also travel over the socket.
//!
//! Results carry the API's field names: `--json` prints them as they are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::AgentArmorMode;

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdminCommand {
    /// Creates an organization with its first key.
    OrganizationCreate {
        /// Its name.
        name: String,
        /// Its limits; what is kept has the installation's default.
        limits: LimitChanges,
    },
    /// Changes an organization.
    OrganizationSet {
        /// Its id or name.
        organization: String,
        /// What to change.
        change: OrganizationChange,
    },
    /// Lists all organizations, oldest first.
    OrganizationList,
    /// Shows one organization.
    OrganizationShow {
        /// Its id or name.
        organization: String,
    },
    /// Creates an API key with every permission of its scope.
    KeyCreate {
        /// Id or name of the organization; not needed while there is only one.
        organization: Option<String>,
        /// Restricts the key to this pod.
        pod: Option<String>,
        /// Restricts the key to the inbox with this address.
        inbox: Option<String>,
        /// Its name.
        name: Option<String>,
    },
    /// Checks a customer's domain now.
    DomainVerify {
        /// The domain.
        domain: String,
        /// Trusts the operator instead of DNS.
        force: bool,
    },
    /// Adds List-Unsubscribe of our own to mail from a domain, or no longer does.
    DomainUnsubscribe {
        /// A customer's domain or the shared one.
        domain: String,
        /// Whether it does.
        on: bool,
    },
    /// Removes an address from the block lists of sending, read-only entries too.
    ListRemove {
        /// The address or domain.
        address: String,
        /// Id or name of the organization; not needed while there is only one.
        organization: Option<String>,
        /// Only in this pod.
        pod: Option<String>,
    },
    /// Looks for what is wrong with the installation.
    Doctor {
        /// Looks at this domain only.
        domain: Option<String>,
    },
    /// Brings the database's schema up to date.
    Migrate,
}

impl AdminCommand {
    /// The command as the operator typed it, without arguments.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::OrganizationCreate { .. } => "org create",
            Self::OrganizationSet { .. } => "org set",
            Self::OrganizationList => "org list",
            Self::OrganizationShow { .. } => "org show",
            Self::KeyCreate { .. } => "key create",
            Self::DomainVerify { .. } => "domain verify",
            Self::DomainUnsubscribe { .. } => "domain unsubscribe",
            Self::ListRemove { .. } => "list remove",
            Self::Doctor { .. } => "doctor",
            Self::Migrate => "migrate",
        }
    }
}

/// What happens to one limit: kept by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitChange {
    /// Stays as it is.
    #[default]
    Keep,
    /// Is lifted (`none`).
    Lift,
    /// Becomes this number.
    Set(u64),
}

impl LimitChange {
    /// The limit after the change; `None` is no limit.
    #[must_use]
    pub fn apply(self, before: Option<u64>) -> Option<u64> {
        match self {
            Self::Keep => before,
            Self::Lift => None,
            Self::Set(limit) => Some(limit),
        }
    }
}

impl FromStr for LimitChange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Databases count in signed 64 bits.
        match text.parse::<u32>() {
            Ok(limit) => Ok(Self::Set(limit.into())),
            Err(_) if text == "none" => Ok(Self::Lift),
            Err(_) => Err(format!("write a whole number up to {}, or `none`", u32::MAX)),
        }
    }
}

/// Changes to an organization's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LimitChanges {
    /// Inboxes in the whole organization.
    pub inbox_limit: LimitChange,
    /// Domains in the whole organization.
    pub domain_limit: LimitChange,
    /// Recipients mailed within 24 hours.
    pub send_per_day: LimitChange,
}

/// Changes to an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OrganizationChange {
    /// Its limits.
    pub limits: LimitChanges,
    /// Marks it as verified; not built yet, has no effect.
    pub verified: bool,
    /// Puts it into Labs, which has previews, or takes it out.
    pub labs: Option<bool>,
    /// Its own mode of the injection screen; not built yet, has no effect.
    pub agent_armor: Option<AgentArmorMode>,
}

/// What a command gives back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum AdminOutput {
    /// Of [`AdminCommand::OrganizationCreate`].
    OrganizationCreated(OrganizationCreated),
    /// Of [`AdminCommand::OrganizationSet`] and [`AdminCommand::OrganizationShow`].
    Organization(OrganizationView),
    /// Of [`AdminCommand::OrganizationList`].
    Organizations(Vec<OrganizationView>),
    /// Of [`AdminCommand::KeyCreate`].
    KeyCreated(KeyCreated),
    /// Of [`AdminCommand::DomainVerify`].
    Domain(DomainView),
    /// Of [`AdminCommand::DomainUnsubscribe`].
    DomainUnsubscribe(DomainUnsubscribe),
    /// Of [`AdminCommand::ListRemove`].
    ListEntriesRemoved(Vec<ListEntryView>),
    /// Of [`AdminCommand::Doctor`].
    Doctor(Report),
    /// Of [`AdminCommand::Migrate`].
    Migrated(Migrated),
}

/// An API key on its way to the operator; hidden from traces.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IssuedKey(pub String);

impl fmt::Debug for IssuedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IssuedKey(…)")
    }
}

/// A new organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationCreated {
    /// Its id.
    pub organization_id: String,
    /// Its first key, shown only now.
    pub api_key: IssuedKey,
}

/// One organization; a limit that is absent is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationView {
    /// Its id.
    pub organization_id: String,
    /// Its name.
    pub name: String,
    /// Inboxes it has.
    pub inbox_count: u64,
    /// Domains it has.
    pub domain_count: u64,
    /// Inboxes it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox_limit: Option<u64>,
    /// Domains it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_limit: Option<u64>,
    /// Recipients it may mail within 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_per_day: Option<u64>,
    /// Whether it is in Labs.
    #[serde(default)]
    pub labs: bool,
    /// When it was changed, RFC 3339.
    pub updated_at: String,
    /// When it was created, RFC 3339.
    pub created_at: String,
}

/// A new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCreated {
    /// Its id.
    pub api_key_id: String,
    /// The key itself, shown only now.
    pub api_key: IssuedKey,
    /// Its organization.
    pub organization_id: String,
    /// The pod it is restricted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<String>,
    /// The inbox it is restricted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox_id: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A customer's domain after a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainView {
    /// The domain.
    pub domain: String,
    /// Its state in the API's words.
    pub status: String,
    /// The records it needs.
    pub records: Vec<RecordView>,
}

/// Whether mail from a domain gets List-Unsubscribe of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainUnsubscribe {
    /// The domain.
    pub domain: String,
    /// Whether it does.
    pub unsubscribe: bool,
}

/// One DNS record, wanted and found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordView {
    /// `MX`, `TXT` or `CNAME`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it belongs.
    pub name: String,
    /// What it should be.
    pub value: String,
    /// Its state in the API's words.
    pub status: String,
    /// What is there.
    #[serde(default)]
    pub found: Vec<String>,
}

/// An entry of a block list that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEntryView {
    /// The address or domain.
    pub entry: String,
    /// Whose list it was on.
    pub organization_id: String,
    /// Whose list it was on, below the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_id: Option<String>,
    /// Whose list it was on, below the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox_id: Option<String>,
    /// Why it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What doctor found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// What is wrong, most serious first; empty when all is well.
    pub findings: Vec<Finding>,
    /// The DNS records that were looked at.
    pub records: Vec<RecordView>,
}

/// One thing that is wrong and how to put it right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `error` (something does not work) or `warning` (something may not).
    pub severity: Severity,
    /// What was looked at, for example `tls` or `dns.mx`.
    pub check: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub cure: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something does not work.
    Error,
    /// Something may not work.
    Warning,
}

/// The schema after a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrated {
    /// Migrations applied now.
    pub applied: u64,
    /// Version of the schema.
    pub version: i64,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct AdminError {
    /// What kind of failure.
    pub kind: AdminErrorKind,
    /// What is wrong and what to do, for the operator.
    pub message: String,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminErrorKind {
    /// No such organization, pod, inbox or domain.
    NotFound,
    /// A name fits several; the message lists their ids.
    Ambiguous,
    /// A value does not fit.
    Invalid,
    /// Something broke on the way.
    Failed,
}

impl AdminError {
    /// Something does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { kind: AdminErrorKind::NotFound, message: message.into() }
    }

    /// A value does not fit.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { kind: AdminErrorKind::Invalid, message: message.into() }
    }

    /// Something broke on the way.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { kind: AdminErrorKind::Failed, message: message.into() }
    }

    /// A name fits several; lists their ids.
    #[must_use]
    pub fn ambiguous(name: &str, ids: &[String]) -> Self {
        let message = format!("{name} is the name of several; use one of the ids: {}", ids.join(", "));
        Self { kind: AdminErrorKind::Ambiguous, message }
    }
}
