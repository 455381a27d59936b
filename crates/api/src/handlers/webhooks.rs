//! Webhooks.

#![expect(clippy::wildcard_enum_match_arm, reason = "JSON has six types and will get no more")]

use podmail_app::webhooks::{CreateWebhook, UpdateHeaders, UpdateWebhook};
use podmail_app::{Issue, IssueCode, Result};
use podmail_domain::{EventType, Permission, limits};
use serde_json::Value;

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
            Route::get(collection, Permission::WebhookRead, list).types("", "Webhooks"),
            Route::post(collection, Permission::WebhookCreate, create).types("CreateWebhook", "Webhook"),
            Route::get(one, Permission::WebhookRead, get).types("", "Webhook"),
            Route::patch(one, Permission::WebhookUpdate, update).types("UpdateWebhook", "Webhook"),
            Route::delete(one, Permission::WebhookDelete, delete),
            Route::get(headers, Permission::WebhookRead, header_names).types("", "WebhookHeaders"),
            Route::patch(headers, Permission::WebhookUpdate, update_headers)
                .types("UpdateWebhookHeaders", ""),
        ]);
    }
    routes
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
