//! The label history of an inbox as a caller sees it.

use podmail_api_types::history as wire;
use podmail_store::{Cursor, LabelEvent, Order, Page};

use crate::{App, Caller, Result};

impl App {
    /// A page of the history of the caller's inbox, by event id.
    pub async fn label_events(
        &self,
        caller: &Caller,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::LabelEvent>> {
        let page = self.store().label_events(&caller.scope, caller.readable(), order, after, limit).await?;
        Ok(page.map(|event| render(&event)))
    }
}

fn render(event: &LabelEvent) -> wire::LabelEvent {
    wire::LabelEvent {
        organization_id: event.organization_id,
        pod_id: event.pod_id,
        inbox_id: event.inbox_id.clone(),
        // As many digits as a number can have, so that text sorts like numbers.
        event_id: format!("lev_{:020}", event.seq),
        event_type: if event.added { "label.added" } else { "label.removed" },
        message_id: event.message_id.clone(),
        label: event.label.clone(),
        event_at: event.event_at,
        created_at: event.event_at,
    }
}
