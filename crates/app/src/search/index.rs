//! Keeping the index up with the messages.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use podmail_bus::Topic;
use podmail_domain::MessageKey;
use podmail_store::{Message, Scope, SearchDocument};
use tokio_util::sync::CancellationToken;

use super::fold::{fold, words};
use super::terms::Head;
use super::tokens;
use crate::messages::heavy;
use crate::{App, Error, Result};

/// Messages that the worker indexes at once.
const BATCH: usize = 64;
/// Messages of one scope that a search indexes at once.
const CATCH_UP: usize = 250;
/// How often a search does so; what waits beyond that is found a little later.
const CATCH_UPS: usize = 8;
/// Characters of a body that are indexed.
const BODY_CHARS: usize = 100_000;
/// Bytes of the folded words of a body at most, for unpacking.
const TEXT_BYTES: usize = 4 * BODY_CHARS;
/// Messages whose bytes are fetched at once.
const FETCHED: usize = 8;
/// Scopes whose segments are tended after each batch at most.
const TENDED: usize = 32;
/// Pause of the worker between full batches at least: arrivals go first.
const PAUSE_MIN: Duration = Duration::from_millis(5);

impl App {
    /// Indexes what waits until told to stop.
    pub async fn run_indexer(&self, token: CancellationToken) {
        while !token.is_cancelled() {
            let done = async {
                let indexed = self.index_once().await?;
                Ok::<_, Error>(self.tend_index().await? || indexed > 0)
            };
            let pause = match done.await {
                Ok(false) => None,
                Ok(true) => Some(PAUSE_MIN),
                Err(error) => {
                    tracing::error!(error = %error, "messages could not be indexed");
                    None
                }
            };
            let wait = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => self.bus().wait(Topic::Search, self.settings().work_poll_interval).await,
                }
            };
            tokio::select! {
                () = token.cancelled() => {}
                () = wait => {}
            }
        }
    }

    /// Indexes the oldest messages that wait; how many. When none does, queues what an older version of this code made.
    pub async fn index_once(&self) -> Result<usize> {
        let waiting = self.store().search_backlog(BATCH).await?;
        let count = waiting.len();
        if count == 0 {
            let again = self.store().requeue_outdated(tokens::VERSION, BATCH).await?;
            return Ok(usize::try_from(again).unwrap_or(0));
        }
        let documents = self.documents(waiting).await?;
        self.store().index_documents(documents, false).await?;
        Ok(count)
    }

    /// Merges segments of the index and takes out what is gone, of some scopes; `false` when none wanted it.
    pub async fn tend_index(&self) -> Result<bool> {
        for n in 0..TENDED {
            if !self.store().tend_search().await? {
                return Ok(n > 0);
            }
        }
        Ok(true)
    }

    /// How many messages wait for the index, counted up to 100,000.
    pub async fn search_backlog(&self) -> Result<u64> {
        Ok(self.store().search_backlog_size(100_000).await?)
    }

    /// Indexes what a scope has waiting, so that a search finds it.
    pub(crate) async fn catch_up(&self, scope: &Scope) -> Result<()> {
        for _ in 0..CATCH_UPS {
            let waiting = self.store().search_backlog_of(scope, CATCH_UP).await?;
            let count = waiting.len();
            if count > 0 {
                let documents = self.documents(waiting).await?;
                self.store().index_documents(documents, true).await?;
            }
            if count < CATCH_UP {
                break;
            }
        }
        Ok(())
    }

    async fn documents(&self, messages: Vec<Message>) -> Result<Vec<SearchDocument>> {
        let raw = self.raw_of(messages).await?;
        heavy(move || raw.into_iter().map(|(message, raw)| document(message, &raw)).collect()).await
    }

    /// The texts that a search looks into: the text body, or what is visible of the HTML.
    pub(super) async fn bodies_of(&self, messages: Vec<Message>) -> Result<HashMap<MessageKey, String>> {
        if messages.is_empty() {
            return Ok(HashMap::new());
        }
        let raw = self.raw_of(messages).await?;
        let body = |(message, raw): (Message, Vec<u8>)| Some((message.message_key, visible(&raw)?));
        heavy(move || raw.into_iter().filter_map(body).collect()).await
    }

    /// Messages with their bytes; none where one was deleted meanwhile.
    async fn raw_of(&self, messages: Vec<Message>) -> Result<Vec<(Message, Vec<u8>)>> {
        let mut stored = self.store().bytes_of(&messages).await?;
        let with_bytes = messages.into_iter().map(|message| {
            let bytes = stored.remove(&message.message_key);
            async move {
                let unpacked = match bytes {
                    Some(bytes) => self.unpack(bytes, message.size).await,
                    None => Err(Error::NotFound("Message")),
                };
                match unpacked {
                    Ok(raw) => Ok((message, raw)),
                    Err(Error::NotFound(_)) => Ok((message, Vec::new())),
                    Err(error) => Err(error),
                }
            }
        });
        // Those of object storage do not wait for each other.
        futures_util::stream::iter(with_bytes.collect::<Vec<_>>()).buffered(FETCHED).try_collect().await
    }
}

fn visible(raw: &[u8]) -> Option<String> {
    let parsed = podmail_mime::parse(raw);
    // What is hidden from readers is no way to reach those who search either.
    parsed.text.or_else(|| parsed.html.as_deref().map(podmail_mime::html_to_visible_text))
}

fn document(message: Message, raw: &[u8]) -> SearchDocument {
    let body: String = visible(raw).unwrap_or_default().chars().take(BODY_CHARS).collect();
    let folded = fold(&body);
    let mut body = String::with_capacity(folded.len() + 2);
    for word in words(&folded) {
        body.push(' ');
        body.push_str(word);
    }
    body.push(' ');
    let recipients = message.to.iter().chain(&message.cc).chain(&message.bcc);
    let head = Head {
        subject: fold(message.subject.as_deref().unwrap_or_default()),
        people: std::iter::once(&message.sender).chain(recipients).map(|text| fold(text)).collect(),
    };
    let tokens = tokens::of(&head, &body);
    let text = podmail_blob::compress(body.as_bytes());
    SearchDocument { message, tokens, text, version: tokens::VERSION }
}

/// The folded words of a body; none when what is stored is damaged.
pub(super) fn unpacked(text: &[u8]) -> String {
    let bytes = podmail_blob::decompress(text, TEXT_BYTES).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}
