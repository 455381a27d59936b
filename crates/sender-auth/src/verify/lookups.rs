//! The DNS questions about one mail, bounded in number and in time.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use podmail_dns::{DnsError, Mx, Resolver};
use tokio::time::Instant;

/// Most questions about one mail. SPF alone may need 10 terms with 10 hosts each, which no honest record comes near.
pub const LOOKUPS_MAX: usize = 60;
/// Longest time that the questions about one mail may take. Senders wait ten minutes for the answer to DATA
/// (RFC 5321 §4.5.3.2.6).
pub const TOTAL_TIME: Duration = Duration::from_secs(15);

pub(crate) struct Lookups<'a> {
    resolver: &'a dyn Resolver,
    asked: AtomicUsize,
    until: Instant,
}

impl<'a> Lookups<'a> {
    pub(crate) fn new(resolver: &'a dyn Resolver) -> Self {
        Self { resolver, asked: AtomicUsize::new(0), until: Instant::now() + TOTAL_TIME }
    }

    pub(crate) async fn txt(&self, name: &str) -> Result<Vec<String>, DnsError> {
        self.bounded(self.resolver.txt(name)).await
    }

    pub(crate) async fn mx(&self, name: &str) -> Result<Vec<Mx>, DnsError> {
        self.bounded(self.resolver.mx(name)).await
    }

    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, DnsError> {
        self.bounded(self.resolver.addresses(host)).await
    }

    async fn bounded<T>(&self, question: impl Future<Output = Result<T, DnsError>>) -> Result<T, DnsError> {
        if self.asked.fetch_add(1, Ordering::Relaxed) >= LOOKUPS_MAX {
            return Err(DnsError::Temporary("too many questions about one mail".to_owned()));
        }
        tokio::time::timeout_at(self.until, question).await.unwrap_or_else(|_| {
            Err(DnsError::Temporary("the questions about one mail took too long".to_owned()))
        })
    }
}
