//! Durable before acknowledged, as the kernel sees it: what a power failure right after a reply would leave.
//!
//! The server runs under `strace` on SQLite, one request at a time and each one only when background work has come to
//! rest, so that what is written between a request and its reply is the request's own. Then the trace is read: between
//! the two stands a write to the log (WAL) of the database, and an fsync of the log stands after it, completed before the
//! reply is handed to the kernel. For a message too large for the database the same holds for its file and its folder.

mod trace;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use podmail_bench::http::escape;
use podmail_bench::mail::{noise, words};
use podmail_bench::random::Random;
use podmail_bench::server::Server;
use podmail_bench::smtp::{Envelope, Session};
use podmail_bench::world::text;
use serde_json::json;

use crate::options;
use trace::{Call, parse};

/// What is traced. Names with `?` do not exist on every architecture.
const CALLS: &str = "trace=fsync,fdatasync,sendto,sendmsg,write,writev,pwrite64,pwritev,recvfrom,\
                     ?rename,?renameat,?renameat2,?link,?linkat";
/// Small mails.
const MAILS: usize = 3;
/// Bytes of the large mail's attachment, which does not compress.
const ATTACHMENT_BYTES: usize = 500_000;
/// The log counts as quiet when nothing changed it for so long.
const QUIET: Duration = Duration::from_millis(200);
/// How long background work may take to come to rest.
const QUIET_MAX: Duration = Duration::from_secs(20);

/// Whether background work follows a request at once, and so may have written already when the reply goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Followers {
    None,
    Some,
}

#[tokio::test]
async fn whatever_is_acknowledged_was_synced_before() -> Result<()> {
    // The paths in the trace have no links in them.
    let folder = tempfile::tempdir()?;
    let data = folder.path().canonicalize()?.join("data");
    let output = folder.path().join("trace");
    ensure_strace()?;
    // A worker that only looks when it is woken leaves the log quiet between requests.
    let mut options = options(&data)?.variable("PODMAIL_WORK_POLL_INTERVAL", "60s");
    options.wrapper = ["strace", "-f", "-ttt", "-y", "-s", "64", "-e", CALLS, "-o"].map(str::to_owned).to_vec();
    options.wrapper.push(output.to_str().context("a temporary folder has a plain name")?.to_owned());
    let server = options.start()?;
    let writes = load(&server, &data).await?;
    let status = tokio::task::spawn_blocking(move || server.stop()).await??;
    ensure!(status.success(), "the traced server ends with {status}");
    let calls = parse(&std::fs::read_to_string(&output)?);

    let wal = data.join("podmail.db-wal").display().to_string();
    let mails = exchanges(&calls, |call| call.writes() && call.data().starts_with("354 "), "250 2.0.0");
    assert_eq!(mails.len(), MAILS + 1);
    for (begin, reply) in &mails {
        log_synced(&calls, &wal, begin, reply, Followers::None)?;
    }
    let (begin, reply) = mails.last().context("the large mail is the last one")?;
    object_synced(&calls, &data, begin, reply)?;

    let is_write = |call: &Call| {
        let method = call.data().split(' ').next().unwrap_or_default();
        call.name == "recvfrom" && ["POST", "PUT", "PATCH", "DELETE"].contains(&method)
    };
    let requests = exchanges(&calls, is_write, "HTTP/1.1 20");
    assert_eq!(requests.len(), writes.len());
    for ((request, reply), (start, followers)) in requests.iter().zip(&writes) {
        assert!(request.data().starts_with(start), "{start}: {request:?}");
        log_synced(&calls, &wal, request, reply, *followers)?;
    }
    Ok(())
}

/// A missing strace must not pass for a durable server.
fn ensure_strace() -> Result<()> {
    let output = Command::new("strace").args(["-o", "/dev/null", "true"]).output().context(
        "this test needs strace and cannot run it: `apt-get install strace`, or `./test`, which installs it",
    )?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "strace is installed but may not trace processes here: {complaint}");
    Ok(())
}

/// Mails, then writes over HTTP; returns how those begin.
async fn load(server: &Server, data: &Path) -> Result<Vec<(&'static str, Followers)>> {
    let wal = data.join("podmail.db-wal");
    let mut api = server.client();
    let mut random = Random::new(5);
    quiet(&wal).await?;
    let inbox = text(&api.send("POST", "/v0/inboxes", &json!({"username": "durable"})).await?, "inbox_id")?;
    let mut session = Session::connect(&server.smtp).await?;
    let envelope = Envelope::new("a@sender.example", std::slice::from_ref(&inbox));
    for at in 0..=MAILS {
        let content = if at < MAILS { words(&mut random, 2_000) } else { attachment(&mut random) };
        let head = format!("From: a@sender.example\r\nSubject: mail {at}\r\nMessage-ID: <{at}@sender.example>\r\n");
        let separator = if at < MAILS { "\r\n" } else { "" };
        quiet(&wal).await?;
        session.send(&envelope, format!("{head}{separator}{content}").as_bytes()).await?;
    }
    let path = format!("/v0/inboxes/{}", escape(&inbox));
    let message = format!("{path}/messages/{}", escape("<0@sender.example>"));
    quiet(&wal).await?;
    api.send("PATCH", &message, &json!({"add_labels": ["mine"]})).await?;
    quiet(&wal).await?;
    let body = json!({"to": "b@elsewhere.example", "subject": "sent", "text": "A text."});
    api.send("POST", &format!("{path}/messages/send"), &body).await?;
    quiet(&wal).await?;
    api.send("PATCH", &path, &json!({"display_name": "Another"})).await?;
    quiet(&wal).await?;
    let hook = json!({"url": "http://127.0.0.1:9/hook", "event_types": ["message.received"]});
    let hook = text(&api.send("POST", "/v0/webhooks", &hook).await?, "webhook_id")?;
    quiet(&wal).await?;
    let answer = api.request("DELETE", &format!("/v0/webhooks/{hook}"), "", None).await?;
    ensure!((200..300).contains(&answer.status), "HTTP {}", answer.status);
    quiet(&wal).await?;
    Ok(vec![
        ("POST /v0/inboxes HTTP", Followers::None),
        ("PATCH /v0/inboxes/", Followers::None),
        ("POST /v0/inboxes/", Followers::Some),
        ("PATCH /v0/inboxes/", Followers::None),
        ("POST /v0/webhooks ", Followers::None),
        ("DELETE /v0/webhooks/", Followers::None),
    ])
}

/// The rest of a message, from its MIME fields on.
fn attachment(random: &mut Random) -> String {
    let file = noise(random, ATTACHMENT_BYTES);
    format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\n\
         --=_b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n\
         --=_b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"data.bin\"\r\n\r\n{file}--=_b--\r\n"
    )
}

/// Waits until nothing writes to the log any more.
async fn quiet(wal: &Path) -> Result<()> {
    let state = || std::fs::metadata(wal).ok().map(|data| (data.len(), data.modified().ok()));
    let deadline = Instant::now() + QUIET_MAX;
    let (mut last, mut since) = (state(), Instant::now());
    while since.elapsed() < QUIET {
        ensure!(Instant::now() < deadline, "background work does not come to rest");
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = state();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(())
}

/// Each call that begins an exchange, with the first reply of that kind on the same socket after it.
fn exchanges<'a>(
    calls: &'a [Call],
    begins: impl Fn(&Call) -> bool,
    reply: &str,
) -> Vec<(&'a Call, &'a Call)> {
    let answer = |begin: &Call| {
        let after = |call: &&Call| call.begin > begin.end && call.target() == begin.target();
        calls.iter().filter(after).find(|call| call.writes() && call.data().starts_with(reply))
    };
    calls
        .iter()
        .filter(|call| begins(call))
        .filter_map(|begin| Some((begin, answer(begin)?)))
        .collect()
}

/// The log was written after `begin`, and synced after that and before `reply`.
fn log_synced(calls: &[Call], wal: &str, begin: &Call, reply: &Call, followers: Followers) -> Result<()> {
    let about = || format!("between {begin:?} and {reply:?}");
    let between = || calls.iter().filter(|call| call.begin > begin.end && call.begin < reply.begin);
    let written = |call: &&Call| call.name == "pwrite64" && call.target() == wal;
    let first = between().find(written).with_context(|| format!("no write to the log {}", about()))?;
    let last = between().filter(written).last().unwrap_or(first);
    // The last one that has to be durable. Work that follows may already be writing its own when the reply goes out.
    let needed = if followers == Followers::None { last } else { first };
    let synced = between().any(|call| call.syncs(wal) && call.begin > needed.end && call.end < reply.begin);
    ensure!(synced, "no completed fsync of the log after {needed:?} {}", about());
    Ok(())
}

/// One object was written after `begin`, synced, given its name, and its folder synced, before `reply`.
fn object_synced(calls: &[Call], data: &Path, begin: &Call, reply: &Call) -> Result<()> {
    let objects = data.join("objects");
    let between = || calls.iter().filter(|call| call.begin > begin.end && call.end < reply.begin);
    let written = between()
        .filter(|call| call.writes() && Path::new(call.target()).starts_with(&objects))
        .last()
        .context("no object is written before the 250")?;
    let file = between()
        .find(|call| call.syncs(written.target()) && call.begin > written.end)
        .with_context(|| format!("no fsync after {written:?}"))?;
    // A file may be written under a temporary name; its folder has to be synced when it has its own.
    let named = between()
        .filter(|call| call.name.starts_with("rename") || call.name.starts_with("link"))
        .filter(|call| call.arguments.contains(written.target()) && call.succeeded())
        .last();
    let after = named.map_or(file.end, |named| named.end);
    ensure!(named.is_none_or(|named| named.begin > file.end), "the object has its name before it is synced");
    let folder = PathBuf::from(written.target());
    let folder = folder.parent().context("a file is in a folder")?.display().to_string();
    let synced = between().any(|call| call.syncs(&folder) && call.begin > after);
    ensure!(synced, "no fsync of {folder} after {named:?}, {file:?}");
    // And the log that refers to it comes last.
    let wal = data.join("podmail.db-wal").display().to_string();
    let commit = between().find(|call| call.syncs(&wal)).context("the log is synced")?;
    ensure!(commit.begin > file.end, "the database refers to an object that is not durable yet");
    Ok(())
}
