//! The deliveries that this process holds: a lane per webhook, so that a slow or dead endpoint delays no other, and a
//! bound on everything.
//!
//! A delivery takes a place before it is leased and keeps it until its end is recorded; within its lane it waits for
//! one of the lane's slots to be attempted. A lane starts with few slots, gains one with each success and falls back
//! to two with a failure.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use podmail_app::webhooks::{Delivery, Places, WebhookDeliveryKey};
use podmail_domain::{WebhookDeliveryId, WebhookId};
use tokio::sync::Notify;

/// Deliveries that this process holds; bodies up to 16 KiB stay in memory with them.
pub(crate) const PLACES: usize = 2048;
/// Of one webhook.
const LANE_PLACES: usize = 256;
/// Of one webhook whose last attempt failed.
const FAILING_PLACES: usize = 4;
/// Attempts that run at the same time; a body has at most 1 MiB.
const SLOTS: usize = 256;
/// To one webhook.
const LANE_SLOTS: usize = 16;
/// To one webhook of which nothing is known yet.
const FIRST_SLOTS: usize = 4;
/// To one webhook whose last attempt failed.
const FAILING_SLOTS: usize = 2;
/// Failing webhooks that are remembered without a delivery in hand.
const REMEMBERED: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
    /// Told when a lane that was full has room again.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    places: usize,
    running: usize,
    lanes: HashMap<WebhookId, Lane>,
    /// Lanes with a delivery that waits and a free slot, each once, in turn.
    runnable: VecDeque<WebhookId>,
    failing: HashSet<WebhookId>,
    /// Webhooks of which due deliveries wait in the database: new ones go behind them.
    behind: HashSet<WebhookId>,
}

#[derive(Debug)]
struct Lane {
    places: usize,
    running: usize,
    slots: usize,
    listed: bool,
    queue: VecDeque<Delivery>,
    held: HashSet<WebhookDeliveryId>,
}

impl State {
    fn place_limit(&self, webhook: &WebhookId) -> usize {
        if self.failing.contains(webhook) { FAILING_PLACES } else { LANE_PLACES }
    }

    fn take(&mut self, webhook: &WebhookId) -> bool {
        let limit = self.place_limit(webhook);
        let slots = if self.failing.contains(webhook) { FAILING_SLOTS } else { FIRST_SLOTS };
        if self.places >= PLACES {
            return false;
        }
        let lane = self.lanes.entry(webhook.clone()).or_insert_with(|| Lane {
            places: 0,
            running: 0,
            slots,
            listed: false,
            queue: VecDeque::new(),
            held: HashSet::new(),
        });
        if lane.places >= limit {
            return false;
        }
        lane.places += 1;
        self.places += 1;
        true
    }

    fn list(&mut self, webhook: &WebhookId) {
        if let Some(lane) = self.lanes.get_mut(webhook)
            && !lane.listed
            && !lane.queue.is_empty()
            && lane.running < lane.slots
        {
            lane.listed = true;
            self.runnable.push_back(webhook.clone());
        }
    }

    fn leave(&mut self, webhook: &WebhookId) {
        self.places = self.places.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(webhook) {
            lane.places = lane.places.saturating_sub(1);
            if lane.places == 0 {
                self.lanes.remove(webhook);
            }
        }
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and the state is valid between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a delivery that waits in the database, unless it is already held here.
    pub(crate) fn claim(&self, key: &WebhookDeliveryKey) -> bool {
        let mut state = self.state();
        let held = state.lanes.get(&key.webhook_id).is_some_and(|lane| lane.held.contains(&key.delivery_id));
        !held && state.take(&key.webhook_id)
    }

    /// Webhooks whose lanes are at least half full: they are not looked for until they have room for several.
    pub(crate) fn crowded(&self) -> Vec<WebhookId> {
        let state = self.state();
        let crowded = |webhook: &&WebhookId| {
            let limit = state.place_limit(webhook);
            state.lanes.get(*webhook).is_some_and(|lane| lane.places > limit / 2)
        };
        state.lanes.keys().filter(crowded).cloned().collect()
    }

    /// Whether there is room for a batch from the database.
    pub(crate) fn has_room(&self) -> bool {
        self.state().places <= PLACES / 2
    }

    /// All due deliveries of webhooks other than these are in hand.
    pub(crate) fn caught_up_except(&self, crowded: &[WebhookId]) {
        let crowded: HashSet<&WebhookId> = crowded.iter().collect();
        self.state().behind.retain(|webhook| crowded.contains(webhook));
    }

    /// Queues a delivery for which a place was taken.
    pub(crate) fn put(&self, delivery: Delivery) {
        let mut state = self.state();
        let webhook = delivery.key.webhook_id.clone();
        if let Some(lane) = state.lanes.get_mut(&webhook) {
            lane.held.insert(delivery.key.delivery_id.clone());
            lane.queue.push_back(delivery);
        }
        state.list(&webhook);
    }

    /// The next delivery to attempt, one of each lane in turn; it occupies a slot until [`Self::finished`].
    pub(crate) fn next(&self) -> Option<Delivery> {
        let mut state = self.state();
        while state.running < SLOTS {
            let webhook = state.runnable.pop_front()?;
            let Some(lane) = state.lanes.get_mut(&webhook) else { continue };
            lane.listed = false;
            if lane.running >= lane.slots {
                continue;
            }
            let Some(delivery) = lane.queue.pop_front() else { continue };
            lane.running += 1;
            state.running += 1;
            state.list(&webhook);
            return Some(delivery);
        }
        None
    }

    /// The attempt ended; `succeeded` is `None` when none was made.
    pub(crate) fn finished(&self, webhook: &WebhookId, succeeded: Option<bool>) {
        let mut state = self.state();
        state.running = state.running.saturating_sub(1);
        match succeeded {
            Some(true) => {
                state.failing.remove(webhook);
            }
            Some(false) => {
                if state.failing.len() >= REMEMBERED {
                    state.failing.clear();
                }
                state.failing.insert(webhook.clone());
            }
            None => {}
        }
        if let Some(lane) = state.lanes.get_mut(webhook) {
            lane.running = lane.running.saturating_sub(1);
            lane.slots = match succeeded {
                Some(true) => (lane.slots + 1).min(LANE_SLOTS),
                Some(false) => FAILING_SLOTS,
                None => lane.slots,
            };
        }
        state.list(webhook);
    }

    /// The end of a delivery is recorded, or its row is left to its lease.
    pub(crate) fn release(&self, key: &WebhookDeliveryKey) {
        let mut state = self.state();
        if let Some(lane) = state.lanes.get_mut(&key.webhook_id) {
            lane.held.remove(&key.delivery_id);
        }
        state.leave(&key.webhook_id);
        let limit = state.place_limit(&key.webhook_id);
        let room = state.lanes.get(&key.webhook_id).is_none_or(|lane| lane.places == limit / 2);
        let waits = !state.behind.is_empty() && (room || state.places == PLACES / 2);
        drop(state);
        if waits {
            self.freed.notify_one();
        }
    }

    /// Takes every delivery that still waits for a slot: nobody will attempt them here any more.
    pub(crate) fn unattempted(&self) -> Vec<Delivery> {
        self.state().lanes.values_mut().flat_map(|lane| lane.queue.drain(..)).collect()
    }

    /// Resolves when a lane that was full has room again.
    pub(crate) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Notes that due deliveries of a webhook stay in the database for now.
    pub(crate) fn left_behind(&self, webhook: &WebhookId) {
        self.state().behind.insert(webhook.clone());
    }
}

impl Places for Pool {
    fn take(&self, webhook: &WebhookId, failing: bool) -> bool {
        let mut state = self.state();
        if failing && !state.lanes.contains_key(webhook) && state.failing.len() < REMEMBERED {
            state.failing.insert(webhook.clone());
        }
        let taken = !state.behind.contains(webhook) && state.take(webhook);
        if !taken {
            state.behind.insert(webhook.clone());
        }
        taken
    }

    fn give_back(&self, webhook: &WebhookId) {
        self.state().leave(webhook);
    }
}
