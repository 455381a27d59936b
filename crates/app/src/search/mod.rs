//! Full-text search. The store proposes candidates by tokens, within the caller's scope first; here each is compared
//! with the query, ranked and marked. `index` keeps the index up with the messages, and every search begins by indexing
//! what its scope has waiting, so that what was received a moment ago is found.
//!
//! Invariant: messages with a restricted label are never found, whatever the caller may read.

mod fold;
mod highlight;
mod index;
mod rank;
mod terms;
mod tokens;

use std::collections::{HashMap, HashSet};

use podmail_api_types::search as wire;
use podmail_domain::label::Restricted;
use podmail_domain::{InboxKey, MessageKey, ThreadId, Timestamp};
use podmail_store::{Cursor, Message, Page, Scope, SearchHit, SearchIndex, SearchWindow, Terms, Thread};

use crate::messages::{heavy, item};
use crate::{App, Caller, Error, Result};
use rank::{COMPARED, Class, Gathered, Rank};
use terms::{Head, Quality, Term};

pub(crate) use terms::field_lookups;
pub(crate) use tokens::Field;

/// Documents that are read at once at least.
const PORTION_MIN: usize = 16;
/// Documents that are read at once at most.
const PORTION_MAX: usize = 512;
/// Documents of one class that one search looks at: more only when most are hidden. A page that ends for that is short,
/// and says where the next one begins.
const SEEN_MAX: usize = 5_000;
/// Conversations that a search for several terms looks into.
const THREADS: usize = 300;
/// Conversations whose documents are read at once.
const THREAD_CHUNK: usize = 100;
/// Messages of one conversation whose bodies are read for marking.
const THREAD_BODIES: usize = 5;
/// Marked texts of one field of a conversation.
const THREAD_MARKS: usize = 10;
/// How often a search is begun at most.
const TRIES: usize = 4;

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

    fn window(&self) -> SearchWindow {
        SearchWindow { before: self.before, after: self.after, ..SearchWindow::default() }
    }
}

/// A candidate with how well it meets each term; `None` for a term that it does not meet.
struct Judged {
    hit: SearchHit,
    qualities: Vec<Option<Quality>>,
}

impl Judged {
    const fn key(&self) -> (InboxKey, MessageKey) {
        (self.hit.inbox_key, self.hit.message_key)
    }

    fn mark(&self, terms: &[Term], body: Option<&str>) -> wire::Highlights {
        highlight::of(terms, &self.hit.sender, &self.hit.recipients, self.hit.subject.as_deref(), body)
    }

    /// Whether any term is in its body.
    fn has_body(&self, terms: &[Term]) -> bool {
        let body = index::unpacked(&self.hit.text);
        terms.iter().any(|term| term.in_body(&body).is_some())
    }
}

/// Compares candidates with the terms.
fn judge(hits: Vec<SearchHit>, terms: &[Term]) -> Vec<Judged> {
    hits.into_iter()
        .map(|hit| {
            let people = std::iter::once(&hit.sender).chain(&hit.recipients);
            let head = Head {
                subject: fold::fold(hit.subject.as_deref().unwrap_or_default()),
                people: people.map(|text| fold::fold(text)).collect(),
            };
            let mut qualities: Vec<Option<Quality>> = terms.iter().map(|term| term.in_head(&head)).collect();
            if qualities.iter().any(Option::is_none) {
                let body = index::unpacked(&hit.text);
                for (quality, term) in qualities.iter_mut().zip(terms) {
                    *quality = quality.or_else(|| term.in_body(&body));
                }
            }
            Judged { hit, qualities }
        })
        .collect()
}

/// Candidates of one class, newest first, in growing portions.
struct Candidates {
    class: Class,
    lookups: Terms,
    window: SearchWindow,
    portion: usize,
    seen: usize,
    more: bool,
}

impl Candidates {
    /// `None`: this class has nothing for the page.
    fn new<T>(class: Class, terms: &[Term], window: SearchWindow, page: &Gathered<T>) -> Option<Self> {
        let lookups = terms::lookups(terms, class).filter(|_| page.wants(class))?;
        let from = (class == Class::Head).then_some(page.floor);
        let window = SearchWindow { below: page.below(class), from, ..window };
        let portion = if class == Class::Head { COMPARED } else { page.wanted().max(PORTION_MIN) };
        Some(Self { class, lookups, window, portion, seen: 0, more: true })
    }

    /// The next ones; none when there are no more or too many have been looked at.
    async fn next<T>(
        &mut self,
        app: &App,
        index: &mut SearchIndex,
        page: &mut Gathered<T>,
    ) -> Result<Vec<i64>> {
        // Those of `Head` are compared with each other, so all of them are there at once.
        if !self.more || page.wanted() == 0 {
            return Ok(Vec::new());
        }
        if self.seen >= SEEN_MAX {
            page.given_up = self.window.below.map(|below| Rank::end(self.class, below));
            return Ok(Vec::new());
        }
        let found = app.store().search_candidates(index, &self.lookups, self.window, self.portion).await?;
        self.more = found.len() == self.portion && self.class != Class::Head;
        if self.class == Class::Head && found.len() == COMPARED && page.floor == i64::MIN {
            page.floor = found.last().copied().unwrap_or(i64::MIN);
        }
        self.seen += found.len();
        self.window.below = found.last().copied();
        self.portion = (2 * self.portion).min(PORTION_MAX);
        Ok(found)
    }
}

/// Where a conversation stands: how well its messages meet each term, and the latest of those that meet any so well as it
/// does itself.
fn rank_of(documents: &[Judged], terms: usize, floor: i64) -> Option<Rank> {
    let best =
        |n: usize| documents.iter().filter_map(|judged| judged.qualities.get(n).copied().flatten()).max();
    let met: Vec<Quality> = (0..terms).map(best).collect::<Option<_>>()?;
    let own = |judged: &Judged| {
        let met: Vec<Quality> = judged.qualities.iter().copied().flatten().collect();
        (!met.is_empty()).then(|| Rank::of(&met, judged.hit.document, floor))
    };
    let best = documents.iter().filter_map(own).max()?;
    let latest = documents.iter().filter_map(own).filter(|rank| rank.class == best.class);
    let latest = latest.map(|rank| rank.document).max()?;
    Some(Rank::of(&met, latest, floor))
}

/// Searches; begins again when segments were merged away that a search was reading.
pub(crate) async fn again<T, F: Future<Output = Result<T>>>(search: impl Fn() -> F) -> Result<T> {
    for _ in 1..TRIES {
        match search().await {
            Err(Error::RaceCondition) => {}
            done => return done,
        }
    }
    search().await
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
        if terms.is_empty() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        self.catch_up(&caller.scope).await?;
        again(|| self.found_messages(&caller.scope, &terms, filter, after, limit)).await
    }

    async fn found_messages(
        &self,
        scope: &Scope,
        terms: &[Term],
        filter: &SearchFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::FoundMessage>> {
        let mut index = self.store().search_index(scope).await?;
        let mut page = Gathered::new(after, limit);
        for class in Class::of(terms.len()).iter().copied() {
            let Some(mut candidates) = Candidates::new(class, terms, filter.window(), &page) else {
                continue;
            };
            if self.is_empty(&mut index, class, terms).await? {
                continue;
            }
            loop {
                let documents = candidates.next(self, &mut index, &mut page).await?;
                if documents.is_empty() {
                    break;
                }
                let hits = self.store().search_hits(scope, &documents).await?;
                let own = terms.to_vec();
                let mut judged = heavy(move || judge(hits, &own)).await?;
                judged.sort_by_key(|judged| std::cmp::Reverse(judged.hit.document));
                for judged in judged {
                    let met: Option<Vec<Quality>> = judged.qualities.iter().copied().collect();
                    // Where many share an instant, numbers lie a little beside their times.
                    if let Some(met) = met
                        && filter.holds(judged.hit.timestamp)
                    {
                        page.add(class, Rank::of(&met, judged.hit.document, page.floor), judged);
                    }
                }
            }
        }
        let page = page.page();
        let keys: Vec<_> = page.items.iter().map(|judged| judged.key()).collect();
        let messages = self.store().messages_by_key(scope, &keys).await?;
        let marked: Vec<&Judged> = page.items.iter().filter(|judged| judged.has_body(terms)).collect();
        let mut bodies = self.bodies(&messages, &marked).await?;
        let mut messages: HashMap<MessageKey, Message> =
            messages.into_iter().map(|message| (message.message_key, message)).collect();
        let terms = terms.to_vec();
        let items = heavy(move || {
            let found = page.items.into_iter().filter_map(|judged| {
                // One that was deleted since is not shown.
                let message = messages.remove(&judged.hit.message_key)?;
                let body = bodies.remove(&judged.hit.message_key);
                Some(wire::FoundMessage {
                    message: item(&message),
                    highlights: judged.mark(&terms, body.as_deref()),
                })
            });
            found.collect()
        });
        Ok(Page { items: items.await?, next: page.next })
    }

    /// The bodies of those messages that are to be marked.
    async fn bodies(&self, messages: &[Message], marked: &[&Judged]) -> Result<HashMap<MessageKey, String>> {
        let wanted: HashSet<MessageKey> = marked.iter().map(|judged| judged.hit.message_key).collect();
        let wanted = messages.iter().filter(|message| wanted.contains(&message.message_key));
        self.bodies_of(wanted.cloned().collect()).await
    }

    /// Whether nothing can be found in this class because nothing is in the one that is looked for more widely.
    async fn is_empty(&self, index: &mut SearchIndex, class: Class, terms: &[Term]) -> Result<bool> {
        let Some(lookups) = class.wider().and_then(|wider| terms::lookups(terms, wider)) else {
            return Ok(false);
        };
        let any = self.store().search_candidates(index, &lookups, SearchWindow::default(), 1).await?;
        Ok(any.is_empty())
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
        self.catch_up(&caller.scope).await?;
        again(|| self.found_threads(&caller.scope, &terms, filter, after, limit)).await
    }

    async fn found_threads(
        &self,
        scope: &Scope,
        terms: &[Term],
        filter: &SearchFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::FoundThread>> {
        let mut index = self.store().search_index(scope).await?;
        let mut page = Gathered::new(after, limit);
        if terms.len() == 1 {
            let mut seen = HashSet::new();
            for class in Class::of(1).iter().copied() {
                let Some(mut candidates) = Candidates::new(class, terms, SearchWindow::default(), &page)
                else {
                    continue;
                };
                if self.is_empty(&mut index, class, terms).await? {
                    continue;
                }
                loop {
                    let documents = candidates.next(self, &mut index, &mut page).await?;
                    if documents.is_empty() {
                        break;
                    }
                    let mut threads = self.store().search_threads(scope, &documents).await?;
                    threads.retain(|(_, thread)| seen.insert((class, *thread)));
                    self.compare_threads(scope, terms, filter, Some(class), &threads, &mut page).await?;
                }
            }
        } else {
            let threads = self.candidate_threads(scope, &mut index, terms).await?;
            self.compare_threads(scope, terms, filter, None, &threads, &mut page).await?;
        }
        let mut page = page.page();
        let mut marked = Vec::new();
        for (_, documents) in &mut page.items {
            documents.retain(|judged| judged.qualities.iter().any(Option::is_some));
            documents.sort_by_key(|judged| std::cmp::Reverse(judged.hit.timestamp));
            marked.extend(documents.iter().filter(|judged| judged.has_body(terms)).take(THREAD_BODIES));
        }
        let keys: Vec<_> = marked.iter().map(|judged| judged.key()).collect();
        let messages = self.store().messages_by_key(scope, &keys).await?;
        let bodies = self.bodies(&messages, &marked).await?;
        let ids: Vec<ThreadId> = page.items.iter().map(|(thread, _)| *thread).collect();
        let threads = self.store().threads_by_id(scope, &ids, Restricted::NONE).await?;
        let threads: HashMap<ThreadId, Thread> =
            threads.into_iter().map(|thread| (thread.thread_id, thread)).collect();
        let terms = terms.to_vec();
        let items = heavy(move || {
            // One that was deleted since is not shown.
            let found = page.items.iter().filter_map(|(thread, documents)| {
                Some(wire::FoundThread {
                    thread: crate::threads::item(threads.get(thread)?),
                    highlights: mark_thread(&terms, documents, &bodies),
                })
            });
            found.collect()
        });
        Ok(Page { items: items.await?, next: page.next })
    }

    /// Adds those of the conversations that are of this class, or all, by all of their messages.
    async fn compare_threads(
        &self,
        scope: &Scope,
        terms: &[Term],
        filter: &SearchFilter,
        class: Option<Class>,
        threads: &[(i64, ThreadId)],
        page: &mut Gathered<(ThreadId, Vec<Judged>)>,
    ) -> Result<()> {
        let mut rest = threads;
        while !rest.is_empty() {
            // Those of one class are sorted already: no more are read than are shown.
            let count = if class.is_some() { page.wanted().min(THREAD_CHUNK) } else { THREAD_CHUNK };
            if count == 0 {
                break;
            }
            let (chunk, later) = rest.split_at(count.min(rest.len()));
            rest = later;
            let ids: Vec<ThreadId> = chunk.iter().map(|(_, thread)| *thread).collect();
            let hits = self.store().search_hits_of(scope, &ids).await?;
            let own = terms.to_vec();
            let mut found: HashMap<ThreadId, Vec<Judged>> = HashMap::new();
            for judged in heavy(move || judge(hits, &own)).await? {
                found.entry(judged.hit.thread_id).or_default().push(judged);
            }
            for (thread, documents) in found {
                let time = documents.iter().map(|judged| judged.hit.timestamp).max();
                if let Some(rank) = rank_of(&documents, terms.len(), page.floor)
                    && time.is_some_and(|time| filter.holds(time))
                {
                    page.add(class.unwrap_or(rank.class), rank, (thread, documents));
                }
            }
        }
        Ok(())
    }

    /// Conversations that may meet several terms: those of the rarest term, latest first, with those where one message
    /// meets everything.
    async fn candidate_threads(
        &self,
        scope: &Scope,
        index: &mut SearchIndex,
        terms: &[Term],
    ) -> Result<Vec<(i64, ThreadId)>> {
        let lookups = terms::lookups_anywhere(terms);
        let window = SearchWindow::default();
        let mut documents = self.store().search_candidates(index, &lookups, window, THREADS).await?;
        let mut rarest: Option<Vec<i64>> = None;
        for term in &lookups {
            let term = std::slice::from_ref(term);
            let found = self.store().search_candidates(index, term, window, 2 * THREADS).await?;
            if rarest.as_ref().is_none_or(|rarest| found.len() < rarest.len()) {
                rarest = Some(found);
            }
        }
        documents.extend(rarest.unwrap_or_default());
        let mut threads = self.store().search_threads(scope, &documents).await?;
        threads.truncate(THREADS);
        Ok(threads)
    }
}

/// What is marked in a conversation, the latest first.
fn mark_thread(
    terms: &[Term],
    documents: &[Judged],
    bodies: &HashMap<MessageKey, String>,
) -> wire::Highlights {
    let mut all = wire::Highlights::default();
    for judged in documents {
        let one = judged.mark(terms, bodies.get(&judged.hit.message_key).map(String::as_str));
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
    all
}
