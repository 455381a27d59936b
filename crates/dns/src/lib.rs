//! Name resolution behind one small trait: the real resolver and an in-memory one for tests.
//!
//! Everything that asks the DNS (domain verification, delivery to MX hosts, guarded outgoing HTTP) takes an
//! `Arc<dyn Resolver>`. Answers are bounded in number and in time, are never cached here (a re-check must see
//! what the zone says now), and names come back in lower case without the trailing dot.

mod mock;
mod system;

use std::fmt::Debug;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

pub use mock::MockResolver;
pub use system::SystemResolver;

/// Most records of one answer that are looked at; the rest is dropped.
pub const RECORDS_MAX: usize = 64;

/// Longest name that is asked for, in bytes without the trailing dot (RFC 1035, section 2.3.4).
pub const NAME_BYTES_MAX: usize = 253;

/// A boxed future, so that [`Resolver`] can be a trait object.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, DnsError>> + Send + 'a>>;

/// One mail exchanger (RFC 5321, section 5.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mx {
    /// The preference; lower values are tried first.
    pub priority: u16,
    /// The host, lower case, without the trailing dot. Empty for a null MX (RFC 7505): no mail accepted.
    pub host: String,
}

/// Why a look-up gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist (NXDOMAIN), has no record of the type asked for, or cannot be a name at all.
    #[error("no such record")]
    NotFound,
    /// No usable answer was obtained (timeout, SERVFAIL, REFUSED, no name server); worth another try later.
    #[error("temporary DNS failure: {0}")]
    Temporary(String),
}

/// Asks the DNS. Names may be given in any case, with or without the trailing dot, and are always absolute:
/// no search list is applied. An answer without records is [`DnsError::NotFound`], so every `Ok` list holds
/// at least one element and at most [`RECORDS_MAX`].
pub trait Resolver: Send + Sync + Debug {
    /// The mail exchangers of `name`, sorted by priority.
    fn mx<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Mx>>;

    /// The TXT records of `name`, the strings of each record joined (as SPF, DKIM and DMARC ask for). Bytes
    /// that are not UTF-8 are replaced.
    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<String>>;

    /// The IPv4 and IPv6 addresses of `host`, IPv4 first, aliases followed.
    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>>;

    /// The target of the alias at `name` itself.
    fn cname<'a>(&'a self, name: &'a str) -> Answer<'a, String>;

    /// The name servers that `name` is delegated to.
    fn ns<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<String>>;
}

/// The spelling of a name by which answers are compared: lower case, no trailing dot.
pub(crate) fn normal(name: &str) -> String {
    let name = name.trim();
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
