//! Who an arriving mail is from: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489) and ARC (RFC 8617).
//!
//! Three steps, so that computing and waiting stay apart: [`Question::of`] reads the header and says what must be
//! looked up, [`Question::ask`] looks it up, [`Answers::judge`] computes. The outcome is a [`Verdict`], which decides
//! nothing. Records and signatures are parsed and keys applied by `mail-auth`; DNS and time are the caller's.
//!
//! Everything that a stranger chooses is bounded. What a bound leaves out counts as a temporary error.

mod dkim;
mod dmarc;
mod lookups;
mod spf;

use std::net::IpAddr;

use mail_auth::AuthenticatedMessage;
use podmail_dns::Resolver;

pub use dmarc::organizational_domain;
pub use lookups::{LOOKUPS_MAX, TOTAL_TIME};

/// Longest header block whose signatures are looked at, in bytes.
pub const HEADER_BYTES_MAX: usize = 256 * 1024;
/// Most DKIM signatures of one mail that are evaluated, those of the sender's own domain first.
pub const SIGNATURES_MAX: usize = 6;
/// Most header fields that one evaluated signature may name.
pub const SIGNED_FIELDS_MAX: usize = 150;
/// Longest ARC chain that is evaluated (RFC 8617 allows 50 sets).
pub const ARC_SETS_MAX: usize = 10;
/// Most domains in From that DMARC is applied to. Ordinary mail has one.
pub const FROM_DOMAINS_MAX: usize = 3;

/// The outcome of one check, in the words of RFC 8601 §2.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// Nothing to check: no record, no signature.
    None,
    /// Confirmed.
    Pass,
    /// Denied.
    Fail,
    /// Denied, but the domain asks not to rely on it.
    SoftFail,
    /// The domain says nothing about it.
    Neutral,
    /// Could not be found out now.
    TempError,
    /// Cannot be found out: a record or signature that makes no sense.
    PermError,
}

impl Word {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Pass, Self::Fail, Self::SoftFail, Self::Neutral, Self::TempError, Self::PermError];

    /// As RFC 8601 spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// What a domain asks receivers to do with mail that fails DMARC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// Nothing.
    None,
    /// Treat it as suspicious.
    Quarantine,
    /// Refuse it.
    Reject,
}

/// What the checks say of one mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Of MAIL FROM, of HELO when that is empty.
    pub spf: Word,
    /// `Pass` when any signature passes, `Fail` when some were evaluated and none passes.
    pub dkim: Word,
    /// `TempError` when the record could not be looked up.
    pub dmarc: Word,
    /// What the domain of From asks for; meaningful when `dmarc` is `Fail`.
    pub policy: Policy,
    /// The domain of From that `dmarc` is about; empty when there is none.
    pub domain: String,
    /// DMARC fails, and a temporary error of SPF or DKIM may have hidden a pass.
    pub pass_may_be_hidden: bool,
    /// A valid ARC chain whose last sealer is trusted reports that DMARC passed before the mail was forwarded.
    pub vouched: bool,
}

/// How a mail came in.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Address of the client.
    pub ip: IpAddr,
    /// What the client called itself.
    pub helo: &'a str,
    /// `MAIL FROM`; `None` for `<>`.
    pub mail_from: Option<&'a str>,
}

/// What must be looked up about a mail.
#[derive(Debug)]
pub struct Question {
    from_domains: Vec<String>,
    keys: Vec<String>,
    check_arc: bool,
}

/// What the DNS says about a mail.
#[derive(Debug)]
pub struct Answers {
    from_domains: Vec<dmarc::From>,
    keys: dkim::Keys,
    spf: Word,
    spf_domain: String,
    check_arc: bool,
}

impl Question {
    /// Reads the header of `raw`. `shown_from` is the domain of the sender as readers will see it, which DMARC must be
    /// about; `trusted_sealers` are domains in lower case whose ARC seal is believed.
    #[must_use]
    pub fn of(raw: &[u8], shown_from: Option<&str>, trusted_sealers: &[String]) -> Self {
        let mut from_domains: Vec<String> = shown_from.map(a_label).into_iter().collect();
        let mut question = |domains: &[String]| {
            for domain in domains {
                if !from_domains.contains(domain) && from_domains.len() < FROM_DOMAINS_MAX {
                    from_domains.push(domain.clone());
                }
            }
        };
        let Some(message) = header_of(raw).and_then(AuthenticatedMessage::parse) else {
            return Self { from_domains, keys: Vec::new(), check_arc: false };
        };
        question(&from_domains_of(&message));
        let mut keys: Vec<String> =
            dkim::chosen(&message, &from_domains).into_iter().map(dkim::key_name).collect();
        let check_arc = dkim::sealed_by(&message, trusted_sealers);
        if check_arc {
            keys.extend(dkim::arc_keys(&message));
        }
        keys.sort();
        keys.dedup();
        Self { from_domains, keys, check_arc }
    }

    /// Looks everything up: at most [`LOOKUPS_MAX`] questions within [`TOTAL_TIME`].
    pub async fn ask(self, resolver: &dyn Resolver, envelope: Envelope<'_>) -> Answers {
        let lookups = lookups::Lookups::new(resolver);
        let keys = async {
            let mut found = dkim::Keys::default();
            for name in self.keys {
                let answer = lookups.txt(&name).await;
                found.insert(name, answer);
            }
            found
        };
        let policies = async {
            let mut found = Vec::with_capacity(self.from_domains.len());
            for domain in self.from_domains {
                found.push(dmarc::From::look_up(&lookups, domain).await);
            }
            found
        };
        let (keys, from_domains, (spf, spf_domain)) =
            tokio::join!(keys, policies, spf::check(&lookups, envelope));
        Answers { from_domains, keys, spf, spf_domain, check_arc: self.check_arc }
    }
}

impl Answers {
    /// Computes the verdict. `now_unix` is the time in seconds; hashing takes some milliseconds for each megabyte.
    #[must_use]
    pub fn judge(&self, raw: &[u8], now_unix: u64) -> Verdict {
        let too_long = header_of(raw).is_none();
        let message = if too_long { None } else { AuthenticatedMessage::parse(raw) };
        let names: Vec<String> = self.from_domains.iter().map(|from| from.domain.clone()).collect();
        let signatures = match &message {
            Some(message) => dkim::evaluate(message, &names, &self.keys, now_unix),
            // Signatures beyond a bound may have passed.
            None if too_long => vec![dkim::Outcome { domain: String::new(), word: Word::TempError }],
            None => Vec::new(),
        };
        let mut verdict = Verdict {
            spf: self.spf,
            dkim: dkim::overall(&signatures),
            dmarc: Word::None,
            policy: Policy::None,
            domain: String::new(),
            pass_may_be_hidden: false,
            vouched: false,
        };
        let spf = (self.spf, self.spf_domain.as_str());
        let worst =
            self.from_domains.iter().map(|from| from.judge(spf, &signatures)).max_by_key(dmarc::Judged::rank);
        if let Some(worst) = worst {
            verdict.dmarc = worst.word;
            verdict.policy = worst.policy;
            verdict.domain = worst.domain;
            verdict.pass_may_be_hidden = worst.pass_may_be_hidden;
        }
        verdict.vouched = self.check_arc
            && message.is_some_and(|message| {
                dkim::arc_passes(&message, &self.keys, now_unix)
                    && dkim::arc_reports_pass(&message, &verdict.domain)
            });
        verdict
    }
}

/// The header block with the empty line below it, unless it is beyond [`HEADER_BYTES_MAX`].
fn header_of(raw: &[u8]) -> Option<&[u8]> {
    let bounded = raw.get(..HEADER_BYTES_MAX).unwrap_or(raw);
    let end = memchr::memmem::find(bounded, b"\n\r\n")
        .map(|at| at + 3)
        .into_iter()
        .chain(memchr::memmem::find(bounded, b"\n\n").map(|at| at + 2))
        .min();
    match end {
        Some(end) => raw.get(..end),
        None if raw.len() <= HEADER_BYTES_MAX => Some(raw),
        None => None,
    }
}

fn from_domains_of(message: &AuthenticatedMessage<'_>) -> Vec<String> {
    message
        .from
        .iter()
        .filter_map(|address| address.rsplit_once('@'))
        .map(|(_, domain)| a_label(domain))
        .collect()
}

/// A domain as the DNS knows it: ASCII, lower case.
fn a_label(domain: &str) -> String {
    mail_auth::common::to_a_label(domain).to_ascii_lowercase()
}
