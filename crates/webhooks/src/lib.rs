//! The webhook worker: turns the event log into posts. Three loops per node, all of whose state is in rows, so that a
//! restart loses nothing: the dispatcher reads the log and writes deliveries, the collector leases what is due, the
//! recorder writes down how attempts ended, many in one transaction. Attempts are tasks of their own.
//!
//! Invariant: a delivery row leaves the database only after its end is known. A process that ends in order gives back
//! what it leased and did not attempt; one that dies leaves its rows to the end of their lease.

mod attempt;
mod pool;
mod signature;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use podmail_app::webhooks::{Attempted, Dispatcher, Places as _, Verdict, WebhookDeliveryKey};
use podmail_app::{App, Error};
use podmail_bus::Topic;
use podmail_domain::WebhookDeliveryId;
use podmail_jobs::{Backoff, Tasks};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use pool::Pool;
pub use signature::sign;

/// Rows of one look for due deliveries.
const DUE: usize = 512;
/// Attempts recorded in one transaction.
const RECORDS: usize = 512;
/// How soon the log is read again when an event waits for another transaction to end.
const SETTLING: Duration = Duration::from_millis(2);
/// Pause after an error, doubling up to the second value.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How often a batch of results is offered to the database before its rows are left to their lease.
const RECORD_ATTEMPTS: u32 = 5;
/// How often payloads that nothing waits for are swept.
const SWEEP: Duration = Duration::from_secs(3600);

/// Starts the worker's tasks. They end when `tasks` is cancelled, attempts that run are finished first.
pub fn run(app: App, tasks: &Tasks) {
    let (results, recorded) = mpsc::channel(pool::PLACES);
    let lease = Arc::<str>::from(WebhookDeliveryId::new(app.ids(), app.now()).as_str());
    let pool = Arc::new(Pool::default());
    tasks.spawn_essential("webhooks.record", record(app.clone(), pool.clone(), lease.clone(), recorded));
    let worker = Worker { app, pool, lease, results, tasks: tasks.clone(), token: tasks.token() };
    tasks.spawn_essential("webhooks.collect", collect(worker.clone()));
    tasks.spawn_essential("webhooks.dispatch", dispatch(worker));
}

#[derive(Clone)]
struct Worker {
    app: App,
    pool: Arc<Pool>,
    lease: Arc<str>,
    results: mpsc::Sender<Attempted>,
    tasks: Tasks,
    token: CancellationToken,
}

impl Worker {
    /// Starts an attempt for every delivery that has a slot.
    fn start(&self) {
        while !self.token.is_cancelled()
            && let Some(delivery) = self.pool.next()
        {
            let worker = self.clone();
            self.tasks.spawn("webhooks.attempt", async move {
                let mut next = Some(delivery);
                while let Some(mut delivery) = next {
                    let webhook = delivery.key.webhook_id.clone();
                    let verdict = attempt::attempt(&worker.app, &mut delivery).await;
                    worker.pool.finished(
                        &webhook,
                        match verdict {
                            Some(Verdict::Delivered) => Some(true),
                            Some(Verdict::Failed | Verdict::Aborted) => Some(false),
                            Some(Verdict::Dropped) | None => None,
                        },
                    );
                    match verdict {
                        // The channel has room for every place, and is open while this sender lives.
                        Some(verdict) => drop(worker.results.send(Attempted { delivery, verdict }).await),
                        None => worker.pool.release(&delivery.key),
                    }
                    next = if worker.token.is_cancelled() { None } else { worker.pool.next() };
                }
            });
        }
    }

    /// Leases due deliveries as far as there is room. Returns how long until the next one is due.
    async fn lease_due(&self, longest: Duration) -> Result<Duration, Error> {
        while self.pool.has_room() {
            let crowded = self.pool.crowded();
            let due = self.app.next_webhook_deliveries(&crowded, DUE).await?;
            let all = due.len() < DUE;
            let (mut chosen, mut wait, mut refused) = (Vec::new(), None, false);
            for due in due {
                if !due.wait.is_zero() {
                    wait = Some(due.wait);
                    break;
                }
                if self.pool.claim(&due.key) {
                    chosen.push(due.key);
                } else {
                    refused = true;
                    self.pool.left_behind(&due.key.webhook_id);
                }
            }
            let none = chosen.is_empty();
            self.lease(chosen).await?;
            if (all || wait.is_some()) && !refused {
                self.pool.caught_up_except(&crowded);
                return Ok(wait.unwrap_or(longest).min(longest));
            }
            if none {
                // All that was seen is in hand, or has no room.
                break;
            }
        }
        Ok(longest)
    }

    async fn lease(&self, chosen: Vec<WebhookDeliveryKey>) -> Result<(), Error> {
        if chosen.is_empty() {
            return Ok(());
        }
        let leased = self.app.lease_webhook_deliveries(chosen.clone(), &self.lease).await;
        let got: HashSet<&WebhookDeliveryId> =
            leased.iter().flatten().map(|delivery| &delivery.key.delivery_id).collect();
        for key in chosen.iter().filter(|key| !got.contains(&key.delivery_id)) {
            self.pool.give_back(&key.webhook_id);
        }
        for delivery in leased? {
            self.pool.put(delivery);
        }
        self.start();
        Ok(())
    }
}

async fn dispatch(worker: Worker) {
    let backoff = Backoff::new(PAUSE.0, PAUSE.1);
    let poll = worker.app.settings().work_poll_interval;
    let (mut dispatcher, mut failures) = (Dispatcher::default(), 0);
    while !worker.token.is_cancelled() {
        let done = worker.app.dispatch_events_once(&mut dispatcher, &worker.lease, &*worker.pool).await;
        let pause = match done {
            Ok(done) => {
                failures = 0;
                for delivery in done.deliveries {
                    worker.pool.put(delivery);
                }
                worker.start();
                match (done.more, done.events) {
                    (true, 0) => Some(SETTLING),
                    (true, _) => Some(Duration::ZERO),
                    (false, _) => None,
                }
            }
            Err(error) => {
                failures += 1;
                tracing::error!(error = %error, "events cannot be dispatched to webhooks: {error}");
                Some(backoff.delay(failures, 0.0))
            }
        };
        tokio::select! {
            () = worker.token.cancelled() => return,
            () = async {
                match pause {
                    Some(Duration::ZERO) => tokio::task::yield_now().await,
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => worker.app.bus().wait(Topic::Events, poll).await,
                }
            } => {}
        }
    }
}

async fn collect(worker: Worker) {
    let backoff = Backoff::new(PAUSE.0, PAUSE.1);
    let poll = worker.app.settings().work_poll_interval;
    let (mut failures, mut swept) = (0, worker.app.now());
    while !worker.token.is_cancelled() {
        let wait = match worker.lease_due(poll).await {
            Ok(wait) => {
                failures = 0;
                wait
            }
            Err(error) => {
                failures += 1;
                tracing::error!(error = %error, "due webhook deliveries cannot be read: {error}");
                backoff.delay(failures, 0.0)
            }
        };
        if worker.app.now().since(swept) >= SWEEP {
            swept = worker.app.now();
            if let Err(error) = worker.app.sweep_event_payloads().await {
                tracing::warn!(error = %error, "unused event payloads could not be removed");
            }
        }
        tokio::select! {
            () = worker.token.cancelled() => return,
            () = worker.app.bus().wait(Topic::Webhooks, wait) => {}
            () = worker.pool.freed() => {}
        }
    }
}

/// Ends when the loops and all attempts have ended: then nothing can come any more, and what was leased without being
/// attempted is given back.
async fn record(app: App, pool: Arc<Pool>, lease: Arc<str>, mut results: mpsc::Receiver<Attempted>) {
    let backoff = Backoff::new(PAUSE.0, PAUSE.1);
    let mut batch = Vec::with_capacity(RECORDS);
    while results.recv_many(&mut batch, RECORDS).await > 0 {
        let mut failures = 0;
        while let Err(error) = app.record_webhook_attempts(&batch, &lease).await {
            failures += 1;
            tracing::error!(error = %error, "webhook attempts cannot be recorded: {error}");
            if failures == RECORD_ATTEMPTS {
                break;
            }
            tokio::time::sleep(backoff.delay(failures, 0.0)).await;
        }
        for attempted in batch.drain(..) {
            pool.release(&attempted.delivery.key);
        }
    }
    let unattempted: Vec<_> = pool.unattempted().into_iter().map(|delivery| delivery.key).collect();
    if let Err(error) = app.release_webhook_deliveries(unattempted, &lease).await {
        tracing::warn!(error = %error, "unattempted webhook deliveries wait for their lease to end");
    }
}
