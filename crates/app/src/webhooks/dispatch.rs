//! From the event log to deliveries: the dispatcher reads the log behind its cursor, renders each event that somebody
//! listens to once, and writes payloads, deliveries and cursor together.
//!
//! Several nodes may run one: whoever moves the cursor first wins, the others read again. Rows may be written already
//! leased by this node, so that the first attempt needs no further look into the database.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use podmail_domain::{Timestamp, WebhookDeliveryId, WebhookId};
use podmail_store::{
    Event, NewEventPayload, NewWebhookDelivery, Position, WebhookDeliveryKey, WebhookFanout, WebhookTarget,
};

use super::deliver::{Delivery, Ready};
use crate::messages::heavy;
use crate::{App, Result};

/// Name of the dispatcher's cursor.
const CURSOR: &str = "webhooks";
/// Events in one look at the log.
const EVENTS: usize = 256;
/// Deliveries in one transaction; a single event may have more (as many as an organization has webhooks).
const DELIVERIES: usize = 2048;
/// Events rendered at the same time.
const RENDERING: usize = 8;
/// Bodies up to this many bytes stay in memory for the first attempt; larger ones are read again.
const KEEP_BYTES: usize = 16 * 1024;
/// How long a cursor that only passed over events without listeners may stay unwritten: reading them again is cheap,
/// a commit is not.
const CURSOR_DELAY: Duration = Duration::from_secs(5);

/// Places for deliveries in this process: a delivery that gets one is written as leased and attempted at once.
pub trait Places: Send + Sync {
    /// Takes a place for a delivery to `webhook`, if there is one.
    fn take(&self, webhook: &WebhookId, failing: bool) -> bool;
    /// Gives back a place that was taken and is not used.
    fn give_back(&self, webhook: &WebhookId);
}

/// Where a dispatcher stands.
#[derive(Debug, Default)]
pub struct Dispatcher {
    /// The stored cursor and the place up to which events were looked at; `None` until it is read.
    standing: Option<Standing>,
}

#[derive(Clone, Copy, Debug)]
struct Standing {
    stored: Position,
    read: Position,
    stored_at: Timestamp,
}

/// What one look at the log brought.
#[derive(Debug, Default)]
pub struct Dispatched {
    /// Events that were looked at.
    pub events: usize,
    /// Deliveries for which a place was taken: to be attempted now.
    pub deliveries: Vec<Delivery>,
    /// Whether to look again at once: more events are there, or will be in a moment.
    pub more: bool,
}

impl App {
    /// Takes one piece of the event log. `lease` names this process's worker.
    pub async fn dispatch_events_once(
        &self,
        dispatcher: &mut Dispatcher,
        lease: &str,
        places: &dyn Places,
    ) -> Result<Dispatched> {
        let now = self.now();
        let standing = match dispatcher.standing {
            Some(standing) => standing,
            None => {
                let stored = self.store().event_cursor(CURSOR).await?;
                *dispatcher.standing.insert(Standing { stored, read: stored, stored_at: now })
            }
        };
        let log = self.store().read_log(standing.read, EVENTS).await?;
        let listeners = self.store().webhooks_of(&log.events).await?;
        let (taken, deliveries) = portion(&listeners);
        let cut = taken < log.events.len();
        let next = if cut {
            log.events.get(taken.saturating_sub(1)).map_or(log.next, |e| e.position)
        } else {
            log.next
        };
        let mut done = Dispatched { events: taken, deliveries: Vec::new(), more: log.more || cut };
        if deliveries == 0 {
            let late = now.since(standing.stored_at) >= CURSOR_DELAY && next != standing.stored;
            if late && !self.store().move_event_cursor(CURSOR, standing.stored, next).await? {
                dispatcher.standing = None;
                return Ok(Dispatched { more: true, ..done });
            }
            let (stored, stored_at) = if late { (next, now) } else { (standing.stored, standing.stored_at) };
            dispatcher.standing = Some(Standing { stored, read: next, stored_at });
            return Ok(done);
        }
        let rendered = self.render_all(log.events.into_iter().zip(listeners).take(taken).collect()).await?;
        let (fanout, ready) = self.fanout(rendered, lease, places, standing.stored, next);
        match self.store().write_webhook_fanout(CURSOR, Arc::new(fanout)).await {
            Ok(true) => {
                dispatcher.standing = Some(Standing { stored: next, read: next, stored_at: now });
                done.deliveries = ready;
                Ok(done)
            }
            outcome @ (Ok(false) | Err(_)) => {
                // Another dispatcher was first, or nobody knows whether the rows were written.
                dispatcher.standing = None;
                for delivery in &ready {
                    places.give_back(&delivery.key.webhook_id);
                }
                outcome.map(|_| Dispatched { more: true, ..Dispatched::default() }).map_err(Into::into)
            }
        }
    }

    /// Renders the events that somebody listens to, several at a time, in order.
    async fn render_all(&self, events: Vec<(Event, Vec<Arc<WebhookTarget>>)>) -> Result<Vec<Rendered>> {
        let wanted = events.into_iter().filter(|(_, listeners)| !listeners.is_empty());
        futures_util::stream::iter(wanted)
            .map(|(event, listeners)| {
                let app = self.clone();
                async move {
                    let body = app.render_event(&event).await?;
                    let plain = body.clone();
                    let bytes = if body.len() > KEEP_BYTES {
                        heavy(move || podmail_blob::compress(&plain)).await?
                    } else {
                        podmail_blob::compress(&plain)
                    };
                    Ok(Rendered { event, listeners, body, bytes })
                }
            })
            .buffered(RENDERING)
            .try_collect()
            .await
    }

    fn fanout(
        &self,
        rendered: Vec<Rendered>,
        lease: &str,
        places: &dyn Places,
        from: Position,
        to: Position,
    ) -> (WebhookFanout, Vec<Delivery>) {
        let now = self.now();
        let mut fanout = WebhookFanout { from, to, ..WebhookFanout::default() };
        let mut ready = Vec::new();
        for Rendered { event, listeners, body, bytes } in rendered {
            let kept = (body.len() <= KEEP_BYTES).then_some(body);
            for target in listeners {
                let key = WebhookDeliveryKey {
                    organization_id: target.organization_id,
                    webhook_id: target.webhook_id.clone(),
                    delivery_id: WebhookDeliveryId::new(self.ids(), now),
                };
                let at_once = places.take(&target.webhook_id, target.failing);
                fanout.deliveries.push(NewWebhookDelivery {
                    key: key.clone(),
                    event_id: event.event_id.clone(),
                    due_at: if at_once { now.plus(self.settings().work_lease) } else { now },
                    lease: at_once.then(|| lease.to_owned()),
                    created_at: now,
                });
                if at_once {
                    let ready_now =
                        kept.clone().map(|body| Ready { target: Arc::clone(&target), body, as_of: now });
                    ready.push(Delivery::first(key, event.event_id.clone(), now, ready_now));
                }
            }
            fanout.payloads.push(NewEventPayload {
                organization_id: event.scope.organization(),
                event_id: event.event_id.clone(),
                bytes,
            });
        }
        (fanout, ready)
    }
}

struct Rendered {
    event: Event,
    listeners: Vec<Arc<WebhookTarget>>,
    body: Bytes,
    bytes: Vec<u8>,
}

/// How many of the events fit into one transaction (at least one), and how many deliveries they have.
fn portion(listeners: &[Vec<Arc<WebhookTarget>>]) -> (usize, usize) {
    let (mut events, mut deliveries) = (0, 0);
    for targets in listeners {
        if events > 0 && deliveries + targets.len() > DELIVERIES {
            break;
        }
        events += 1;
        deliveries += targets.len();
    }
    (events, deliveries)
}
