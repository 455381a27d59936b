//! Asks the DNS about the records of a domain and compares. [`judge`] is pure; [`look`] is bounded in time.
//!
//! Invariant: an answer that could not be obtained changes nothing. A name server that is down for a while neither
//! verifies nor demotes.

use std::time::Duration;

use futures_util::future::join_all;
use podmail_dns::{Answer, DnsError, Resolver};
use podmail_domain::DomainName;

use super::records::{Purpose, Record, RecordState};

/// How long all look-ups of one domain may take together.
const CHECK_TIMEOUT: Duration = Duration::from_secs(25);
/// How long a request waits for the DNS before it goes on without it.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// What the DNS says at the name of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Values of the record's type: hosts, joined texts or the alias. `None`: no answer was obtained.
    pub values: Option<Vec<String>>,
    /// DMARC only: the texts at the organizational domain, asked for when the domain has none of its own.
    pub inherited: Vec<String>,
}

impl Found {
    const UNKNOWN: Self = Self { values: None, inherited: Vec::new() };
}

/// Looks all records up, at the same time.
pub async fn look(resolver: &dyn Resolver, domain: &DomainName, records: &[Record]) -> Vec<Found> {
    let all = join_all(records.iter().map(|record| look_at(resolver, domain, record)));
    tokio::time::timeout(CHECK_TIMEOUT, all).await.unwrap_or_else(|_| vec![Found::UNKNOWN; records.len()])
}

async fn look_at(resolver: &dyn Resolver, domain: &DomainName, record: &Record) -> Found {
    let name = record.name.as_str();
    let values = match record.purpose {
        Purpose::Inbound | Purpose::WildcardInbound | Purpose::ReturnPath => {
            known(resolver.mx(name)).await.map(|list| list.into_iter().map(|mx| mx.host).collect())
        }
        Purpose::Dkim | Purpose::Spf | Purpose::Dmarc => known(resolver.txt(name)).await,
        Purpose::Tracking => known(cname(resolver, name)).await,
    };
    let mut found = Found { values, inherited: Vec::new() };
    if record.purpose == Purpose::Dmarc
        && found.values.as_ref().is_some_and(|values| !values.iter().any(|value| is_dmarc(value)))
        && let Some(parent) = domain.organizational().filter(|parent| parent != domain)
    {
        match known(resolver.txt(&format!("_dmarc.{parent}"))).await {
            Some(values) => found.inherited = values,
            None => found.values = None,
        }
    }
    found
}

fn cname<'a>(resolver: &'a dyn Resolver, name: &'a str) -> Answer<'a, Vec<String>> {
    Box::pin(async move { Ok(vec![resolver.cname(name).await?]) })
}

/// The list, empty when there is nothing; `None` when no answer was obtained.
async fn known<T: Send>(answer: Answer<'_, Vec<T>>) -> Option<Vec<T>> {
    match answer.await {
        Ok(list) => Some(list),
        Err(DnsError::NotFound) => Some(Vec::new()),
        Err(DnsError::Temporary(_)) => None,
    }
}

/// Compares a record with what the DNS says; `None` when that is unknown.
pub fn judge(record: &Record, found: &Found) -> Option<RecordState> {
    let values = found.values.as_ref()?;
    Some(match record.purpose {
        Purpose::Inbound | Purpose::WildcardInbound | Purpose::ReturnPath | Purpose::Tracking => {
            // Other mail hosts may stand beside ours.
            let right =
                values.iter().any(|host| host.trim_end_matches('.').eq_ignore_ascii_case(&record.value));
            match (right, values.is_empty()) {
                (true, _) => RecordState::Valid,
                (false, true) => RecordState::Missing,
                (false, false) => RecordState::Mismatch,
            }
        }
        // Whatever stands at the selector's own name was meant to be the key.
        Purpose::Dkim if !values.iter().any(|text| is_dkim(text)) => {
            if values.is_empty() {
                RecordState::Missing
            } else {
                RecordState::Mismatch
            }
        }
        Purpose::Dkim => {
            one_of_kind(values, is_dkim, |text| packed(text).trim_end_matches(';') == packed(&record.value))
        }
        Purpose::Spf => one_of_kind(values, is_spf, |text| allows(text, &record.value)),
        Purpose::Dmarc if values.iter().any(|text| is_dmarc(text)) => one_of_kind(values, is_dmarc, |_| true),
        Purpose::Dmarc => one_of_kind(&found.inherited, is_dmarc, |_| true),
    })
}

fn one_of_kind(values: &[String], kind: fn(&str) -> bool, right: impl Fn(&str) -> bool) -> RecordState {
    let values: Vec<&str> = values.iter().map(String::as_str).filter(|text| kind(text)).collect();
    let any_right = values.iter().any(|text| right(text));
    match (values.len(), any_right) {
        (0, _) => RecordState::Missing,
        (1, true) => RecordState::Valid,
        (_, true) => RecordState::Duplicate,
        (_, false) => RecordState::Mismatch,
    }
}

/// Without white space: tag lists may be folded anywhere around their separators (RFC 6376 §3.2).
fn packed(text: &str) -> String {
    text.split_whitespace().collect()
}

fn starts_with(text: &str, prefix: &str) -> bool {
    packed(text).get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn is_dkim(text: &str) -> bool {
    starts_with(text, "v=DKIM1") || packed(text).split(';').any(|tag| tag.starts_with("p="))
}

fn is_dmarc(text: &str) -> bool {
    starts_with(text, "v=DMARC1")
}

fn is_spf(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|version| version.eq_ignore_ascii_case("v=spf1"))
}

/// Whether an SPF record is the wanted one or includes what it includes: owners merge records.
fn allows(text: &str, wanted: &str) -> bool {
    let include = wanted.split_whitespace().nth(1).unwrap_or_default();
    text.split_whitespace().any(|term| term.trim_start_matches('+').eq_ignore_ascii_case(include))
}

/// Whether mail to the domain goes to Google Workspace, which would be cut off. Unknown is `false`.
pub(super) async fn is_google(resolver: &dyn Resolver, domain: &DomainName) -> bool {
    let Ok(Ok(hosts)) = tokio::time::timeout(PROBE_TIMEOUT, resolver.mx(domain.as_str())).await else {
        return false;
    };
    hosts.iter().any(|mx| {
        mx.host == "smtp.google.com"
            || mx.host.ends_with(".l.google.com")
            || mx.host.ends_with(".googlemail.com")
    })
}

/// Whether anything at all can be learned about the zone now, be it that there is nothing.
pub(super) async fn answers(resolver: &dyn Resolver, domain: &DomainName) -> bool {
    let (ns, mx) = tokio::join!(
        tokio::time::timeout(PROBE_TIMEOUT, resolver.ns(domain.as_str())),
        tokio::time::timeout(PROBE_TIMEOUT, resolver.mx(domain.as_str())),
    );
    let known = |error: DnsError| error == DnsError::NotFound;
    ns.is_ok_and(|answer| answer.map_or_else(known, |_| true))
        || mx.is_ok_and(|answer| answer.map_or_else(known, |_| true))
}
