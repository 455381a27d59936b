//! The label history of an inbox.

use podmail_api_types::history::LabelEvent;
use podmail_app::Result;
use podmail_domain::Permission;

use crate::describe::doc;
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v0/inboxes/{inbox_id}/events", Permission::InboxRead, list).describe(
            doc("inboxes.events.list", "List the label history of an inbox")
                .pages::<LabelEvent>("events")
                .ascending(),
        ),
    ]
}

async fn list(request: Request) -> Result<Reply> {
    let paging = request.query().page(Rules::LIST)?;
    let page = request
        .app
        .label_events(request.caller()?, paging.order, paging.after.as_ref(), paging.limit)
        .await?;
    paging.reply("events", page, |event| event)
}
