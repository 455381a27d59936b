//! Compares what the started-again server shows with what clients remember.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::load::{lock, send};
use super::{Mail, Memory, Round, Sent};
use crate::http::{Client, escape};
use crate::server::Server;
use crate::smtp::{Envelope, Session};
use crate::world::{self, text};

/// One inbox as it is listed.
struct Listed {
    messages: HashMap<String, Value>,
    threads: HashMap<String, Value>,
    /// How often each label was added to each message.
    added: HashMap<(String, String), usize>,
}

/// Right after a restart: everything acknowledged is there. Then clients repeat what was in flight, as they would.
/// Outbound mail is still at work, so what its outcomes change is compared by [`settled`].
pub(super) async fn restarted(server: &Server, inboxes: &[String], memory: &Mutex<Memory>) -> Result<Round> {
    let mut api = server.client();
    let listed = listed(&mut api, inboxes).await?;
    let round = in_flight(&listed, memory)?;
    acknowledged(&listed, memory)?;
    repeat(server, &mut api, memory).await?;
    Ok(round)
}

/// Once all work is done: nothing is there that nobody sent, bytes are whole and threads say what their messages say.
/// Returns the number of messages.
pub(super) async fn settled(server: &Server, inboxes: &[String], memory: &Mutex<Memory>) -> Result<usize> {
    let listed = listed(&mut server.client(), inboxes).await?;
    acknowledged(&listed, memory)?;
    aggregates(&listed)?;
    only_known(&listed, memory)?;
    bytes(server, memory).await?;
    Ok(listed.values().map(|inbox| inbox.messages.len()).sum())
}

async fn listed(api: &mut Client, inboxes: &[String]) -> Result<BTreeMap<String, Listed>> {
    let mut all = BTreeMap::new();
    for inbox in inboxes {
        let path = format!("/v0/inboxes/{}", escape(inbox));
        let (mut messages, mut threads, mut added) = (HashMap::new(), HashMap::new(), HashMap::new());
        for message in world::list(api, &format!("{path}/messages?limit=500"), "messages").await? {
            let id = text(&message, "message_id")?;
            ensure!(messages.insert(id.clone(), message).is_none(), "{inbox} lists {id} twice");
        }
        for thread in world::list(api, &format!("{path}/threads?limit=500"), "threads").await? {
            let id = text(&thread, "thread_id")?;
            ensure!(threads.insert(id.clone(), thread).is_none(), "{inbox} lists thread {id} twice");
        }
        let mut ids = HashSet::new();
        for event in world::list(api, &format!("{path}/events?limit=500"), "events").await? {
            let id = text(&event, "event_id")?;
            ensure!(ids.insert(id.clone()), "{inbox} lists event {id} twice");
            if text(&event, "event_type")? == "label.added" {
                *added.entry((text(&event, "message_id")?, text(&event, "label")?)).or_default() += 1;
            }
        }
        all.insert(inbox.clone(), Listed { messages, threads, added });
    }
    Ok(all)
}

/// Counts what was in flight and settles labels: those that are there were added, the others never will be.
fn in_flight(listed: &BTreeMap<String, Listed>, memory: &Mutex<Memory>) -> Result<Round> {
    let mut memory = lock(memory);
    let mut round = Round { acknowledged: memory.acknowledged, ..Round::default() };
    for mail in &memory.doubtful_mails {
        let count = mail.recipients.iter().filter(|inbox| has(listed, inbox, &mail.id)).count();
        ensure!(
            count == 0 || count == mail.recipients.len(),
            "{} is in {count} of {:?}",
            mail.id,
            mail.recipients
        );
        round.in_flight += 1;
        round.in_flight_done += usize::from(count > 0);
    }
    for ((inbox, id), label) in std::mem::take(&mut memory.doubtful_labels) {
        round.in_flight += 1;
        let inbox_listed = listed.get(&inbox).context("a known inbox")?;
        let message =
            inbox_listed.messages.get(&id).with_context(|| format!("{id} is missing in {inbox}"))?;
        if strings(message, "labels").contains(&label) {
            round.in_flight_done += 1;
            memory.labels.entry((inbox, id)).or_default().insert(label);
        } else {
            ensure!(
                !inbox_listed.added.contains_key(&(id.clone(), label)),
                "history tells of a label that {id} lacks"
            );
        }
    }
    for (subject, sent) in memory.sent.iter().filter(|(_, sent)| sent.id.is_none()) {
        round.in_flight += 1;
        round.in_flight_done += with_subject(listed, &sent.inbox, subject)?.len();
    }
    Ok(round)
}

fn has(listed: &BTreeMap<String, Listed>, inbox: &str, id: &str) -> bool {
    listed.get(inbox).is_some_and(|inbox| inbox.messages.contains_key(id))
}

/// Ids of the sent messages with that subject: one at most.
fn with_subject(listed: &BTreeMap<String, Listed>, inbox: &str, subject: &str) -> Result<Vec<String>> {
    let messages = listed.get(inbox).context("a known inbox")?.messages.iter();
    let matches = |message: &Value| message.get("subject").and_then(Value::as_str) == Some(subject);
    let ids: Vec<String> =
        messages.filter(|(_, message)| matches(message)).map(|(id, _)| id.clone()).collect();
    ensure!(ids.len() <= 1, "one idempotency key stored several messages: {subject}, {ids:?}");
    Ok(ids)
}

/// Everything acknowledged is there, once, with its labels and in its thread.
fn acknowledged(listed: &BTreeMap<String, Listed>, memory: &Mutex<Memory>) -> Result<()> {
    let memory = lock(memory);
    for mail in memory.mails.values() {
        for inbox in &mail.recipients {
            ensure!(has(listed, inbox, &mail.id), "{} got its 250 and is missing in {inbox}", mail.id);
        }
        if let (Some(parent), Some(inbox)) = (&mail.parent, mail.recipients.first()) {
            let messages = &listed.get(inbox).context("a known inbox")?.messages;
            let thread = |id: &str| messages.get(id).map(|message| text(message, "thread_id")).transpose();
            ensure!(thread(parent)? == thread(&mail.id)?, "{} answers {parent} in another thread", mail.id);
        }
    }
    for (subject, sent) in &memory.sent {
        let Some(id) = &sent.id else { continue };
        let found = with_subject(listed, &sent.inbox, subject)?;
        ensure!(found == [id.clone()], "{subject} got its 200 as {id}, {} lists {found:?}", sent.inbox);
    }
    for ((inbox, id), labels) in &memory.labels {
        let inbox = listed.get(inbox).context("a known inbox")?;
        let shown = strings(inbox.messages.get(id).context("a labelled message is missing")?, "labels");
        for label in labels {
            ensure!(shown.contains(label), "{id} lost label {label}");
            let added = inbox.added.get(&(id.clone(), label.clone())).copied().unwrap_or_default();
            ensure!(added == 1, "history tells {added} times of label {label} of {id}");
        }
    }
    Ok(())
}

/// Threads say what their messages say.
fn aggregates(listed: &BTreeMap<String, Listed>) -> Result<()> {
    for (inbox, listed) in listed {
        let mut by_thread: HashMap<String, Vec<&Value>> = HashMap::new();
        for message in listed.messages.values() {
            by_thread.entry(text(message, "thread_id")?).or_default().push(message);
        }
        ensure!(by_thread.len() == listed.threads.len(), "{inbox}: other threads than those of its messages");
        for (id, messages) in by_thread {
            let thread =
                listed.threads.get(&id).with_context(|| format!("{inbox}: thread {id} is missing"))?;
            let number =
                |value: &Value, name: &str| value.get(name).and_then(Value::as_u64).unwrap_or_default();
            let count = u64::try_from(messages.len()).unwrap_or_default();
            ensure!(number(thread, "message_count") == count, "{inbox}: {count} messages, {thread}");
            let size: u64 = messages.iter().map(|message| number(message, "size")).sum();
            ensure!(number(thread, "size") == size, "{inbox}: size {size}, {thread}");
            let labels: BTreeSet<String> =
                messages.iter().flat_map(|message| strings(message, "labels")).collect();
            ensure!(strings(thread, "labels") == labels, "{inbox}: labels {labels:?}, {thread}");
            let newest =
                messages.iter().map(|message| text(message, "timestamp")).collect::<Result<Vec<_>>>()?;
            let newest = newest.into_iter().max().unwrap_or_default();
            ensure!(text(thread, "timestamp")? == newest, "{inbox}: newest {newest}, {thread}");
            let last = text(thread, "last_message_id")?;
            let last = listed.messages.get(&last).with_context(|| format!("{inbox}: no {last}, {thread}"))?;
            ensure!(text(last, "timestamp")? == newest, "{inbox}: last is {last}, {thread}");
        }
    }
    Ok(())
}

/// Clients do again what they got no answer to, and what they got one to.
async fn repeat(server: &Server, api: &mut Client, memory: &Mutex<Memory>) -> Result<()> {
    let (doubtful, sent): (Vec<Mail>, Vec<Sent>) = {
        let mut memory = lock(memory);
        (std::mem::take(&mut memory.doubtful_mails), memory.sent.values().cloned().collect())
    };
    let mut session = Session::connect(&server.smtp).await?;
    for mail in doubtful {
        let envelope = Envelope::new("load@load.example", &mail.recipients);
        session.send(&envelope, &mail.bytes).await.with_context(|| format!("{} again", mail.id))?;
        lock(memory).mails.insert(mail.id.clone(), mail);
    }
    for sent in sent.iter().rev().take(200) {
        let id = send(api, sent).await.with_context(|| format!("{} again", sent.key))?;
        let known = sent.id.as_ref().is_none_or(|known| *known == id);
        ensure!(known, "{} gave {:?} and then {id}", sent.key, sent.id);
        let subject = text(&sent.body, "subject")?;
        lock(memory).sent.insert(subject, Sent { id: Some(id), ..sent.clone() });
    }
    Ok(())
}

/// Nothing is there that nobody sent.
fn only_known(listed: &BTreeMap<String, Listed>, memory: &Mutex<Memory>) -> Result<()> {
    let memory = lock(memory);
    let sent: HashSet<&String> = memory.sent.values().filter_map(|sent| sent.id.as_ref()).collect();
    for (inbox, listed) in listed {
        for id in listed.messages.keys() {
            let received = memory.mails.get(id).is_some_and(|mail| mail.recipients.contains(inbox));
            ensure!(received || sent.contains(id), "{inbox} has {id}, which nobody sent there");
        }
    }
    Ok(())
}

/// This round's mails have exactly their bytes, below the Received line that was added.
async fn bytes(server: &Server, memory: &Mutex<Memory>) -> Result<()> {
    let mails: Vec<Mail> =
        lock(memory).mails.values().filter(|mail| !mail.bytes.is_empty()).cloned().collect();
    let mut api = server.client();
    for mail in mails {
        for inbox in &mail.recipients {
            let path = format!("/v0/inboxes/{}/messages/{}/raw", escape(inbox), escape(&mail.id));
            let link = text(&api.get(&path).await?, "download_url")?;
            let at = link.match_indices('/').nth(2).map(|(at, _)| at).context("a link has a path")?;
            let path = link.get(at..).context("a link is ASCII")?.to_owned();
            let answer = api.request("GET", &path, "", None).await?;
            ensure!(answer.status == 200, "{} cannot be downloaded: HTTP {}", mail.id, answer.status);
            let stored = without_received(&answer.body);
            ensure!(
                stored == mail.bytes.as_slice(),
                "{} in {inbox} does not have the bytes that were sent",
                mail.id
            );
        }
    }
    Ok(())
}

/// The message below its first field, which must be `Received`.
pub(crate) fn without_received(raw: &[u8]) -> &[u8] {
    if !raw.starts_with(b"Received:") {
        return raw;
    }
    let mut at = 0;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if at > 0 && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            break;
        }
        at += line.len();
    }
    raw.get(at..).unwrap_or_default()
}

fn strings(value: &Value, member: &str) -> BTreeSet<String> {
    let items = value.get(member).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_folded_field_is_taken_away() {
        for (raw, want) in [
            ("Received: a\r\n\tb\r\n c\r\nReceived: d\r\n\r\n", "Received: d\r\n\r\n"),
            ("Received: a\r\nX: y\r\n", "X: y\r\n"),
            ("X: y\r\n", "X: y\r\n"),
        ] {
            assert_eq!(without_received(raw.as_bytes()), want.as_bytes(), "{raw:?}");
        }
    }
}
