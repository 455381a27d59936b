//! Substring filters of lists: of messages by sender, recipient and subject, of threads by those of their messages.
//!
//! What has just come is looked through, since mostly that fills a page. Behind it the search index names candidates, so
//! that something rare is found in one request however much lies before it. Whether a candidate really fits is decided
//! on its rows. A page may still be short, even empty, and go on: after a bounded number of rows of which none fitted.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use podmail_api_types::messages::Message as MessageItem;
use podmail_api_types::threads::ThreadItem;
use podmail_domain::label::Restricted;
use podmail_domain::{ThreadId, Timestamp};
use podmail_store::{
    Alternative, Cursor, Message, MessageFilter, MessageHead, Order, Page, Scope, SearchWindow, Terms,
    Thread, ThreadFilter, document_time,
};

use crate::search::{Field, again, field_lookups};
use crate::{App, Caller, Result};

/// Rows looked at for one page where the index cannot help.
const SCAN_ROWS: usize = 5_000;
/// Rows looked at before the index is asked.
const RECENT_ROWS: usize = 500;
/// Rows read at once while scanning.
const SCAN_CHUNK: usize = 500;
/// Candidates of the index that are looked at for one page.
const CANDIDATES: usize = 5_000;
/// Candidates read at once, first and at most.
const PORTIONS: (usize, usize) = (64, 512);
/// Documents that hold one value of a filter of threads at most, for all of their threads to be looked at: if they are
/// more, scanning comes upon some soon.
const RARE: usize = 1_000;

/// A text as filters compare it: case does not matter, nor which form of the Greek sigma stands at the end of a word.
pub fn lowered(text: &str) -> String {
    text.to_lowercase().replace('ς', "σ")
}

/// Substrings, [`lowered`]; every one of them has to match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Substrings {
    /// Of a sender.
    pub senders: Vec<String>,
    /// Of a recipient.
    pub recipients: Vec<String>,
    /// Of the subject.
    pub subjects: Vec<String>,
}

/// What a filter looks at.
struct Heads<'a> {
    senders: Vec<&'a str>,
    recipients: Vec<&'a str>,
    subjects: Vec<&'a str>,
}

impl<'a> Heads<'a> {
    fn of_message(message: &'a Message) -> Self {
        let recipients = message.to.iter().chain(&message.cc).chain(&message.bcc);
        Self {
            senders: vec![&message.sender],
            recipients: recipients.map(String::as_str).collect(),
            subjects: message.subject.as_deref().into_iter().collect(),
        }
    }

    /// What its row knows: each address with one of its names, and one subject.
    fn of_thread(thread: &'a Thread) -> Self {
        let of = &thread.aggregate;
        Self {
            senders: of.senders.iter().map(String::as_str).collect(),
            recipients: of.recipients.iter().map(String::as_str).collect(),
            subjects: of.subject.as_deref().into_iter().collect(),
        }
    }

    fn of_messages(heads: &[&'a MessageHead]) -> Self {
        Self {
            senders: heads.iter().map(|head| head.sender.as_str()).collect(),
            recipients: heads.iter().flat_map(|head| &head.recipients).map(String::as_str).collect(),
            subjects: heads.iter().filter_map(|head| head.subject.as_deref()).collect(),
        }
    }
}

impl Substrings {
    /// Whether nothing is asked.
    pub const fn is_empty(&self) -> bool {
        self.senders.is_empty() && self.recipients.is_empty() && self.subjects.is_empty()
    }

    fn fit(&self, heads: &Heads<'_>) -> bool {
        let all = |wanted: &[String], texts: &[&str]| {
            let texts: Vec<String> =
                if wanted.is_empty() { Vec::new() } else { texts.iter().map(|t| lowered(t)).collect() };
            wanted.iter().all(|wanted| texts.iter().any(|text| text.contains(wanted)))
        };
        all(&self.senders, &heads.senders)
            && all(&self.recipients, &heads.recipients)
            && all(&self.subjects, &heads.subjects)
    }

    /// How the index finds those that hold each value; values that it does not know, such as a space, are left out.
    fn lookups(&self) -> Vec<Alternative> {
        let people = self.senders.iter().chain(&self.recipients).map(|value| (Field::People, value));
        let subjects = self.subjects.iter().map(|value| (Field::Subject, value));
        people.chain(subjects).filter_map(|(field, value)| field_lookups(field, value)).collect()
    }
}

fn message_cursor(message: &Message) -> Cursor {
    Cursor::new(message.timestamp, message.message_key)
}

/// The next time there can be.
fn after_it(time: Timestamp) -> Timestamp {
    time.plus(Duration::from_micros(1))
}

impl App {
    /// A page of list items of the caller's inbox. With substrings it is newest first, whatever `order` says.
    pub async fn list_messages(
        &self,
        caller: &Caller,
        filter: &MessageFilter,
        substrings: &Substrings,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<MessageItem>> {
        let filter = &MessageFilter { visible: filter.visible.and(caller.readable()), ..filter.clone() };
        let scope = &caller.scope;
        let page = if substrings.is_empty() {
            self.store().list_messages(scope, filter, order, after, limit).await?
        } else {
            self.filtered_messages(scope, filter, substrings, after, limit).await?
        };
        Ok(page.map(|message| crate::messages::item(&message)))
    }

    async fn filtered_messages(
        &self,
        scope: &Scope,
        filter: &MessageFilter,
        substrings: &Substrings,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Message>> {
        let order = Order::Descending;
        let terms: Terms = substrings.lookups().into_iter().map(|way| vec![way]).collect();
        let indexed = !terms.is_empty();
        let mut page = scan(
            if indexed { RECENT_ROWS } else { SCAN_ROWS },
            limit,
            after.cloned(),
            |after, limit| async move {
                let page = self.store().list_messages(scope, filter, order, after.as_ref(), limit).await?;
                Ok(page.map(|message| (substrings.fit(&Heads::of_message(&message)), message)))
            },
            message_cursor,
        )
        .await?;
        let left = limit.saturating_sub(page.items.len());
        if let Some(behind) = page.next.take_if(|_| indexed && left > 0) {
            self.catch_up(scope).await?;
            let rest =
                again(|| self.indexed_messages(scope, filter, substrings, &terms, &behind, left)).await?;
            page.items.extend(rest.items);
            page.next = rest.next;
        }
        Ok(page)
    }

    /// Those behind a position, newest first, that the index names.
    async fn indexed_messages(
        &self,
        scope: &Scope,
        filter: &MessageFilter,
        substrings: &Substrings,
        terms: &Terms,
        behind: &Cursor,
        limit: usize,
    ) -> Result<Page<Message>> {
        let mut index = self.store().search_index(scope).await?;
        let mut window = SearchWindow {
            before: Some(after_it(behind.time)),
            after: filter.after,
            ..SearchWindow::default()
        };
        let (mut portion, mut seen) = (PORTIONS.0, 0);
        let mut found: Vec<Message> = Vec::new();
        loop {
            let documents = self.store().search_candidates(&mut index, terms, window, portion).await?;
            let messages = self.store().messages_by_document(scope, &documents, filter.visible).await?;
            found.extend(messages.into_iter().filter(|message| {
                filter.admits(message)
                    && substrings.fit(&Heads::of_message(message))
                    && Order::Descending.compare(behind, &message_cursor(message)).is_lt()
            }));
            let last = documents.last().copied().filter(|_| documents.len() == portion);
            let Some(last) = last else {
                return Ok(Order::Descending.page(found, None, limit, message_cursor));
            };
            // Numbers follow the times but nearly: what is as old as the last candidate may still have others before it.
            let settled = document_time(last);
            let sure = found.iter().filter(|message| message.timestamp > settled).count();
            seen += documents.len();
            if sure > limit || seen >= CANDIDATES {
                found.retain(|message| message.timestamp > settled);
                let mut page = Order::Descending.page(found, None, limit, message_cursor);
                page.next = page.next.or_else(|| Some(Cursor::new(after_it(settled), "")));
                return Ok(page);
            }
            window.below = Some(last);
            portion = (2 * portion).min(PORTIONS.1);
        }
    }

    /// A page of threads of the caller's scope.
    pub async fn list_threads(
        &self,
        caller: &Caller,
        filter: &ThreadFilter,
        substrings: &Substrings,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<ThreadItem>> {
        let filter = &ThreadFilter { visible: filter.visible.and(caller.readable()), ..filter.clone() };
        let scope = &caller.scope;
        let page = if substrings.is_empty() {
            self.store().list_threads(scope, filter, order, after, limit).await?
        } else {
            self.filtered_threads(scope, filter, substrings, order, after, limit).await?
        };
        Ok(page.map(|thread| crate::threads::item(&thread)))
    }

    async fn filtered_threads(
        &self,
        scope: &Scope,
        filter: &ThreadFilter,
        substrings: &Substrings,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Thread>> {
        let cursor = |thread: &Thread| Cursor::new(filter.time.of(&thread.aggregate), thread.thread_id);
        self.catch_up(scope).await?;
        if let Some(candidates) = again(|| self.rare_threads(scope, substrings)).await? {
            let fitting = self.fitting_threads(scope, filter.visible, substrings, &candidates).await?;
            let fitting: Vec<ThreadId> = fitting.into_iter().collect();
            let mut threads = self.store().threads_by_id(scope, &fitting, filter.visible).await?;
            threads.retain(|thread| filter.admits(thread));
            return Ok(order.page(threads, after, limit, cursor));
        }
        scan(
            SCAN_ROWS,
            limit,
            after.cloned(),
            |after, limit| async move {
                let page = self.store().list_threads(scope, filter, order, after.as_ref(), limit).await?;
                let fits = |thread: &Thread| substrings.fit(&Heads::of_thread(thread));
                let unsure = page.items.iter().filter(|thread| !fits(thread));
                let unsure: Vec<ThreadId> = unsure.map(|thread| thread.thread_id).collect();
                let also = self.fitting_threads(scope, filter.visible, substrings, &unsure).await?;
                Ok(page.map(|thread| (fits(&thread) || also.contains(&thread.thread_id), thread)))
            },
            cursor,
        )
        .await
    }

    /// All threads that may fit, if one of the values is rare enough.
    async fn rare_threads(&self, scope: &Scope, substrings: &Substrings) -> Result<Option<Vec<ThreadId>>> {
        let mut index = self.store().search_index(scope).await?;
        for way in substrings.lookups() {
            let (terms, window) = (vec![vec![way]], SearchWindow::default());
            let documents = self.store().search_candidates(&mut index, &terms, window, RARE).await?;
            if documents.len() < RARE {
                let threads = self.store().search_threads(scope, &documents).await?;
                return Ok(Some(threads.into_iter().map(|(_, thread)| thread).collect()));
            }
        }
        Ok(None)
    }

    /// Which of these threads fit, by all of their messages that are visible.
    async fn fitting_threads(
        &self,
        scope: &Scope,
        visible: Restricted,
        substrings: &Substrings,
        threads: &[ThreadId],
    ) -> Result<HashSet<ThreadId>> {
        let heads = self.store().thread_heads(scope, threads, visible).await?;
        let mut of: HashMap<ThreadId, Vec<&MessageHead>> = HashMap::new();
        for head in &heads {
            of.entry(head.thread_id).or_default().push(head);
        }
        let fitting = of.into_iter().filter(|(_, heads)| substrings.fit(&Heads::of_messages(heads)));
        Ok(fitting.map(|(thread, _)| thread).collect())
    }
}

/// A page of those rows of a list that fit, of so many rows at most. `read` gives a page of the list, each row with
/// whether it fits.
async fn scan<T, F, Fut>(
    rows: usize,
    limit: usize,
    mut after: Option<Cursor>,
    read: F,
    cursor: impl Fn(&T) -> Cursor,
) -> Result<Page<T>>
where
    F: Fn(Option<Cursor>, usize) -> Fut,
    Fut: Future<Output = Result<Page<(bool, T)>>>,
{
    let mut found = Vec::new();
    for _ in 0..rows / SCAN_CHUNK {
        let page = read(after, SCAN_CHUNK).await?;
        let more = page.next;
        let count = page.items.len();
        for (n, (fits, row)) in page.items.into_iter().enumerate() {
            if !fits {
                continue;
            }
            let full = found.len() == limit.saturating_sub(1) && (n + 1 < count || more.is_some());
            let next = full.then(|| cursor(&row));
            found.push(row);
            if next.is_some() {
                return Ok(Page { items: found, next });
            }
        }
        if more.is_none() {
            return Ok(Page { items: found, next: None });
        }
        after = more;
    }
    Ok(Page { items: found, next: after })
}
