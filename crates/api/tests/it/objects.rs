//! Objects that nothing refers to go, and what anything refers to stays: on both engines, in a folder and, where the
//! test run started a stand-in (`PODMAIL_TEST_S3`), on S3.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use podmail_blob::Blobs;
use podmail_domain::{Clock as _, IdSource as _, Timestamp};
use podmail_testkit::Database;
use serde_json::{Value, json};

use crate::World;
use crate::mailbox::{Mailbox, segment};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A bucket of its own on the stand-in, which asks for no signature.
fn bucket(name: &str) -> Option<Blobs> {
    #[expect(clippy::disallowed_methods, reason = "how the test script tells of its server")]
    let endpoint = std::env::var("PODMAIL_TEST_S3").ok()?;
    let host = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "PUT /{name} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "podmail"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let url = format!("s3://{name}/some/prefix");
    Some(Blobs::open(Some(&url), Path::new("/nowhere"), variables.into_iter()).unwrap())
}

fn folder(database: &Database) -> Blobs {
    Blobs::folder(&database.folder.path().join("blobs")).unwrap()
}

/// An inbox per engine and place, with the place.
async fn desks() -> Vec<(Mailbox, Blobs)> {
    let mut all = Vec::new();
    for place in ["folder", "s3"] {
        for database in podmail_testkit::databases().await {
            let name = database.folder.path().file_name().unwrap().to_string_lossy();
            let name: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
            let blobs = match place {
                "folder" => Some(folder(&database)),
                _ => bucket(&format!("podmail-sweep-{name}")),
            };
            let Some(blobs) = blobs else { continue };
            all.push((Mailbox::of(World::on_blobs(database, blobs.clone(), |_| {}).await).await, blobs));
        }
    }
    all
}

/// Text that does not become smaller, so that it is kept as an object.
fn large(desk: &Mailbox) -> String {
    let mut bytes = vec![0; 100 * 1024];
    desk.world.ids.fill(&mut bytes);
    STANDARD.encode(bytes)
}

async fn names(blobs: &Blobs) -> BTreeSet<String> {
    let (mut listing, mut names) = (blobs.list(), BTreeSet::new());
    loop {
        let found = listing.next(3).await.unwrap();
        if found.is_empty() {
            return names;
        }
        names.extend(found.into_iter().map(|object| object.name));
    }
}

/// Moves the clock behind the times at which the store says that objects were written.
async fn grow_old(desk: &Mailbox, blobs: &Blobs) {
    let found = blobs.list().next(1000).await.unwrap();
    let written = found.iter().map(|object| object.modified_micros).max().unwrap();
    let wait = written - desk.world.clock.now().micros();
    desk.world.clock.advance(Duration::from_micros(wait.try_into().unwrap_or(0)) + DAY * 2);
}

async fn put_new(desk: &Mailbox, blobs: &Blobs, owner: &str, at: Timestamp) -> String {
    let name = format!("{owner}/{}.eml.zst", desk.world.ids.uuid7(at));
    blobs.put(&name, Bytes::from_static(b"left behind")).await.unwrap();
    name
}

#[tokio::test]
async fn what_nothing_refers_to_goes_after_a_day_and_all_else_stays() {
    for (desk, blobs) in desks().await {
        let organization = desk.organization.organization().to_string();
        let app = &desk.world.app;
        desk.mail("Message-ID: <large@x.test>", &large(&desk)).await;
        let attachment = json!({ "content": large(&desk), "filename": "a.bin" });
        let draft = desk.post("/drafts", &json!({ "attachments": [attachment] })).await.body;
        let kept = desk.send(&json!({ "to": "a@x.test", "text": large(&desk) })).await;
        let gone = desk.send(&json!({ "to": "a@x.test", "text": large(&desk) })).await;
        assert_eq!(names(&blobs).await.len(), 4);
        // Its mail still waits to be delivered.
        let id = segment(gone["message_id"].as_str().unwrap());
        let deleted = desk.call(Method::DELETE, &format!("/messages/{id}"), &Value::Null).await;
        assert_eq!(deleted.status, 204);
        let needed = names(&blobs).await;
        assert_eq!(needed.len(), 4, "the delivery refers to it");

        let now = desk.world.clock.now();
        let orphan = put_new(&desk, &blobs, &organization, now).await;
        let strangers = [
            put_new(&desk, &blobs, "0192f3c1-7e5a-7c3d-9b0e-4a1f6d2c8b71", now).await,
            format!("{organization}/notes.txt"),
            format!("{organization}/deeper/0192f3c1-7e5a-7c3d-9b0e-4a1f6d2c8b71.eml.zst"),
            "backup.tar".to_owned(),
        ];
        for name in &strangers {
            blobs.put(name, Bytes::from_static(b"not ours")).await.unwrap();
        }
        let mut rounds = app.object_rounds();
        assert!(
            !app.sweep_objects_once(&mut rounds).await.unwrap(),
            "a node that just started has other work"
        );
        desk.world.clock.advance(DAY);
        while app.sweep_objects_once(&mut rounds).await.unwrap() {}
        assert!(names(&blobs).await.contains(&orphan), "the store says that it is young");

        grow_old(&desk, &blobs).await;
        let young = put_new(&desk, &blobs, &organization, desk.world.clock.now()).await;
        let before = names(&blobs).await;
        while app.sweep_objects_once(&mut rounds).await.unwrap() {}
        let after = names(&blobs).await;
        assert_eq!(before.difference(&after).collect::<Vec<_>>(), [&orphan]);
        assert_eq!(app.objects_removed(), 1);
        assert!(needed.is_subset(&after) && after.contains(&young));
        assert!(strangers.iter().all(|name| after.contains(name)), "{after:?}");

        // All of it is there to be read.
        assert!(desk.raw("<large@x.test>").await.len() > 100 * 1024);
        assert!(desk.raw(kept["message_id"].as_str().unwrap()).await.len() > 100 * 1024);
        let (draft_id, file) = (&draft["draft_id"], &draft["attachments"][0]["attachment_id"]);
        let path = format!("/drafts/{}/attachments/{}", draft_id.as_str().unwrap(), file.as_str().unwrap());
        let url = desk.get(&path).await["download_url"].clone();
        assert_eq!(desk.download(&url).await.status, 200);

        // The next round is a day later. What could not be removed with its message goes then.
        let path = format!("/drafts/{}", draft_id.as_str().unwrap());
        assert_eq!(desk.call(Method::DELETE, &path, &Value::Null).await.status, 204);
        let released: Vec<String> = needed.difference(&names(&blobs).await).cloned().collect();
        assert_eq!(released.len(), 1, "the draft's");
        blobs.put(&released[0], Bytes::from_static(b"still there")).await.unwrap();
        assert!(!app.sweep_objects_once(&mut rounds).await.unwrap(), "not due");
        grow_old(&desk, &blobs).await;
        while app.sweep_objects_once(&mut rounds).await.unwrap() {}
        let left = names(&blobs).await;
        assert!(!left.contains(&released[0]) && !left.contains(&young));
        assert_eq!(needed.intersection(&left).count(), 3);
    }
}
