"""The published multi-tenancy guide, as somebody would paste it, for one tenant after the other.

No `client_id` on the inbox and the same user name for everybody: the guide does not think of conflicts.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentmail import AgentMail, CreateBearerApiKeyRequest
from agentmail.api_keys import CreateApiKeyResponse
from agentmail.domains import Domain
from agentmail.inboxes import Inbox
from agentmail.pods import Pod
from agentmail.webhooks import Webhook


@dataclass
class Tenant:
    """What the guide makes for one customer."""

    pod: Pod
    inbox: Inbox
    domain: Domain
    pod_key: CreateApiKeyResponse
    inbox_key: CreateApiKeyResponse
    pod_webhook: Webhook
    inbox_webhook: Webhook


def onboard(client: AgentMail, tenant_id: str, webhook_url: str) -> Tenant:
    """Everything that a new customer gets."""
    pod = client.pods.create(name=f"Customer {tenant_id}", client_id=f"tenant-{tenant_id}")
    inbox = client.pods.inboxes.create(pod.pod_id, username="support", display_name=f"{tenant_id} Support")
    domain = client.pods.domains.create(pod.pod_id, domain=f"{tenant_id}.example")
    pod_key = client.pods.api_keys.create(pod.pod_id, request=CreateBearerApiKeyRequest(name=f"{tenant_id} pod"))
    inbox_key = client.inboxes.api_keys.create(
        inbox.inbox_id, request=CreateBearerApiKeyRequest(name=f"{tenant_id} inbox")
    )
    pod_webhook = client.webhooks.create(
        url=f"{webhook_url}/{tenant_id}/pod", event_types=["message.received"], pod_ids=[pod.pod_id]
    )
    inbox_webhook = client.webhooks.create(
        url=f"{webhook_url}/{tenant_id}/inbox", event_types=["message.received"], inbox_ids=[inbox.inbox_id]
    )
    return Tenant(pod, inbox, domain, pod_key, inbox_key, pod_webhook, inbox_webhook)


def drop_keys(client: AgentMail, tenant: Tenant) -> None:
    """Takes both keys away again."""
    client.pods.api_keys.delete(tenant.pod.pod_id, tenant.pod_key.api_key_id)
    client.inboxes.api_keys.delete(tenant.inbox.inbox_id, tenant.inbox_key.api_key_id)
