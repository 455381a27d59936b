//! A name server on loopback for tests that go through a real resolver.
//!
//! It speaks UDP only, answers from a table that can be changed while it runs, and says NXDOMAIN for every
//! name that is not in the table.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// Time to live of every answer, in seconds: none, so that a change is seen at once.
const TTL_SECONDS: u32 = 0;
/// Longest query that is read, in bytes.
const QUERY_BYTES_MAX: usize = 4096;
/// Longest string inside a TXT record (RFC 1035, section 3.3).
const TXT_STRING_BYTES_MAX: usize = 255;

#[derive(Debug, Default)]
struct Zone {
    records: HashMap<(String, RecordType), Vec<RData>>,
    failing: Vec<String>,
}

/// A running name server. It stops when it is dropped.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    task: AbortHandle,
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl DnsServer {
    /// Starts a server with an empty table on a free UDP port of 127.0.0.1.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    #[expect(clippy::disallowed_methods, reason = "lives as long as the test that holds it")]
    pub async fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let zone = Arc::new(Mutex::new(Zone::default()));
        let task = tokio::spawn(serve(socket, Arc::clone(&zone))).abort_handle();
        Ok(Self { address, zone, task })
    }

    /// Where it listens; what the `--dns` setting takes.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the MX records of `name` by these pairs of priority and host.
    ///
    /// # Panics
    /// When a name is not one.
    pub fn set_mx(&self, name: &str, list: &[(u16, &str)]) {
        let list =
            list.iter().map(|(priority, host)| RData::MX(MX::new(*priority, absolute(host)))).collect();
        self.set(name, RecordType::MX, list);
    }

    /// Replaces the TXT records of `name`; values over 255 bytes become several strings of one record.
    ///
    /// # Panics
    /// When the name is not one.
    pub fn set_txt(&self, name: &str, values: &[&str]) {
        let list = values
            .iter()
            .map(|value| RData::TXT(TXT::from_bytes(value.as_bytes().chunks(TXT_STRING_BYTES_MAX).collect())))
            .collect();
        self.set(name, RecordType::TXT, list);
    }

    /// Replaces the A and AAAA records of `host`.
    ///
    /// # Panics
    /// When the name is not one.
    pub fn set_addresses(&self, host: &str, addresses: &[IpAddr]) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(ip) => v4.push(RData::A(A(*ip))),
                IpAddr::V6(ip) => v6.push(RData::AAAA(AAAA(*ip))),
            }
        }
        self.set(host, RecordType::A, v4);
        self.set(host, RecordType::AAAA, v6);
    }

    /// Makes `name` an alias of `target`, or no alias any more.
    ///
    /// # Panics
    /// When a name is not one.
    pub fn set_cname(&self, name: &str, target: Option<&str>) {
        let list = target.map(|target| RData::CNAME(CNAME(absolute(target)))).into_iter().collect();
        self.set(name, RecordType::CNAME, list);
    }

    /// Says whether questions about `name` are answered with SERVFAIL.
    pub fn set_failure(&self, name: &str, failing: bool) {
        let key = key(&absolute(name));
        let mut zone = lock(&self.zone);
        zone.failing.retain(|other| *other != key);
        if failing {
            zone.failing.push(key);
        }
    }

    /// Removes everything.
    pub fn clear(&self) {
        *lock(&self.zone) = Zone::default();
    }

    fn set(&self, name: &str, kind: RecordType, list: Vec<RData>) {
        let key = (key(&absolute(name)), kind);
        let mut zone = lock(&self.zone);
        if list.is_empty() {
            zone.records.remove(&key);
        } else {
            zone.records.insert(key, list);
        }
    }
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).expect("tests give valid names");
    name.set_fqdn(true);
    name
}

fn key(name: &Name) -> String {
    name.to_lowercase().to_ascii()
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = vec![0; QUERY_BYTES_MAX];
    while let Ok((size, peer)) = socket.recv_from(&mut buffer).await {
        let Some(query) = buffer.get(..size).and_then(|bytes| Message::from_vec(bytes).ok()) else {
            continue;
        };
        let Ok(bytes) = answer(&query, &lock(&zone)).to_vec() else { continue };
        // An asker that has gone away will ask again.
        drop(socket.send_to(&bytes, peer).await);
    }
}

fn answer(query: &Message, zone: &Zone) -> Message {
    let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.authoritative = true;
    answer.add_queries(query.queries.clone());
    let Some(question) = query.queries.first() else {
        answer.metadata.response_code = ResponseCode::FormErr;
        return answer;
    };
    let mut name = question.name().clone();
    if zone.failing.contains(&key(&name)) {
        answer.metadata.response_code = ResponseCode::ServFail;
        return answer;
    }
    let mut add = |name: &Name, kind: RecordType| {
        let list = zone.records.get(&(key(name), kind)).map_or(&[][..], Vec::as_slice);
        for data in list {
            answer.add_answer(Record::from_rdata(name.clone(), TTL_SECONDS, data.clone()));
        }
        list
    };
    // One alias is followed, as a recursive server would.
    if question.query_type() != RecordType::CNAME
        && let Some(RData::CNAME(target)) = add(&name, RecordType::CNAME).first()
    {
        name = target.0.clone();
    }
    let found = !add(&name, question.query_type()).is_empty();
    if !found && !zone.records.keys().any(|(known, _)| *known == key(&name)) {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    answer
}
