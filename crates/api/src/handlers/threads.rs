//! Threads at three levels: organization, pod and inbox.

use podmail_app::messages::Substrings;
use podmail_app::{Result, ThreadFilter, ThreadTime};
use podmail_domain::{Permission, limits};

use super::messages::{label_change, labels, readable, substrings, visible};
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    use Permission::{MessageDelete, MessageRead, MessageUpdate};
    let list = Route::get("/v0/threads", MessageRead, list).types("", "ListThreadsResponse");
    let get = Route::get("/v0/threads/{thread_id}", MessageRead, get).types("", "Thread");
    let attachment =
        Route::get("/v0/threads/{thread_id}/attachments/{attachment_id}", MessageRead, attachment)
            .types("", "AttachmentResponse");
    let update = Route::patch("/v0/threads/{thread_id}", MessageUpdate, update)
        .types("UpdateThreadRequest", "UpdateThreadResponse");
    let delete = Route::delete("/v0/threads/{thread_id}", MessageDelete, delete);
    let mut routes = Vec::new();
    for [collection, item, file] in [
        ["/v0/threads", "/v0/threads/{thread_id}", "/v0/threads/{thread_id}/attachments/{attachment_id}"],
        [
            "/v0/pods/{pod_id}/threads",
            "/v0/pods/{pod_id}/threads/{thread_id}",
            "/v0/pods/{pod_id}/threads/{thread_id}/attachments/{attachment_id}",
        ],
        [
            "/v0/inboxes/{inbox_id}/threads",
            "/v0/inboxes/{inbox_id}/threads/{thread_id}",
            "/v0/inboxes/{inbox_id}/threads/{thread_id}/attachments/{attachment_id}",
        ],
    ] {
        routes.extend([
            list.at(collection),
            get.at(item),
            update.at(item),
            delete.at(item),
            attachment.at(file),
        ]);
    }
    routes
}

async fn list(request: Request) -> Result<Reply> {
    let mut query = request.query();
    let labels = labels(&mut query);
    // In a "received" view a conversation does not jump up because the agent answered.
    let has = |label: &str| labels.iter().any(|l| l == label);
    let time = match (has("received"), has("sent")) {
        (true, false) => ThreadTime::Received,
        (false, true) => ThreadTime::Sent,
        _ => ThreadTime::Any,
    };
    let filter = ThreadFilter {
        labels,
        before: query.time("before"),
        after: query.time("after"),
        time,
        visible: visible(&mut query),
    };
    let substrings = Substrings {
        senders: substrings(&mut query, "senders"),
        recipients: substrings(&mut query, "recipients"),
        subjects: substrings(&mut query, "subject"),
    };
    let rules = if substrings.is_empty() { Rules::LIST } else { Rules::FILTERED };
    let paging = query.page(rules)?;
    let page = request
        .app
        .list_threads(
            request.caller()?,
            &filter,
            &substrings,
            paging.order,
            paging.after.as_ref(),
            paging.limit,
        )
        .await?;
    paging.reply("threads", page, |thread| thread)
}

async fn get(request: Request) -> Result<Reply> {
    let caller = request.caller()?;
    let thread = request.app.thread(caller, request.param("thread_id")).await?;
    let mut query = request.query();
    let limited = query.raw("limit").is_some();
    let readable = readable(&mut query);
    let paging = query.page(Rules::FILTERED.newest_first())?;
    let limit = if limited { paging.limit } else { limits::PAGE_FILTERED_MAX };
    let (item, messages, next) =
        request.app.thread_page(caller, &thread, paging.after.as_ref(), limit).await?;
    let mut whole = match serde_json::to_value(&item) {
        Ok(serde_json::Value::Object(members)) => members,
        Ok(_) => serde_json::Map::new(),
        Err(error) => return Err(podmail_app::Error::internal(error)),
    };
    whole.extend(paging.members(messages.len(), next.as_ref()));
    let messages = match readable {
        None => serde_json::to_value(messages),
        Some(readable) => serde_json::to_value(readable.add(messages).await?),
    }
    .map_err(podmail_app::Error::internal)?;
    whole.insert("messages".to_owned(), messages);
    Reply::json(&whole)
}

async fn attachment(request: Request) -> Result<Reply> {
    let caller = request.caller()?;
    let thread = request.app.thread(caller, request.param("thread_id")).await?;
    Reply::json(&request.app.thread_attachment(caller, &thread, request.attachment_id()?).await?)
}

async fn update(request: Request) -> Result<Reply> {
    let caller = request.caller()?;
    let thread = request.app.thread(caller, request.param("thread_id")).await?;
    let mut fields = request.fields()?;
    let change = label_change(&mut fields);
    fields.finish()?;
    Reply::json(&request.app.relabel_thread(caller, &thread, change).await?)
}

async fn delete(request: Request) -> Result<Reply> {
    request.app.delete_thread(request.caller()?, request.param("thread_id")).await?;
    Ok(Reply::Empty)
}
