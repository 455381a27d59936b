//! Full-text search. The store proposes candidates by tokens, within the caller's scope first; here each is compared
//! with the query, ranked and marked. `index` keeps the index up with the messages, and every search begins by indexing
//! what its scope has waiting, so that what was received a moment ago is found.
//!
//! Invariant: messages with a restricted label are never found, whatever the caller may read.

mod fold;
mod highlight;
mod index;
mod terms;
mod tokens;

use std::collections::HashMap;
use std::time::Duration;

use podmail_api_types::search as wire;
use podmail_domain::label::Restricted;
use podmail_domain::{MessageKey, ThreadId, Timestamp};
use podmail_store::{Cursor, Message, Page, Scope, SearchHit, SearchWindow};

use crate::messages::{heavy, item};
use crate::{App, Caller, Result};
use terms::{Document, Quality, Term};

/// Documents looked at in one round.
const ROUND: usize = 1_000;
/// Rounds of one search: later ones are needed only when most candidates are hidden or outside of the times asked for.
const ROUNDS: usize = 10;
/// Conversations that one search looks into.
const THREADS: usize = 1_000;
/// Conversations whose documents are read at once.
const THREAD_CHUNK: usize = 100;
/// Messages of one conversation whose bodies are read for marking.
const THREAD_BODIES: usize = 5;
/// Marked texts of one field of a conversation.
const THREAD_MARKS: usize = 10;
/// A message's own time lies at most this far behind its storage, see `receive`.
const BEHIND: Duration = Duration::from_secs(7 * 24 * 3600);
/// A message's own time lies at most this far ahead of its storage.
const AHEAD: Duration = Duration::from_secs(5 * 60);

/// What is searched for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchFilter {
    /// As typed.
    pub q: String,
    /// Timestamp below.
    pub before: Option<Timestamp>,
    /// Timestamp at or above.
    pub after: Option<Timestamp>,
}

impl SearchFilter {
    fn holds(&self, time: Timestamp) -> bool {
        self.before.is_none_or(|before| time < before) && self.after.is_none_or(|after| time >= after)
    }

    /// Where messages with such times were stored.
    fn window(&self) -> SearchWindow {
        SearchWindow {
            before: self.before.map(|before| before.plus(BEHIND)),
            after: self.after.map(|after| after.minus(AHEAD)),
            below: None,
        }
    }
}

/// Where something stands among the results: best first, then newest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    score: u32,
    time: Timestamp,
    id: String,
}

impl Rank {
    fn cursor(&self) -> Cursor {
        Cursor::new(self.time, format!("{}:{}", self.score, self.id))
    }
    fn of(cursor: &Cursor) -> Option<Self> {
        let (score, id) = cursor.id.split_once(':')?;
        Some(Self { score: score.parse().ok()?, time: cursor.time, id: id.to_owned() })
    }
}

/// What stands behind `after` in the order of results, at most `limit`, and where the next page begins.
fn cut<T>(mut ranked: Vec<(Rank, T)>, after: Option<&Cursor>, limit: usize) -> Page<(Rank, T)> {
    ranked.sort_by(|(a, _), (b, _)| b.cmp(a));
    if let Some(last) = after.and_then(Rank::of) {
        ranked.retain(|(rank, _)| *rank < last);
    }
    let more = ranked.len() > limit;
    ranked.truncate(limit);
    let next = if more { ranked.last().map(|(rank, _)| rank.cursor()) } else { None };
    Page { items: ranked, next }
}

/// A candidate with how well it meets each term; `None` for a term that it does not meet.
struct Judged {
    hit: SearchHit,
    qualities: Vec<Option<Quality>>,
    /// Whether any term is in its body.
    body: bool,
}

fn score(qualities: impl Iterator<Item = Quality>) -> u32 {
    qualities.map(|quality| quality as u32 + 1).sum()
}

/// Compares candidates with the terms.
fn judge(hits: Vec<SearchHit>, terms: &[Term]) -> Vec<Judged> {
    hits.into_iter()
        .map(|hit| {
            let document = Document {
                subject: fold::fold(hit.subject.as_deref().unwrap_or_default()),
                people: std::iter::once(&hit.sender)
                    .chain(&hit.recipients)
                    .map(|text| fold::fold(text))
                    .collect(),
                body: index::unpacked(&hit.text),
            };
            let qualities = terms.iter().map(|term| term.meets(&document)).collect();
            let body = terms.iter().any(|term| term.in_body(&document.body).is_some());
            Judged { hit, qualities, body }
        })
        .collect()
}

impl App {
    /// Messages of the caller's inbox, best first.
    pub async fn search_messages(
        &self,
        caller: &Caller,
        filter: &SearchFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::FoundMessage>> {
        let terms = terms::split(&filter.q);
        let nothing = Page { items: Vec::new(), next: None };
        if terms.is_empty() {
            return Ok(nothing);
        }
        let scope = &caller.scope;
        self.catch_up(scope).await?;
        let lookups = terms::lookups(&terms);
        let (mut window, mut ranked) = (filter.window(), Vec::new());
        for _ in 0..ROUNDS {
            let documents = self.store().search_candidates(scope, &lookups, window, ROUND).await?;
            let hits = self.store().search_hits(scope, &documents).await?;
            let own = terms.clone();
            for judged in heavy(move || judge(hits, &own)).await? {
                let met: Option<Vec<Quality>> = judged.qualities.iter().copied().collect();
                if let Some(met) = met
                    && filter.holds(judged.hit.timestamp)
                {
                    let rank = Rank {
                        score: score(met.into_iter()),
                        time: judged.hit.timestamp,
                        id: judged.hit.message_key.to_string(),
                    };
                    ranked.push((rank, judged));
                }
            }
            if documents.len() < ROUND || ranked.len() >= ROUND {
                break;
            }
            window.below = documents.last().copied();
        }
        let page = cut(ranked, after, limit);
        let keys: Vec<MessageKey> = page.items.iter().map(|(_, judged)| judged.hit.message_key).collect();
        let messages = self.store().messages_by_key(scope, &keys).await?;
        let messages: HashMap<MessageKey, Message> =
            messages.into_iter().map(|message| (message.message_key, message)).collect();
        let mut items = Vec::with_capacity(page.items.len());
        for (_, judged) in page.items {
            // One that was deleted since is not shown.
            let Some(message) = messages.get(&judged.hit.message_key) else { continue };
            let highlights = self.mark(&terms, message, &judged).await?;
            items.push(wire::FoundMessage { message: item(message), highlights });
        }
        Ok(Page { items, next: page.next })
    }

    async fn mark(&self, terms: &[Term], message: &Message, judged: &Judged) -> Result<wire::Highlights> {
        let body = if judged.body { self.body_of(message).await? } else { None };
        let (terms, hit) = (terms.to_vec(), judged.hit.clone());
        heavy(move || {
            highlight::of(&terms, &hit.sender, &hit.recipients, hit.subject.as_deref(), body.as_deref())
        })
        .await
    }

    /// Conversations of the caller's scope, best first. Terms may be met by different messages of one.
    pub async fn search_threads(
        &self,
        caller: &Caller,
        filter: &SearchFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::FoundThread>> {
        let terms = terms::split(&filter.q);
        if terms.is_empty() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let scope = &caller.scope;
        self.catch_up(scope).await?;
        let threads = self.candidate_threads(scope, &terms, filter).await?;
        let mut ranked = Vec::new();
        for chunk in threads.chunks(THREAD_CHUNK) {
            let hits = self.store().search_hits_of(scope, chunk).await?;
            let own = terms.clone();
            let mut found: HashMap<ThreadId, Vec<Judged>> = HashMap::new();
            for judged in heavy(move || judge(hits, &own)).await? {
                found.entry(judged.hit.thread_id).or_default().push(judged);
            }
            for (thread, documents) in found {
                let best = |n: usize| {
                    documents.iter().filter_map(|judged| judged.qualities.get(n).copied().flatten()).max()
                };
                let met: Option<Vec<Quality>> = (0..terms.len()).map(best).collect();
                let time = documents.iter().map(|judged| judged.hit.timestamp).max();
                if let (Some(met), Some(time)) = (met, time)
                    && filter.holds(time)
                {
                    let rank = Rank { score: score(met.into_iter()), time, id: thread.to_string() };
                    ranked.push((rank, (thread, documents)));
                }
            }
        }
        let page = cut(ranked, after, limit);
        let mut items = Vec::with_capacity(page.items.len());
        for (_, (thread, documents)) in page.items {
            let Some(thread) = self.store().thread(scope, thread, Restricted::NONE).await? else { continue };
            let highlights = self.mark_thread(&terms, &thread.scope(), documents).await?;
            items.push(wire::FoundThread { thread: crate::threads::item(&thread), highlights });
        }
        Ok(Page { items, next: page.next })
    }

    /// Conversations that may meet all terms: those of the rarest term, latest first, with those where one message
    /// meets everything.
    async fn candidate_threads(
        &self,
        scope: &Scope,
        terms: &[Term],
        filter: &SearchFilter,
    ) -> Result<Vec<ThreadId>> {
        // A conversation's time is that of its latest message, so an earlier one of its messages may have met.
        let window = SearchWindow { after: None, ..filter.window() };
        let window = SearchWindow { before: None, ..window };
        let lookups = terms::lookups(terms);
        let mut documents = self.store().search_candidates(scope, &lookups, window, THREADS).await?;
        if terms.len() > 1 {
            let mut rarest: Option<Vec<i64>> = None;
            for term in &lookups {
                let found = self
                    .store()
                    .search_candidates(scope, std::slice::from_ref(term), window, 2 * THREADS)
                    .await?;
                if rarest.as_ref().is_none_or(|rarest| found.len() < rarest.len()) {
                    rarest = Some(found);
                }
            }
            documents.extend(rarest.unwrap_or_default());
        }
        let mut threads = self.store().search_threads(scope, &documents).await?;
        threads.truncate(THREADS);
        Ok(threads)
    }

    async fn mark_thread(
        &self,
        terms: &[Term],
        scope: &Scope,
        documents: Vec<Judged>,
    ) -> Result<wire::Highlights> {
        let mut all = wire::Highlights::default();
        let mut documents: Vec<Judged> =
            documents.into_iter().filter(|judged| judged.qualities.iter().any(Option::is_some)).collect();
        documents.sort_by_key(|judged| std::cmp::Reverse(judged.hit.timestamp));
        let with_body: Vec<MessageKey> = documents
            .iter()
            .filter(|judged| judged.body)
            .take(THREAD_BODIES)
            .map(|judged| judged.hit.message_key)
            .collect();
        let messages = self.store().messages_by_key(scope, &with_body).await?;
        for judged in &documents {
            let message = messages.iter().find(|message| message.message_key == judged.hit.message_key);
            let body = match message {
                Some(message) => self.body_of(message).await?,
                None => None,
            };
            let hit = &judged.hit;
            let one =
                highlight::of(terms, &hit.sender, &hit.recipients, hit.subject.as_deref(), body.as_deref());
            for (all, one, most) in [
                (&mut all.from, one.from, THREAD_MARKS),
                (&mut all.recipients, one.recipients, THREAD_MARKS),
                (&mut all.subject, one.subject, THREAD_MARKS),
                (&mut all.text, one.text, 3),
            ] {
                for text in one {
                    if all.len() < most && !all.contains(&text) {
                        all.push(text);
                    }
                }
            }
        }
        Ok(all)
    }
}
