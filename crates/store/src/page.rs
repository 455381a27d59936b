//! Pages by seek: a list is ordered by a time and an id, and the next page starts behind the last item shown.

use podmail_domain::Timestamp;

use crate::db::{Query, args};

/// Which way a list runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// Newest first.
    #[default]
    Descending,
    /// Oldest first.
    Ascending,
}

/// The last item of a page: its sort time and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Sort time.
    pub time: Timestamp,
    /// Id that breaks ties.
    pub id: String,
}

impl Cursor {
    /// The position of an item.
    pub fn new(time: Timestamp, id: impl std::fmt::Display) -> Self {
        Self { time, id: id.to_string() }
    }
}

/// A page and where the next one starts; `None` on the last page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Position of the last item when more follow.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Cuts rows fetched with one row more than `limit`.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> Cursor) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }
    /// The same page with other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

impl Order {
    /// Puts a whole list into this order and cuts the page that starts behind a position.
    pub fn page<T>(
        self,
        mut items: Vec<T>,
        after: Option<&Cursor>,
        limit: usize,
        cursor: impl Fn(&T) -> Cursor,
    ) -> Page<T> {
        items.retain(|item| after.is_none_or(|after| self.compare(after, &cursor(item)).is_lt()));
        items.sort_by(|a, b| self.compare(&cursor(a), &cursor(b)));
        Page::cut(items, limit, cursor)
    }

    /// Which position comes first.
    pub fn compare(self, a: &Cursor, b: &Cursor) -> std::cmp::Ordering {
        let ascending = (a.time, a.id.as_str()).cmp(&(b.time, b.id.as_str()));
        match self {
            Self::Descending => ascending.reverse(),
            Self::Ascending => ascending,
        }
    }

    /// Appends the seek condition, the order and the limit (one row more, to know whether more follow).
    pub(crate) fn seek(self, query: &mut Query, time: &str, id: &str, after: Option<&Cursor>, limit: usize) {
        let (sign, word) = match self {
            Self::Descending => ("<", "DESC"),
            Self::Ascending => (">", "ASC"),
        };
        if let Some(cursor) = after {
            query.and(&format!("({time}, {id}) {sign} (?, ?)"), args![cursor.time, cursor.id.as_str()]);
        }
        query.push(&format!(" ORDER BY {time} {word}, {id} {word} LIMIT ?"), args![limit + 1]);
    }
}
