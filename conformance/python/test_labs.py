"""Labs and one-click DNS setup through the official SDK."""

from __future__ import annotations

import pytest
from agentmail import CreateBearerApiKeyRequest
from agentmail.api_keys import ApiKeyPermissions
from agentmail.errors import ConflictError, NotFoundError
from agentmail.organizations import OrganizationForbiddenError

from harness import Server, unique


# extras.md checks 1, 2
def test_an_organization_joins_once_and_only_with_an_unrestricted_key_of_its_own(client, server):
    organization = client.auth.me().organization_id
    before = client.organizations.get_labs()
    assert (before.enabled, before.enabled_at, before.available) == (False, None, True)
    keys = [
        client.pods.api_keys.create(organization, request=CreateBearerApiKeyRequest(name="pod")),
        client.api_keys.create(
            request=CreateBearerApiKeyRequest(permissions=ApiKeyPermissions(inbox_read=True))
        ),
    ]
    for key in keys:
        with pytest.raises(OrganizationForbiddenError):
            server.client(key.api_key).organizations.join_labs()
    assert client.organizations.get_labs() == before

    joined = client.organizations.join_labs()
    assert joined.enabled and joined.enabled_at is not None
    assert client.organizations.join_labs() == joined == client.organizations.get_labs()


# extras.md check 3
def test_where_labs_is_not_offered_a_join_is_forbidden_and_get_still_answers(network):
    with Server(outbound=network.route, settings={"LABS_AVAILABLE": "false"}) as server:
        client = server.client()
        with pytest.raises(OrganizationForbiddenError):
            client.organizations.join_labs()
        labs = client.organizations.get_labs()
        assert (labs.enabled, labs.available) == (False, False)


# extras.md check 4
def test_a_fresh_installation_has_no_setup_link_and_says_so(client, server):
    domain = client.domains.create(domain=f"{unique('acme')}.example").domain_id
    link = client.domains.get_setup_link(domain)
    assert (link.supported, link.url) == (False, None)
    with pytest.raises(NotFoundError):
        client.domains.get_setup_link("nobodys.example")
    server.verify_domain(domain)
    with pytest.raises(ConflictError):
        client.domains.get_setup_link(domain)


# extras.md section 1
def test_the_operators_word_on_labs_counts_while_the_server_runs(client, server):
    organization = client.auth.me().organization_id
    for word, enabled in (("off", False), ("on", True), ("off", False)):
        server.cli("org", "set", organization, "--labs", word)
        labs = client.organizations.get_labs()
        assert (labs.enabled, labs.enabled_at is not None) == (enabled, enabled)
    client.organizations.join_labs()
    assert client.organizations.get_labs().enabled, "who was taken out may join again"
