//! The resolver of a running server, on `hickory-resolver`.
//!
//! Queries go over UDP and, when an answer is truncated or fails, over TCP. Each look-up is bounded by
//! [`LOOKUP_TIMEOUT`] whatever the name servers do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver as Hickory, TokioResolver};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

use crate::{Answer, DnsError, Mx, NAME_BYTES_MAX, RECORDS_MAX, Resolver, normal};

/// How long one query waits for one name server.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a query is repeated after the first try.
const QUERY_RETRIES: usize = 1;
/// How long one look-up may take in total, all servers, retries and aliases included.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the name servers of the system, or one given server only.
#[derive(Clone)]
pub struct SystemResolver {
    inner: TokioResolver,
    server: Option<SocketAddr>,
}

impl std::fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SystemResolver").field("server", &self.server).finish_non_exhaustive()
    }
}

impl SystemResolver {
    /// A resolver that asks `server` and nobody else, or with `None` the servers of the system's configuration
    /// (and, for addresses, its hosts file).
    ///
    /// # Errors
    /// [`DnsError::Temporary`] when the system's configuration cannot be read.
    pub fn new(server: Option<SocketAddr>) -> Result<Self, DnsError> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = match server {
            Some(server) => {
                let mut udp = ConnectionConfig::udp();
                udp.port = server.port();
                let mut tcp = ConnectionConfig::tcp();
                tcp.port = server.port();
                let name_server = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
                Hickory::builder_with_config(ResolverConfig::from_name_servers(vec![name_server]), provider)
            }
            None => Hickory::builder(provider).map_err(|error| DnsError::Temporary(error.to_string()))?,
        };
        let options = builder.options_mut();
        options.timeout = QUERY_TIMEOUT;
        options.attempts = QUERY_RETRIES;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // Whoever edits a zone and asks again must see the change; the system's own resolver caches anyway.
        options.cache_size = 0;
        options.positive_max_ttl = Some(Duration::ZERO);
        options.negative_max_ttl = Some(Duration::ZERO);
        options.try_tcp_on_error = true;
        options.use_hosts_file = if server.is_some() { ResolveHosts::Never } else { ResolveHosts::Auto };
        // Queries are not sent over TLS. Left to itself the builder would read the system's root certificates,
        // and fail where there are none.
        let builder = builder.with_tls_config(no_trust()?);
        let inner = builder.build().map_err(|error| DnsError::Temporary(error.to_string()))?;
        Ok(Self { inner, server })
    }

    /// The resolver underneath, for libraries that take one of its kind; clones share its connections.
    #[must_use]
    pub fn hickory(&self) -> TokioResolver {
        self.inner.clone()
    }

    async fn records(&self, name: &str, kind: RecordType) -> Result<Lookup, DnsError> {
        let name = absolute(name)?;
        bounded(self.inner.lookup(name, kind)).await
    }
}

/// A TLS configuration that trusts nobody.
fn no_trust() -> Result<ClientConfig, DnsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| DnsError::Temporary(error.to_string()))?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// The answer of `lookup`, or a temporary failure once [`LOOKUP_TIMEOUT`] has passed.
async fn bounded<T>(lookup: impl Future<Output = Result<T, NetError>>) -> Result<T, DnsError> {
    match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
        Ok(answer) => answer.map_err(|error| failure(&error)),
        Err(_) => Err(DnsError::Temporary("timed out".to_owned())),
    }
}

fn failure(error: &NetError) -> DnsError {
    if error.is_no_records_found() || error.is_nx_domain() {
        DnsError::NotFound
    } else {
        DnsError::Temporary(error.to_string())
    }
}

/// The name as an absolute one. What cannot be a name cannot have records.
fn absolute(name: &str) -> Result<Name, DnsError> {
    let name = normal(name);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.is_ascii() {
        return Err(DnsError::NotFound);
    }
    let mut name = Name::from_ascii(name).map_err(|_| DnsError::NotFound)?;
    name.set_fqdn(true);
    Ok(name)
}

fn some<T>(list: Vec<T>) -> Result<Vec<T>, DnsError> {
    if list.is_empty() { Err(DnsError::NotFound) } else { Ok(list) }
}

/// What `pick` takes from the answer, at most [`RECORDS_MAX`] of them.
fn pick<T>(lookup: &Lookup, pick: impl Fn(&RData) -> Option<T>) -> Vec<T> {
    lookup.answers().iter().filter_map(|record| pick(&record.data)).take(RECORDS_MAX).collect()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "each look-up takes one type of record and drops the rest"
)]
impl Resolver for SystemResolver {
    fn mx<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Mx>> {
        Box::pin(async move {
            let lookup = self.records(name, RecordType::MX).await?;
            let mut list = pick(&lookup, |data| match data {
                RData::MX(mx) => Some(Mx { priority: mx.preference, host: normal(&mx.exchange.to_ascii()) }),
                _ => None,
            });
            list.sort();
            some(list)
        })
    }

    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let lookup = self.records(name, RecordType::TXT).await?;
            some(pick(&lookup, |data| match data {
                RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
                _ => None,
            }))
        })
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>> {
        Box::pin(async move {
            let name = absolute(host)?;
            let lookup = bounded(self.inner.lookup_ip(name)).await?;
            let mut list: Vec<IpAddr> = lookup.iter().take(RECORDS_MAX).collect();
            list.sort_by_key(IpAddr::is_ipv6);
            some(list)
        })
    }

    fn cname<'a>(&'a self, name: &'a str) -> Answer<'a, String> {
        Box::pin(async move {
            let lookup = self.records(name, RecordType::CNAME).await?;
            pick(&lookup, |data| match data {
                RData::CNAME(target) => Some(normal(&target.0.to_ascii())),
                _ => None,
            })
            .into_iter()
            .next()
            .ok_or(DnsError::NotFound)
        })
    }

    fn ns<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let lookup = self.records(name, RecordType::NS).await?;
            some(pick(&lookup, |data| match data {
                RData::NS(server) => Some(normal(&server.0.to_ascii())),
                _ => None,
            }))
        })
    }
}
