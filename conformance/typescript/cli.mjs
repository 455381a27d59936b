// The official command line tool against a server: what it prints is parsed, what it refuses is an exit code.
//
//   node cli.mjs BINARY sqlite|postgres

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { DEADLINE, failures, finish, start, test, unique } from "./harness.mjs";

// The registry has it for Linux on x86-64 in the pinned version; elsewhere npm leaves it out.
const TOOL = fileURLToPath(new URL("node_modules/agentmail-cli-linux-x64/agentmail", import.meta.url));
const TO = "x@client.example";
const [binary, engine] = process.argv.slice(2);

if (!existsSync(TOOL)) {
    console.log("skipped: the command line tool is not published for this system");
    process.exit(0);
}

const server = await start(binary, engine, "mail.podmail.example");

/** Runs the tool and answers its exit code and both outputs. */
async function run(apiKey, ...words) {
    const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PODMAIL|AGENTMAIL)_/.test(name)));
    Object.assign(environment, { AGENTMAIL_BASE_URL: server.url, AGENTMAIL_API_KEY: apiKey });
    const tool = spawn(TOOL, words, { env: environment, stdio: ["ignore", "pipe", "pipe"], timeout: DEADLINE });
    const read = async (stream) => Buffer.concat(await stream.toArray()).toString();
    const [out, err, code] = await Promise.all([
        read(tool.stdout), read(tool.stderr), new Promise((resolve) => tool.once("close", resolve)),
    ]);
    return { code, out, err };
}

/** What a command that succeeds prints; commands without an answer may print nothing. */
async function cli(...words) {
    const { code, out, err } = await run(server.apiKey, ...words);
    assert.equal(code, 0, `${words.join(" ")}\n${out}${err}`);
    return out.trim() ? JSON.parse(out) : undefined;
}

/** A command that the server refuses with this status and code. */
async function refused(status, word, ...words) {
    const { code, out, err } = await run(server.apiKey, ...words);
    assert.notEqual(code, 0, words.join(" "));
    assert.match(out + err, new RegExp(`${status}|${word}`), words.join(" "));
    assert.ok((out + err).includes(word), `${words.join(" ")}\n${out}${err}`);
}

/** Follows the tokens to the last page. */
async function pages(items, ...words) {
    const found = [];
    for (let token = ""; token !== undefined; ) {
        const page = await cli(...words, ...(token ? ["--page-token", token] : []));
        assert.equal(page.count, page[items].length);
        found.push(...page[items]);
        token = page.next_page_token;
    }
    return found;
}

try {
    const pod = (await cli("pods", "create", "--name", "Pod", "--client-id", unique("pod"))).pod_id;
    const box = (await cli("pods", "inboxes", "create", "--pod-id", pod, "--username", unique("box"))).inbox_id;
    const at = ["--inbox-id", box];

    await test("pods are made, read, listed and deleted", async () => {
        assert.equal((await cli("pods", "get", "--pod-id", pod)).name, "Pod");
        const other = (await cli("pods", "create", "--name", "Other")).pod_id;
        const listed = (await pages("pods", "pods", "list", "--limit", "1")).map((item) => item.pod_id);
        assert.ok(listed.includes(pod) && listed.includes(other));
        await cli("pods", "delete", "--pod-id", other);
        await refused(404, "not_found", "pods", "get", "--pod-id", other);
    });
    await test("inboxes are made, read, changed, found, listed and deleted", async () => {
        const username = unique("agent");
        const made = await cli("inboxes", "create", "--username", username, "--display-name", "Ann");
        assert.deepEqual([made.inbox_id, made.display_name], [`${username}@mail.podmail.example`, "Ann"]);
        const listed = (await pages("inboxes", "inboxes", "list", "--limit", "1")).map((item) => item.inbox_id);
        assert.ok(listed.includes(made.inbox_id) && listed.includes(box));
        const changed = await cli("inboxes", "update", "--inbox-id", made.inbox_id, "--display-name", "Eve");
        assert.equal(changed.display_name, "Eve");
        assert.deepEqual(await cli("inboxes", "get", "--inbox-id", made.inbox_id), changed);
        const found = await cli("inboxes", "search", "--q", username);
        assert.deepEqual(found.inboxes.map((item) => item.inbox_id), [made.inbox_id]);
        await cli("inboxes", "delete", "--inbox-id", made.inbox_id);
        await refused(404, "not_found", "inboxes", "get", "--inbox-id", made.inbox_id);
    });
    await test("messages are sent, answered, read, listed and labelled", async () => {
        const sent = await cli(
            "inboxes", "messages", "send", ...at, "--to", TO, "--subject", "Grüße", "--text", "Hé", "--html", "<p>Hé</p>",
        );
        const which = [...at, "--message-id", sent.message_id];
        const message = await cli("inboxes", "messages", "get", ...which);
        assert.deepEqual([message.subject, message.text, message.html, message.from], ["Grüße", "Hé", "<p>Hé</p>", box]);
        assert.deepEqual([message.to, message.thread_id], [[TO], sent.thread_id]);
        const reply = await cli("inboxes", "messages", "reply", ...which, "--text", "More");
        const everyone = await cli("inboxes", "messages", "reply-all", ...which, "--text", "All");
        const forward = await cli("inboxes", "messages", "forward", ...which, "--to", "y@client.example");
        const all = [sent, reply, everyone, forward];
        assert.deepEqual(new Set(all.map((answer) => answer.thread_id)), new Set([sent.thread_id]));
        const listed = await pages("messages", "inboxes", "messages", "list", ...at, "--limit", "3");
        assert.deepEqual(listed.map((item) => item.message_id).sort(), all.map((answer) => answer.message_id).sort());
        const changed = await cli("inboxes", "messages", "update", ...which, "--add-labels", "vip");
        assert.ok(changed.labels.includes("vip"));
        const found = await pages("messages", "inboxes", "messages", "search", ...at, "--q", "grüße", "--limit", "1");
        assert.ok(found.some((item) => item.message_id === sent.message_id));
        const raw = await cli("inboxes", "messages", "get-raw", ...which);
        assert.match(await (await fetch(raw.download_url)).text(), /\r\nMIME-Version: 1\.0\r\n/i);
        const history = await pages("events", "inboxes", "events", "list", ...at, "--limit", "2");
        assert.equal(history.filter((event) => event.label === "vip").length, 1);
        await refused(404, "not_found", "inboxes", "messages", "get", ...at, "--message-id", "<no@where>");
        await refused(400, "validation_error", "inboxes", "messages", "send", ...at, "--text", "x");
    });
    await test("drafts are made, changed, read, listed, sent and deleted", async () => {
        const made = await cli("inboxes", "drafts", "create", ...at, "--to", TO, "--subject", "D", "--text", "first");
        const which = [...at, "--draft-id", made.draft_id];
        const changed = await cli("inboxes", "drafts", "update", ...which, "--text", "second");
        assert.deepEqual([changed.subject, changed.text], ["D", "second"]);
        assert.deepEqual(await cli("drafts", "get", "--draft-id", made.draft_id), changed);
        const other = await cli("inboxes", "drafts", "create", ...at, "--to", TO);
        const listed = (await pages("drafts", "inboxes", "drafts", "list", ...at, "--limit", "1")).map((item) => item.draft_id);
        assert.deepEqual(listed.sort(), [made.draft_id, other.draft_id].sort());
        const sent = await cli("inboxes", "drafts", "send", ...which);
        assert.equal((await cli("inboxes", "messages", "get", ...at, "--message-id", sent.message_id)).text, "second");
        await cli("inboxes", "drafts", "delete", ...at, "--draft-id", other.draft_id);
        assert.equal((await cli("inboxes", "drafts", "list", ...at)).count, 0);
    });
    await test("threads are read, listed, labelled and deleted at every level", async () => {
        for (const level of [["threads"], ["pods", "threads"], ["inboxes", "threads"]]) {
            const scope = { pods: ["--pod-id", pod], inboxes: at }[level[0]] ?? [];
            const sent = await cli("inboxes", "messages", "send", ...at, "--to", TO, "--subject", "T", "--text", "x");
            const which = [...scope, "--thread-id", sent.thread_id];
            const thread = await cli(...level, "get", ...which);
            assert.deepEqual([thread.subject, thread.messages.length], ["T", 1]);
            const listed = await pages("threads", ...level, "list", ...scope, "--limit", "2");
            assert.ok(listed.some((item) => item.thread_id === sent.thread_id));
            assert.ok((await cli(...level, "update", ...which, "--add-labels", "done")).labels.includes("done"));
            await cli(...level, "delete", ...which);
            await refused(404, "not_found", ...level, "get", ...which);
        }
    });
    await test("domains, keys, lists and webhooks are made, listed and deleted", async () => {
        const domain = `${unique("d")}.example`;
        assert.equal((await cli("domains", "create", "--domain", domain)).domain_id, domain);
        assert.deepEqual((await pages("domains", "domains", "list")).map((item) => item.domain_id), [domain]);
        await cli("domains", "delete", "--domain-id", domain);
        const key = await cli("inboxes", "api-keys", "create", ...at, "--name", "narrow");
        const seen = await run(key.api_key, "inboxes", "list");
        assert.deepEqual(JSON.parse(seen.out).inboxes.map((item) => item.inbox_id), [box]);
        await cli("inboxes", "api-keys", "delete", ...at, "--api-key-id", key.api_key_id);
        assert.notEqual((await run(key.api_key, "inboxes", "list")).code, 0);
        const list = [...at, "--direction", "send", "--type", "block"];
        await cli("inboxes", "lists", "create", ...list, "--entry", "bad.example");
        assert.deepEqual((await pages("entries", "inboxes", "lists", "list", ...list)).map((item) => item.entry), ["bad.example"]);
        await refused(403, "message_rejected", "inboxes", "messages", "send", ...at, "--to", "a@bad.example", "--text", "x");
        await cli("inboxes", "lists", "delete", ...list, "--entry", "bad.example");
        const hook = await cli("webhooks", "create", "--url", "http://127.0.0.1:9/", "--event-types", "message.received");
        assert.deepEqual(hook.event_types, ["message.received"]);
        assert.deepEqual((await pages("webhooks", "webhooks", "list")).map((item) => item.webhook_id), [hook.webhook_id]);
        await cli("webhooks", "delete", "--webhook-id", hook.webhook_id);
    });
    await test("identity tells whose key it is", async () => {
        const me = await cli("auth", "me");
        assert.equal((await cli("organizations", "get")).organization_id, me.organization_id);
    });
    if (failures()) console.log(`the server's log:\n${server.log().split("\n").slice(-20).join("\n")}`);
} finally {
    await server.stop();
}
finish();
