//! Webhooks.

#![expect(clippy::wildcard_enum_match_arm, reason = "JSON has six types and will get no more")]

use std::borrow::Cow;
use std::collections::BTreeMap;

use podmail_api_types::webhooks::{Webhook, WebhookHeaders};
use podmail_app::webhooks::{CreateWebhook, UpdateHeaders, UpdateWebhook};
use podmail_app::{Issue, IssueCode, Result};
use podmail_domain::{EventType, Permission, limits};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::describe::{ClientId, body_type, doc};
use crate::error::Code;
use crate::fields::{Fields, Text, type_name, wrong_type};
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

/// Members of a list of ids: ids of the wrong shape are not found, so only their length is looked at.
const ID: Text = Text::upto(limits::FILTER_CHARS);
/// Ids that a list is read with; the documented maximum is checked by the product.
const IDS_READ: usize = limits::FILTER_VALUES;

pub(crate) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    for [collection, one, headers] in [
        ["/v0/webhooks", "/v0/webhooks/{webhook_id}", "/v0/webhooks/{webhook_id}/headers"],
        [
            "/v0/pods/{pod_id}/webhooks",
            "/v0/pods/{pod_id}/webhooks/{webhook_id}",
            "/v0/pods/{pod_id}/webhooks/{webhook_id}/headers",
        ],
        [
            "/v0/inboxes/{inbox_id}/webhooks",
            "/v0/inboxes/{inbox_id}/webhooks/{webhook_id}",
            "/v0/inboxes/{inbox_id}/webhooks/{webhook_id}/headers",
        ],
    ] {
        routes.extend([
            Route::get(collection, Permission::WebhookRead, list)
                .describe(doc("webhooks.list", "List webhooks").pages::<Webhook>("webhooks").ascending()),
            Route::post(collection, Permission::WebhookCreate, create).describe(
                doc("webhooks.create", "Create a webhook")
                    .about(
                        "Events are posted to the URL, signed with the `secret` of the answer (Standard Webhooks). \
                         `pod_ids` and `inbox_ids` narrow what it hears of.",
                    )
                    .body::<NewWebhook>()
                    .answers::<Webhook>()
                    .fails(&[Code::NotFound, Code::AlreadyExists, Code::LimitExceeded]),
            ),
            Route::get(one, Permission::WebhookRead, get)
                .describe(doc("webhooks.get", "Get a webhook").answers::<Webhook>()),
            Route::patch(one, Permission::WebhookUpdate, update).describe(
                doc("webhooks.update", "Change a webhook")
                    .about("Members that are left out stay.")
                    .body::<WebhookChange>()
                    .not_null(WEBHOOK_CHANGE)
                    .answers::<Webhook>(),
            ),
            Route::delete(one, Permission::WebhookDelete, delete)
                .describe(doc("webhooks.delete", "Delete a webhook")),
            Route::get(headers, Permission::WebhookRead, header_names).describe(
                doc("webhooks.get_headers", "List the names of a webhook's own headers")
                    .about("Values are never shown.")
                    .answers::<WebhookHeaders>(),
            ),
            Route::patch(headers, Permission::WebhookUpdate, update_headers).describe(
                doc("webhooks.update_headers", "Set and remove a webhook's own headers")
                    .about("All or nothing; at least one has to be named.")
                    .body::<HeadersChange>(),
            ),
        ]);
    }
    routes
}

/// Members of a change, none of which may be null.
const WEBHOOK_CHANGE: &[&str] =
    &["event_types", "enabled", "add_pod_ids", "remove_pod_ids", "add_inbox_ids", "remove_inbox_ids"];

body_type! {
    /// A new webhook.
    #[schemars(extend("examples" = [{ "url": "https://example.com/hook", "event_types": ["message.received"] }]))]
    NewWebhook {
        /// Where events are posted to; `https`.
        #[schemars(length(max = limits::WEBHOOK_URL_CHARS))]
        url: String,
        /// What it hears of.
        #[schemars(length(min = 1))]
        event_types: Vec<EventName>,
        /// Only of these pods.
        #[schemars(length(max = limits::WEBHOOK_CHANNELS))]
        pod_ids: Option<Vec<String>>,
        /// Only of these inboxes.
        #[schemars(length(max = limits::WEBHOOK_CHANNELS))]
        inbox_ids: Option<Vec<String>>,
        /// Sent with every post.
        headers: Option<BTreeMap<String, String>>,
        /// Your own name for it: a second create with it answers the existing webhook.
        client_id: Option<ClientId>,
    }
}

body_type! {
    /// A change of a webhook.
    #[schemars(extend("examples" = [{ "enabled": true }]))]
    WebhookChange {
        /// The complete new list; empty leaves it as it is.
        event_types: Option<Vec<EventName>>,
        /// Off stops deliveries; events meanwhile are lost.
        enabled: Option<bool>,
        /// Pods to hear of too.
        add_pod_ids: Option<Vec<String>>,
        /// Pods to hear of no longer.
        remove_pod_ids: Option<Vec<String>>,
        /// Inboxes to hear of too.
        add_inbox_ids: Option<Vec<String>>,
        /// Inboxes to hear of no longer.
        remove_inbox_ids: Option<Vec<String>>,
    }
}

body_type! {
    /// A change of a webhook's own headers.
    #[schemars(extend("examples" = [{ "headers": { "x-team": "support" } }]))]
    HeadersChange {
        /// Headers to set.
        headers: Option<BTreeMap<String, String>>,
        /// Names to remove.
        remove_headers: Option<Vec<String>>,
    }
}

/// A type of the catalogue of events.
struct EventName;

impl JsonSchema for EventName {
    fn schema_name() -> Cow<'static, str> {
        "EventType".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = EventType::ALL.iter().map(|kind| kind.as_str()).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}

async fn list(request: Request) -> Result<Reply> {
    let paging = request.query().page(Rules::LIST)?;
    let caller = request.caller()?;
    let page = request.app.list_webhooks(caller, paging.order, paging.after.as_ref(), paging.limit).await?;
    paging.reply("webhooks", page, |webhook| webhook)
}

async fn create(request: Request) -> Result<Reply> {
    let caller = request.caller()?;
    let mut fields = request.fields()?;
    let named = fields.raw("url").is_some_and(Value::is_string);
    let input = CreateWebhook {
        url: fields.required_string("url", Text::any()),
        event_types: event_types(&mut fields, true).unwrap_or_default(),
        pod_ids: fields.string_list("pod_ids", IDS_READ, ID),
        inbox_ids: fields.string_list("inbox_ids", IDS_READ, ID),
        headers: headers(&mut fields),
        client_id: fields.client_id(),
    };
    for issue in request.app.webhook_issues(caller, &input) {
        // A missing URL has its issue already.
        if named || issue.path.first() != Some(&"url".into()) {
            fields.issue(issue);
        }
    }
    fields.finish()?;
    Reply::json(&request.app.create_webhook(caller, input).await?)
}

async fn get(request: Request) -> Result<Reply> {
    Reply::json(&request.app.webhook(request.caller()?, request.param("webhook_id")).await?)
}

async fn update(request: Request) -> Result<Reply> {
    let caller = request.caller()?;
    let id = request.param("webhook_id");
    request.app.webhook(caller, id).await?;
    let mut fields = request.fields()?;
    for (name, expected) in [
        ("event_types", "array"),
        ("enabled", "boolean"),
        ("add_pod_ids", "array"),
        ("remove_pod_ids", "array"),
        ("add_inbox_ids", "array"),
        ("remove_inbox_ids", "array"),
    ] {
        fields.not_null(name, expected);
    }
    let input = UpdateWebhook {
        event_types: event_types(&mut fields, false),
        enabled: fields.boolean("enabled"),
        add_pod_ids: fields.string_list("add_pod_ids", IDS_READ, ID),
        remove_pod_ids: fields.string_list("remove_pod_ids", IDS_READ, ID),
        add_inbox_ids: fields.string_list("add_inbox_ids", IDS_READ, ID),
        remove_inbox_ids: fields.string_list("remove_inbox_ids", IDS_READ, ID),
    };
    request.app.webhook_change_issues(caller, &input).into_iter().for_each(|issue| fields.issue(issue));
    fields.finish()?;
    Reply::json(&request.app.update_webhook(caller, id, input).await?)
}

async fn delete(request: Request) -> Result<Reply> {
    request.app.delete_webhook(request.caller()?, request.param("webhook_id")).await?;
    Ok(Reply::Empty)
}

async fn header_names(request: Request) -> Result<Reply> {
    Reply::json(&request.app.webhook_headers(request.caller()?, request.param("webhook_id")).await?)
}

async fn update_headers(request: Request) -> Result<Reply> {
    let caller = request.caller()?;
    let id = request.param("webhook_id");
    request.app.webhook(caller, id).await?;
    let mut fields = request.fields()?;
    let headers = headers(&mut fields);
    let remove_headers = fields.string_list("remove_headers", IDS_READ, Text::upto(limits::FILTER_CHARS));
    let input = UpdateHeaders { headers, remove_headers };
    if fields.sound() {
        request.app.webhook_headers_issues(&input).into_iter().for_each(|issue| fields.issue(issue));
    }
    fields.finish()?;
    request.app.update_webhook_headers(caller, id, input).await?;
    Ok(Reply::Empty)
}

/// `event_types`: names of the catalogue; on creation at least one.
fn event_types(fields: &mut Fields, required: bool) -> Option<Vec<EventType>> {
    let given = match fields.raw("event_types") {
        None | Some(Value::Null) => None,
        Some(_) => Some(fields.string_list("event_types", IDS_READ, Text::any())?),
    };
    if required && given.as_ref().is_none_or(Vec::is_empty) {
        let issue = match &given {
            Some(_) => Issue::too_small(["event_types".into()], "array", 1),
            None => wrong_type(fields.path("event_types"), "array", "undefined"),
        };
        fields.issue(issue);
    }
    let mut types = Vec::new();
    for (index, name) in given?.iter().enumerate() {
        match EventType::parse(name) {
            Some(kind) => types.push(kind),
            None => fields.issue(Issue {
                path: vec!["event_types".into(), index.into()],
                code: IssueCode::InvalidValue {
                    values: EventType::ALL.iter().map(|kind| kind.as_str().to_owned()).collect(),
                },
                message: "Invalid event type".to_owned(),
            }),
        }
    }
    Some(types)
}

/// `headers`: a map of texts, NUL characters included, so that they are refused rather than removed.
fn headers(fields: &mut Fields) -> Option<Vec<(String, String)>> {
    let members = match fields.raw("headers")? {
        Value::Null => return None,
        Value::Object(members) => members.clone(),
        other => {
            let issue = wrong_type(fields.path("headers"), "object", type_name(other));
            fields.issue(issue);
            return None;
        }
    };
    let mut headers = Vec::with_capacity(members.len());
    for (name, value) in members {
        match value {
            Value::String(value) => headers.push((name, value)),
            other => {
                let path = fields.path("headers").into_iter().chain([name.into()]).collect();
                fields.issue(wrong_type(path, "string", type_name(&other)));
                return None;
            }
        }
    }
    Some(headers)
}
