//! API keys, at three levels: what is in scope on the unprefixed routes, exactly one level below a pod or an inbox.

use std::borrow::Cow;
use std::collections::BTreeMap;

use podmail_api_types::keys::{CreatedApiKey, CreatedCredential, Credential, PublicJwk as PublicJwkType};
use podmail_app::keys::{KeyChange, KeyFamily, KeyLevel, NewKey, PublicJwk, Registration, RequestedFlags};
use podmail_app::{Issue, IssueCode, Order, Result};
use podmail_domain::{Permission, Permissions, Timestamp, limits};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::pods::NAME;
use crate::describe::{ClientId, Param, Shape, body_type, doc};
use crate::error::Code;
use crate::fields::{Field, Fields, type_name, wrong_type};
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

/// Unknown flags that one issue names; further ones are left out.
const UNKNOWN_FLAGS_MAX: usize = 20;
/// Characters of an unknown flag's name that an issue shows.
const UNKNOWN_FLAG_CHARS: usize = 64;
/// Secrets.
const BEARER: &str = "bearer";
/// Registered public keys, and the member of a create that registers one.
const PUBLIC_KEY: &str = "public_key";

/// The keys of a pod, all of which are secrets.
const POD_KEYS: &str = "/v0/pods/{pod_id}/api-keys";

pub(crate) fn routes() -> Vec<Route> {
    let family = Param::query("type", Shape::OneOf(&[BEARER, PUBLIC_KEY]), "Only keys of this family.");
    let mut routes = vec![
        Route::get("/v0/api-keys/{api_key_id}", Permission::ApiKeyRead, get)
            .describe(doc("api_keys.get", "Get an API key").answers::<Credential>()),
    ];
    for (all, one) in [
        ("/v0/api-keys", "/v0/api-keys/{api_key_id}"),
        (POD_KEYS, "/v0/pods/{pod_id}/api-keys/{api_key_id}"),
        ("/v0/inboxes/{inbox_id}/api-keys", "/v0/inboxes/{inbox_id}/api-keys/{api_key_id}"),
    ] {
        routes.extend([
            Route::get(all, Permission::ApiKeyRead, list).describe(if all == "/v0/api-keys" {
                doc("api_keys.list", "List API keys").params(&[family]).pages::<Credential>("api_keys").without_limit().ascending()
            } else {
                doc("api_keys.list", "List API keys").pages::<Credential>("api_keys").without_limit()
            }),
            Route::post(all, Permission::ApiKeyCreate, create).describe({
                let create = doc("api_keys.create", "Create an API key")
                    .about(
                        "The secret `api_key` is in this answer only. A key of a pod or an inbox sees nothing else. \
                         With `permissions` it has exactly the flags that are true; without, all that its level has. \
                         With `public_key` no secret is made: the public key is registered (not below a pod).",
                    )
                    .body::<NewApiKey>();
                if all == POD_KEYS {
                    create.answers::<CreatedApiKey>().fails(&[Code::PermissionEscalation, Code::UnrestrictedKeyRequired])
                } else {
                    create.answers::<CreatedCredential>().fails(&[
                        Code::PermissionEscalation,
                        Code::UnrestrictedKeyRequired,
                        Code::AlreadyExists,
                        Code::Conflict,
                    ])
                }
            }),
            Route::patch(one, Permission::ApiKeyUpdate, update).describe(
                doc("api_keys.update", "Change an API key")
                    .body::<ApiKeyChange>()
                    .not_null(&["name"])
                    .answers::<Credential>()
                    .fails(&[Code::PermissionEscalation, Code::UnrestrictedKeyRequired]),
            ),
            Route::delete(one, Permission::ApiKeyDelete, delete)
                .describe(doc("api_keys.delete", "Delete an API key").about("It is refused from the next request on.").fails(&[Code::PermissionEscalation, Code::UnrestrictedKeyRequired])),
        ]);
    }
    routes
}

body_type! {
    /// A new API key.
    #[schemars(extend("examples" = [{ "name": "agent" }]))]
    NewApiKey {
        /// For people.
        #[schemars(length(min = 1, max = limits::NAME_CHARS))]
        name: Option<String>,
        /// What it may do; null or left out is everything that its level may.
        permissions: Option<Flags>,
        /// When it ends; not after the end of the calling key, which is also the default.
        expires_at: Option<Timestamp>,
        /// Registers this public key instead of making a secret.
        public_key: Option<PublicJwkType>,
        /// A name of your own for a public key; registering it again under the same name gives the first one.
        client_id: Option<ClientId>,
    }
}

body_type! {
    /// A change of an API key.
    #[schemars(extend("examples" = [{ "name": "agent" }]))]
    ApiKeyChange {
        /// For people.
        #[schemars(length(min = 1, max = limits::NAME_CHARS))]
        name: Option<String>,
        /// The complete new set of flags; null lifts the restriction.
        permissions: Option<Flags>,
    }
}

/// Flags of a key by name.
struct Flags;

impl JsonSchema for Flags {
    fn schema_name() -> Cow<'static, str> {
        "Permissions".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let flags: serde_json::Map<String, Value> = Permission::ALL
            .iter()
            .map(|flag| (flag.as_str().to_owned(), serde_json::json!({ "type": "boolean" })))
            .collect();
        json_schema!({ "type": "object", "properties": flags, "additionalProperties": false })
    }
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
    let family = family.map(|family| match family.as_str() {
        PUBLIC_KEY => KeyFamily::PublicKey,
        _ => KeyFamily::Bearer,
    });
    let order: Order = paging.order;
    let page = request
        .app
        .list_keys(request.caller()?, level, family, order, paging.after.as_ref(), paging.limit)
        .await?;
    paging.reply("api_keys", page, |key| key)
}

async fn create(request: Request) -> Result<Reply> {
    let mut fields = request.fields()?;
    let jwk = public_key(&mut fields, request.has_param("pod_id"));
    let client_id = fields.client_id();
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
    let caller = request.caller()?;
    let Some(jwk) = jwk else {
        let new = NewKey { name, permissions, expires_at };
        return Reply::json(&CreatedCredential::Bearer(request.app.create_key(caller, new).await?));
    };
    let new = Registration { jwk, client_id, name, permissions, expires_at };
    let key = request.app.register_public_key(caller, level(&request), new).await?;
    Reply::json(&CreatedCredential::PublicKey(key))
}

/// `public_key`; null is as good as absent. Below a pod there are secrets only.
fn public_key(fields: &mut Fields, below_pod: bool) -> Option<PublicJwk> {
    let members = match fields.field(PUBLIC_KEY) {
        Field::Absent | Field::Null => return None,
        Field::Value(_) if below_pod => {
            fields.refuse(
                PUBLIC_KEY,
                "Public keys are registered for an inbox or at the level of the calling key",
            );
            return None;
        }
        Field::Value(Value::Object(members)) => members,
        Field::Value(other) => {
            let path = fields.path(PUBLIC_KEY);
            fields.issue(wrong_type(path, "object", type_name(&other)));
            return None;
        }
    };
    PublicJwk::read(&members).map_err(|issues| issues.into_iter().for_each(|issue| fields.issue(issue))).ok()
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
