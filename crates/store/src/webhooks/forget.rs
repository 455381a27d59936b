//! What is left of webhooks when something that they belong to or listen to goes away.

use podmail_domain::{InboxId, InboxKey, OrganizationId, PodId, WebhookId};

use super::{COLUMNS, Webhook, WebhookRow, write_channels};
use crate::Result;
use crate::db::args;
use crate::messages::json_unless_empty;
use crate::writer::Tx;

/// Called within the deletion of a pod: removes the webhooks that it and its inboxes own, and takes it off the lists of
/// the others. One that is left without a channel is disabled, never widened.
pub(crate) async fn forget_pod(tx: &mut Tx, organization: OrganizationId, pod: PodId) -> Result<()> {
    let owned: Vec<(String, Option<String>)> = tx
        .all(
            "SELECT webhook_id, client_id FROM webhooks WHERE organization_id = $1 AND pod_id = $2",
            args![organization, pod],
        )
        .await?;
    for (webhook, client_id) in owned {
        remove(tx, organization, &webhook, client_id.as_deref()).await?;
    }
    for mut webhook in listening(tx, organization, "pod", &pod.to_string()).await? {
        webhook.pod_ids.retain(|listed| *listed != pod);
        narrow(tx, &webhook).await?;
    }
    Ok(())
}

/// Called within the deletion of an inbox, before or after its row went: as [`forget_pod`], for one inbox.
pub(crate) async fn forget_inbox(
    tx: &mut Tx,
    organization: OrganizationId,
    inbox: InboxKey,
    address: &InboxId,
) -> Result<()> {
    let owned: Vec<(String, Option<String>)> = tx
        .all(
            "SELECT webhook_id, client_id FROM webhooks WHERE organization_id = $1 AND inbox_key = $2",
            args![organization, inbox],
        )
        .await?;
    for (webhook, client_id) in owned {
        remove(tx, organization, &webhook, client_id.as_deref()).await?;
    }
    for mut webhook in listening(tx, organization, "inbox", &inbox.to_string()).await? {
        webhook.inbox_ids.retain(|listed| listed != address);
        narrow(tx, &webhook).await?;
    }
    Ok(())
}

async fn listening(
    tx: &mut Tx,
    organization: OrganizationId,
    kind: &str,
    channel: &str,
) -> Result<Vec<Webhook>> {
    let text = format!(
        "SELECT {COLUMNS} FROM webhook_channels c JOIN webhooks w ON w.organization_id = c.organization_id \
         AND w.webhook_id = c.webhook_id WHERE c.organization_id = $1 AND c.kind = $2 AND c.channel = $3"
    );
    let rows: Vec<WebhookRow> = tx.all(&text, args![organization, kind, channel]).await?;
    rows.into_iter().map(Webhook::try_from).collect()
}

async fn narrow(tx: &mut Tx, webhook: &Webhook) -> Result<()> {
    tx.run(
        "UPDATE webhooks SET pod_ids = $3, inbox_ids = $4 WHERE organization_id = $1 AND webhook_id = $2",
        args![
            webhook.organization_id,
            &webhook.webhook_id,
            json_unless_empty(&webhook.pod_ids),
            json_unless_empty(&webhook.inbox_ids)
        ],
    )
    .await?;
    if write_channels(tx, webhook).await? > 0 {
        return Ok(());
    }
    tx.run(
        "UPDATE webhooks SET enabled = 0 WHERE organization_id = $1 AND webhook_id = $2",
        args![webhook.organization_id, &webhook.webhook_id],
    )
    .await?;
    drop_deliveries(tx, webhook.organization_id, webhook.webhook_id.as_str()).await
}

/// Removes a webhook with its channels, its pending deliveries and its `client_id`, which is free again.
pub(super) async fn remove(
    tx: &mut Tx,
    organization: OrganizationId,
    webhook: &str,
    client_id: Option<&str>,
) -> Result<()> {
    drop_deliveries(tx, organization, webhook).await?;
    tx.run(
        "DELETE FROM webhook_channels WHERE organization_id = $1 AND webhook_id = $2",
        args![organization, webhook],
    )
    .await?;
    tx.run(
        "DELETE FROM webhooks WHERE organization_id = $1 AND webhook_id = $2",
        args![organization, webhook],
    )
    .await?;
    if let Some(client_id) = client_id {
        tx.run(
            "DELETE FROM client_ids WHERE organization_id = $1 AND kind = 'webhook' AND client_id = $2",
            args![organization, client_id],
        )
        .await?;
    }
    Ok(())
}

/// Drops the pending deliveries of a webhook and the payloads that nobody else waits for.
pub(crate) async fn drop_deliveries(tx: &mut Tx, organization: OrganizationId, webhook: &str) -> Result<()> {
    tx.run(
        "DELETE FROM event_payloads WHERE organization_id = $1 AND event_id IN (SELECT event_id \
         FROM webhook_deliveries WHERE organization_id = $1 AND webhook_id = $2) AND NOT EXISTS (SELECT 1 \
         FROM webhook_deliveries d WHERE d.organization_id = $1 AND d.event_id = event_payloads.event_id \
         AND d.webhook_id <> $2)",
        args![organization, webhook],
    )
    .await?;
    tx.run(
        "DELETE FROM webhook_deliveries WHERE organization_id = $1 AND webhook_id = $2",
        args![organization, webhook],
    )
    .await?;
    Ok(())
}

/// The webhook's `client_id` and whether it exists, for its removal.
pub(super) async fn remove_owned(tx: &mut Tx, webhook: &Webhook) -> Result<()> {
    let (id, client_id): (&WebhookId, _) = (&webhook.webhook_id, webhook.client_id.as_deref());
    remove(tx, webhook.organization_id, id.as_str(), client_id).await
}
