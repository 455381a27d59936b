//! Inboxes.

use podmail_api_types::inboxes::Inbox;
use podmail_app::inboxes::{self, CreateInbox, UpdateInbox};
use podmail_app::{Issue, IssueCode, Result};
use podmail_domain::{Permission, limits};
use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::describe::{ClientId, Param, Shape, body_type, doc};
use crate::error::Code;
use crate::fields::{Field, Fields, Text};
use crate::numbers;
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
        Route::get("/v0/inboxes", Permission::InboxRead, list)
            .describe(doc("inboxes.list", "List inboxes").pages::<Inbox>("inboxes").ascending()),
        Route::post("/v0/inboxes", Permission::InboxCreate, create).describe(
            doc("inboxes.create", "Create an inbox")
                .about(
                    "Everything may be left out: the address is made up then, at the installation's domain.",
                )
                .body::<NewInbox>()
                .answers::<Inbox>()
                .fails(&[
                    Code::NotFound,
                    Code::AlreadyExists,
                    Code::ResourceTaken,
                    Code::LimitExceeded,
                    Code::DomainNotVerified,
                    Code::Unprocessable,
                ]),
        ),
    ];
    let search = Route::get("/v0/inboxes/search", Permission::InboxRead, search).describe(
        doc("inboxes.search", "Search inboxes by address and display name")
            .params(&[Param::query(
                "q",
                Shape::Text { min: SEARCH_CHARS_MIN, max: SEARCH_CHARS_MAX },
                "Start of a word of the address or the display name.",
            )
            .required()])
            .pages::<Inbox>("inboxes")
            .at_most_100(),
    );
    let one = [
        Route::get("/v0/inboxes/{inbox_id}", Permission::InboxRead, get)
            .describe(doc("inboxes.get", "Get an inbox").answers::<Inbox>()),
        Route::patch("/v0/inboxes/{inbox_id}", Permission::InboxUpdate, update).describe(
            doc("inboxes.update", "Change an inbox")
                .about("Members that are left out stay. At least one is needed.")
                .body::<InboxChange>()
                .not_null(&["status"])
                .answers::<Inbox>()
                .fails(&[Code::RaceCondition]),
        ),
        Route::delete("/v0/inboxes/{inbox_id}", Permission::InboxDelete, delete)
            .describe(doc("inboxes.delete", "Delete an inbox").about("With all of its mail.")),
    ];
    let below_pods = collection
        .iter()
        .map(|route| route.at("/v0/pods/{pod_id}/inboxes"))
        .chain([search.at("/v0/pods/{pod_id}/inboxes/search")])
        .chain(one.iter().map(|route| route.at("/v0/pods/{pod_id}/inboxes/{inbox_id}")))
        .collect::<Vec<_>>();
    collection.into_iter().chain([search]).chain(one).chain(below_pods).collect()
}

body_type! {
    /// A new inbox.
    #[schemars(extend("examples" = [{ "username": "support", "display_name": "Support" }]))]
    NewInbox {
        /// The part before the `@`; made up when left out.
        #[schemars(length(max = limits::USERNAME_BYTES))]
        username: Option<String>,
        /// A domain of the organization, or the installation's; that one when left out.
        #[schemars(length(max = DOMAIN_CHARS))]
        domain: Option<String>,
        /// Shown before the address in `From`.
        #[schemars(length(max = limits::DISPLAY_NAME_CHARS))]
        display_name: Option<String>,
        /// Your own name for it: a second create with it answers the existing inbox.
        client_id: Option<ClientId>,
        /// A paused inbox neither sends nor stores.
        status: Option<Status>,
        /// Strings, numbers and booleans under names of your own.
        metadata: Option<Map<String, Value>>,
    }
}

body_type! {
    /// A change of an inbox.
    #[schemars(extend("examples" = [{ "display_name": "Support" }]))]
    InboxChange {
        /// Null takes it away.
        #[schemars(length(max = limits::DISPLAY_NAME_CHARS))]
        display_name: Option<String>,
        /// A paused inbox neither sends nor stores.
        status: Option<Status>,
        /// Merged into what is there; a null member takes one away, null all.
        metadata: Option<Map<String, Value>>,
    }
}

/// Whether an inbox works.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", inline)]
#[expect(dead_code, reason = "it describes; handlers read members one by one")]
enum Status {
    Paused,
    Active,
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
    let client_id = fields.client_id();
    if let Some(client_id) = &client_id
        && let Some(known) = request.app.inbox_of_client_id(caller, client_id).await?
    {
        return Reply::json(&known);
    }
    let username = fields.string("username", Text::any());
    let domain = fields.string("domain", Text::upto(DOMAIN_CHARS).trimmed().at_least(1));
    let display_name = fields.string("display_name", Text::any());
    let status = fields.one_of("status", &STATUSES);
    let metadata = fields.object("metadata");
    exact_numbers(&mut fields, &request, metadata.as_ref());
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
    exact_numbers(&mut fields, &request, members.as_ref());
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

/// Refuses numbers that would come back as other ones.
fn exact_numbers(fields: &mut Fields, request: &Request, metadata: Option<&Map<String, Value>>) {
    let Some(metadata) = metadata else { return };
    let inexact = numbers::inexact(&request.body);
    for (name, value) in metadata {
        if let Value::Number(number) = value
            && inexact.contains(number)
        {
            let message =
                "A number has to fit 64 bits, or a double exactly as written; pass others as strings";
            fields.issue(Issue::custom(["metadata".into(), name.as_str().into()], message));
        }
    }
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
