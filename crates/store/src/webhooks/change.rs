//! Changing and deleting a webhook.

use podmail_domain::{InboxId, PodId, Timestamp, WebhookId};

use super::forget::{drop_deliveries, remove_owned};
use super::{Webhook, inbox_in, owned, pod_in, write_channels};
use crate::db::args;
use crate::messages::{json, json_unless_empty, list};
use crate::scope::Scope;
use crate::writer::Tx;
use crate::{Result, Store};

/// What to change of a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookChange {
    /// Replaces the stored list.
    pub event_types: Option<Vec<String>>,
    /// Resumes or pauses.
    pub enabled: Option<bool>,
    /// Lists more pods.
    pub add_pod_ids: Vec<PodId>,
    /// Takes pods off the list; unknown ones are ignored.
    pub remove_pod_ids: Vec<String>,
    /// Lists more inboxes.
    pub add_inbox_ids: Vec<InboxId>,
    /// Takes inboxes off the list; unknown ones are ignored.
    pub remove_inbox_ids: Vec<String>,
    /// Entries that either list may have.
    pub channel_limit: usize,
}

/// What became of a [`WebhookChange`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookChanged {
    /// As it is now.
    Done(Box<Webhook>),
    /// No such webhook in the scope.
    NotFound,
    /// An added pod is not in the scope; nothing changed.
    NoSuchPod,
    /// An added inbox is not in the scope; nothing changed.
    NoSuchInbox,
    /// It would receive nothing any more; nothing changed.
    NoChannelLeft,
    /// A list would be too long; nothing changed.
    TooManyChannels,
}

/// What became of a change of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadersChanged {
    /// All of it was applied.
    Done,
    /// No such webhook in the scope.
    NotFound,
    /// There would be too many; nothing changed.
    TooMany,
}

impl Store {
    /// Changes a webhook owned within the scope, all or nothing. Disabling drops what waits to be delivered.
    pub async fn update_webhook(
        &self,
        scope: &Scope,
        webhook: &WebhookId,
        change: WebhookChange,
        now: Timestamp,
    ) -> Result<WebhookChanged> {
        self.write((scope.clone(), webhook.clone(), change, now), |tx, (scope, webhook, change, now)| {
            Box::pin(update(tx, scope, webhook, change, *now))
        })
        .await
    }

    /// Deletes a webhook owned within the scope with everything that waits; `false` when there is none.
    pub async fn delete_webhook(&self, scope: &Scope, webhook: &WebhookId) -> Result<bool> {
        self.write((scope.clone(), webhook.clone()), |tx, (scope, webhook)| {
            Box::pin(async move {
                lock(tx, scope, webhook).await?;
                let Some(found) = owned(tx, scope, webhook).await? else { return Ok(false) };
                remove_owned(tx, &found).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Names of the custom headers in the casing last set; `None` when there is no such webhook in the scope.
    pub async fn webhook_header_names(
        &self,
        scope: &Scope,
        webhook: &WebhookId,
    ) -> Result<Option<Vec<String>>> {
        let mut conn = self.reader().await?;
        if owned(&mut conn, scope, webhook).await?.is_none() {
            return Ok(None);
        }
        let row: Option<(Option<String>,)> = conn
            .one(
                "SELECT headers FROM webhooks WHERE organization_id = $1 AND webhook_id = $2",
                args![scope.organization(), webhook],
            )
            .await?;
        let headers = headers(row.and_then(|(headers,)| headers).as_deref())?;
        Ok(Some(headers.into_iter().map(|(name, _)| name).collect()))
    }

    /// Sets and removes custom headers, all or nothing; names compare without regard to case.
    pub async fn update_webhook_headers(
        &self,
        scope: &Scope,
        webhook: &WebhookId,
        set: Vec<(String, String)>,
        remove: Vec<String>,
        limit: usize,
        now: Timestamp,
    ) -> Result<HeadersChanged> {
        self.write(
            (scope.clone(), webhook.clone(), set, remove, limit, now),
            |tx, (scope, webhook, set, remove, limit, now)| {
                Box::pin(async move {
                    lock(tx, scope, webhook).await?;
                    if owned(tx, scope, webhook).await?.is_none() {
                        return Ok(HeadersChanged::NotFound);
                    }
                    let row: Option<(Option<String>,)> = tx
                        .one(
                            "SELECT headers FROM webhooks WHERE organization_id = $1 AND webhook_id = $2",
                            args![scope.organization(), webhook],
                        )
                        .await?;
                    let mut all = headers(row.and_then(|(headers,)| headers).as_deref())?;
                    all.retain(|(name, _)| !remove.iter().any(|removed| removed.eq_ignore_ascii_case(name)));
                    for (name, value) in set {
                        match all.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                            Some(known) => *known = (name.clone(), value.clone()),
                            None => all.push((name.clone(), value.clone())),
                        }
                    }
                    if all.len() > *limit {
                        return Ok(HeadersChanged::TooMany);
                    }
                    tx.run(
                        "UPDATE webhooks SET headers = $3, updated_at = $4 \
                         WHERE organization_id = $1 AND webhook_id = $2",
                        args![scope.organization(), webhook, json_unless_empty(&all), *now],
                    )
                    .await?;
                    Ok(HeadersChanged::Done)
                })
            },
        )
        .await
    }
}

/// Reads stored headers.
pub(crate) fn headers(stored: Option<&str>) -> Result<Vec<(String, String)>> {
    Ok(stored.map(list).transpose()?.unwrap_or_default())
}

/// Takes the webhook's row, so that changes of one webhook follow one another.
async fn lock(tx: &mut Tx, scope: &Scope, webhook: &WebhookId) -> Result<()> {
    tx.run(
        "UPDATE webhooks SET updated_at = updated_at WHERE organization_id = $1 AND webhook_id = $2",
        args![scope.organization(), webhook],
    )
    .await?;
    Ok(())
}

async fn update(
    tx: &mut Tx,
    scope: &Scope,
    webhook: &WebhookId,
    change: &WebhookChange,
    now: Timestamp,
) -> Result<WebhookChanged> {
    lock(tx, scope, webhook).await?;
    let Some(mut webhook) = owned(tx, scope, webhook).await? else { return Ok(WebhookChanged::NotFound) };
    // What is added lies within the caller's scope and within the owner: a pod's webhook never hears of another pod.
    let owner = Scope::new(webhook.organization_id, webhook.pod_id, webhook.inbox.clone());
    for pod in &change.add_pod_ids {
        if !pod_in(tx, scope, *pod).await? || !pod_in(tx, &owner, *pod).await? {
            return Ok(WebhookChanged::NoSuchPod);
        }
        if !webhook.pod_ids.contains(pod) {
            webhook.pod_ids.push(*pod);
        }
    }
    for inbox in &change.add_inbox_ids {
        if inbox_in(tx, scope, inbox).await?.is_none() || inbox_in(tx, &owner, inbox).await?.is_none() {
            return Ok(WebhookChanged::NoSuchInbox);
        }
        if !webhook.inbox_ids.contains(inbox) {
            webhook.inbox_ids.push(inbox.clone());
        }
    }
    webhook.pod_ids.retain(|pod| !change.remove_pod_ids.iter().any(|text| PodId::parse(text) == Some(*pod)));
    webhook.inbox_ids.retain(|inbox| {
        !change.remove_inbox_ids.iter().any(|text| InboxId::parse(text).as_ref() == Some(inbox))
    });
    if webhook.pod_ids.len().max(webhook.inbox_ids.len()) > change.channel_limit {
        return Ok(WebhookChanged::TooManyChannels);
    }
    let removes = !change.remove_pod_ids.is_empty() || !change.remove_inbox_ids.is_empty();
    if removes && !webhook.whole && webhook.pod_ids.is_empty() && webhook.inbox_ids.is_empty() {
        return Ok(WebhookChanged::NoChannelLeft);
    }
    if let Some(event_types) = &change.event_types {
        webhook.event_types = Some(event_types.clone());
    }
    let resumes = change.enabled == Some(true) && !webhook.enabled;
    webhook.enabled = change.enabled.unwrap_or(webhook.enabled);
    webhook.updated_at = now;
    save(tx, &webhook, resumes).await?;
    if change.enabled == Some(false) {
        drop_deliveries(tx, webhook.organization_id, webhook.webhook_id.as_str()).await?;
    }
    Ok(WebhookChanged::Done(Box::new(webhook)))
}

async fn save(tx: &mut Tx, webhook: &Webhook, resumes: bool) -> Result<()> {
    tx.run(
        "UPDATE webhooks SET event_types = $3, pod_ids = $4, inbox_ids = $5, enabled = $6, updated_at = $7 \
         WHERE organization_id = $1 AND webhook_id = $2",
        args![
            webhook.organization_id,
            &webhook.webhook_id,
            webhook.event_types.as_ref().map(json),
            json_unless_empty(&webhook.pod_ids),
            json_unless_empty(&webhook.inbox_ids),
            i64::from(webhook.enabled),
            webhook.updated_at
        ],
    )
    .await?;
    if resumes {
        // A fresh start: the failures that led to the pause are not held against it.
        tx.run(
            "UPDATE webhooks SET failing_since = NULL, last_failure_at = NULL \
             WHERE organization_id = $1 AND webhook_id = $2",
            args![webhook.organization_id, &webhook.webhook_id],
        )
        .await?;
    }
    write_channels(tx, webhook).await?;
    Ok(())
}
