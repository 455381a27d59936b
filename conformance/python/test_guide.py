"""The published guide works for every tenant, not only for the first."""

from __future__ import annotations

import pytest
from agentmail.core.api_error import ApiError

import guide
import mailer

TENANTS = ["acme", "globex", "initech"]


@pytest.fixture(scope="module")
def tenants(client, webhooks):
    return {name: guide.onboard(client, name, webhooks.url("")) for name in TENANTS}


def test_every_tenant_gets_a_support_inbox_of_its_own(tenants, server):
    assert [tenant.inbox.inbox_id for tenant in tenants.values()] == [
        f"support@{server.domain}", f"support@tenant-globex.{server.domain}", f"support@tenant-initech.{server.domain}",
    ]
    for name, tenant in tenants.items():
        assert tenant.inbox.pod_id == tenant.pod.pod_id
        assert tenant.inbox.display_name == f"{name} Support"
        assert (tenant.domain.domain_id, tenant.domain.pod_id) == (f"{name}.example", tenant.pod.pod_id)


def test_a_domain_lists_the_records_to_publish(tenants):
    for name, tenant in tenants.items():
        records = [(record.type, record.name) for record in tenant.domain.records]
        selector = tenant.domain.records[1].name.split(".")[0]
        assert records == [
            ("MX", f"{name}.example"), ("TXT", f"{selector}._domainkey.{name}.example"), ("TXT", f"mail.{name}.example"),
            ("MX", f"mail.{name}.example"), ("TXT", f"_dmarc.{name}.example"),
        ]


def test_keys_are_listed_at_their_level_and_never_show_their_secret(tenants, client):
    for tenant in tenants.values():
        listed = client.pods.api_keys.list(tenant.pod.pod_id).api_keys
        assert [(key.api_key_id, key.type, key.pod_id) for key in listed] == [
            (tenant.pod_key.api_key_id, "bearer", tenant.pod.pod_id)
        ]
        listed += client.inboxes.api_keys.list(tenant.inbox.inbox_id).api_keys
        assert [key.api_key_id for key in listed[1:]] == [tenant.inbox_key.api_key_id]
        assert listed[1].inbox_id == tenant.inbox.inbox_id
        for key, made in zip(listed, (tenant.pod_key, tenant.inbox_key), strict=True):
            assert key.updated_at is not None and key.prefix == made.api_key[:12]
            assert not hasattr(key, "api_key")


def test_a_key_sees_its_own_tenant_only(tenants, server):
    for tenant in tenants.values():
        for key, scope in ((tenant.pod_key, "pod"), (tenant.inbox_key, "inbox")):
            scoped = server.client(key.api_key)
            me = scoped.auth.me()
            assert (me.scope_type, me.pod_id) == (scope, tenant.pod.pod_id)
            assert [inbox.inbox_id for inbox in scoped.inboxes.list().inboxes] == [tenant.inbox.inbox_id]


def test_mail_for_each_tenant_reaches_both_of_its_webhooks_and_no_other(tenants, server, webhooks):
    for name, tenant in tenants.items():
        sent = mailer.send(server, tenant.inbox.inbox_id, subject=f"For {name}").ok()
        for level, hook in (("pod", tenant.pod_webhook), ("inbox", tenant.inbox_webhook)):
            (post,) = webhooks.wait_for(f"/{name}/{level}", 1)
            event = post.verify(hook.secret)
            assert event["message"]["message_id"] == sent.message_id
            assert event["message"]["inbox_id"] == tenant.inbox.inbox_id
    assert len(webhooks.posts) == 2 * len(TENANTS)


def test_a_mail_of_each_tenant_leaves_with_its_own_address(tenants, server, network):
    for name, tenant in tenants.items():
        address = f"buyer@{name}.client.example"
        server.client(tenant.inbox_key.api_key).inboxes.messages.send(
            tenant.inbox.inbox_id, to=address, subject="Offer", text="Here it is."
        )
        (mail,) = network.wait_for(address)
        assert f"<{tenant.inbox.inbox_id}>".encode() in mail.data


def test_deleted_keys_stop_working_and_their_tenants_stay(tenants, client, server):
    for tenant in tenants.values():
        guide.drop_keys(client, tenant)
        assert client.pods.api_keys.list(tenant.pod.pod_id).api_keys == []
        assert client.inboxes.api_keys.list(tenant.inbox.inbox_id).api_keys == []
        for key in (tenant.pod_key, tenant.inbox_key):
            with pytest.raises(ApiError) as refused:
                server.client(key.api_key).auth.me()
            assert (refused.value.status_code, refused.value.body["code"]) == (401, "unknown_api_key")
        assert client.pods.inboxes.get(tenant.pod.pod_id, tenant.inbox.inbox_id).inbox_id == tenant.inbox.inbox_id
