//! The load of a round: mail, sends and label changes until the server dies.

use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Mail, Memory, Place, Sent};
use crate::http::{Client, escape};
use crate::mail;
use crate::random::Random;
use crate::server::Server;
use crate::smtp::{Envelope, Session};

const MAIL_CONNECTIONS: usize = 4;
const SENDERS: usize = 2;
/// One mail in so many is too large to lie in the database.
const LARGE_EVERY: usize = 12;
/// Bytes of a large one; they do not compress below the bound for the database.
const LARGE_BYTES: usize = 150_000;

pub(super) fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().expect("no panic while held")
}

/// Starts the load. Its tasks end with the error that the death of the server gives them.
pub(super) fn start(
    server: &Server,
    round: usize,
    inboxes: &[String],
    memory: &Arc<Mutex<Memory>>,
    random: &mut Random,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for at in 0..MAIL_CONNECTIONS {
        let (smtp, memory, inboxes) = (server.smtp.clone(), memory.clone(), inboxes.to_vec());
        let random = Random::new(random.bits());
        tasks.spawn(
            async move { drop(mails(&smtp, &format!("r{round}c{at}"), &inboxes, &memory, random).await) },
        );
    }
    for at in 0..SENDERS {
        let (api, memory, inboxes) = (server.client(), memory.clone(), inboxes.to_vec());
        let random = Random::new(random.bits());
        tasks.spawn(
            async move { drop(sends(api, &format!("r{round}s{at}"), &inboxes, &memory, random).await) },
        );
    }
    let (api, memory, random) = (server.client(), memory.clone(), Random::new(random.bits()));
    tasks.spawn(async move { drop(labels(api, &format!("r{round}"), &memory, random).await) });
    tasks
}

/// Waits for all tasks; a panic in one is an error.
pub(super) async fn end(mut tasks: JoinSet<()>) -> Result<()> {
    while let Some(joined) = tasks.join_next().await {
        joined?;
    }
    Ok(())
}

async fn mails(
    smtp: &str,
    name: &str,
    inboxes: &[String],
    memory: &Mutex<Memory>,
    mut random: Random,
) -> Result<()> {
    let mut session = Session::connect(smtp).await?;
    for count in 0.. {
        let mail = compose(&format!("<{name}.{count}@load.example>"), inboxes, memory, &mut random);
        let envelope = Envelope::new("load@load.example", &mail.recipients);
        session.open(&envelope).await?;
        lock(memory).doubtful_mails.push(mail.clone());
        session.message(&mail.bytes, None).await?;
        let mut memory = lock(memory);
        memory.doubtful_mails.retain(|other| other.id != mail.id);
        memory.mails.insert(mail.id.clone(), mail);
        memory.acknowledged += 1;
    }
    Ok(())
}

fn compose(id: &str, inboxes: &[String], memory: &Mutex<Memory>, random: &mut Random) -> Mail {
    let first = random.below(inboxes.len());
    let recipients: Vec<String> =
        inboxes.iter().cycle().skip(first).take(1 + random.below(3)).cloned().collect();
    // Every other mail answers one that the first recipient has.
    let parent = (random.below(2) == 0).then(|| {
        let memory = lock(memory);
        let has = |mail: &&Mail| mail.recipients.first() == recipients.first();
        let skip = random.below(8);
        memory.mails.values().rev().filter(has).nth(skip).map(|mail| mail.id.clone())
    });
    let parent = parent.flatten();
    let text = if random.below(LARGE_EVERY) == 0 {
        mail::noise(random, LARGE_BYTES)
    } else {
        let size = 200 + random.below(6_000);
        mail::words(random, size)
    };
    let answers = parent.as_ref().map(|parent| format!("In-Reply-To: {parent}\r\n")).unwrap_or_default();
    let bytes = format!(
        "From: Load <load@load.example>\r\nTo: {}\r\nSubject: mail {id}\r\nMessage-ID: {id}\r\n{answers}\r\n{text}",
        recipients.join(", ")
    );
    Mail { id: id.to_owned(), recipients, bytes: Arc::new(bytes.into_bytes()), parent }
}

async fn sends(
    mut api: Client,
    name: &str,
    inboxes: &[String],
    memory: &Mutex<Memory>,
    mut random: Random,
) -> Result<()> {
    for count in 0.. {
        let subject = format!("send {name}.{count}");
        let size = 100 + random.below(3_000);
        let text = mail::words(&mut random, size);
        let body = json!({"to": "somebody@elsewhere.example", "subject": subject, "text": text});
        let inbox = random.pick(inboxes).cloned().unwrap_or_default();
        let sent = Sent { inbox, key: format!("key-{name}-{count}"), body, id: None };
        lock(memory).sent.insert(subject.clone(), sent.clone());
        let id = send(&mut api, &sent).await?;
        let mut memory = lock(memory);
        memory.sent.insert(subject, Sent { id: Some(id), ..sent });
        memory.acknowledged += 1;
    }
    Ok(())
}

/// Sends with the idempotency key and returns the message's id.
pub(super) async fn send(api: &mut Client, sent: &Sent) -> Result<String> {
    let path = format!("/v0/inboxes/{}/messages/send", escape(&sent.inbox));
    let header = format!("Idempotency-Key: {}\r\n", sent.key);
    let answer = api.request("POST", &path, &header, Some(&sent.body)).await?.json()?;
    crate::world::text(&answer, "message_id")
}

async fn labels(mut api: Client, name: &str, memory: &Mutex<Memory>, mut random: Random) -> Result<()> {
    let mut count = 0;
    loop {
        let place = {
            let memory = lock(memory);
            let skip = random.below(memory.mails.len());
            // Newest first would never change an old message: any of them.
            memory
                .mails
                .values()
                .nth(skip)
                .and_then(|mail| Some((mail.recipients.first()?.clone(), mail.id.clone())))
        };
        let Some(place) = place else {
            tokio::task::yield_now().await;
            continue;
        };
        count += 1;
        let label = format!("{name}-{count}");
        lock(memory).doubtful_labels.insert((place.clone(), label.clone()));
        add_label(&mut api, &place, &label).await?;
        let mut memory = lock(memory);
        memory.doubtful_labels.remove(&(place.clone(), label.clone()));
        memory.labels.entry(place).or_default().insert(label);
        memory.acknowledged += 1;
    }
}

async fn add_label(api: &mut Client, place: &Place, label: &str) -> Result<Value> {
    let path = format!("/v0/inboxes/{}/messages/{}", escape(&place.0), escape(&place.1));
    api.send("PATCH", &path, &json!({"add_labels": [label]})).await
}
