//! Everything that the server sends out on behalf of a tenant passes here: webhooks, files fetched from a URL,
//! connections to hosts that an MX record names.
//!
//! The rule: a name is resolved through our own resolver and only public addresses among the answers are
//! connected to, unless the operator allows private ones. Checking happens after resolution, on the very
//! addresses that the connection is then made to, and again on each redirect. Addresses that the operator
//! configured himself (relay, database, object store) do not pass here.

mod address;
mod error;
mod http;
mod roots;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use podmail_dns::{DnsError, Resolver};
use url::{Host, Url};

pub use address::address_allowed;
pub use error::EgressError;
pub use http::{Fetched, HttpAnswer};
pub use roots::trusted_roots;

/// Most addresses of one host that are tried.
const ADDRESSES_MAX: usize = 8;

/// What the operator allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Plain `http` and private, loopback and other special addresses pass (`--allow-private-egress`).
    pub allow_private: bool,
}

/// The guard. Clones share the connection pool.
#[derive(Debug, Clone)]
pub struct Egress {
    gate: Arc<Gate>,
    client: reqwest::Client,
}

/// The part of the guard that the HTTP client's resolver hook shares.
#[derive(Debug)]
pub(crate) struct Gate {
    resolver: Arc<dyn Resolver>,
    policy: Policy,
}

impl Egress {
    /// A guard that resolves with `resolver` and trusts the [`trusted_roots`].
    ///
    /// # Errors
    /// [`EgressError::Other`] when the HTTP client cannot be set up.
    pub fn new(resolver: Arc<dyn Resolver>, policy: Policy) -> Result<Self, EgressError> {
        Self::with_roots(resolver, policy, trusted_roots())
    }

    /// As [`Egress::new`], trusting exactly `roots`.
    ///
    /// # Errors
    /// [`EgressError::Other`] when the HTTP client cannot be set up.
    pub fn with_roots(
        resolver: Arc<dyn Resolver>,
        policy: Policy,
        roots: impl Into<Arc<rustls::RootCertStore>>,
    ) -> Result<Self, EgressError> {
        let gate = Arc::new(Gate { resolver, policy });
        let client = http::client(Arc::clone(&gate), roots.into())?;
        Ok(Self { gate, client })
    }

    /// What the operator allows.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.gate.policy
    }

    /// Whether a connection to `ip` may be made under the policy.
    #[must_use]
    pub fn permits(&self, ip: IpAddr) -> bool {
        self.gate.permits(ip)
    }

    /// Checks a URL when it is given, without resolving anything: `https` (or `http` where private addresses
    /// are allowed), a host, no user-info, and no literal or `localhost` address that would be refused.
    ///
    /// # Errors
    /// [`EgressError::Refused`] with the reason, which fits into a sentence for the caller.
    pub fn check_url(&self, url: &Url) -> Result<(), EgressError> {
        match url.scheme() {
            "https" => {}
            "http" if self.gate.policy.allow_private => {}
            "http" => return Err(EgressError::Refused("plain http is not allowed")),
            _ => return Err(EgressError::Refused("only https URLs are allowed")),
        }
        self.check_host(url)
    }

    /// The part of [`Egress::check_url`] that does not ask for the scheme.
    pub(crate) fn check_host(&self, url: &Url) -> Result<(), EgressError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::Refused("user-info in URLs is not allowed"));
        }
        let ip = match url.host() {
            None => return Err(EgressError::Refused("the URL has no host")),
            Some(Host::Domain("")) => return Err(EgressError::Refused("the URL has no host")),
            Some(Host::Domain(name)) if is_localhost(name) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(Host::Domain(_)) => return Ok(()),
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        };
        if self.permits(ip) { Ok(()) } else { Err(PRIVATE) }
    }

    /// Where to connect to reach `host` (a name or an address), in the order to try, refused addresses left
    /// out; at most eight.
    ///
    /// # Errors
    /// [`EgressError::Refused`] when the host has only addresses that are refused, [`EgressError::Dns`] when
    /// it has none or they could not be found out.
    pub async fn connect_targets(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
        let addresses = self.gate.resolve(host).await?;
        Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

const PRIVATE: EgressError = EgressError::Refused("the address is not public");

impl Gate {
    pub(crate) fn permits(&self, ip: IpAddr) -> bool {
        self.policy.allow_private || address_allowed(ip)
    }

    /// The permitted addresses of a name or literal address: never an empty list.
    pub(crate) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, EgressError> {
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let found = if let Ok(ip) = literal.parse::<IpAddr>() {
            vec![ip]
        } else if is_localhost(host) {
            // RFC 6761, section 6.3: never a question for the DNS.
            vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
        } else {
            self.resolver.addresses(host).await.map_err(|error| match error {
                DnsError::NotFound => EgressError::Dns("the host has no address".to_owned()),
                DnsError::Temporary(reason) => EgressError::Dns(reason),
            })?
        };
        let any = !found.is_empty();
        let permitted: Vec<IpAddr> =
            found.into_iter().filter(|ip| self.permits(*ip)).take(ADDRESSES_MAX).collect();
        match (permitted.is_empty(), any) {
            (false, _) => Ok(permitted),
            (true, true) => Err(PRIVATE),
            (true, false) => Err(EgressError::Dns("the host has no address".to_owned())),
        }
    }
}

/// Whether a name means this machine by definition (RFC 6761, section 6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}
