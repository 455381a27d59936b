//! Threads at three levels: organization, pod and inbox.

use podmail_api_types::messages::AttachmentResponse;
use podmail_api_types::threads::{Thread, ThreadItem, ThreadUpdate};
use podmail_app::filters::Substrings;
use podmail_app::{Result, ThreadFilter, ThreadTime};
use podmail_domain::{Permission, limits};

use super::messages::{
    BODY, LabelsChange, TEXT_OF_FILE, label_change, labels, readable, substrings, visible,
};
use crate::describe::{AFTER, BEFORE, INCLUDES, LABELS, Param, Shape, doc};
use crate::error::Code;
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    use Permission::{MessageDelete, MessageRead, MessageUpdate};
    let list = Route::get("/v0/threads", MessageRead, list).describe(
        doc("threads.list", "List threads")
            .about("Text filters take `limit` up to 100.")
            .params(&[LABELS, BEFORE, AFTER])
            .params(INCLUDES)
            .params(&[
                Param::query("senders", Shape::Texts, "Parts of senders, all of which have to be found."),
                Param::query(
                    "recipients",
                    Shape::Texts,
                    "Parts of recipients, all of which have to be found.",
                ),
                Param::query("subject", Shape::Texts, "Parts of the subject, all of which have to be found."),
            ])
            .pages::<ThreadItem>("threads")
            .ascending(),
    );
    let get = Route::get("/v0/threads/{thread_id}", MessageRead, get).describe(
        doc("threads.get", "Get a thread with its messages")
            .about("The first page has the newest messages; inside a page the oldest come first.")
            .params(BODY)
            .paged()
            .at_most_100()
            .answers::<Thread>(),
    );
    let attachment =
        Route::get("/v0/threads/{thread_id}/attachments/{attachment_id}", MessageRead, attachment).describe(
            doc("threads.get_attachment", "Get a link to an attachment of a thread")
                .about(TEXT_OF_FILE)
                .answers::<AttachmentResponse>(),
        );
    let update = Route::patch("/v0/threads/{thread_id}", MessageUpdate, update).describe(
        doc("threads.update", "Change the labels of all messages of a thread")
            .about("At least one label is needed.")
            .body::<LabelsChange>()
            .answers::<ThreadUpdate>()
            .fails(&[Code::Unprocessable]),
    );
    let delete = Route::delete("/v0/threads/{thread_id}", MessageDelete, delete)
        .describe(doc("threads.delete", "Delete a thread").about("With its messages."));
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
