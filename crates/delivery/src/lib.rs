//! Outbound mail: the queue worker and the SMTP client that it speaks with.
//!
//! [`run`] starts a loop that leases due mail from the store through `app`, woken by the bus or at the latest by the
//! poll interval. Each claim (the recipients of one message at one destination) becomes a task: it hands mail to
//! inboxes of this installation itself ([`podmail_app`] does), signs the rest and takes it where the [`Route`] says.
//! The answers go back to `app`, which decides what they mean and commits everything as one transaction.
//!
//! Invariants: a claim is worked on only while its lease is renewed; the number of claims at once is bounded in
//! total, per destination and per pod; at shutdown what is in flight may finish for a while and is given back then.
//! No address and no text of a message is logged.

mod attempt;
pub mod client;
mod mx;
mod relay;
mod route;
mod signers;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use route::{Relay, Route};
pub use worker::run;

/// How mail leaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to (`--outbound`).
    pub route: Route,
    /// The name that we give ourselves in EHLO (`--hostname`).
    pub helo: String,
    /// Port of MX hosts (`delivery.mx_port`).
    pub mx_port: u16,
    /// Claims worked on at once, in total.
    pub concurrency: usize,
    /// Claims worked on at once, per destination.
    pub per_destination: usize,
    /// Claims worked on at once, per pod.
    pub per_pod: usize,
    /// Time limits of an SMTP conversation.
    pub limits: client::Limits,
    /// How long a shutdown waits for what is in flight.
    pub drain: Duration,
}

impl Config {
    /// The defaults for a route.
    pub fn new(route: Route, helo: &str) -> Self {
        Self {
            route,
            helo: helo.to_owned(),
            mx_port: 25,
            concurrency: 48,
            per_destination: 4,
            per_pod: 32,
            limits: client::Limits::default(),
            drain: Duration::from_secs(20),
        }
    }
}

/// What the worker has done since it started, for `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    attempts: AtomicU64,
    delivered: AtomicU64,
    bounced: AtomicU64,
    deferred: AtomicU64,
    rejected: AtomicU64,
    lost: AtomicU64,
    in_flight: AtomicU64,
}

/// A reading of [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts that ended.
    pub attempts: u64,
    /// Recipients taken by somebody.
    pub delivered: u64,
    /// Recipients given up.
    pub bounced: u64,
    /// Times that a recipient was put off.
    pub deferred: u64,
    /// Recipients that we refused to send to.
    pub rejected: u64,
    /// Attempts whose lease was lost before they ended.
    pub lost: u64,
    /// Attempts that are running.
    pub in_flight: u64,
}

impl Counters {
    /// The counts now.
    pub fn read(&self) -> Counts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            attempts: get(&self.attempts),
            delivered: get(&self.delivered),
            bounced: get(&self.bounced),
            deferred: get(&self.deferred),
            rejected: get(&self.rejected),
            lost: get(&self.lost),
            in_flight: get(&self.in_flight),
        }
    }
}
