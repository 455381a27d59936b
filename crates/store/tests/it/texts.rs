//! Texts of attachments and the jobs that bring them.

use std::time::Duration;

use podmail_domain::label::Restricted;
use podmail_domain::thread::Attachment;
use podmail_domain::{AttachmentId, OrganizationId};
use podmail_store::{AttachmentText, CleanBefore, Scope, TextJob};

use crate::messages::{inbox, mail, put};
use crate::{World, worlds};

const LEASE: Duration = Duration::from_secs(60);

/// A mail with an attachment.
async fn with_file(world: &World, scope: &Scope, id: &str) -> AttachmentId {
    let attachment_id = AttachmentId::new(&*world.ids, world.now());
    let file = Attachment {
        attachment_id,
        part: 1,
        size: 5,
        filename: None,
        content_type: None,
        content_disposition: None,
        content_id: None,
    };
    let mut new = mail(world, scope, id, 0, &[], &[]);
    new.attachments = vec![file];
    new.extract_texts = true;
    put(world, new).await;
    attachment_id
}

/// The next job behind that organization.
async fn lease(world: &World, after: Option<OrganizationId>, token: &str) -> Option<TextJob> {
    let now = world.now();
    let owner = world.store.text_job_owner(after, now).await.expect("looked")?;
    world.store.lease_text_job(owner, token, now, now.plus(LEASE)).await.expect("leased")
}

async fn lease_all(world: &World, token: &str) -> Vec<TextJob> {
    let mut all = Vec::new();
    while let Some(job) = lease(world, None, token).await {
        all.push(job);
    }
    all
}

#[tokio::test]
async fn organizations_take_turns_and_a_job_has_one_worker() {
    for world in worlds().await {
        let (busy, calm) = (inbox(&world, "busy").await, inbox(&world, "calm").await);
        for n in 0..5 {
            with_file(&world, &busy, &format!("b{n}")).await;
        }
        put(&world, mail(&world, &busy, "plain", 0, &[], &[])).await;
        with_file(&world, &calm, "c").await;
        let first = lease(&world, None, "one").await.expect("a job");
        let second = lease(&world, Some(first.organization_id), "one").await.expect("another job");
        let mut owners = [first.organization_id, second.organization_id];
        let mut both = [busy.organization(), calm.organization()];
        owners.sort_unstable();
        both.sort_unstable();
        assert_eq!(owners, both);
        assert_eq!(lease(&world, Some(second.organization_id), "one").await, None);
        assert_eq!(lease_all(&world, "two").await.len(), 4);
        world.clock.advance(LEASE);
        let again = lease_all(&world, "three").await;
        assert_eq!((again.len(), again[0].attempts), (6, 1));
        assert!(!world.store.finish_text_job(&first, Vec::new()).await.expect("too late"));
    }
}

#[tokio::test]
async fn a_job_that_is_given_back_is_there_for_the_next_as_if_nobody_had_begun_it() {
    for world in worlds().await {
        let scope = inbox(&world, "desk").await;
        with_file(&world, &scope, "a").await;
        let first = lease(&world, None, "one").await.expect("a job");
        assert_eq!(lease(&world, None, "two").await, None);
        world.store.release_text_job(&first, world.now()).await.expect("given back");
        let second = lease(&world, None, "two").await.expect("the same job");
        assert_eq!((second.message_key, second.attempts), (first.message_key, 0));
        // Too late: it has another worker.
        world.store.release_text_job(&first, world.now()).await.expect("nothing happens");
        assert_eq!(lease(&world, None, "three").await, None);
        assert!(world.store.finish_text_job(&second, Vec::new()).await.expect("finished"));
        world.store.release_text_job(&second, world.now()).await.expect("nothing happens");
        assert_eq!(lease(&world, None, "three").await, None);
    }
}

#[tokio::test]
async fn who_waits_too_long_waits_no_more() {
    for world in worlds().await {
        let scope = inbox(&world, "desk").await;
        with_file(&world, &scope, "old").await;
        world.clock.advance(LEASE);
        with_file(&world, &scope, "new").await;
        let now = world.now();
        let ever = now.minus(Duration::from_secs(3600));
        let before = CleanBefore { deliveries: ever, events: ever, idempotency: ever, texts: now };
        assert_eq!(world.store.clean_step(before).await.expect("cleaned").texts, 1);
        assert_eq!(lease_all(&world, "one").await.len(), 1);
    }
}

#[tokio::test]
async fn a_text_goes_with_its_message_and_with_its_inbox() {
    for world in worlds().await {
        let scope = inbox(&world, "desk").await;
        let file = with_file(&world, &scope, "a").await;
        let job = lease(&world, None, "one").await.expect("a job");
        let message =
            world.store.message_by_key(&scope, job.message_key).await.expect("read").expect("there");
        let text = || vec![AttachmentText { attachment_id: file, bytes: vec![1, 2, 3] }];
        assert!(world.store.finish_text_job(&job, text()).await.expect("finished"));
        let found = world.store.attachment_text(&scope, &message, file).await.expect("read");
        assert_eq!(found, Some(vec![1, 2, 3]));
        world.store.delete_message(&scope, &message.message_id, Restricted::ALL).await.expect("deleted");
        assert_eq!(world.store.attachment_text(&scope, &message, file).await.expect("read"), None);

        let file = with_file(&world, &scope, "b").await;
        let job = lease(&world, None, "two").await.expect("a job");
        let message =
            world.store.message_by_key(&scope, job.message_key).await.expect("read").expect("there");
        let text = || vec![AttachmentText { attachment_id: file, bytes: vec![1] }];
        assert!(world.store.finish_text_job(&job, text()).await.expect("finished"));
        with_file(&world, &scope, "c").await;
        let open = lease(&world, None, "three").await.expect("a job");
        world.store.delete_inbox(&scope, world.now()).await.expect("deleted");
        assert!(!world.store.finish_text_job(&open, text()).await.expect("the inbox is gone"));
        while world.store.purge_step(100).await.expect("purged").more {}
        assert_eq!(world.store.attachment_text(&scope, &message, file).await.expect("read"), None);
        world.clock.advance(LEASE);
        assert_eq!(lease(&world, None, "four").await, None);
    }
}
