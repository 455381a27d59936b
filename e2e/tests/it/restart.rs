//! Starting, stopping and starting again: what operators and service managers rely on.

use anyhow::{Context as _, Result};
use podmail_bench::http::escape;
use podmail_bench::server::Server;
use podmail_bench::smtp::{Envelope, Session};
use podmail_bench::world::{list, text};
use serde_json::{Value, json};

use crate::options;

async fn mail(server: &Server, inbox: &str, id: &str) -> Result<()> {
    let mut session = Session::connect(&server.smtp).await?;
    let message = format!("From: a@sender.example\r\nSubject: kept\r\nMessage-ID: {id}\r\n\r\nA text.\r\n");
    session
        .send(&Envelope::new("a@sender.example", &[inbox.to_owned()]), message.as_bytes())
        .await
}

#[tokio::test]
async fn sigterm_ends_with_0_although_clients_are_connected() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = options(folder.path())?.start()?;
    let mut api = server.client();
    api.get("/v0/inboxes").await?;
    let session = Session::connect(&server.smtp).await?;
    let status = tokio::task::spawn_blocking(move || server.stop()).await??;
    assert_eq!(status.code(), Some(0));
    drop((api, session));
    Ok(())
}

#[tokio::test]
async fn a_second_start_on_a_folder_in_use_names_the_first() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = options(folder.path())?;
    let server = options.start()?;
    let second = options.command().output()?;
    let complaint = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{complaint}");
    assert!(second.stdout.is_empty(), "{}", String::from_utf8_lossy(&second.stdout));
    for part in [format!("process {}", server.pid), server.http.clone(), folder.path().display().to_string()] {
        assert!(complaint.contains(&part), "no {part} in: {complaint}");
    }
    // The first one and what it wrote about itself are untouched.
    server.client().get("/v0/inboxes").await?;
    let listening: Value = serde_json::from_slice(&std::fs::read(folder.path().join("listening.json"))?)?;
    assert_eq!(listening.get("http"), Some(&json!(server.http)));
    assert!(server.stop()?.success());
    Ok(())
}

#[tokio::test]
async fn data_survives_a_restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = options(folder.path())?;
    let server = options.start()?;
    let key = server.key.clone();
    let mut api = server.client();
    let inbox = text(&api.send("POST", "/v0/inboxes", &json!({"username": "kept"})).await?, "inbox_id")?;
    mail(&server, &inbox, "<1@sender.example>").await?;
    let path = format!("/v0/inboxes/{}/messages", escape(&inbox));
    let body = json!({"to": "b@elsewhere.example", "subject": "sent", "text": "A text."});
    let sent = text(&api.send("POST", &format!("{path}/send"), &body).await?, "message_id")?;
    api.send("PATCH", &format!("{path}/{}", escape("<1@sender.example>")), &json!({"add_labels": ["mine"]}))
        .await?;
    assert!(server.stop()?.success());

    let server = options.start()?;
    assert_eq!(server.key, key);
    let mut api = server.client();
    let messages = list(&mut api, &format!("{path}?limit=10"), "messages").await?;
    let ids = messages.iter().map(|message| text(message, "message_id")).collect::<Result<Vec<_>>>()?;
    assert_eq!(ids, [sent, "<1@sender.example>".to_owned()]);
    let labels = messages.last().and_then(|message| message.get("labels")).context("labels")?;
    assert_eq!(labels, &json!(["mine", "received", "unread"]));
    // And it goes on.
    mail(&server, &inbox, "<2@sender.example>").await?;
    assert_eq!(list(&mut api, &format!("{path}?limit=10"), "messages").await?.len(), 3);
    assert!(server.stop()?.success());
    Ok(())
}

#[tokio::test]
async fn listening_json_names_the_bound_ports() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = options(folder.path())?.start()?;
    let listening: Value = serde_json::from_slice(&std::fs::read(folder.path().join("listening.json"))?)?;
    // The other listeners are off; the ready line says the same.
    assert_eq!(listening, json!({"http": server.http, "smtp": server.smtp}));
    for address in [&server.http, &server.smtp] {
        assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{address}");
    }
    server.client().get("/v0/inboxes").await?;
    Session::connect(&server.smtp).await?;
    assert!(server.stop()?.success());
    Ok(())
}
