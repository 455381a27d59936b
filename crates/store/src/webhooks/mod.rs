//! Webhooks: where events are posted to. A webhook has an owner (the organization, a pod or an inbox) and channels, the
//! rows by which the dispatcher finds it. Deliveries live in `webhook_deliveries`.
//!
//! Invariant: the rows of `webhook_channels` are those of [`channels`] for every stored webhook.

mod change;
mod forget;

use podmail_domain::{InboxId, InboxKey, OrganizationId, PodId, Timestamp, WebhookId};

use crate::db::{Conn, Query, args};
use crate::messages::{json, json_unless_empty, list, unsigned};
use crate::page::{Cursor, Order, Page};
use crate::scope::{InboxRef, Scope, id};
use crate::writer::Tx;
use crate::{Result, Store};

pub(crate) use change::headers;
pub use change::{HeadersChanged, WebhookChange, WebhookChanged};
pub(crate) use forget::{drop_deliveries, forget_inbox, forget_pod};

/// A webhook. Its custom headers are not part of it: nothing shows their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Owner.
    pub organization_id: OrganizationId,
    /// Its id.
    pub webhook_id: WebhookId,
    /// Owner, on webhooks of a pod or an inbox.
    pub pod_id: Option<PodId>,
    /// Owner, on webhooks of an inbox.
    pub inbox: Option<InboxRef>,
    /// Whether it receives everything of its owner, whatever the lists say.
    pub whole: bool,
    /// Where to post.
    pub url: String,
    /// `whsec_` and the key in base64.
    pub secret: String,
    /// Subscribed types; `None` on imported ones: everything but the filtered types.
    pub event_types: Option<Vec<String>>,
    /// Subscribed pods.
    pub pod_ids: Vec<PodId>,
    /// Subscribed inboxes.
    pub inbox_ids: Vec<InboxId>,
    /// Whether events are delivered.
    pub enabled: bool,
    /// As given by the client.
    pub client_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
}

/// A webhook to make; its owner is the scope it is made in.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Its id.
    pub webhook_id: WebhookId,
    /// Where to post.
    pub url: String,
    /// `whsec_` and the key in base64.
    pub secret: String,
    /// Subscribed types, without repetitions.
    pub event_types: Vec<String>,
    /// Subscribed pods, without repetitions.
    pub pod_ids: Vec<PodId>,
    /// Subscribed inboxes, without repetitions.
    pub inbox_ids: Vec<InboxId>,
    /// Custom headers.
    pub headers: Vec<(String, String)>,
    /// As given by the client.
    pub client_id: Option<String>,
    /// Webhooks that the organization may have.
    pub limit: u64,
    /// Now.
    pub created_at: Timestamp,
}

/// What became of a [`NewWebhook`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookCreated {
    /// It was made.
    Made(Box<Webhook>),
    /// The `client_id` named this one already; nothing changed.
    Existing(Box<Webhook>),
    /// The `client_id` is in use outside of the scope.
    Elsewhere,
    /// The organization has as many as it may.
    LimitReached,
    /// A listed pod is not in the scope.
    NoSuchPod,
    /// A listed inbox is not in the scope.
    NoSuchInbox,
}

const COLUMNS: &str = "w.organization_id, w.webhook_id, w.pod_id, w.inbox_key, w.inbox_id, w.whole, w.url, w.secret, \
    w.event_types, w.pod_ids, w.inbox_ids, w.enabled, w.client_id, w.created_at, w.updated_at";

#[derive(sqlx::FromRow, serde::Deserialize)]
struct WebhookRow {
    organization_id: String,
    webhook_id: String,
    pod_id: Option<String>,
    inbox_key: Option<String>,
    inbox_id: Option<String>,
    whole: i64,
    url: String,
    secret: String,
    event_types: Option<String>,
    pod_ids: Option<String>,
    inbox_ids: Option<String>,
    enabled: i64,
    client_id: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<WebhookRow> for Webhook {
    type Error = crate::Error;
    fn try_from(row: WebhookRow) -> Result<Self> {
        let texts = |text: Option<String>| text.as_deref().map(list::<String>).transpose();
        let inbox = match (&row.inbox_key, &row.inbox_id) {
            (Some(key), Some(address)) => {
                Some(InboxRef { key: id(key, InboxKey::parse)?, id: id(address, InboxId::parse)? })
            }
            _ => None,
        };
        Ok(Self {
            organization_id: id(&row.organization_id, OrganizationId::parse)?,
            webhook_id: id(&row.webhook_id, WebhookId::parse)?,
            pod_id: row.pod_id.as_deref().map(|pod| id(pod, PodId::parse)).transpose()?,
            inbox,
            whole: row.whole != 0,
            url: row.url,
            secret: row.secret,
            event_types: texts(row.event_types)?,
            pod_ids: row.pod_ids.as_deref().map(list).transpose()?.unwrap_or_default(),
            inbox_ids: texts(row.inbox_ids)?
                .unwrap_or_default()
                .iter()
                .map(|inbox| id(inbox, InboxId::parse))
                .collect::<Result<_>>()?,
            enabled: row.enabled != 0,
            client_id: row.client_id,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

impl Webhook {
    fn owned_within(&self, scope: &Scope) -> bool {
        scope.covers(self.pod_id, self.inbox.as_ref().map(|inbox| inbox.key))
    }
}

impl Store {
    /// Makes a webhook owned by the scope. Repeating a `client_id` gives the webhook that it made first.
    pub async fn create_webhook(&self, scope: &Scope, new: NewWebhook) -> Result<WebhookCreated> {
        self.write((scope.clone(), new), |tx, (scope, new)| Box::pin(create(tx, scope, new))).await
    }

    /// A webhook owned within the scope.
    pub async fn webhook(&self, scope: &Scope, webhook: &WebhookId) -> Result<Option<Webhook>> {
        owned(&mut self.reader().await?, scope, webhook).await
    }

    /// A page of the webhooks owned within the scope, by creation.
    pub async fn list_webhooks(
        &self,
        scope: &Scope,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Webhook>> {
        let text = format!("SELECT {COLUMNS} FROM webhooks w WHERE w.organization_id = $1");
        let mut query = Query::new(&text, args![scope.organization()]);
        if let Some(inbox) = scope.inbox() {
            query.and("w.inbox_key = ?", args![inbox.key]);
        } else if let Some(pod) = scope.pod() {
            query.and("w.pod_id = ?", args![pod]);
        }
        order.seek(&mut query, "w.created_at", "w.webhook_id", after, limit);
        let rows: Vec<WebhookRow> = query.all(&mut self.reader().await?).await?;
        let found = rows.into_iter().map(Webhook::try_from).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(found, limit, |webhook| Cursor::new(webhook.created_at, &webhook.webhook_id)))
    }
}

async fn by_id(
    conn: &mut Conn,
    organization: OrganizationId,
    webhook: &WebhookId,
) -> Result<Option<Webhook>> {
    let text = format!("SELECT {COLUMNS} FROM webhooks w WHERE w.organization_id = $1 AND w.webhook_id = $2");
    conn.one::<WebhookRow>(&text, args![organization, webhook]).await?.map(Webhook::try_from).transpose()
}

async fn owned(conn: &mut Conn, scope: &Scope, webhook: &WebhookId) -> Result<Option<Webhook>> {
    Ok(by_id(conn, scope.organization(), webhook).await?.filter(|webhook| webhook.owned_within(scope)))
}

async fn create(tx: &mut Tx, scope: &Scope, new: &NewWebhook) -> Result<WebhookCreated> {
    let organization = scope.organization();
    // Creations within an organization follow one another: the count and the client_id are then certain.
    tx.run(
        "UPDATE organizations SET updated_at = updated_at WHERE organization_id = $1",
        args![organization],
    )
    .await?;
    if let Some(client_id) = &new.client_id
        && let Some(existing) = named(tx, organization, client_id).await?
    {
        let within = existing.owned_within(scope);
        return Ok(if within {
            WebhookCreated::Existing(Box::new(existing))
        } else {
            WebhookCreated::Elsewhere
        });
    }
    let count =
        tx.count("SELECT COUNT(*) FROM webhooks WHERE organization_id = $1", args![organization]).await?;
    if unsigned(count) >= new.limit {
        return Ok(WebhookCreated::LimitReached);
    }
    for pod in &new.pod_ids {
        if !pod_in(tx, scope, *pod).await? {
            return Ok(WebhookCreated::NoSuchPod);
        }
    }
    for inbox in &new.inbox_ids {
        if inbox_in(tx, scope, inbox).await?.is_none() {
            return Ok(WebhookCreated::NoSuchInbox);
        }
    }
    let webhook = Webhook {
        organization_id: organization,
        webhook_id: new.webhook_id.clone(),
        pod_id: scope.pod(),
        inbox: scope.inbox().cloned(),
        whole: new.pod_ids.is_empty() && new.inbox_ids.is_empty(),
        url: new.url.clone(),
        secret: new.secret.clone(),
        event_types: Some(new.event_types.clone()),
        pod_ids: new.pod_ids.clone(),
        inbox_ids: new.inbox_ids.clone(),
        enabled: true,
        client_id: new.client_id.clone(),
        created_at: new.created_at,
        updated_at: new.created_at,
    };
    insert(tx, &webhook, &new.headers).await?;
    Ok(WebhookCreated::Made(Box::new(webhook)))
}

async fn named(tx: &mut Tx, organization: OrganizationId, client_id: &str) -> Result<Option<Webhook>> {
    let found: Option<(String,)> = tx
        .one(
            "SELECT resource_id FROM client_ids WHERE organization_id = $1 AND kind = 'webhook' AND client_id = $2",
            args![organization, client_id],
        )
        .await?;
    let Some((webhook,)) = found else { return Ok(None) };
    by_id(tx, organization, &id(&webhook, WebhookId::parse)?).await
}

async fn insert(tx: &mut Tx, webhook: &Webhook, headers: &[(String, String)]) -> Result<()> {
    tx.run(
        "INSERT INTO webhooks (organization_id, webhook_id, pod_id, inbox_key, inbox_id, whole, url, secret, \
         event_types, pod_ids, inbox_ids, headers, enabled, client_id, created_at, updated_at) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,1,$13,$14,$14)",
        args![
            webhook.organization_id,
            &webhook.webhook_id,
            webhook.pod_id,
            webhook.inbox.as_ref().map(|inbox| inbox.key),
            webhook.inbox.as_ref().map(|inbox| inbox.id.clone()),
            i64::from(webhook.whole),
            webhook.url.as_str(),
            webhook.secret.as_str(),
            webhook.event_types.as_ref().map(json),
            json_unless_empty(&webhook.pod_ids),
            json_unless_empty(&webhook.inbox_ids),
            json_unless_empty(headers),
            webhook.client_id.as_deref(),
            webhook.created_at,
        ],
    )
    .await?;
    if let Some(client_id) = &webhook.client_id {
        tx.run(
            "INSERT INTO client_ids (organization_id, kind, client_id, resource_id) VALUES ($1,'webhook',$2,$3)",
            args![webhook.organization_id, client_id.as_str(), &webhook.webhook_id],
        )
        .await?;
    }
    write_channels(tx, webhook).await?;
    Ok(())
}

/// Writes the channels of a webhook anew; how many it has.
async fn write_channels(tx: &mut Tx, webhook: &Webhook) -> Result<usize> {
    let channels = channels(tx, webhook).await?;
    let (organization, webhook) = (webhook.organization_id, &webhook.webhook_id);
    tx.run(
        "DELETE FROM webhook_channels WHERE organization_id = $1 AND webhook_id = $2",
        args![organization, webhook],
    )
    .await?;
    let count = channels.len();
    let rows =
        channels.into_iter().map(|(kind, channel)| args![organization, kind, channel, webhook]).collect();
    tx.insert("INSERT INTO webhook_channels (organization_id, kind, channel, webhook_id)", 4, "", rows)
        .await?;
    Ok(count)
}

/// The channels of a webhook: its owner's when it receives everything, and those of its lists.
async fn channels(tx: &mut Tx, webhook: &Webhook) -> Result<Vec<(&'static str, String)>> {
    let mut channels = Vec::new();
    if webhook.whole {
        channels.push(match (&webhook.inbox, webhook.pod_id) {
            (Some(inbox), _) => ("inbox", inbox.key.to_string()),
            (None, Some(pod)) => ("pod", pod.to_string()),
            (None, None) => ("organization", String::new()),
        });
    }
    channels.extend(webhook.pod_ids.iter().map(|pod| ("pod", pod.to_string())));
    let whole = Scope::new(webhook.organization_id, None, None);
    for inbox in &webhook.inbox_ids {
        channels.extend(inbox_in(tx, &whole, inbox).await?.map(|key| ("inbox", key.to_string())));
    }
    channels.sort();
    channels.dedup();
    Ok(channels)
}

async fn pod_in(tx: &mut Tx, scope: &Scope, pod: PodId) -> Result<bool> {
    if !scope.covers(Some(pod), None) {
        return Ok(false);
    }
    let count = tx
        .count(
            "SELECT COUNT(*) FROM pods WHERE organization_id = $1 AND pod_id = $2",
            args![scope.organization(), pod],
        )
        .await?;
    Ok(count > 0)
}

async fn inbox_in(tx: &mut Tx, scope: &Scope, inbox: &InboxId) -> Result<Option<InboxKey>> {
    let found: Option<(String, String)> = tx
        .one(
            "SELECT inbox_key, pod_id FROM inboxes WHERE organization_id = $1 AND inbox_id = $2",
            args![scope.organization(), inbox],
        )
        .await?;
    let Some((key, pod)) = found else { return Ok(None) };
    let (key, pod) = (id(&key, InboxKey::parse)?, id(&pod, PodId::parse)?);
    Ok(scope.covers(Some(pod), Some(key)).then_some(key))
}
