//! SPF (RFC 7208). `mail-auth` parses records and expands macros; the walk over the terms is here, because the
//! library's own asks its own resolver.
//!
//! `ptr` never matches and `%{p}` is `unknown`: RFC 7208 §5.5 and §7.3 ask not to use either.

use std::net::IpAddr;
use std::pin::Pin;

use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::spf::{Macro, Mechanism, Qualifier, Spf, Variables};
use podmail_dns::DnsError;

use super::lookups::Lookups;
use super::{Envelope, Word};

/// Most terms that ask the DNS (RFC 7208 §4.6.4).
const TERMS_MAX: usize = 10;
/// Most questions without an answer (RFC 7208 §4.6.4).
const VOID_MAX: usize = 2;
/// Most mail exchangers of one `mx` term (RFC 7208 §4.6.4).
const EXCHANGERS_MAX: usize = 10;

/// The result, and the domain that it is about.
pub(crate) async fn check(lookups: &Lookups<'_>, envelope: Envelope<'_>) -> (Word, String) {
    let helo = envelope.helo;
    let (sender, domain) =
        match envelope.mail_from.and_then(|from| from.rsplit_once('@').map(|at| (from, at.1))) {
            Some((from, domain)) if from.starts_with('@') => (format!("postmaster{from}"), domain),
            Some((from, domain)) => (from.to_owned(), domain),
            None => (format!("postmaster@{helo}"), helo),
        };
    let domain = super::a_label(domain);
    let mut walk =
        Walk { lookups, ip: envelope.ip.to_canonical(), sender: &sender, helo, terms: 0, voids: 0 };
    let word = walk.host(domain.clone()).await.unwrap_or_else(|stop| stop);
    (word, domain)
}

struct Walk<'a> {
    lookups: &'a Lookups<'a>,
    ip: IpAddr,
    sender: &'a str,
    helo: &'a str,
    terms: usize,
    voids: usize,
}

/// `Err` ends the whole evaluation.
type Outcome = Result<Word, Word>;

impl Walk<'_> {
    /// `check_host` of RFC 7208 §4.
    fn host<'s>(&'s mut self, domain: String) -> Pin<Box<dyn Future<Output = Outcome> + Send + 's>> {
        Box::pin(async move {
            if !is_domain(&domain) {
                return Ok(Word::None);
            }
            let records = match self.lookups.txt(&domain).await {
                Ok(records) => records,
                Err(DnsError::NotFound) => return Ok(Word::None),
                Err(DnsError::Temporary(_)) => return Err(Word::TempError),
            };
            let records: Vec<&String> = records.iter().filter(|record| is_spf(record)).collect();
            // Several are a mistake (RFC 7208 §4.5).
            let record = match records.as_slice() {
                [] => return Ok(Word::None),
                [record] => record,
                [_, _, ..] => return Err(Word::PermError),
            };
            if has_unknown_mechanism(record) {
                return Err(Word::PermError);
            }
            let record = Spf::parse(record.as_bytes()).map_err(|_| Word::PermError)?;
            for directive in &record.directives {
                if self.matches(&directive.mechanism, &domain).await? {
                    return Ok(match directive.qualifier {
                        Qualifier::Pass => Word::Pass,
                        Qualifier::Fail => Word::Fail,
                        Qualifier::SoftFail => Word::SoftFail,
                        Qualifier::Neutral => Word::Neutral,
                    });
                }
            }
            let Some(redirect) = &record.redirect else { return Ok(Word::Neutral) };
            self.term()?;
            match self.host(self.expand(redirect, &domain)).await? {
                Word::None => Err(Word::PermError),
                word @ (Word::Pass
                | Word::Fail
                | Word::SoftFail
                | Word::Neutral
                | Word::TempError
                | Word::PermError) => Ok(word),
            }
        })
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Result<bool, Word> {
        Ok(match mechanism {
            Mechanism::All => true,
            Mechanism::Ip4 { addr, mask } => self.is_within(&[IpAddr::V4(*addr)], *mask, 0),
            Mechanism::Ip6 { addr, mask } => self.is_within(&[IpAddr::V6(*addr)], 0, *mask),
            Mechanism::A { macro_string, ip4_mask, ip6_mask } => {
                self.term()?;
                let addresses = self.addresses(&self.expand(macro_string, domain)).await?;
                self.is_within(&addresses, *ip4_mask, *ip6_mask)
            }
            Mechanism::Mx { macro_string, ip4_mask, ip6_mask } => {
                self.term()?;
                let exchangers = match self.lookups.mx(&self.expand(macro_string, domain)).await {
                    Ok(exchangers) => exchangers,
                    Err(error) => self.nothing(&error).map(|()| Vec::new())?,
                };
                if exchangers.len() > EXCHANGERS_MAX {
                    return Err(Word::PermError);
                }
                for exchanger in exchangers {
                    let addresses = self.addresses(&exchanger.host).await?;
                    if self.is_within(&addresses, *ip4_mask, *ip6_mask) {
                        return Ok(true);
                    }
                }
                false
            }
            Mechanism::Include { macro_string } => {
                self.term()?;
                match self.host(self.expand(macro_string, domain)).await? {
                    Word::Pass => true,
                    Word::Fail | Word::SoftFail | Word::Neutral => false,
                    Word::TempError => return Err(Word::TempError),
                    Word::PermError | Word::None => return Err(Word::PermError),
                }
            }
            Mechanism::Exists { macro_string } => {
                self.term()?;
                self.addresses(&self.expand(macro_string, domain)).await?.iter().any(IpAddr::is_ipv4)
            }
            Mechanism::Ptr { .. } => {
                self.term()?;
                false
            }
        })
    }

    /// Counts a term that asks the DNS.
    fn term(&mut self) -> Result<(), Word> {
        self.terms += 1;
        if self.terms > TERMS_MAX { Err(Word::PermError) } else { Ok(()) }
    }

    async fn addresses(&mut self, host: &str) -> Result<Vec<IpAddr>, Word> {
        match self.lookups.addresses(host).await {
            Ok(addresses) => Ok(addresses),
            Err(error) => self.nothing(&error).map(|()| Vec::new()),
        }
    }

    /// Counts a question without an answer.
    fn nothing(&mut self, error: &DnsError) -> Result<(), Word> {
        match error {
            DnsError::Temporary(_) => Err(Word::TempError),
            DnsError::NotFound => {
                self.voids += 1;
                if self.voids > VOID_MAX { Err(Word::PermError) } else { Ok(()) }
            }
        }
    }

    fn is_within(&self, addresses: &[IpAddr], ip4_mask: u32, ip6_mask: u128) -> bool {
        addresses.iter().any(|address| match (self.ip, address) {
            (IpAddr::V4(ip), IpAddr::V4(address)) => {
                u32::from(ip) & ip4_mask == u32::from(*address) & ip4_mask
            }
            (IpAddr::V6(ip), IpAddr::V6(address)) => {
                u128::from(ip) & ip6_mask == u128::from(*address) & ip6_mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        })
    }

    fn expand(&self, text: &Macro, domain: &str) -> String {
        let mut variables = Variables::new();
        variables.set_ip(&self.ip);
        variables.set_sender(self.sender.as_bytes());
        variables.set_domain(domain.as_bytes());
        variables.set_helo_domain(self.helo.as_bytes());
        variables.set_validated_domain(&b"unknown"[..]);
        text.eval(&variables, domain, false).into_owned()
    }
}

/// Whether a term is neither a modifier nor a mechanism of RFC 7208 §5. The parser would skip it.
fn has_unknown_mechanism(record: &str) -> bool {
    record.split(' ').skip(1).filter(|term| !term.is_empty()).any(|term| {
        let end = term.find([':', '/', '=']).unwrap_or(term.len());
        let (name, rest) = term.split_at_checked(end).unwrap_or((term, ""));
        let name = name.trim_start_matches(['+', '-', '~', '?']);
        !rest.starts_with('=')
            && !["all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
    })
}

fn is_spf(record: &str) -> bool {
    let version = record.get(..6).unwrap_or_default();
    version.eq_ignore_ascii_case("v=spf1") && record.as_bytes().get(6).is_none_or(|byte| *byte == b' ')
}

/// A name with at least two labels of 1 to 63 bytes; nothing else has an SPF record (RFC 7208 §4.3).
fn is_domain(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.contains('.') && name.len() <= 253 && name.split('.').all(|label| (1..=63).contains(&label.len()))
}
