//! Allow and block lists at three levels. The list is that of the caller's level: a pod's key means its pod's list also
//! where the path names none.

use podmail_api_types::lists::ListEntry;
use podmail_app::{Error, Issue, IssueCode, ListName, Result};
use podmail_domain::list::{ListDirection, ListEntry as Entry, ListType};
use podmail_domain::{Permission, limits};

use crate::describe::{body_type, doc};
use crate::fields::Text;
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

/// Characters of an entry as it is given: an address with a display name.
const ENTRY_CHARS: usize = 1000;

pub(crate) fn routes() -> Vec<Route> {
    use Permission::{ListEntryCreate, ListEntryDelete, ListEntryRead};
    let list = Route::get("/v0/lists/{direction}/{type}", ListEntryRead, list).describe(
        doc("lists.list", "List the entries of an allow or block list")
            .about("In the order of the entries.")
            .pages::<ListEntry>("entries")
            .fails(&[400]),
    );
    let create = Route::post("/v0/lists/{direction}/{type}", ListEntryCreate, create).describe(
        doc("lists.create", "Add an address or a domain to an allow or block list")
            .about("One that is there already is answered as it is.")
            .body::<NewListEntry>()
            .answers::<ListEntry>(),
    );
    let get = Route::get("/v0/lists/{direction}/{type}/{entry}", ListEntryRead, get).describe(
        doc("lists.get", "Get an entry of an allow or block list").answers::<ListEntry>().fails(&[400]),
    );
    let delete = Route::delete("/v0/lists/{direction}/{type}/{entry}", ListEntryDelete, delete).describe(
        doc("lists.delete", "Remove an entry of an allow or block list")
            .about("Entries that a complaint or an unsubscription made are read-only.")
            .fails(&[400, 409]),
    );
    let mut routes = Vec::new();
    for [collection, item] in [
        ["/v0/lists/{direction}/{type}", "/v0/lists/{direction}/{type}/{entry}"],
        ["/v0/pods/{pod_id}/lists/{direction}/{type}", "/v0/pods/{pod_id}/lists/{direction}/{type}/{entry}"],
        [
            "/v0/inboxes/{inbox_id}/lists/{direction}/{type}",
            "/v0/inboxes/{inbox_id}/lists/{direction}/{type}/{entry}",
        ],
    ] {
        routes.extend([list.at(collection), create.at(collection), get.at(item), delete.at(item)]);
    }
    routes
}

body_type! {
    /// A new entry.
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
