//! DMARC (RFC 7489): does what SPF or DKIM confirm agree with the domain in From, and what to do when it does not?
//!
//! `t=y` (a domain that is still testing) weakens the policy by one step. `pct` is not looked at: it has been
//! withdrawn, and a sample that is refused at random helps nobody to find a mistake.

use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::dmarc::{Alignment, Dmarc, Policy as Asked};
use podmail_dns::DnsError;

use super::dkim::Outcome;
use super::lookups::Lookups;
use super::{Policy, Word};

/// A domain of From and what its owner published.
#[derive(Debug)]
pub(crate) struct From {
    pub(crate) domain: String,
    record: Published,
}

#[derive(Debug)]
enum Published {
    Nothing,
    OutOfReach,
    Record { record: Dmarc, policy: Policy },
}

/// What DMARC says of one domain of From.
pub(crate) struct Judged {
    pub(crate) domain: String,
    pub(crate) word: Word,
    pub(crate) policy: Policy,
    pub(crate) pass_may_be_hidden: bool,
}

impl Judged {
    /// Of several domains in From, the one with the worst outcome counts (RFC 7489 §6.6.1).
    pub(crate) fn rank(&self) -> u8 {
        match (self.word, self.policy) {
            (Word::Pass, _) => 0,
            (Word::Fail, Policy::Reject) => 5,
            (Word::Fail, Policy::Quarantine) => 4,
            (Word::TempError, _) => 3,
            (Word::Fail, Policy::None) => 2,
            (Word::None | Word::SoftFail | Word::Neutral | Word::PermError, _) => 1,
        }
    }
}

impl From {
    pub(crate) async fn look_up(lookups: &Lookups<'_>, domain: String) -> Self {
        let record = match record_at(lookups, &domain).await {
            Ok(Some(record)) => published(record, |record| record.p),
            Ok(None) => {
                let owner = organizational_domain(&domain);
                if owner == domain {
                    Published::Nothing
                } else {
                    match record_at(lookups, &owner).await {
                        Ok(Some(record)) => published(record, |record| record.sp),
                        Ok(None) => Published::Nothing,
                        Err(()) => Published::OutOfReach,
                    }
                }
            }
            Err(()) => Published::OutOfReach,
        };
        Self { domain, record }
    }

    /// `spf` is the result of SPF and the domain that it is about.
    pub(crate) fn judge(&self, spf: (Word, &str), signatures: &[Outcome]) -> Judged {
        let judged =
            |word, policy| Judged { domain: self.domain.clone(), word, policy, pass_may_be_hidden: false };
        let (record, policy) = match &self.record {
            Published::Nothing => return judged(Word::None, Policy::None),
            Published::OutOfReach => return judged(Word::TempError, Policy::None),
            Published::Record { record, policy } => (record, *policy),
        };
        let any = |word: Word| {
            (spf.0 == word && is_aligned(spf.1, &self.domain, record.aspf))
                || signatures.iter().any(|signature| {
                    signature.word == word
                        // Of a signature that was not looked at the domain may be unknown.
                        && (signature.domain.is_empty() || is_aligned(&signature.domain, &self.domain, record.adkim))
                })
        };
        if any(Word::Pass) {
            return judged(Word::Pass, policy);
        }
        Judged { pass_may_be_hidden: any(Word::TempError), ..judged(Word::Fail, policy) }
    }
}

fn published(record: Dmarc, policy: impl Fn(&Dmarc) -> Asked) -> Published {
    let asked = match policy(&record) {
        Asked::None | Asked::Unspecified => Policy::None,
        Asked::Quarantine => Policy::Quarantine,
        Asked::Reject => Policy::Reject,
    };
    let policy = match (record.t, asked) {
        (false, policy) => policy,
        (true, Policy::Reject) => Policy::Quarantine,
        (true, Policy::Quarantine | Policy::None) => Policy::None,
    };
    Published::Record { record, policy }
}

/// The one record below `domain`; several count as none (RFC 7489 §6.6.3). `Err` when the DNS does not answer.
async fn record_at(lookups: &Lookups<'_>, domain: &str) -> Result<Option<Dmarc>, ()> {
    let records = match lookups.txt(&format!("_dmarc.{domain}")).await {
        Ok(records) => records,
        Err(DnsError::NotFound) => return Ok(None),
        Err(DnsError::Temporary(_)) => return Err(()),
    };
    let mut records = records.iter().filter_map(|record| Dmarc::parse(record.as_bytes()).ok());
    Ok(records.next().filter(|_| records.next().is_none()))
}

fn is_aligned(domain: &str, from: &str, alignment: Alignment) -> bool {
    match alignment {
        Alignment::Strict => domain.eq_ignore_ascii_case(from),
        Alignment::Relaxed => organizational_domain(domain) == organizational_domain(from),
    }
}

/// The registrable domain above `domain`, by the public suffix list, in lower case; `domain` itself when it is none.
#[must_use]
pub fn organizational_domain(domain: &str) -> String {
    let domain = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
    psl::domain_str(&domain).unwrap_or(&domain).to_owned()
}
