//! What all sessions share: the number of connections, and the memory for messages.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crowded {
    Server,
    Client,
}

/// Counts connections, in total and by client.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    max_per_ip: usize,
    open: Mutex<Open>,
}

/// At most `max` entries: one that falls to zero is removed.
#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
}

impl Connections {
    pub(crate) fn new(max: usize, max_per_ip: usize) -> Arc<Self> {
        Arc::new(Self { max, max_per_ip, open: Mutex::default() })
    }

    pub(crate) fn admit(self: &Arc<Self>, remote: IpAddr) -> Result<Admission, Crowded> {
        let ip = network(remote);
        let mut open = self.open();
        if open.total >= self.max {
            return Err(Crowded::Server);
        }
        let of_ip = open.by_ip.get(&ip).copied().unwrap_or_default();
        if of_ip >= self.max_per_ip {
            return Err(Crowded::Client);
        }
        open.total += 1;
        open.by_ip.insert(ip, of_ip + 1);
        Ok(Admission { connections: Arc::clone(self), ip })
    }

    /// Counts stay right even if a thread panicked while it held them: each change is whole.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection in the counts, until dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    connections: Arc<Connections>,
    ip: IpAddr,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.total = open.total.saturating_sub(1);
        match open.by_ip.get_mut(&self.ip) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                open.by_ip.remove(&self.ip);
            }
        }
    }
}

/// Whoever has an IPv6 address has a /64 of them; IPv4 mapped into IPv6 is IPv4.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Memory for messages, over all sessions.
#[derive(Debug)]
pub(crate) struct Memory {
    max_bytes: usize,
    used_bytes: AtomicUsize,
}

impl Memory {
    pub(crate) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_bytes, used_bytes: AtomicUsize::new(0) })
    }

    pub(crate) fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { memory: Arc::clone(self), bytes: 0 }
    }
}

/// The part of one message, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Reservation {
    /// Makes the part `bytes` large; `false`, and unchanged, if that does not fit.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            let used = self.memory.used_bytes.fetch_add(more, Ordering::Relaxed);
            if more > 0 && used.saturating_add(more) > self.memory.max_bytes {
                self.memory.used_bytes.fetch_sub(more, Ordering::Relaxed);
                return false;
            }
        } else {
            self.memory.used_bytes.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_limited_in_total_and_by_network() {
        let connections = Connections::new(3, 2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = connections.admit(ip("192.0.2.1")).unwrap();
        let _second = connections.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(connections.admit(ip("192.0.2.1")).unwrap_err(), Crowded::Client);
        let _third = connections.admit(ip("2001:db8::1")).unwrap();
        assert_eq!(connections.admit(ip("192.0.2.9")).unwrap_err(), Crowded::Server);
        drop(first);
        let _fourth = connections.admit(ip("2001:db8::2")).unwrap();
        assert_eq!(network(ip("2001:db8:0:0:1::")), network(ip("2001:db8::2")));
        assert_ne!(network(ip("2001:db8:0:1::")), network(ip("2001:db8::2")));
    }

    #[test]
    fn memory_is_shared_and_given_back() {
        let memory = Memory::new(100);
        let (mut a, mut b) = (memory.reserve(), memory.reserve());
        assert!(a.resize(60) && b.resize(40) && !b.resize(41));
        assert!(a.resize(50) && b.resize(50));
        drop(a);
        assert!(b.resize(100) && !b.resize(101));
        drop(b);
        assert_eq!(memory.used_bytes.load(Ordering::Relaxed), 0);
    }
}
