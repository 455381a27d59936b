//! Allow and block lists at three levels. The list is that of the caller's level: a pod's key means its pod's list also
//! where the path names none.

use podmail_api_types::lists::ListEntry;
use podmail_app::{Error, Issue, IssueCode, ListName, Result};
use podmail_domain::list::{ListDirection, ListEntry as Entry, ListType};
use podmail_domain::{Permission, limits};
use schemars::JsonSchema;

use crate::describe::{body_type, complete_type, doc};
use crate::error::Code;
use crate::fields::Text;
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

/// Characters of an entry as it is given: an address with a display name.
const ENTRY_CHARS: usize = 1000;

pub(crate) fn routes() -> Vec<Route> {
    [
        at::<ListEntry>("/v0/lists/{direction}/{type}", "/v0/lists/{direction}/{type}/{entry}"),
        at::<PodListEntry>(
            "/v0/pods/{pod_id}/lists/{direction}/{type}",
            "/v0/pods/{pod_id}/lists/{direction}/{type}/{entry}",
        ),
        at::<InboxListEntry>(
            "/v0/inboxes/{inbox_id}/lists/{direction}/{type}",
            "/v0/inboxes/{inbox_id}/lists/{direction}/{type}/{entry}",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The routes of one level, whose entries look like `T`.
fn at<T: JsonSchema>(collection: &'static str, item: &'static str) -> [Route; 4] {
    use Permission::{ListEntryCreate, ListEntryDelete, ListEntryRead};
    [
        Route::get(collection, ListEntryRead, list).describe(
            doc("lists.list", "List the entries of an allow or block list")
                .about("In the order of the entries.")
                .pages::<T>("entries")
                .fails(&[Code::ValidationError]),
        ),
        Route::post(collection, ListEntryCreate, create).describe(
            doc("lists.create", "Add an address or a domain to an allow or block list")
                .about("One that is there already is answered as it is.")
                .body::<NewListEntry>()
                .answers::<T>(),
        ),
        Route::get(item, ListEntryRead, get).describe(
            doc("lists.get", "Get an entry of an allow or block list")
                .answers::<T>()
                .fails(&[Code::ValidationError]),
        ),
        Route::delete(item, ListEntryDelete, delete).describe(
            doc("lists.delete", "Remove an entry of an allow or block list")
                .about("Entries that a complaint or an unsubscription made are read-only.")
                .fails(&[Code::ValidationError, Code::CannotDelete]),
        ),
    ]
}

complete_type! {
    /// An entry of the list of a pod.
    PodListEntry = ListEntry, with "pod_id"
}

complete_type! {
    /// An entry of the list of an inbox.
    InboxListEntry = ListEntry, with "pod_id", "inbox_id"
}

body_type! {
    /// A new entry.
    #[schemars(extend("examples" = [{ "entry": "spam.example.com", "reason": "Spam" }]))]
    NewListEntry {
        /// An email address, `Name <address>`, or a domain; without wildcards.
        #[schemars(length(min = 1, max = ENTRY_CHARS))]
        entry: String,
        /// Why it is there.
        #[schemars(length(max = limits::LIST_REASON_CHARS))]
        reason: Option<String>,
    }
}

fn name(request: &Request) -> Result<ListName> {
    let (direction, list_type) =
        (ListDirection::parse(request.param("direction")), ListType::parse(request.param("type")));
    let mut issues = Vec::new();
    let mut refuse = |name: &str, values: Vec<String>| {
        issues.push(Issue {
            path: vec![name.into()],
            message: format!("Invalid option: expected one of {}", values.join("|")),
            code: IssueCode::InvalidValue { values },
        });
    };
    if direction.is_none() {
        refuse("direction", ListDirection::ALL.iter().map(|value| value.as_str().to_owned()).collect());
    }
    if list_type.is_none() {
        refuse("type", ListType::ALL.iter().map(|value| value.as_str().to_owned()).collect());
    }
    match (direction, list_type) {
        (Some(direction), Some(list_type)) => Ok(ListName { direction, list_type }),
        _ => Err(Error::Invalid(issues)),
    }
}

/// The entry in the path; what cannot be one is not there.
fn entry(request: &Request) -> Result<Entry> {
    Entry::parse(request.param("entry")).ok_or(Error::NotFound("List entry"))
}

async fn list(request: Request) -> Result<Reply> {
    let name = name(&request)?;
    let paging = request.query().page(Rules::LIST.newest_first())?;
    let page = request.app.list_entries(request.caller()?, name, paging.after.as_ref(), paging.limit).await?;
    paging.reply("entries", page, |entry| entry)
}

async fn create(request: Request) -> Result<Reply> {
    let name = name(&request)?;
    let mut fields = request.fields()?;
    let text = fields.required_string("entry", Text::upto(ENTRY_CHARS));
    let reason = fields.string("reason", Text::upto(limits::LIST_REASON_CHARS));
    let entry = Entry::parse(&text);
    if entry.is_none() && fields.sound_at("entry") {
        fields.refuse("entry", "Invalid entry: expected an email address or a domain, without wildcards");
    }
    fields.finish()?;
    let entry = entry.ok_or_else(|| Error::internal("a request without issues has no entry"))?;
    let reason = reason.filter(|reason| !reason.is_empty());
    Reply::json(&request.app.create_list_entry(request.caller()?, name, entry, reason).await?)
}

async fn get(request: Request) -> Result<Reply> {
    Reply::json(&request.app.list_entry(request.caller()?, name(&request)?, &entry(&request)?).await?)
}

async fn delete(request: Request) -> Result<Reply> {
    request.app.delete_list_entry(request.caller()?, name(&request)?, entry(&request)?).await?;
    Ok(Reply::Empty)
}
