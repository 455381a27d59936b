//! Inboxes.

use podmail_app::inboxes::{self, CreateInbox, UpdateInbox};
use podmail_app::{Issue, IssueCode, Result};
use podmail_domain::Permission;

use crate::fields::{Field, Fields, Text};
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

/// Characters of a domain name in a request; what fits DNS is shorter still in its ASCII form.
const DOMAIN_CHARS: usize = 253;
/// Characters of a search at least.
const SEARCH_CHARS_MIN: usize = 2;
/// Characters of a search at most.
const SEARCH_CHARS_MAX: usize = 256;
const STATUSES: [&str; 2] = ["paused", "active"];

pub(crate) fn routes() -> Vec<Route> {
    let collection = [
        Route::get("/v0/inboxes", Permission::InboxRead, list).types("", "Inboxes"),
        Route::post("/v0/inboxes", Permission::InboxCreate, create).types("CreateInbox", "Inbox"),
    ];
    let search = Route::get("/v0/inboxes/search", Permission::InboxRead, search).types("", "Inboxes");
    let one = [
        Route::get("/v0/inboxes/{inbox_id}", Permission::InboxRead, get).types("", "Inbox"),
        Route::patch("/v0/inboxes/{inbox_id}", Permission::InboxUpdate, update).types("UpdateInbox", "Inbox"),
        Route::delete("/v0/inboxes/{inbox_id}", Permission::InboxDelete, delete),
    ];
    let below_pods = collection
        .iter()
        .map(|route| route.at("/v0/pods/{pod_id}/inboxes"))
        .chain([search.at("/v0/pods/{pod_id}/inboxes/search")])
        .chain(one.iter().map(|route| route.at("/v0/pods/{pod_id}/inboxes/{inbox_id}")))
        .collect::<Vec<_>>();
    collection.into_iter().chain([search]).chain(one).chain(below_pods).collect()
}

async fn list(request: Request) -> Result<Reply> {
    let paging = request.query().page(Rules::LIST)?;
    let page = request
        .app
        .list_inboxes(request.caller()?, paging.order, paging.after.as_ref(), paging.limit)
        .await?;
    paging.reply("inboxes", page, |inbox| inbox)
}

async fn search(request: Request) -> Result<Reply> {
    let mut query = request.query();
    let q = query.raw("q").map(str::to_owned);
    match &q {
        None => query.issue(Issue {
            path: vec!["q".into()],
            code: IssueCode::InvalidType { expected: "string", received: Some("undefined") },
            message: "Invalid input: expected string, received undefined".to_owned(),
        }),
        Some(q) if q.chars().count() < SEARCH_CHARS_MIN => {
            query.issue(Issue::too_small(["q".into()], "string", SEARCH_CHARS_MIN));
        }
        // Reading it binds the page tokens to it, and refuses what is too long.
        Some(_) => drop(query.string("q", SEARCH_CHARS_MAX)),
    }
    let paging = query.page(Rules::FILTERED.newest_first())?;
    let q = q.unwrap_or_default();
    let page = request.app.search_inboxes(request.caller()?, &q, paging.after.as_ref(), paging.limit).await?;
    paging.reply("inboxes", page, |inbox| inbox)
}

async fn create(request: Request) -> Result<Reply> {
    let caller = request.caller()?;
    let mut fields = request.fields()?;
    let username = fields.string("username", Text::any());
    let domain = fields.string("domain", Text::upto(DOMAIN_CHARS).trimmed().at_least(1));
    let display_name = fields.string("display_name", Text::any());
    let client_id = fields.client_id();
    let status = fields.one_of("status", &STATUSES);
    let metadata = fields.object("metadata");
    let input = CreateInbox {
        username: username.and_then(|name| kept(&mut fields, inboxes::username(&name))),
        domain,
        display_name: display_name.and_then(|name| kept(&mut fields, inboxes::display_name(&name))).flatten(),
        client_id,
        paused: status.as_deref() == Some("paused"),
        metadata: metadata
            .and_then(|members| all_kept(&mut fields, inboxes::new_metadata(&members)))
            .flatten(),
    };
    fields.finish()?;
    Reply::json(&request.app.create_inbox(caller, input).await?)
}

async fn get(request: Request) -> Result<Reply> {
    Reply::json(&request.app.inbox(request.caller()?).await?)
}

async fn update(request: Request) -> Result<Reply> {
    let caller = request.caller()?;
    let mut fields = request.fields()?;
    fields.need_any(&["display_name", "status", "metadata"]);
    fields.not_null("status", "string");
    let display_name = match fields.nullable_string("display_name", Text::any()) {
        Field::Absent => None,
        Field::Null => Some(None),
        Field::Value(name) => kept(&mut fields, inboxes::display_name(&name)),
    };
    let paused = fields.one_of("status", &STATUSES).map(|status| status == "paused");
    let named = fields.has("metadata");
    let members = fields.object("metadata");
    // What is neither null nor an object has its issue already.
    let cleared = named && fields.raw("metadata").is_none();
    let metadata = if cleared || members.is_some() {
        all_kept(&mut fields, inboxes::metadata_change(members.as_ref()))
    } else {
        None
    };
    fields.finish()?;
    Reply::json(&request.app.update_inbox(caller, UpdateInbox { display_name, paused, metadata }).await?)
}

async fn delete(request: Request) -> Result<Reply> {
    request.app.delete_inbox(request.caller()?).await?;
    Ok(Reply::Empty)
}

fn kept<T>(fields: &mut Fields, checked: std::result::Result<T, Issue>) -> Option<T> {
    all_kept(fields, checked.map_err(|issue| vec![issue]))
}

/// The value, or `None` and its violations noted.
fn all_kept<T>(fields: &mut Fields, checked: std::result::Result<T, Vec<Issue>>) -> Option<T> {
    match checked {
        Ok(value) => Some(value),
        Err(issues) => {
            issues.into_iter().for_each(|issue| fields.issue(issue));
            None
        }
    }
}
