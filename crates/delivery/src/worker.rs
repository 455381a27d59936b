//! The loop that leases mail, and the task of each claim: its lease renewed, its result recorded, its place freed.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use podmail_app::App;
use podmail_app::deliveries::{Attempt, Capacity, DeliveryClaim, Summary};
use podmail_bus::Topic;
use podmail_domain::PodId;
use podmail_jobs::{Backoff, Tasks};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::Means;
use crate::client::TlsConfigs;
use crate::signers::Signers;
use crate::{Config, Counters};

/// How often a result is offered to the store before the attempt is left to the next holder of the lease.
const RECORD_ATTEMPTS: u32 = 6;
/// How long the loop rests after the store failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// Shortest time between two renewals of a lease.
const RENEW_MIN: Duration = Duration::from_millis(20);

struct Worker {
    means: Means,
    counters: Arc<Counters>,
    busy: Mutex<Busy>,
    freed: Notify,
    token: CancellationToken,
}

/// What is being worked on.
#[derive(Default)]
struct Busy {
    total: usize,
    destinations: HashMap<String, usize>,
    pods: HashMap<PodId, usize>,
}

/// Starts delivering mail until `tasks` shuts down; returns the counters.
///
/// # Errors
/// When TLS cannot be set up, which does not happen.
pub fn run(app: App, config: Config, tasks: &Tasks) -> Result<Arc<Counters>, rustls::Error> {
    let means = Means {
        app,
        config,
        tls: TlsConfigs::new(podmail_egress::trusted_roots())?,
        signers: Signers::default(),
    };
    let counters = Arc::new(Counters::default());
    let worker = Arc::new(Worker {
        means,
        counters: Arc::clone(&counters),
        busy: Mutex::default(),
        freed: Notify::new(),
        token: tasks.token(),
    });
    tasks.spawn_essential("delivery", lease(worker, tasks.clone()));
    Ok(counters)
}

async fn lease(worker: Arc<Worker>, tasks: Tasks) {
    let app = &worker.means.app;
    while !worker.token.is_cancelled() {
        let claims = match worker.capacity() {
            capacity if capacity.free == 0 => Vec::new(),
            capacity => match app.lease_deliveries(capacity).await {
                Ok(claims) => claims,
                Err(error) => {
                    tracing::warn!(error = %error, "outbound mail could not be leased");
                    worker.rest(FAILURE_PAUSE).await;
                    continue;
                }
            },
        };
        if claims.is_empty() {
            let wait = app.bus().wait(Topic::Outbound, app.settings().work_poll_interval);
            tokio::select! {
                () = worker.token.cancelled() => {}
                () = worker.freed.notified() => {}
                () = wait => {}
            }
        }
        for claim in claims {
            let place = Place::take(Arc::clone(&worker), &claim);
            tasks.spawn("delivery.attempt", work(place, claim));
        }
    }
}

/// Works on one claim.
async fn work(place: Place, claim: DeliveryClaim) {
    let worker = &place.worker;
    let started = Instant::now();
    let attempt = tokio::select! {
        attempt = Box::pin(worker.means.attempt(&claim)) => attempt,
        () = worker.until_lost(&claim) => {
            worker.counters.lost.fetch_add(1, Ordering::Relaxed);
            return tracing::warn!(
                message.id = %claim.message_id,
                "the lease of an outbound mail was lost; its next holder carries on"
            );
        }
        () = worker.until_drained() => {
            if let Err(error) = worker.means.app.release_delivery(&claim).await {
                tracing::warn!(error = %error, "an unfinished outbound mail waits for its lease to end");
            }
            return tracing::info!(message.id = %claim.message_id, "an outbound mail was given back at shutdown");
        }
    };
    if let Some(summary) = worker.record(&claim, &attempt).await {
        worker.count(&summary);
        log(&claim, &attempt, &summary, started.elapsed());
    }
}

fn log(claim: &DeliveryClaim, attempt: &Attempt, summary: &Summary, took: Duration) {
    let number =
        claim.recipients.iter().map(|recipient| recipient.attempts).max().unwrap_or(0).saturating_add(1);
    tracing::info!(
        organization.id = %claim.scope.organization(),
        message.id = %claim.message_id,
        destination = claim.destination,
        host = attempt.host.as_deref().unwrap_or("none"),
        job.attempt = number,
        delivered = summary.delivered,
        bounced = summary.bounced,
        deferred = summary.deferred,
        rejected = summary.rejected,
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "delivery attempt to {}: {} delivered, {} bounced, {} deferred, {} rejected",
        claim.destination,
        summary.delivered,
        summary.bounced,
        summary.deferred,
        summary.rejected
    );
}

impl Worker {
    fn capacity(&self) -> Capacity {
        let config = &self.means.config;
        let busy = self.busy();
        Capacity {
            free: config.concurrency.saturating_sub(busy.total),
            per_destination: config.per_destination,
            per_pod: config.per_pod,
            destinations: busy.destinations.clone(),
            pods: busy.pods.clone(),
        }
    }

    fn busy(&self) -> MutexGuard<'_, Busy> {
        // Nothing panics while the lock is held, and the counts are valid between any two statements.
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = self.token.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Renews the lease for as long as that works.
    async fn until_lost(&self, claim: &DeliveryClaim) {
        let app = &self.means.app;
        let pause = (app.settings().work_lease / 3).max(RENEW_MIN);
        loop {
            tokio::time::sleep(pause).await;
            match app.renew_delivery(claim).await {
                Ok(true) => {}
                Ok(false) => return,
                // Two more chances before the lease ends; and a lease that has ended is still ours until taken.
                Err(error) => tracing::warn!(error = %error, "a lease could not be renewed"),
            }
        }
    }

    /// Ends some time after the shutdown began.
    async fn until_drained(&self) {
        self.token.cancelled().await;
        tokio::time::sleep(self.means.config.drain).await;
    }

    /// Commits the result. A remote server may have said 250 already, so a store that is busy is asked again rather
    /// than the mail sent twice.
    async fn record(&self, claim: &DeliveryClaim, attempt: &Attempt) -> Option<Summary> {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        for failures in 1..=RECORD_ATTEMPTS {
            match self.means.app.delivery_result(claim, attempt).await {
                Ok(summary) => return Some(summary),
                Err(error) => {
                    tracing::warn!(error = %error, message.id = %claim.message_id, "a result could not be recorded");
                    tokio::time::sleep(backoff.delay(failures, 0.0)).await;
                }
            }
        }
        tracing::error!(message.id = %claim.message_id, "a result was not recorded; the mail may be sent again");
        None
    }

    fn count(&self, summary: &Summary) {
        let add =
            |count: &AtomicU64, n: usize| count.fetch_add(u64::try_from(n).unwrap_or(0), Ordering::Relaxed);
        add(&self.counters.attempts, 1);
        add(&self.counters.delivered, summary.delivered);
        add(&self.counters.bounced, summary.bounced);
        add(&self.counters.deferred, summary.deferred);
        add(&self.counters.rejected, summary.rejected);
        add(&self.counters.lost, usize::from(summary.lost));
    }
}

/// A place among those that work at once; free again when this goes away, however that happens.
struct Place {
    worker: Arc<Worker>,
    destination: String,
    pod: PodId,
}

impl Place {
    fn take(worker: Arc<Worker>, claim: &DeliveryClaim) -> Self {
        let (destination, pod) = (claim.destination.clone(), claim.scope.pod_or_default());
        {
            let mut busy = worker.busy();
            busy.total += 1;
            *busy.destinations.entry(destination.clone()).or_default() += 1;
            *busy.pods.entry(pod).or_default() += 1;
        }
        worker.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { worker, destination, pod }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut busy = self.worker.busy();
            busy.total = busy.total.saturating_sub(1);
            one_less(&mut busy.destinations, &self.destination);
            one_less(&mut busy.pods, &self.pod);
        }
        self.worker.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.worker.freed.notify_one();
    }
}

/// Names that nobody works on leave the table: it stays as small as the number of places.
fn one_less<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
