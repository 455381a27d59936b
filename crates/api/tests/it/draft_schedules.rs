//! Scheduled drafts when something goes wrong: two nodes, dead workers, a clock that jumps, time that passed.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use podmail_app::{App, Parts, Settings, on_commit};
use podmail_blob::Blobs;
use podmail_bus::Bus;
use podmail_domain::{DraftId, InboxId};
use podmail_egress::{Egress, Policy};
use podmail_store::{DraftClaimed, Engine, Location, Store};
use podmail_testkit::databases;
use serde_json::{Value, json};

use crate::World;
use crate::mailbox::{DESK, Mailbox, paths};

async fn scheduled(desk: &Mailbox, after: Duration) -> Value {
    let at = desk.world.app.now().plus(after).to_string();
    let answer = desk.post("/drafts", &json!({ "to": ["a@x.test"], "text": "T", "send_at": at })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

async fn shown(desk: &Mailbox, draft: &Value) -> Value {
    let path = format!("/drafts/{}", draft["draft_id"].as_str().unwrap());
    desk.call(Method::GET, &path, &Value::Null).await.body
}

fn id(draft: &Value) -> DraftId {
    DraftId::parse(draft["draft_id"].as_str().unwrap()).unwrap()
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn two_nodes_send_every_due_draft_once() {
    for database in databases().await {
        let url = database.url.clone();
        let desk = Mailbox::of(World::on(database, |_| {}).await).await;
        // A second node has a store, a bus and a worker of its own; SQLite has one process, so there it shares the store.
        let bus = Bus::default();
        let mut writer = tokio::task::JoinSet::new();
        let ids = desk.world.ids.clone();
        let store = match desk.world.store.engine() {
            Engine::Sqlite => desk.world.store.clone(),
            Engine::Postgres => {
                let location = Location::parse(&url).unwrap();
                let (store, task) =
                    Store::open(&location, ids.clone(), on_commit(bus.clone())).await.unwrap();
                writer.spawn(task);
                store
            }
        };
        let resolver = Arc::new(desk.world.dns.clone());
        let folder = tempfile::tempdir().unwrap();
        let second = App::new(Parts {
            store,
            blobs: Blobs::folder(folder.path()).unwrap(),
            bus,
            resolver: resolver.clone(),
            egress: Egress::new(resolver, Policy { allow_private: false }).unwrap(),
            clock: desk.world.clock.clone(),
            ids,
            settings: Settings::for_domain("mail.test"),
        });
        for _ in 0..20 {
            scheduled(&desk, SECOND).await;
        }
        desk.world.clock.advance(SECOND);
        let work = async |app: &App| {
            let mut count = 0;
            loop {
                match app.send_due_drafts().await.unwrap() {
                    0 => return count,
                    some => count += some,
                }
            }
        };
        let (here, there) = tokio::join!(work(&desk.world.app), work(&second));
        assert_eq!(here + there, 20);
        assert_eq!(desk.list("?limit=100").await.len(), 20);
        assert_eq!(desk.get("/drafts").await["count"], 0);
    }
}

#[tokio::test]
async fn a_draft_of_a_later_day_stays_when_its_sender_by_hand_died() {
    for desk in Mailbox::each().await {
        let draft = scheduled(&desk, Duration::from_secs(24 * 3600)).await;
        let (now, lease) = (desk.world.app.now(), desk.world.app.settings().work_lease);
        let inbox = desk
            .world
            .store
            .inbox_scope(&desk.organization, &InboxId::parse(DESK).unwrap())
            .await
            .unwrap()
            .unwrap();
        let claimed = desk.world.store.claim_draft(&inbox, id(&draft), now, now.plus(lease)).await.unwrap();
        assert!(matches!(claimed, DraftClaimed::Claimed(_)));
        desk.world.clock.advance(lease * 2);
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 0, "its day has not come");
        assert_eq!(desk.list("").await.len(), 0);
        assert_eq!(shown(&desk, &draft).await["send_status"], "scheduled");
        let pause = desk.world.app.until_next_draft(Duration::from_secs(3600)).await.unwrap();
        assert_eq!(pause, Duration::from_secs(3600), "the worker rests meanwhile");
        desk.world.clock.advance(Duration::from_secs(24 * 3600));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        assert_eq!(desk.list("").await.len(), 1);
    }
}

#[tokio::test]
async fn a_clock_that_jumps_neither_doubles_nor_strands_a_draft() {
    for desk in Mailbox::each().await {
        let lease = desk.world.app.settings().work_lease;
        // Forward, while a worker has it: another one sends it, and the first one's claim is over.
        let draft = scheduled(&desk, SECOND).await;
        desk.world.clock.advance(SECOND);
        let now = desk.world.app.now();
        let slow = desk.world.store.claim_due_drafts(now, now.plus(lease), 10).await.unwrap();
        desk.world.clock.advance(Duration::from_secs(24 * 3600));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        let release = podmail_store::DraftRelease::Back;
        let claim = slow.into_iter().next().unwrap();
        desk.world.store.release_draft(claim, release, desk.world.app.now()).await.unwrap();
        assert_eq!(shown(&desk, &draft).await["code"], "not_found");
        assert_eq!(desk.list("").await.len(), 1);
        // Back, after a worker with a clock of tomorrow died: its claim does not last until then.
        let draft = scheduled(&desk, SECOND).await;
        desk.world.clock.advance(SECOND);
        let tomorrow = desk.world.app.now().plus(Duration::from_secs(24 * 3600));
        let lost = desk.world.store.claim_due_drafts(tomorrow, tomorrow.plus(lease), 10).await.unwrap();
        assert_eq!(lost.len(), 1);
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 0);
        assert_eq!(shown(&desk, &draft).await["send_status"], "sending");
        desk.world.app.tidy_drafts().await.unwrap();
        assert_eq!(shown(&desk, &draft).await["send_status"], "scheduled");
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        assert_eq!(desk.list("").await.len(), 2);
        // A claim of now is left alone.
        scheduled(&desk, SECOND).await;
        desk.world.clock.advance(SECOND);
        let now = desk.world.app.now();
        assert_eq!(desk.world.store.claim_due_drafts(now, now.plus(lease), 10).await.unwrap().len(), 1);
        desk.world.app.tidy_drafts().await.unwrap();
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_repeated_create_finds_its_draft_when_its_time_is_over() {
    for desk in Mailbox::each().await {
        let at = desk.world.app.now().plus(SECOND).to_string();
        let body = json!({ "to": ["a@x.test"], "client_id": "once", "send_at": at });
        let draft = desk.post("/drafts", &body).await.body;
        desk.world.clock.advance(Duration::from_secs(60));
        let again = desk.post("/drafts", &body).await;
        assert_eq!((again.status, &again.body), (200, &draft), "{}", again.text);
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1, "overdue, and sent all the same");
        let again = desk.post("/drafts", &body).await;
        assert_eq!((again.status, &again.body["draft_id"]), (200, &draft["draft_id"]));
        assert_eq!(desk.list("").await.len(), 1);
        // Thirty days later nothing is left of it.
        desk.world.clock.advance(Duration::from_secs(30 * 24 * 3600));
        desk.world.app.tidy_drafts().await.unwrap();
        assert_eq!(paths(&desk.post("/drafts", &body).await), json!([["send_at"]]));
    }
}

#[tokio::test]
async fn an_address_added_to_two_lists_gets_one_mail() {
    for desk in Mailbox::each().await {
        let draft = desk.post("/drafts", &json!({ "to": ["Bo <bo@x.test>"] })).await.body;
        let path = format!("/drafts/{}", draft["draft_id"].as_str().unwrap());
        let edited = desk.patch(&path, &json!({ "cc": ["BO@x.test", "c@x.test"] })).await;
        assert_eq!(edited.status, 200, "{}", edited.text);
        assert_ne!(edited.body["updated_at"], draft["updated_at"]);
        let sent = desk.post(&format!("{path}/send"), &Value::Null).await;
        let message = desk.message(sent.body["message_id"].as_str().unwrap()).await;
        assert_eq!((&message["to"], &message["cc"]), (&json!(["Bo <bo@x.test>"]), &json!(["c@x.test"])));
    }
}

#[tokio::test]
async fn all_attachments_of_a_draft_are_bounded_together() {
    let desk = Mailbox::new().await;
    let draft = desk.post("/drafts", &json!({})).await.body;
    let path = format!("/drafts/{}", draft["draft_id"].as_str().unwrap());
    // 4 MiB each: the eighth is one too many.
    let file = json!({ "content": "AAAA".repeat(4 * 1024 * 1024 / 3 + 1), "filename": "a.bin" });
    for n in 1..=8 {
        let answer = desk.patch(&path, &json!({ "add_attachments": [file] })).await;
        if n < 8 {
            assert_eq!(answer.status, 200, "{n}: {}", answer.text);
        } else {
            assert_eq!(paths(&answer), json!([["add_attachments"]]));
        }
    }
    let files = shown(&desk, &draft).await["attachments"].clone();
    assert_eq!(files.as_array().unwrap().len(), 7);
}
