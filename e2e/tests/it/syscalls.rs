//! Durable before acknowledged, as the kernel sees it: no `250` and no `2xx` of a write leaves before the sync that covers
//! the data returned. Killing a process cannot show this, since the kernel keeps what was written; a trace can.
//!
//! Each write carries a marker. In SQLite's log (WAL) a transaction is a run of frames, a header of 24 bytes and a page
//! each; the header of the last one holds the size of the database, the others 0 there. So the rule is: the marker
//! is written to the log, then the frame that commits, then a sync of the log begins and returns, then the reply begins.

use podmail_bench::http::escape;
use podmail_bench::server::{Engine, Options, Server, test_binary};
use podmail_bench::smtp::{Envelope, Session};
use podmail_bench::{mail, random::Random, world};
use serde_json::json;

use crate::trace::{Call, parse};

/// More than a page of the database, so that a marker anywhere in it is recorded.
const RECORDED: &str = "4200";
const CALLS: &str =
    "trace=fsync,fdatasync,sendto,sendmsg,write,writev,pwrite64,pwritev,rename,renameat,renameat2";
/// Length of a frame's header in the log.
const FRAME_HEADER: usize = 24;

struct Traced {
    folder: tempfile::TempDir,
    server: Server,
    inbox: String,
}

impl Traced {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(&test_binary().unwrap(), &folder.path().join("data"), Engine::Sqlite);
        let output = folder.path().join("trace").display().to_string();
        options.wrapper = ["strace", "-f", "-ttt", "-y", "-s", RECORDED, "-o", &output, "-e", CALLS]
            .map(str::to_owned)
            .to_vec();
        let server = options.start().expect("strace is installed and may trace its own children");
        let (_, inboxes) = world::create(&mut server.client(), 0, 1).await.unwrap();
        Self { folder, server, inbox: inboxes[0].clone() }
    }

    async fn mails(&self, mails: &[(String, Vec<u8>)]) {
        let mut session = Session::connect(&self.server.smtp).await.unwrap();
        let envelope = Envelope::new("a@load.example", std::slice::from_ref(&self.inbox));
        for (marker, text) in mails {
            let head = format!(
                "From: a@load.example\r\nSubject: {marker}\r\nMessage-ID: <{marker}@load.example>\r\n\r\n"
            );
            session.send(&envelope, &[head.as_bytes(), text].concat()).await.unwrap();
        }
    }

    fn stop(self) -> Vec<Call> {
        self.server.stop().unwrap();
        parse(&std::fs::read(self.folder.path().join("trace")).unwrap())
    }
}

fn contains(data: &[u8], marker: &str) -> bool {
    data.windows(marker.len()).any(|window| window == marker.as_bytes())
}

fn is_log_write(call: &Call) -> bool {
    call.name.starts_with("pwrite") && call.target.ends_with("podmail.db-wal")
}

fn is_sync(call: &Call) -> bool {
    matches!(call.name.as_str(), "fsync" | "fdatasync") && call.result == 0
}

fn is_commit_frame(call: &Call) -> bool {
    is_log_write(call) && call.data.len() == FRAME_HEADER && call.data[4..8] != [0; 4]
}

/// Replies to the peer that begin like that.
fn replies<'a>(calls: &'a [Call], begin: &str) -> Vec<&'a Call> {
    let sends = ["sendto", "sendmsg", "write", "writev"];
    calls
        .iter()
        .filter(|call| sends.contains(&call.name.as_str()) && call.target.starts_with("socket:"))
        .filter(|call| call.data.starts_with(begin.as_bytes()))
        .collect()
}

/// Fails unless the transaction with the marker was synced before the reply.
fn assert_synced(calls: &[Call], marker: &str, reply: &Call) {
    let before = |call: &&Call| call.lines.0 < reply.lines.0;
    let written = calls.iter().filter(before).find(|call| is_log_write(call) && contains(&call.data, marker));
    let written = written.unwrap_or_else(|| panic!("{marker} is not in the log before its reply"));
    let commit =
        calls.iter().filter(before).find(|call| call.lines.0 > written.lines.0 && is_commit_frame(call));
    // The page with the marker may be the committing frame's own: then its header stands just before it.
    let own = calls.iter().rfind(|call| is_log_write(call) && call.lines.1 < written.lines.0);
    let own = own.filter(|call| is_commit_frame(call));
    let end = match (own, commit) {
        (Some(_), _) => written.lines.1,
        (None, Some(commit)) => {
            let page = calls.iter().find(|call| is_log_write(call) && call.lines.0 > commit.lines.1);
            page.expect("a page follows its header").lines.1
        }
        (None, None) => panic!("no commit of {marker} before its reply"),
    };
    let synced = calls.iter().find(|call| {
        is_sync(call)
            && call.target.ends_with("podmail.db-wal")
            && call.lines.0 > end
            && call.lines.1 < reply.lines.0
    });
    assert!(
        synced.is_some(),
        "{marker}: written by line {end}, no sync before the reply in line {}",
        reply.lines.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_250_leaves_before_the_sync_of_its_commit() {
    let traced = Traced::start().await;
    let mails: Vec<_> = (0..5).map(|at| (format!("mailmark{at}"), b"Hello\r\n".to_vec())).collect();
    traced.mails(&mails).await;
    let calls = traced.stop();
    let replies = replies(&calls, "250 2.0.0");
    assert_eq!(replies.len(), mails.len());
    for ((marker, _), reply) in mails.iter().zip(replies) {
        assert_synced(&calls, marker, reply);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_250_of_a_large_mail_leaves_before_its_file_and_folder_are_synced() {
    let traced = Traced::start().await;
    let text = mail::noise(&mut Random::new(9), 300_000).into_bytes();
    traced.mails(&[("largemark".to_owned(), text)]).await;
    let objects = traced.folder.path().join("data/objects").display().to_string();
    let calls = traced.stop();
    let reply = replies(&calls, "250 2.0.0")[0];
    assert_synced(&calls, "largemark", reply);
    let in_objects = |call: &&Call| call.target.starts_with(&objects) && call.lines.1 < reply.lines.0;
    let written =
        calls.iter().filter(in_objects).rfind(|call| call.name.contains("write")).expect("an object");
    let renamed = calls.iter().rfind(|call| call.name.starts_with("rename") && call.lines.1 < reply.lines.0);
    let synced: Vec<_> = calls.iter().filter(in_objects).filter(|call| is_sync(call)).collect();
    let file = synced.iter().find(|call| call.target == written.target && call.lines.0 > written.lines.1);
    assert!(file.is_some(), "{written:?} is not synced before the reply: {synced:?}");
    let named = renamed.map_or(written.lines.1, |call| call.lines.1);
    let folder = synced.iter().find(|call| call.target != written.target && call.lines.0 > named);
    assert!(folder.is_some(), "the folder of {written:?} is not synced before the reply: {synced:?}");
    // The row that refers to the object commits after it.
    let row = calls.iter().find(|call| is_log_write(call) && contains(&call.data, "largemark")).unwrap();
    assert!(
        synced.iter().all(|call| call.lines.1 < row.lines.0),
        "the row is written before its object is durable"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_200_of_a_write_leaves_before_the_sync_of_its_commit() {
    let traced = Traced::start().await;
    let mut api = traced.server.client();
    let path = format!("/v0/inboxes/{}", escape(&traced.inbox));
    // A mail and a read first: reads need no sync, and the change has something to change.
    traced.mails(&[("targetmark".to_owned(), b"Hello\r\n".to_vec())]).await;
    let target = format!("{path}/messages/%3Ctargetmark@load.example%3E");
    let send = json!({"to": "b@elsewhere.example", "subject": "sendmark", "text": "t"});
    let hook = json!({"url": "http://127.0.0.1:9/hookmark", "event_types": ["message.bounced"]});
    let writes = [
        ("inboxmark", "POST", "/v0/inboxes".to_owned(), json!({"username": "inboxmark"})),
        ("podmark", "POST", "/v0/pods".to_owned(), json!({"name": "podmark"})),
        ("labelmark", "PATCH", target.clone(), json!({"add_labels": ["labelmark"]})),
        ("sendmark", "POST", format!("{path}/messages/send"), send),
        ("hookmark", "POST", "/v0/webhooks".to_owned(), hook),
    ];
    for (_, method, path, body) in &writes {
        api.send(method, path, body).await.unwrap();
    }
    let deleted = api.request("DELETE", &target, "", None).await.unwrap();
    assert_eq!(deleted.status, 204);
    let calls = traced.stop();
    // The first one made the inbox.
    let replies = replies(&calls, "HTTP/1.1 200");
    assert_eq!(replies.len(), 1 + writes.len());
    for ((marker, ..), reply) in writes.iter().zip(&replies[1..]) {
        assert_synced(&calls, marker, reply);
    }
    let reply = self::replies(&calls, "HTTP/1.1 204")[0];
    let last = replies.last().unwrap().lines.1;
    let commit = calls.iter().find(|call| is_commit_frame(call) && call.lines.0 > last);
    assert!(commit.is_some_and(|commit| commit.lines.0 < reply.lines.0), "the deletion is not committed");
    let between = |call: &&Call| call.lines.0 > last && call.lines.1 < reply.lines.0;
    assert!(calls.iter().filter(between).any(is_sync), "the deletion is not synced before its 204");
}

/// A trace of one mail: marker and committing frame in the log, then what is given.
fn one_mail(rest: &[&str]) -> Vec<Call> {
    let mut lines = vec![
        r#"7 pwrite64(5</d/podmail.db-wal>, "\0\0\0\2\0\0\0\0ssssssssrrrrrrrr", 24, 32) = 24"#,
        r#"7 pwrite64(5</d/podmail.db-wal>, "..mark..", 8, 56) = 8"#,
        r#"7 pwrite64(5</d/podmail.db-wal>, "\0\0\0\3\0\0\0\11ssssssssrrrrrrrr", 24, 64) = 24"#,
        r#"7 pwrite64(5</d/podmail.db-wal>, "other page", 10, 88) = 10"#,
    ];
    lines.extend(rest);
    parse(lines.join("\n").as_bytes())
}

const SYNC: &str = "7 fdatasync(5</d/podmail.db-wal>) = 0";
const REPLY: &str = r#"8 sendto(9<socket:[1]>, "250 2.0.0 Ok\r\n", 14, 0, NULL, 0) = 14"#;

#[test]
fn a_sync_before_the_reply_is_recognized() {
    let calls = one_mail(&[SYNC, REPLY]);
    assert_synced(&calls, "mark", replies(&calls, "250 2.0.0")[0]);
}

#[test]
fn a_missing_late_failed_or_foreign_sync_is_noticed() {
    for rest in [
        &[REPLY][..],
        &[REPLY, SYNC],
        &["7 fdatasync(5</d/podmail.db-wal> <unfinished ...>", REPLY, "7 <... fdatasync resumed>) = 0"],
        &["7 fdatasync(5</d/podmail.db-wal>) = -1 EIO (Input/output error)", REPLY],
        &["7 fdatasync(5</d/podmail.db>) = 0", REPLY],
    ] {
        let calls = one_mail(rest);
        let outcome =
            std::panic::catch_unwind(|| assert_synced(&calls, "mark", replies(&calls, "250 2.0.0")[0]));
        assert!(outcome.is_err(), "{rest:?}");
    }
}
