// Runs a podmail binary on loopback with a folder and a database of its own.

import { execFileSync, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Milliseconds after which something that should happen did not. */
export const DEADLINE = 60_000;

let passed = 0;
let failed = 0;

/** Runs `body`; the program goes on when it fails. */
export async function test(name, body) {
    try {
        await body();
        passed += 1;
        console.log(`ok      ${name}`);
    } catch (error) {
        failed += 1;
        console.log(`FAILED  ${name}\n${error.stack}`);
    }
}

export const failures = () => failed;

/** Says how many tests passed; the program's exit code tells whether all did. */
export function finish() {
    console.log(`${passed} passed, ${failed} failed`);
    process.exitCode = failed ? 1 : 0;
}

/** A name that nothing else has. */
export const unique = (prefix) => `${prefix}-${randomBytes(4).toString("hex")}`;

/** A name server that knows no name at all, so that no question leaves this machine. */
async function emptyDns() {
    const socket = createSocket("udp4");
    socket.on("message", (query, client) => {
        if (query.length < 17) return;
        const question = query.subarray(12, query.indexOf(0, 12) + 5);
        // A response without recursion (RFC 1035 section 4.1.1): NXDOMAIN, the question, no records.
        const header = Buffer.from([query[0], query[1], 0x80 | (query[2] & 0x79), 0x83, 0, 1, 0, 0, 0, 0, 0, 0]);
        socket.send(Buffer.concat([header, question]), client.port, client.address);
    });
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    return { address: `127.0.0.1:${socket.address().port}`, close: () => socket.close() };
}

/** Starts `binary` and answers when it serves: its URL, the first key, and how to stop it. */
export async function start(binary, engine, domain) {
    const folder = mkdtempSync(join(tmpdir(), "podmail-conformance-"));
    const dns = await emptyDns();
    const database = engine === "postgres" ? createDatabase() : undefined;
    const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PODMAIL|AGENTMAIL)_/.test(name)));
    Object.assign(environment, {
        PODMAIL_DATA_DIR: join(folder, "data"), PODMAIL_DOMAIN: domain, PODMAIL_OUTBOUND: "capture",
        PODMAIL_HTTP: "127.0.0.1:0", PODMAIL_SMTP: "127.0.0.1:0", PODMAIL_SUBMISSION: "off", PODMAIL_SUBMISSIONS: "off",
        PODMAIL_IMAP: "off", PODMAIL_IMAPS: "off", PODMAIL_DOMAINS_CHECK_INTERVAL: "off",
        PODMAIL_DNS: dns.address,
    });
    if (database) environment.PODMAIL_DATABASE_URL = database.url;
    const server = spawn(binary, ["dev"], { env: environment, cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    const exited = new Promise((resolve) => server.once("exit", resolve));
    let log = "";
    server.stderr.on("data", (chunk) => { log = (log + chunk).slice(-20_000); });
    const stop = async () => {
        server.kill("SIGTERM");
        const timer = setTimeout(() => server.kill("SIGKILL"), DEADLINE);
        await exited;
        clearTimeout(timer);
        dns.close();
        database?.drop();
        rmSync(folder, { recursive: true, force: true });
    };
    try {
        await new Promise((resolve, reject) => {
            const timer = setTimeout(() => reject(new Error(`the server did not get ready:\n${log}`)), DEADLINE);
            createInterface({ input: server.stdout }).on("line", (line) => {
                if (line.startsWith("ready ")) { clearTimeout(timer); resolve(); }
            });
            exited.then((code) => { clearTimeout(timer); reject(new Error(`the server ended with ${code}:\n${log}`)); });
        });
        const listening = JSON.parse(readFileSync(join(folder, "data", "listening.json"), "utf8"));
        const apiKey = readFileSync(join(folder, "data", "bootstrap-key"), "utf8").trim();
        return { url: `http://${listening.http}`, apiKey, stop, log: () => log };
    } catch (error) {
        await stop();
        throw error;
    }
}

function createDatabase() {
    const admin = process.env.PODMAIL_TEST_POSTGRES;
    if (!admin) throw new Error("PODMAIL_TEST_POSTGRES is not set");
    const name = `conformance_${randomBytes(8).toString("hex")}`;
    const psql = (statement) =>
        execFileSync("psql", ["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-c", statement, admin], { timeout: DEADLINE });
    psql(`CREATE DATABASE ${name}`);
    return {
        url: `${admin.slice(0, admin.lastIndexOf("/"))}/${name}`,
        drop: () => psql(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
    };
}
