//! API keys, at three levels: what is in scope on the unprefixed routes, exactly one level below a pod or an inbox.

use std::collections::BTreeMap;

use podmail_app::keys::{KeyChange, KeyLevel, NewKey, RequestedFlags};
use podmail_app::{Issue, IssueCode, Order, Page, Result};
use podmail_domain::{Permission, Permissions};
use serde_json::Value;

use super::pods::NAME;
use crate::fields::{Field, Fields, type_name, wrong_type};
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

/// Unknown flags that one issue names; further ones are left out.
const UNKNOWN_FLAGS_MAX: usize = 20;
/// Characters of an unknown flag's name that an issue shows.
const UNKNOWN_FLAG_CHARS: usize = 64;
/// The only credential family here.
const BEARER: &str = "bearer";
/// Registered keys of agents; none exist on this server.
const PUBLIC_KEY: &str = "public_key";

pub(crate) fn routes() -> Vec<Route> {
    let mut routes =
        vec![Route::get("/v0/api-keys/{api_key_id}", Permission::ApiKeyRead, get).types("", "ApiKey")];
    for (all, one) in [
        ("/v0/api-keys", "/v0/api-keys/{api_key_id}"),
        ("/v0/pods/{pod_id}/api-keys", "/v0/pods/{pod_id}/api-keys/{api_key_id}"),
        ("/v0/inboxes/{inbox_id}/api-keys", "/v0/inboxes/{inbox_id}/api-keys/{api_key_id}"),
    ] {
        routes.extend([
            Route::get(all, Permission::ApiKeyRead, list).types("", "ListApiKeysResponse"),
            Route::post(all, Permission::ApiKeyCreate, create).types("CreateApiKeyRequest", "CreatedApiKey"),
            Route::patch(one, Permission::ApiKeyUpdate, update).types("UpdateApiKeyRequest", "ApiKey"),
            Route::delete(one, Permission::ApiKeyDelete, delete),
        ]);
    }
    routes
}

fn level(request: &Request) -> KeyLevel {
    if request.has_param("pod_id") || request.has_param("inbox_id") {
        KeyLevel::Exact
    } else {
        KeyLevel::Covered
    }
}

async fn list(request: Request) -> Result<Reply> {
    let level = level(&request);
    let mut query = request.query();
    let (family, rules) = match level {
        KeyLevel::Covered => (query.one_of("type", &[BEARER, PUBLIC_KEY]), Rules::LIST.without_limit()),
        KeyLevel::Exact => (None, Rules::LIST.without_limit().newest_first()),
    };
    let paging = query.page(rules)?;
    if family.as_deref() == Some(PUBLIC_KEY) {
        return paging.reply("api_keys", Page { items: Vec::<Value>::new(), next: None }, |key| key);
    }
    let order: Order = paging.order;
    let page =
        request.app.list_keys(request.caller()?, level, order, paging.after.as_ref(), paging.limit).await?;
    paging.reply("api_keys", page, |key| key)
}

async fn create(request: Request) -> Result<Reply> {
    let mut fields = request.fields()?;
    if fields.raw(PUBLIC_KEY).is_some() {
        fields.refuse(PUBLIC_KEY, "Public keys cannot be registered on this server");
    }
    let name = fields.string("name", NAME);
    let permissions = match flags(&mut fields) {
        Field::Absent => RequestedFlags::Omitted,
        Field::Null => RequestedFlags::Unrestricted,
        Field::Value(flags) => RequestedFlags::These(flags),
    };
    let expires_at = fields.time("expires_at");
    if expires_at.is_some_and(|end| end <= request.app.now()) {
        fields.refuse("expires_at", "Invalid expires_at: expected a time in the future");
    }
    fields.finish()?;
    let new = NewKey { name, permissions, expires_at };
    Reply::json(&request.app.create_key(request.caller()?, new).await?)
}

async fn get(request: Request) -> Result<Reply> {
    let id = request.param("api_key_id");
    Reply::json(&request.app.key(request.caller()?, level(&request), id).await?)
}

async fn update(request: Request) -> Result<Reply> {
    let (caller, level, id) = (request.caller()?, level(&request), request.param("api_key_id"));
    // A key that is not there is 404, whatever the body holds.
    request.app.key(caller, level, id).await?;
    let mut fields = request.fields()?;
    fields.need_any(&["name", "permissions"]);
    fields.not_null("name", "string");
    let name = fields.string("name", NAME);
    let permissions = match flags(&mut fields) {
        Field::Absent => None,
        Field::Null => Some(Permissions::UNRESTRICTED),
        Field::Value(flags) => Some(Permissions(Some(flags))),
    };
    fields.finish()?;
    Reply::json(&request.app.update_key(caller, level, id, KeyChange { name, permissions }).await?)
}

async fn delete(request: Request) -> Result<Reply> {
    request.app.delete_key(request.caller()?, level(&request), request.param("api_key_id")).await?;
    Ok(Reply::Empty)
}

/// `permissions`. Unknown names are refused: a misspelt flag would silently deny access.
fn flags(fields: &mut Fields) -> Field<BTreeMap<String, bool>> {
    const NAME: &str = "permissions";
    let path = fields.path(NAME);
    let members = match fields.field(NAME) {
        Field::Absent => return Field::Absent,
        Field::Null => return Field::Null,
        Field::Value(Value::Object(members)) => members,
        Field::Value(other) => {
            fields.issue(wrong_type(path, "object", type_name(&other)));
            return Field::Absent;
        }
    };
    let mut flags = BTreeMap::new();
    let mut unknown = Vec::new();
    for (name, value) in members {
        if Permission::parse(&name).is_none() {
            unknown.push(name);
        } else if let Some(on) = value.as_bool() {
            flags.insert(name, on);
        } else {
            let at = path.iter().cloned().chain([name.into()]).collect();
            fields.issue(wrong_type(at, "boolean", type_name(&value)));
        }
    }
    if !unknown.is_empty() {
        unknown.truncate(UNKNOWN_FLAGS_MAX);
        let keys: Vec<String> =
            unknown.iter().map(|name| name.chars().take(UNKNOWN_FLAG_CHARS).collect()).collect();
        let message = format!("Unrecognized keys: {}", keys.join(", "));
        fields.issue(Issue { path, code: IssueCode::UnrecognizedKeys { keys }, message });
    }
    Field::Value(flags)
}
