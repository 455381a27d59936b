// Every operation of the areas that both this server and the TypeScript SDK have, at every level, with pages followed
// to their end, and every class of error. The last test tells which operations nobody called.
//
//   node coverage.mjs BINARY sqlite|postgres

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { AgentMail, AgentMailClient, AgentMailError } from "agentmail";
import { failures, finish, start, test, unique } from "./harness.mjs";

const FACTS = new URL("../../crates/api/tests/it/sdk/operations.jsonl", import.meta.url);
// Parts of the identifiers of operations that belong to other areas.
const ELSEWHERE = new Set(["accounts", "agent", "apps", "calendar", "files", "metrics"]);
const TO = "x@client.example";
const URL_OF_HOOK = "http://127.0.0.1:9/hook";
const RECEIVED = ["message.received"];
// The SDK repeats a 409 by itself.
const ONCE = { maxRetries: 0 };

/** What the SDK says when it cannot parse an answer goes to the console; here it is a failure. */
const warnings = [];
console.warn = (...parts) => warnings.push(parts.join(" "));

// Of two operations that match one path the more literal comes first.
const parameters = (path) => path.split("{").length;
const operations = readFileSync(FACTS, "utf8").trim().split("\n").map((line) => JSON.parse(line))
    .map((facts) => ({ ...facts, pattern: new RegExp(`^${facts.path.replace(/\{\w+\}/g, "[^/]+")}$`) }))
    .sort((a, b) => parameters(a.path) - parameters(b.path));
const called = new Set();

/** Notes the operation when its answer is a success. */
async function recordingFetch(url, options) {
    const answer = await fetch(url, options);
    if (answer.ok) {
        const path = new URL(url).pathname;
        const operation = operations.find(({ method, pattern }) => method === options.method && pattern.test(path));
        if (operation) called.add(operation.id);
    }
    return answer;
}

/** Follows the tokens to the last page, which has none. */
async function pages(list, items, options) {
    const found = [];
    const tokens = new Set();
    for (let token; ; ) {
        const page = await list({ ...options, pageToken: token });
        assert.equal(page.count, page[items].length);
        found.push(...page[items]);
        token = page.nextPageToken;
        if (token === undefined) return found;
        assert.ok(!tokens.has(token), "the pages go round in a circle");
        tokens.add(token);
    }
}

async function fails(kind, status, call) {
    await assert.rejects(call, (error) => {
        assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
        assert.equal(error.statusCode, status);
        assert.ok(error.body.name && error.body.message, JSON.stringify(error.body));
        return true;
    });
}
const isGone = (call) => fails(AgentMail.NotFoundError, 404, call);
const has = (all, some) => assert.deepEqual(some.filter((item) => !all.includes(item)), []);
const once = (all) => assert.equal(new Set(all).size, all.length);

async function download(url) {
    const answer = await fetch(url);
    assert.equal(answer.status, 200);
    return await answer.text();
}

const file = { filename: "a.txt", contentType: "text/plain", content: Buffer.from("hello").toString("base64") };
const [binary, engine] = process.argv.slice(2);
const server = await start(binary, engine, "mail.podmail.example");
try {
    const connect = (apiKey) => new AgentMailClient({ baseUrl: server.url, apiKey, fetch: recordingFetch });
    const client = connect(server.apiKey);
    const { paths } = await (await fetch(`${server.url}/openapi.json`)).json();
    const anonymous = (path) => path.replace(/\{\w+\}/g, "{}");
    const served = new Set(Object.entries(paths).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${anonymous(path)}`)));

    const pod = (await client.pods.create({ name: "Pod" })).podId;
    const box = (await client.pods.inboxes.create(pod, { username: unique("box") })).inboxId;
    /** The same clients at the levels of the organization, the pod and the inbox. */
    const levels = (area) => [
        [client[area], []], [client.pods[area], [pod]], ...(client.inboxes[area] ? [[client.inboxes[area], [box]]] : []),
    ];

    await test("identity tells whose key it is", async () => {
        const me = await client.auth.me();
        assert.equal((await client.organizations.get()).organizationId, me.organizationId);
    });
    await test("pods are made, read, listed and deleted", async () => {
        const made = [];
        for (const name of ["A", "B", "C"]) made.push((await client.pods.create({ name, clientId: unique("pod") })).podId);
        assert.equal((await client.pods.get(made[0])).name, "A");
        const listed = (await pages((o) => client.pods.list(o), "pods", { limit: 2 })).map((item) => item.podId);
        has(listed, made);
        once(listed);
        await client.pods.delete(made[0]);
        await isGone(() => client.pods.get(made[0]));
    });
    await test("keys are made, read, changed, listed and deleted at every level", async () => {
        for (const [keys, scope] of levels("apiKeys")) {
            const made = [];
            for (const name of ["a", "b", "c"]) made.push(await keys.create(...scope, { name, permissions: { inboxRead: true } }));
            const listed = (await pages((o) => keys.list(...scope, o), "apiKeys", { limit: 2 })).map((key) => key.apiKeyId);
            has(listed, made.map((key) => key.apiKeyId));
            once(listed);
            const [{ apiKeyId, apiKey }] = made;
            assert.equal((await client.apiKeys.get(apiKeyId)).name, "a");
            assert.equal((await keys.update(...scope, apiKeyId, { name: "renamed" })).name, "renamed");
            assert.equal((await connect(apiKey).inboxes.get(box)).inboxId, box);
            await fails(AgentMailError, 403, () => connect(apiKey).pods.create({ name: "x" }));
            await keys.delete(...scope, apiKeyId);
            await fails(AgentMailError, 401, () => connect(apiKey).inboxes.get(box));
        }
    });
    await test("domains are made, read, changed, listed, checked and deleted in both scopes", async () => {
        for (const [domains, scope] of levels("domains")) {
            const names = [1, 2, 3].map(() => `${unique("d")}.example`);
            for (const domain of names) assert.equal((await domains.create(...scope, { domain })).domainId, domain);
            const listed = (await pages((o) => domains.list(...scope, o), "domains", { limit: 2 })).map((item) => item.domainId);
            has(listed, names);
            once(listed);
            assert.equal((await domains.get(...scope, names[0])).status, "NOT_STARTED");
            const zone = await (await domains.getZoneFile(...scope, names[0])).arrayBuffer();
            assert.match(Buffer.from(zone).toString(), new RegExp(names[0]));
            assert.equal((await domains.update(...scope, names[0], { subdomainsEnabled: true })).subdomainsEnabled, true);
            await domains.verify(...scope, names[0]);
            assert.equal((await client.domains.getSetupLink(names[0])).supported, false);
            await domains.delete(...scope, names[0]);
            await isGone(() => domains.get(...scope, names[0]));
        }
    });
    await test("inboxes are made, read, changed, found, listed and deleted in both scopes", async () => {
        for (const [inboxes, scope] of [[client.inboxes, []], [client.pods.inboxes, [pod]]]) {
            const made = [];
            for (let n = 0; n < 3; n += 1) {
                const request = { username: unique("agent"), displayName: "Ann", metadata: { plan: "pro" } };
                made.push((await inboxes.create(...scope, request)).inboxId);
            }
            const listed = (await pages((o) => inboxes.list(...scope, o), "inboxes", { limit: 2 })).map((item) => item.inboxId);
            has(listed, made);
            once(listed);
            const q = made[1].split("@")[0];
            const found = await pages((o) => inboxes.search(...scope, { q, ...o }), "inboxes", { limit: 1 });
            has(found.map((item) => item.inboxId), [made[1]]);
            assert.equal((await inboxes.update(...scope, made[0], { displayName: "Eve" })).displayName, "Eve");
            assert.deepEqual((await inboxes.get(...scope, made[0])).metadata, { plan: "pro" });
            await inboxes.delete(...scope, made[0]);
            await isGone(() => inboxes.get(...scope, made[0]));
        }
    });
    await test("messages are sent, answered, read, listed, labelled and deleted", async () => {
        const { messages } = client.inboxes;
        const inbox = (await client.inboxes.create()).inboxId;
        const sent = await messages.send(inbox, { to: [TO], subject: "Plan", text: "Hé", attachments: [file] });
        const reply = await messages.reply(inbox, sent.messageId, { text: "one" });
        const everyone = await messages.replyAll(inbox, sent.messageId, { text: "two" });
        const forward = await messages.forward(inbox, sent.messageId, { to: ["y@client.example"], text: "three" });
        const ids = [sent, reply, everyone, forward].map((answer) => answer.messageId);
        const listed = (await pages((o) => messages.list(inbox, o), "messages", { limit: 3 })).map((item) => item.messageId);
        assert.deepEqual(listed.toSorted(), ids.toSorted());
        const message = await messages.get(inbox, ids[0]);
        assert.deepEqual([message.subject, message.text, message.from], ["Plan", "Hé", inbox]);
        assert.ok(message.timestamp instanceof Date);
        const found = await messages.getAttachment(inbox, ids[0], message.attachments[0].attachmentId);
        assert.equal(await download(found.downloadUrl), "hello");
        assert.match(await download((await messages.getRaw(inbox, ids[0])).downloadUrl), /\r\nSubject: Plan\r\n/);
        has((await messages.update(inbox, ids[0], { addLabels: ["vip"] })).labels, ["vip"]);
        const batch = await messages.batchUpdate(inbox, { messageIds: ids.slice(0, 2), addLabels: ["batch"] });
        assert.deepEqual(batch.updates.map((update) => update.messageId), ids.slice(0, 2));
        const both = await messages.batchGet(inbox, { messageIds: [ids[1], "<no@where>", ids[0]] });
        assert.deepEqual(both.messages.map((item) => item.messageId), [ids[1], ids[0]]);
        const history = await pages((o) => client.inboxes.events.list(inbox, o), "events", { limit: 2 });
        assert.deepEqual(history.filter((event) => event.label === "vip").map((event) => event.eventType), ["label.added"]);
        await messages.delete(inbox, ids[3]);
        await isGone(() => messages.get(inbox, ids[3]));
    });
    await test("threads are read, listed, labelled and deleted at every level", async () => {
        for (const [threads, scope] of levels("threads")) {
            const sent = [];
            for (const subject of ["A", "B", "C"]) {
                sent.push((await client.inboxes.messages.send(box, { to: [TO], subject, attachments: [file] })).threadId);
            }
            const listed = (await pages((o) => threads.list(...scope, o), "threads", { limit: 2 })).map((item) => item.threadId);
            has(listed, sent);
            once(listed);
            const thread = await threads.get(...scope, sent[0]);
            assert.equal(thread.messages.length, 1);
            const found = await threads.getAttachment(...scope, sent[0], thread.attachments[0].attachmentId);
            assert.equal(await download(found.downloadUrl), "hello");
            has((await threads.update(...scope, sent[0], { addLabels: ["done"] })).labels, ["done"]);
            await threads.delete(...scope, sent[0]);
            await isGone(() => threads.get(...scope, sent[0]));
        }
    });
    await test("drafts are made, changed, read, listed, sent and deleted", async () => {
        const { drafts } = client.inboxes;
        const ids = [];
        for (const subject of ["A", "B", "C"]) {
            ids.push((await drafts.create(box, { to: [TO], subject, attachments: [file] })).draftId);
        }
        const changed = await drafts.update(box, ids[0], { text: "second" });
        for (const [level, scope] of levels("drafts")) {
            const listed = (await pages((o) => level.list(...scope, o), "drafts", { limit: 2 })).map((item) => item.draftId);
            has(listed, ids);
            once(listed);
            assert.deepEqual(await level.get(...scope, ids[0]), changed);
            const found = await level.getAttachment(...scope, ids[0], changed.attachments[0].attachmentId);
            assert.equal(await download(found.downloadUrl), "hello");
        }
        const { messageId } = await drafts.send(box, ids[0], {});
        assert.equal((await client.inboxes.messages.get(box, messageId)).text, "second");
        await drafts.delete(box, ids[1]);
        await isGone(() => drafts.get(box, ids[1]));
    });
    await test("messages and threads are found by their words at every level", async () => {
        const q = unique("zanzibar").replace("-", "");
        const sent = [];
        for (const subject of ["A", "B", "C"]) {
            sent.push(await client.inboxes.messages.send(box, { to: [TO], subject, text: `All about ${q}` }));
        }
        const found = await pages((o) => client.inboxes.messages.search(box, { q, ...o }), "messages", { limit: 2 });
        assert.deepEqual(found.map((item) => item.messageId).toSorted(), sent.map((item) => item.messageId).toSorted());
        for (const [threads, scope] of levels("threads")) {
            const of = await pages((o) => threads.search(...scope, { q, ...o }), "threads", { limit: 2 });
            assert.deepEqual(of.map((item) => item.threadId).toSorted(), sent.map((item) => item.threadId).toSorted());
        }
    });
    await test("entries of lists are kept, read, listed and removed at every level", async () => {
        for (const [lists, scope] of levels("lists")) {
            const names = [1, 2, 3].map(() => `${unique("a")}.example`);
            for (const entry of names) assert.equal((await lists.create(...scope, "send", "block", { entry })).entry, entry);
            const listed = await pages((o) => lists.list(...scope, "send", "block", o), "entries", { limit: 2 });
            has(listed.map((item) => item.entry), names);
            for (const name of names) {
                assert.equal((await lists.get(...scope, "send", "block", name)).entryType, "domain");
                await lists.delete(...scope, "send", "block", name);
                await isGone(() => lists.get(...scope, "send", "block", name));
            }
        }
    });
    await test("webhooks are made, read, changed, listed and deleted at every level", async () => {
        for (const [hooks, scope] of levels("webhooks")) {
            const ids = [];
            for (let n = 0; n < 3; n += 1) {
                const request = { url: `${URL_OF_HOOK}/${n}`, eventTypes: RECEIVED, headers: { "X-A": "1" } };
                ids.push((await hooks.create(...scope, request)).webhookId);
            }
            const listed = (await pages((o) => hooks.list(...scope, o), "webhooks", { limit: 2 })).map((item) => item.webhookId);
            has(listed, ids);
            once(listed);
            const changed = await hooks.update(...scope, ids[0], { eventTypes: ["message.sent"] });
            assert.deepEqual(changed.eventTypes, ["message.sent"]);
            assert.equal((await hooks.get(...scope, ids[0])).url, `${URL_OF_HOOK}/0`);
            await hooks.updateHeaders(...scope, ids[0], { headers: { "X-B": "2" } });
            assert.deepEqual((await hooks.getHeaders(...scope, ids[0])).headerNames.toSorted(), ["X-A", "X-B"]);
            await hooks.delete(...scope, ids[0]);
            await isGone(() => hooks.get(...scope, ids[0]));
        }
    });
    await test("every class of error is raised", async () => {
        const { messages } = client.inboxes;
        await fails(AgentMail.ValidationError, 400, () => client.inboxes.create({ username: "a b" }));
        await isGone(() => client.threads.get("absent"));
        const idempotencyKey = unique("key");
        await messages.send(box, { to: [TO], text: "first" }, { idempotencyKey });
        const other = () => messages.send(box, { to: [TO], text: "other" }, { idempotencyKey, ...ONCE });
        await fails(AgentMail.ConflictError, 409, other);
        const { messageId } = await messages.send(box, { to: [TO], text: "again" });
        const { draftId } = await client.inboxes.drafts.create(box, { forwardOf: messageId });
        // The SDK knows no 422 of this call; the one of `verify` is a class of its own.
        await fails(AgentMailError, 422, () => client.inboxes.drafts.send(box, draftId, {}));
        await client.inboxes.lists.create(box, "send", "block", { entry: TO });
        await fails(AgentMail.MessageRejectedError, 403, () => messages.send(box, { to: [TO], text: "x" }));
    });
    await test("every operation of these areas was called", () => {
        const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
        const known = (id) => typeof id.split(".").reduce((part, name) => part?.[camel(name)], client) === "function";
        const required = operations.filter(({ id, method, path }) =>
            !id.split(".").some((part) => ELSEWHERE.has(part)) && served.has(`${method} ${anonymous(path)}`) && known(id));
        assert.ok(required.length > 115, `${required.length}`);
        assert.deepEqual(required.map(({ id }) => id).filter((id) => !called.has(id)), []);
    });
    await test("the SDK had nothing to complain about", () => assert.deepEqual(warnings, []));
    if (failures()) console.log(`the server's log:\n${server.log().split("\n").slice(-20).join("\n")}`);
} finally {
    await server.stop();
}
finish();
