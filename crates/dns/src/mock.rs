//! A resolver that answers from memory: DNS for tests, changeable while it is in use.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Answer, DnsError, Mx, RECORDS_MAX, Resolver, normal};

/// Most aliases that [`MockResolver`] follows from one name.
const ALIASES_MAX: usize = 8;

#[derive(Debug, Default)]
struct Zone {
    mx: HashMap<String, Vec<Mx>>,
    txt: HashMap<String, Vec<String>>,
    addresses: HashMap<String, Vec<IpAddr>>,
    cname: HashMap<String, String>,
    ns: HashMap<String, Vec<String>>,
    failing: HashSet<String>,
}

/// Answers from a table in memory; names that are not in it do not exist. Clones share the table.
///
/// The `with_…` functions build it, the `set_…` functions change it later.
#[derive(Debug, Clone, Default)]
pub struct MockResolver {
    zone: Arc<Mutex<Zone>>,
}

impl MockResolver {
    /// A resolver for which nothing exists.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a mail exchanger to `name`.
    #[must_use]
    pub fn with_mx(self, name: &str, priority: u16, host: &str) -> Self {
        self.zone().mx.entry(normal(name)).or_default().push(Mx { priority, host: normal(host) });
        self
    }

    /// Adds a TXT record to `name`.
    #[must_use]
    pub fn with_txt(self, name: &str, value: &str) -> Self {
        self.zone().txt.entry(normal(name)).or_default().push(value.to_owned());
        self
    }

    /// Adds an address to `host`.
    #[must_use]
    pub fn with_address(self, host: &str, address: IpAddr) -> Self {
        self.zone().addresses.entry(normal(host)).or_default().push(address);
        self
    }

    /// Makes `name` an alias of `target`.
    #[must_use]
    pub fn with_cname(self, name: &str, target: &str) -> Self {
        self.zone().cname.insert(normal(name), normal(target));
        self
    }

    /// Adds a name server to `name`.
    #[must_use]
    pub fn with_ns(self, name: &str, host: &str) -> Self {
        self.zone().ns.entry(normal(name)).or_default().push(normal(host));
        self
    }

    /// Makes every look-up of `name` fail for now.
    #[must_use]
    pub fn with_failure(self, name: &str) -> Self {
        self.set_failure(name, true);
        self
    }

    /// Replaces the mail exchangers of `name`; an empty list removes them.
    pub fn set_mx(&self, name: &str, list: Vec<Mx>) {
        self.zone().mx.insert(normal(name), list);
    }

    /// Replaces the TXT records of `name`; an empty list removes them.
    pub fn set_txt(&self, name: &str, list: Vec<String>) {
        self.zone().txt.insert(normal(name), list);
    }

    /// Replaces the addresses of `host`; an empty list removes them.
    pub fn set_addresses(&self, host: &str, list: Vec<IpAddr>) {
        self.zone().addresses.insert(normal(host), list);
    }

    /// Replaces or removes the alias at `name`.
    pub fn set_cname(&self, name: &str, target: Option<&str>) {
        let mut zone = self.zone();
        match target {
            Some(target) => zone.cname.insert(normal(name), normal(target)),
            None => zone.cname.remove(&normal(name)),
        };
    }

    /// Replaces the name servers of `name`; an empty list removes them.
    pub fn set_ns(&self, name: &str, list: Vec<String>) {
        self.zone().ns.insert(normal(name), list);
    }

    /// Says whether look-ups of `name` fail with [`DnsError::Temporary`].
    pub fn set_failure(&self, name: &str, failing: bool) {
        let mut zone = self.zone();
        if failing {
            zone.failing.insert(normal(name))
        } else {
            zone.failing.remove(&normal(name))
        };
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        // A test that panicked while it held the lock has failed already; the table itself stays usable.
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, name: &str, read: impl FnOnce(&Zone, &str) -> Option<T>) -> Result<T, DnsError> {
        let zone = self.zone();
        let name = normal(name);
        if zone.failing.contains(&name) {
            return Err(DnsError::Temporary("made to fail".to_owned()));
        }
        read(&zone, &name).ok_or(DnsError::NotFound)
    }
}

impl Zone {
    /// The name that `name` is an alias of in the end, or itself.
    fn canonical<'a>(&'a self, name: &'a str) -> &'a str {
        let mut name = name;
        for _ in 0..ALIASES_MAX {
            match self.cname.get(name) {
                Some(target) => name = target,
                None => break,
            }
        }
        name
    }

    fn list<T: Clone>(&self, table: &HashMap<String, Vec<T>>, name: &str) -> Option<Vec<T>> {
        let list = table.get(self.canonical(name)).filter(|list| !list.is_empty())?;
        Some(list.iter().take(RECORDS_MAX).cloned().collect())
    }
}

impl Resolver for MockResolver {
    fn mx<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<Mx>> {
        let mut answer = self.read(name, |zone, name| zone.list(&zone.mx, name));
        if let Ok(list) = &mut answer {
            list.sort();
        }
        Box::pin(std::future::ready(answer))
    }

    fn txt<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(std::future::ready(self.read(name, |zone, name| zone.list(&zone.txt, name))))
    }

    fn addresses<'a>(&'a self, host: &'a str) -> Answer<'a, Vec<IpAddr>> {
        Box::pin(std::future::ready(self.read(host, |zone, name| zone.list(&zone.addresses, name))))
    }

    fn cname<'a>(&'a self, name: &'a str) -> Answer<'a, String> {
        Box::pin(std::future::ready(self.read(name, |zone, name| zone.cname.get(name).cloned())))
    }

    fn ns<'a>(&'a self, name: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(std::future::ready(self.read(name, |zone, name| zone.list(&zone.ns, name))))
    }
}
