//! Stopping, starting again, and two servers on one folder.

use std::path::Path;

use podmail_bench::http::escape;
use podmail_bench::server::{Engine, Options, Server, test_binary};
use podmail_bench::smtp::{Envelope, Session};
use podmail_bench::world;
use serde_json::{Value, json};

fn options(folder: &Path) -> Options {
    Options::new(&test_binary().unwrap(), folder, Engine::Sqlite)
}

async fn mail(server: &Server, inbox: &str, id: &str) {
    let mut session = Session::connect(&server.smtp).await.unwrap();
    let message = format!("From: a@load.example\r\nSubject: kept\r\nMessage-ID: {id}\r\n\r\nHello\r\n");
    session.send(&Envelope::new("a@load.example", &[inbox.to_owned()]), message.as_bytes()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_with_0_and_the_next_start_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let server = options(folder.path()).start().unwrap();
    let mut api = server.client();
    let (pods, inboxes) = world::create(&mut api, 1, 1).await.unwrap();
    let path = format!("/v0/inboxes/{}", escape(&inboxes[0]));
    mail(&server, &inboxes[0], "<kept@load.example>").await;
    let sent = json!({"to": "b@elsewhere.example", "subject": "sent", "text": "t"});
    api.send("POST", &format!("{path}/messages/send"), &sent).await.unwrap();
    let change = json!({"add_labels": ["vip"]});
    api.send("PATCH", &format!("{path}/messages/%3Ckept@load.example%3E"), &change).await.unwrap();
    let hook = json!({"url": "http://127.0.0.1:9/h", "event_types": ["message.bounced"]});
    api.send("POST", "/v0/webhooks", &hook).await.unwrap();
    let reads = [
        "/v0/inboxes".to_owned(),
        "/v0/webhooks".to_owned(),
        "/v0/organizations".to_owned(),
        format!("/v0/pods/{}", pods[0]),
        format!("{path}/messages"),
        format!("{path}/threads"),
        format!("{path}/messages/%3Ckept@load.example%3E"),
    ];
    let mut before = Vec::new();
    for read in &reads {
        before.push(api.get(read).await.unwrap());
    }
    let key = server.key.clone();
    drop(api);
    assert_eq!(server.stop().unwrap().code(), Some(0));

    let server = options(folder.path()).start().unwrap();
    assert_eq!(server.key, key, "the first organization's key stays");
    let mut api = server.client();
    for (read, before) in reads.iter().zip(before) {
        assert_eq!(api.get(read).await.unwrap(), before, "{read}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_under_way_is_answered_before_sigterm_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let server = options(folder.path()).start().unwrap();
    let (_, inboxes) = world::create(&mut server.client(), 0, 1).await.unwrap();
    let mut session = Session::connect(&server.smtp).await.unwrap();
    session.open(&Envelope::new("a@load.example", &inboxes)).await.unwrap();
    let stopping = tokio::task::spawn_blocking(move || server.stop().unwrap().code());
    let message = b"From: a@load.example\r\nMessage-ID: <late@load.example>\r\n\r\nHello\r\n";
    let answered = session.message(message, None).await.is_ok();
    drop(session);
    assert_eq!(stopping.await.unwrap(), Some(0));
    let server = options(folder.path()).start().unwrap();
    let path = format!("/v0/inboxes/{}/messages", escape(&inboxes[0]));
    let listed = server.client().get(&path).await.unwrap();
    // The server may refuse it while it drains, but must not store it without an answer or answer without storing it.
    assert_eq!(listed["count"], json!(usize::from(answered)), "answered: {answered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_with_0_although_clients_are_connected() {
    let folder = tempfile::tempdir().unwrap();
    let server = options(folder.path()).start().unwrap();
    let session = Session::connect(&server.smtp).await.unwrap();
    let mut api = server.client();
    api.get("/v0/inboxes").await.unwrap();
    let stopped = tokio::task::spawn_blocking(move || server.stop().unwrap().code()).await.unwrap();
    assert_eq!(stopped, Some(0));
    drop((session, api));
}

#[test]
fn a_second_server_on_the_folder_fails_and_names_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let server = options(folder.path()).start().unwrap();
    let output = options(folder.path()).command().output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("process {}", server.pid)), "{error}");
    assert!(error.contains(&server.http), "{error}");
    assert!(output.stdout.is_empty(), "it must not say that it is ready");
    assert!(server.stop().unwrap().success(), "the first one is not disturbed");
}

#[tokio::test]
async fn the_lock_of_a_killed_server_does_not_keep_the_next_one_out() {
    let folder = tempfile::tempdir().unwrap();
    options(folder.path()).start().unwrap().kill().unwrap();
    let server = options(folder.path()).start().unwrap();
    server.client().get("/v0/inboxes").await.unwrap();
}

#[tokio::test]
async fn port_0_is_a_free_port_that_listening_json_and_links_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = options(folder.path()).start().unwrap();
    let file = std::fs::read(folder.path().join("listening.json")).unwrap();
    let listening: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(listening, json!({"http": server.http, "smtp": server.smtp}));
    for address in [&server.http, &server.smtp] {
        assert!(!address.ends_with(":0"), "{address}");
    }
    let (_, inboxes) = world::create(&mut server.client(), 0, 1).await.unwrap();
    mail(&server, &inboxes[0], "<link@load.example>").await;
    let path = format!("/v0/inboxes/{}/messages/%3Clink@load.example%3E/raw", escape(&inboxes[0]));
    let raw = server.client().get(&path).await.unwrap();
    let link = raw["download_url"].as_str().unwrap();
    assert!(link.starts_with(&format!("http://{}/", server.http)), "{link}");
}
