//! Webhooks: making, changing and deleting them, with the rules of who may listen to what. How events reach them is in
//! `dispatch` and `deliver`.

mod deliver;
mod dispatch;
mod rules;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use podmail_api_types::webhooks as wire;
use podmail_domain::source::random;
use podmail_domain::{EventType, InboxId, Permission, PodId, WebhookId, limits};
use podmail_store::{
    Cursor, HeadersChanged, NewWebhook, Order, Page, Webhook, WebhookChange, WebhookChanged, WebhookCreated,
};

use crate::{App, Caller, Error, Issue, Result};

pub use deliver::{Attempted, Delivery, Due, Prepared, Verdict};
pub use dispatch::{Dispatched, Dispatcher, Places};
pub use podmail_store::WebhookDeliveryKey;

/// A webhook to make. Texts as the client wrote them.
#[derive(Clone, Debug, Default)]
pub struct CreateWebhook {
    /// Where to post.
    pub url: String,
    /// At least one.
    pub event_types: Vec<EventType>,
    /// Pods to listen to.
    pub pod_ids: Option<Vec<String>>,
    /// Inboxes to listen to.
    pub inbox_ids: Option<Vec<String>>,
    /// Custom headers; when given, at least one.
    pub headers: Option<Vec<(String, String)>>,
    /// Makes the creation repeatable.
    pub client_id: Option<String>,
}

/// A change of a webhook. `None` and empty lists leave things as they are.
#[derive(Clone, Debug, Default)]
pub struct UpdateWebhook {
    /// Replaces the list unless empty.
    pub event_types: Option<Vec<EventType>>,
    /// Resumes or pauses.
    pub enabled: Option<bool>,
    /// Pods to listen to besides.
    pub add_pod_ids: Option<Vec<String>>,
    /// Pods to take off the list.
    pub remove_pod_ids: Option<Vec<String>>,
    /// Inboxes to listen to besides.
    pub add_inbox_ids: Option<Vec<String>>,
    /// Inboxes to take off the list.
    pub remove_inbox_ids: Option<Vec<String>>,
}

/// A change of custom headers.
#[derive(Clone, Debug, Default)]
pub struct UpdateHeaders {
    /// To set; when given, at least one.
    pub headers: Option<Vec<(String, String)>>,
    /// Names to remove.
    pub remove_headers: Option<Vec<String>>,
}

impl App {
    /// What is wrong with the values of a creation, all of it.
    pub fn webhook_issues(&self, caller: &Caller, input: &CreateWebhook) -> Vec<Issue> {
        let mut issues = rules::url(self.egress(), &input.url);
        issues.extend(rules::channels(
            &caller.scope,
            [("pod_ids", &input.pod_ids)],
            [("inbox_ids", &input.inbox_ids)],
        ));
        issues.extend(input.headers.as_deref().map(rules::headers).unwrap_or_default());
        issues
    }

    /// Makes a webhook owned by the caller's scope. The input has no issues left.
    pub async fn create_webhook(&self, caller: &Caller, input: CreateWebhook) -> Result<wire::Webhook> {
        let issues = self.webhook_issues(caller, &input);
        if !issues.is_empty() {
            return Err(Error::Invalid(issues));
        }
        may_subscribe(caller, &input.event_types)?;
        let now = self.now();
        let limit = self.settings().webhook_limit;
        let new = NewWebhook {
            webhook_id: WebhookId::new(self.ids(), now),
            url: input.url,
            secret: format!("whsec_{}", STANDARD.encode(random::<24>(self.ids()))),
            event_types: names(&input.event_types),
            pod_ids: pods(input.pod_ids)?,
            inbox_ids: inboxes(input.inbox_ids)?,
            headers: input.headers.unwrap_or_default(),
            client_id: input.client_id,
            limit,
            created_at: now,
        };
        match self.store().create_webhook(&caller.scope, new).await? {
            WebhookCreated::Made(webhook) | WebhookCreated::Existing(webhook) => Ok(shown(*webhook)),
            WebhookCreated::Elsewhere => {
                Err(Error::AlreadyExists { resource: "Webhook", suggestions: Vec::new(), fix: None })
            }
            WebhookCreated::LimitReached => Err(Error::LimitExceeded { resource: "webhook", limit }),
            WebhookCreated::NoSuchPod => Err(Error::NotFound("Pod")),
            WebhookCreated::NoSuchInbox => Err(Error::NotFound("Inbox")),
        }
    }

    /// A webhook of the caller's scope.
    pub async fn webhook(&self, caller: &Caller, id: &str) -> Result<wire::Webhook> {
        Ok(shown(self.stored_webhook(caller, id).await?))
    }

    /// A page of the webhooks of the caller's scope.
    pub async fn list_webhooks(
        &self,
        caller: &Caller,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::Webhook>> {
        Ok(self.store().list_webhooks(&caller.scope, order, after, limit).await?.map(shown))
    }

    /// What is wrong with the values of a change, all of it.
    pub fn webhook_change_issues(&self, caller: &Caller, input: &UpdateWebhook) -> Vec<Issue> {
        let mut issues = rules::channels(
            &caller.scope,
            [("add_pod_ids", &input.add_pod_ids), ("remove_pod_ids", &input.remove_pod_ids)],
            [("add_inbox_ids", &input.add_inbox_ids), ("remove_inbox_ids", &input.remove_inbox_ids)],
        );
        issues.extend(rules::disjoint("remove_pod_ids", &input.add_pod_ids, &input.remove_pod_ids));
        issues.extend(rules::disjoint("remove_inbox_ids", &input.add_inbox_ids, &input.remove_inbox_ids));
        issues
    }

    /// Changes a webhook of the caller's scope, all or nothing.
    pub async fn update_webhook(
        &self,
        caller: &Caller,
        id: &str,
        input: UpdateWebhook,
    ) -> Result<wire::Webhook> {
        let stored = self.stored_webhook(caller, id).await?;
        let issues = self.webhook_change_issues(caller, &input);
        if !issues.is_empty() {
            return Err(Error::Invalid(issues));
        }
        let event_types = input.event_types.filter(|types| !types.is_empty());
        if let Some(types) = &event_types {
            may_subscribe(caller, types)?;
        } else if input.enabled == Some(true) {
            may_subscribe(caller, &subscribed(&stored))?;
        }
        let removed = if input.remove_pod_ids.is_some() { "remove_pod_ids" } else { "remove_inbox_ids" };
        let change = WebhookChange {
            event_types: event_types.as_deref().map(names),
            enabled: input.enabled,
            add_pod_ids: pods(input.add_pod_ids)?,
            remove_pod_ids: input.remove_pod_ids.unwrap_or_default(),
            add_inbox_ids: inboxes(input.add_inbox_ids)?,
            remove_inbox_ids: input.remove_inbox_ids.unwrap_or_default(),
            channel_limit: limits::WEBHOOK_CHANNELS,
        };
        match self.store().update_webhook(&caller.scope, &stored.webhook_id, change, self.now()).await? {
            WebhookChanged::Done(webhook) => Ok(shown(*webhook)),
            WebhookChanged::NotFound => Err(Error::NotFound("Webhook")),
            WebhookChanged::NoSuchPod => Err(Error::NotFound("Pod")),
            WebhookChanged::NoSuchInbox => Err(Error::NotFound("Inbox")),
            WebhookChanged::NoChannelLeft => Err(Error::invalid(Issue::custom(
                [removed.into()],
                "A webhook must keep at least one pod or inbox",
            ))),
            WebhookChanged::TooManyChannels => Err(Error::invalid(Issue::custom(
                [],
                format!("A webhook lists at most {} pods and {0} inboxes", limits::WEBHOOK_CHANNELS),
            ))),
        }
    }

    /// Deletes a webhook of the caller's scope and what waits for it.
    pub async fn delete_webhook(&self, caller: &Caller, id: &str) -> Result<()> {
        let id = parsed(id)?;
        if self.store().delete_webhook(&caller.scope, &id).await? {
            Ok(())
        } else {
            Err(Error::NotFound("Webhook"))
        }
    }

    /// The names of a webhook's custom headers.
    pub async fn webhook_headers(&self, caller: &Caller, id: &str) -> Result<wire::WebhookHeaders> {
        let names = self.store().webhook_header_names(&caller.scope, &parsed(id)?).await?;
        Ok(wire::WebhookHeaders { header_names: names.ok_or(Error::NotFound("Webhook"))? })
    }

    /// What is wrong with the values of a change of headers, all of it.
    pub fn webhook_headers_issues(&self, input: &UpdateHeaders) -> Vec<Issue> {
        rules::header_change(input.headers.as_deref(), input.remove_headers.as_deref())
    }

    /// Sets and removes custom headers, all or nothing.
    pub async fn update_webhook_headers(
        &self,
        caller: &Caller,
        id: &str,
        input: UpdateHeaders,
    ) -> Result<()> {
        let stored = self.stored_webhook(caller, id).await?;
        let issues = self.webhook_headers_issues(&input);
        if !issues.is_empty() {
            return Err(Error::Invalid(issues));
        }
        let changed = self
            .store()
            .update_webhook_headers(
                &caller.scope,
                &stored.webhook_id,
                input.headers.unwrap_or_default(),
                input.remove_headers.unwrap_or_default(),
                limits::WEBHOOK_HEADERS,
                self.now(),
            )
            .await?;
        match changed {
            HeadersChanged::Done => Ok(()),
            HeadersChanged::NotFound => Err(Error::NotFound("Webhook")),
            HeadersChanged::TooMany => {
                Err(Error::invalid(Issue::too_big(["headers".into()], "map", limits::WEBHOOK_HEADERS)))
            }
        }
    }

    async fn stored_webhook(&self, caller: &Caller, id: &str) -> Result<Webhook> {
        self.store().webhook(&caller.scope, &parsed(id)?).await?.ok_or(Error::NotFound("Webhook"))
    }
}

fn parsed(id: &str) -> Result<WebhookId> {
    WebhookId::parse(id).ok_or(Error::NotFound("Webhook"))
}

/// A key may subscribe to what it may read.
fn may_subscribe(caller: &Caller, types: &[EventType]) -> Result<()> {
    match types.iter().filter_map(|kind| kind.permission()).find(|permission| !caller.allows(*permission)) {
        None => Ok(()),
        Some(permission) => Err(Error::SubscriptionForbidden(permission)),
    }
}

/// What a stored webhook counts as subscribed to when it is enabled: without a list, everything.
fn subscribed(webhook: &Webhook) -> Vec<EventType> {
    match &webhook.event_types {
        Some(names) => names.iter().filter_map(|name| EventType::parse(name)).collect(),
        None => EventType::ALL
            .iter()
            .copied()
            .filter(|kind| {
                matches!(
                    kind.permission(),
                    Some(
                        Permission::LabelSpamRead
                            | Permission::LabelBlockedRead
                            | Permission::LabelUnauthenticatedRead
                    )
                )
            })
            .collect(),
    }
}

fn names(types: &[EventType]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(types.len());
    for kind in types {
        if !names.iter().any(|name| name == kind.as_str()) {
            names.push(kind.as_str().to_owned());
        }
    }
    names
}

fn pods(ids: Option<Vec<String>>) -> Result<Vec<PodId>> {
    distinct(ids, PodId::parse, "Pod")
}

fn inboxes(ids: Option<Vec<String>>) -> Result<Vec<InboxId>> {
    distinct(ids, InboxId::parse, "Inbox")
}

fn distinct<T: PartialEq>(
    ids: Option<Vec<String>>,
    parse: fn(&str) -> Option<T>,
    resource: &'static str,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for text in ids.unwrap_or_default() {
        let id = parse(&text).ok_or(Error::NotFound(resource))?;
        if !all.contains(&id) {
            all.push(id);
        }
    }
    Ok(all)
}

fn shown(webhook: Webhook) -> wire::Webhook {
    wire::Webhook {
        webhook_id: webhook.webhook_id,
        url: webhook.url,
        event_types: webhook.event_types,
        pod_ids: webhook.pod_ids,
        inbox_ids: webhook.inbox_ids,
        pod_id: webhook.pod_id,
        inbox_id: webhook.inbox.map(|inbox| inbox.id),
        secret: webhook.secret,
        enabled: webhook.enabled,
        client_id: webhook.client_id,
        updated_at: webhook.updated_at,
        created_at: webhook.created_at,
    }
}
