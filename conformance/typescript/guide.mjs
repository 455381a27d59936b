// The published multi-tenancy guide with the TypeScript SDK, for three tenants one after the other: pod, inbox, domain,
// both kinds of keys and webhooks; and whether the SDK understands every key that the server lists.
//
//   node guide.mjs BINARY sqlite|postgres

import assert from "node:assert/strict";
import { AgentMailClient, AgentMailError } from "agentmail";
import { failures, finish, start, test } from "./harness.mjs";

const DOMAIN = "mail.podmail.example";
const TENANTS = ["acme", "globex", "initech"];
const [binary, engine] = process.argv.slice(2);

/** What the SDK says when it cannot parse an answer goes to the console; here it is a failure. */
const warnings = [];
console.warn = (...parts) => warnings.push(parts.join(" "));

async function onboard(client, tenant) {
    const pod = await client.pods.create({ name: `Customer ${tenant}`, clientId: `tenant-${tenant}` });
    const inbox = await client.pods.inboxes.create(pod.podId, { username: "support", displayName: `${tenant} Support` });
    const domain = await client.pods.domains.create(pod.podId, { domain: `${tenant}.example` });
    const podKey = await client.pods.apiKeys.create(pod.podId, { name: `${tenant} pod` });
    const inboxKey = await client.inboxes.apiKeys.create(inbox.inboxId, { name: `${tenant} inbox` });
    const url = `http://127.0.0.1:9/${tenant}`;
    const podHook = await client.webhooks.create({ url, eventTypes: ["message.received"], podIds: [pod.podId] });
    const inboxHook = await client.webhooks.create({ url, eventTypes: ["message.received"], inboxIds: [inbox.inboxId] });
    return { pod, inbox, domain, podKey, inboxKey, podHook, inboxHook };
}

/** Every member that tells the variants of the union apart, under the names that the SDK gives them. */
function parsed(key) {
    assert.equal(key.type, "bearer");
    assert.ok(key.apiKeyId && key.name && key.prefix, JSON.stringify(key));
    assert.ok(key.createdAt instanceof Date && key.updatedAt instanceof Date, JSON.stringify(key));
    assert.equal(key.apiKey, undefined);
    return key;
}

const server = await start(binary, engine, DOMAIN);
try {
    const client = new AgentMailClient({ baseUrl: server.url, apiKey: server.apiKey });
    const scoped = (key) => new AgentMailClient({ baseUrl: server.url, apiKey: key.apiKey });
    const made = {};

    for (const [number, tenant] of TENANTS.entries()) {
        await test(`the guide works for ${tenant}`, async () => {
            made[tenant] = await onboard(client, tenant);
            const { pod, inbox, domain, podHook, inboxHook } = made[tenant];
            assert.equal(inbox.inboxId, number === 0 ? `support@${DOMAIN}` : `support@tenant-${tenant}.${DOMAIN}`);
            assert.equal(inbox.podId, pod.podId);
            assert.equal(domain.domainId, `${tenant}.example`);
            assert.equal(domain.records.length, 5);
            assert.deepEqual([podHook.podIds, inboxHook.inboxIds], [[pod.podId], [inbox.inboxId]]);
            assert.match(podHook.secret, /^whsec_/);
        });
        await test(`created keys of ${tenant} carry their secret and their scope`, async () => {
            const { pod, inbox, podKey, inboxKey } = made[tenant];
            for (const key of [podKey, inboxKey]) {
                assert.ok(key.apiKey.startsWith("am_us_") && key.prefix === key.apiKey.slice(0, 12));
                assert.equal(key.podId, pod.podId);
                assert.ok(key.createdAt instanceof Date);
            }
            assert.equal(inboxKey.inboxId, inbox.inboxId);
        });
        await test(`listed keys of ${tenant} are parsed at every level`, async () => {
            const { pod, inbox, podKey, inboxKey } = made[tenant];
            const ofPod = (await client.pods.apiKeys.list(pod.podId)).apiKeys;
            const ofInbox = (await client.inboxes.apiKeys.list(inbox.inboxId)).apiKeys;
            assert.deepEqual([...ofPod, ...ofInbox].map((key) => parsed(key).apiKeyId), [podKey.apiKeyId, inboxKey.apiKeyId]);
            assert.equal(ofInbox[0].inboxId, inbox.inboxId);
            const all = (await client.apiKeys.list()).apiKeys;
            assert.equal(all.length, 1 + 2 * (number + 1));
            all.forEach(parsed);
        });
        await test(`single keys of ${tenant} are parsed`, async () => {
            for (const { apiKeyId, name } of [made[tenant].podKey, made[tenant].inboxKey]) {
                const key = parsed(await client.apiKeys.get(apiKeyId));
                assert.deepEqual([key.apiKeyId, key.name], [apiKeyId, name]);
            }
        });
        await test(`keys of ${tenant} see their own inbox only`, async () => {
            for (const key of [made[tenant].podKey, made[tenant].inboxKey]) {
                const { inboxes } = await scoped(key).inboxes.list();
                assert.deepEqual(inboxes.map((inbox) => inbox.inboxId), [made[tenant].inbox.inboxId]);
            }
        });
        await test(`a mail of ${tenant} is sent, listed and answered`, async () => {
            const agent = scoped(made[tenant].inboxKey);
            const { inboxId } = made[tenant].inbox;
            const sent = await agent.inboxes.messages.send(inboxId, { to: ["x@client.example"], subject: "Grüße", text: "Hé" });
            const message = await agent.inboxes.messages.get(inboxId, sent.messageId);
            assert.deepEqual([message.subject, message.text, message.from], ["Grüße", "Hé", `${tenant} Support <${inboxId}>`]);
            const reply = await agent.inboxes.messages.reply(inboxId, sent.messageId, { text: "More" });
            assert.equal(reply.threadId, sent.threadId);
            const { messages } = await agent.inboxes.messages.list(inboxId, { labels: ["sent"] });
            assert.equal(messages.length, 2);
        });
    }
    await test("a tenant gets NotFoundError for what belongs to another", async () => {
        const acme = scoped(made.acme.podKey);
        for (const call of [
            () => acme.inboxes.get(made.globex.inbox.inboxId),
            () => acme.pods.get(made.globex.pod.podId),
            () => acme.webhooks.get(made.globex.podHook.webhookId),
        ]) {
            await assert.rejects(call, (error) => error instanceof AgentMailError && error.statusCode === 404);
        }
    });
    await test("both kinds of keys can be deleted and stop working", async () => {
        for (const { pod, inbox, podKey, inboxKey } of Object.values(made)) {
            await client.pods.apiKeys.delete(pod.podId, podKey.apiKeyId);
            await client.inboxes.apiKeys.delete(inbox.inboxId, inboxKey.apiKeyId);
            for (const key of [podKey, inboxKey]) {
                await assert.rejects(() => scoped(key).inboxes.list(), (error) => error.statusCode === 401);
            }
        }
        assert.equal((await client.apiKeys.list()).apiKeys.length, 1);
    });
    await test("the SDK had nothing to complain about", () => assert.deepEqual(warnings, []));
    if (failures()) console.log(`the server's log:\n${server.log().split("\n").slice(-20).join("\n")}`);
} finally {
    await server.stop();
}
finish();
