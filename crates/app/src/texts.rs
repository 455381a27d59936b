//! Plain text of attachments, for `text_url`. Messages with attachments that may have text leave a job behind; a worker takes it, has the
//! text taken out by an [`Extractor`], and stores what came of it. Nothing of this holds up or changes the message.
//!
//! Parsers of strangers' files are not trusted: the server's extractor runs them in a process of its own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use podmail_domain::thread::Attachment;
use podmail_domain::{OrganizationId, WebhookDeliveryId};
use podmail_store::{AttachmentText, TextJob};
use podmail_text_extract::{INPUT_BYTES_MAX, TEXT_CHARS_MAX, detect, worth_a_look};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

pub use podmail_text_extract::{Kind, extract};

use crate::messages::heavy;
use crate::{App, Result};

/// Most bytes of a text: four per character.
pub const TEXT_BYTES_MAX: usize = TEXT_CHARS_MAX * 4;
/// Messages that a node works on at the same time.
const AT_ONCE: usize = 4;
/// Those of one organization: files that take long leave places to the others.
const AT_ONCE_OF_ONE: usize = 2;
/// Attachments of one message that are looked at.
const ATTACHMENTS_MAX: usize = 100;
/// All attachments of one message; what is not done by then has no text.
const MESSAGE_TIME: Duration = Duration::from_secs(20);
/// A message that was begun so often and never ended is left alone: it may be what ended the process.
const ATTEMPTS_MAX: u32 = 3;
/// How long a message waits for its texts, say because nobody takes them out; it has none then.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// A file to take text from.
#[derive(Clone, Debug)]
pub struct TextFile {
    /// What it is.
    pub kind: Kind,
    /// What the sender says about the encoding of a text.
    pub charset: Option<String>,
    /// Its bytes, at most [`INPUT_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

/// Takes the text out of a file, whatever the file is: total, bounded in time and memory.
pub trait Extractor: Send + Sync {
    /// The text; `None` when there is none.
    fn extract(&self, file: TextFile) -> BoxFuture<'_, Option<String>>;
}

/// Whose turn it is.
#[derive(Debug, Default)]
struct Turns {
    /// Who had the last turn.
    last: Option<OrganizationId>,
    /// Whose messages are being worked on, once for each.
    busy: Vec<OrganizationId>,
}

impl Turns {
    fn has_room(&self, organization: OrganizationId) -> bool {
        self.busy.iter().filter(|busy| **busy == organization).count() < AT_ONCE_OF_ONE
    }

    fn ended(&mut self, organization: OrganizationId) {
        if let Some(at) = self.busy.iter().position(|busy| *busy == organization) {
            self.busy.swap_remove(at);
        }
    }
}

impl App {
    /// Works on one message that waits; `false` when none does.
    pub async fn extract_texts_once(&self, extractor: &dyn Extractor) -> Result<bool> {
        let Some(job) = self.next_text_job(&mut Turns::default()).await? else { return Ok(false) };
        self.extract_texts_of(&job, extractor).await?;
        Ok(true)
    }

    /// The next message: of the next organization that has one and room for it.
    async fn next_text_job(&self, turns: &mut Turns) -> Result<Option<TextJob>> {
        let now = self.now();
        let until = now.plus(self.settings().work_lease.max(MESSAGE_TIME.saturating_mul(2)));
        // Unique, which is all that is asked of a lease.
        let token = WebhookDeliveryId::new(self.ids(), now);
        // Once around: those behind the last one, then from the start.
        let mut after = turns.last;
        let mut wrapped = after.is_none();
        loop {
            let next = self.store().text_job_owner(after, now).await?;
            match next {
                Some(owner) if turns.has_room(owner) => {
                    turns.last = Some(owner);
                    let job = self.store().lease_text_job(owner, token.as_str(), now, until).await?;
                    if let Some(job) = &job {
                        turns.busy.push(job.organization_id);
                    }
                    return Ok(job);
                }
                Some(owner) => after = Some(owner),
                None if wrapped => return Ok(None),
                None => (after, wrapped) = (None, true),
            }
        }
    }

    /// Never fails: a lease that is not ended runs out, and the message is begun again until it is given up. Once the
    /// token is cancelled the job is given back.
    async fn work_on_text_job(
        &self,
        job: TextJob,
        extractor: &dyn Extractor,
        token: &CancellationToken,
    ) -> OrganizationId {
        let done = tokio::select! {
            done = self.extract_texts_of(&job, extractor) => done,
            () = token.cancelled() => {
                self.store().release_text_job(&job, self.now()).await.map_err(Into::into)
            }
        };
        if let Err(error) = done {
            tracing::warn!(message.key = %job.message_key, error = %error, "texts of attachments failed");
        }
        job.organization_id
    }

    async fn extract_texts_of(&self, job: &TextJob, extractor: &dyn Extractor) -> Result<()> {
        let texts = if job.attempts >= ATTEMPTS_MAX {
            tracing::warn!(message.key = %job.message_key, "texts of attachments are given up");
            Vec::new()
        } else {
            self.texts_of(job, extractor).await?
        };
        self.store().finish_text_job(job, texts).await?;
        Ok(())
    }

    async fn texts_of(&self, job: &TextJob, extractor: &dyn Extractor) -> Result<Vec<AttachmentText>> {
        // A message that goes takes its job along.
        let Some(scope) = self.store().inbox_scope_by_key(job.organization_id, job.inbox_key).await? else {
            return Ok(Vec::new());
        };
        let Some(message) = self.store().message_by_key(&scope, job.message_key).await? else {
            return Ok(Vec::new());
        };
        let wanted: Vec<&Attachment> = message.attachments.iter().filter(|file| wanted(file)).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let raw = Arc::new(self.raw_bytes(&scope, &message).await?);
        let deadline = Instant::now() + MESSAGE_TIME;
        let mut texts = Vec::new();
        for attachment in wanted.into_iter().take(ATTACHMENTS_MAX) {
            let (raw, of) = (Arc::clone(&raw), attachment.clone());
            let Some(file) = heavy(move || file(&raw, &of)).await? else { continue };
            let Ok(text) = timeout_at(deadline, extractor.extract(file)).await else { break };
            let Some(text) = text.filter(|text| text.len() <= TEXT_BYTES_MAX) else { continue };
            let bytes = heavy(move || podmail_blob::compress(text.as_bytes())).await?;
            texts.push(AttachmentText { attachment_id: attachment.attachment_id, bytes });
        }
        Ok(texts)
    }

    /// Works on what waits until the token is cancelled. What is not done by then is given back, for another node or the
    /// next start to begin at once.
    pub async fn run_texts(&self, extractor: &dyn Extractor, token: CancellationToken) {
        let (mut turns, mut running) = (Turns::default(), FuturesUnordered::new());
        while !token.is_cancelled() {
            while running.len() < AT_ONCE && !token.is_cancelled() {
                let (next, ended) = alongside(self.next_text_job(&mut turns), &mut running).await;
                ended.into_iter().for_each(|organization| turns.ended(organization));
                match next {
                    Ok(Some(job)) => running.push(self.work_on_text_job(job, extractor, &token)),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::error!(error = %error, "texts of attachments could not be taken");
                        break;
                    }
                }
            }
            tokio::select! {
                () = token.cancelled() => {}
                Some(organization) = running.next() => turns.ended(organization),
                () = tokio::time::sleep(self.settings().work_poll_interval) => {}
            }
        }
        // Each of them ends with giving its job back.
        while running.next().await.is_some() {}
    }
}

/// Awaits one thing while others go on, with what those that ended meanwhile came to. Left alone, the others would keep
/// connections that they were just given, and the one would wait for these for ever.
async fn alongside<T, F: Future>(
    one: impl Future<Output = T>,
    others: &mut FuturesUnordered<F>,
) -> (T, Vec<F::Output>) {
    let (mut one, mut ended) = (std::pin::pin!(one), Vec::new());
    loop {
        tokio::select! {
            done = &mut one => return (done, ended),
            Some(other) = others.next() => ended.push(other),
        }
    }
}

/// Whether a message with these attachments has anything to take text from: only then does it leave a job behind.
pub(crate) fn any_wanted(attachments: &[Attachment]) -> bool {
    attachments.iter().any(wanted)
}

/// By type, name and size; the kind is found out from the bytes.
fn wanted(attachment: &Attachment) -> bool {
    (1..=INPUT_BYTES_MAX).contains(&attachment.size)
        && worth_a_look(attachment.content_type.as_deref(), attachment.filename.as_deref())
}

/// The attachment as a file, when it is of a kind that has text.
fn file(raw: &[u8], attachment: &Attachment) -> Option<TextFile> {
    let bytes = podmail_mime::part_bytes(raw, attachment.part)?;
    let kind = detect(attachment.content_type.as_deref(), attachment.filename.as_deref(), &bytes)?;
    Some(TextFile { kind, charset: podmail_mime::part_charset(raw, attachment.part), bytes })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn what_runs_lets_go_of_what_it_was_given_while_something_else_waits_for_it() {
        let room = Semaphore::new(1);
        let held = room.try_acquire().unwrap();
        let mut running = FuturesUnordered::new();
        running.push(async { drop(room.acquire().await.unwrap()) });
        assert!(running.next().now_or_never().is_none());
        drop(held);
        let (_, ended) = alongside(room.acquire(), &mut running).now_or_never().expect("room for both");
        assert_eq!(ended.len(), 1);
    }
}
