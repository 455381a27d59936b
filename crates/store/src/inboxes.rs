//! Inboxes: reading, listing, searching and changing them. `create` makes them, `places` says where one may lie,
//! `remove` deletes them and purges what they held.

mod create;
mod places;
mod remove;

use podmail_domain::{InboxId, InboxKey, OrganizationId, PodId, Timestamp, limits};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::db::{Query, args};
use crate::messages::{json, lock_inbox};
use crate::page::{Cursor, Order, Page};
use crate::scope::{Scope, id};
use crate::{Error, Result, Store};

pub use create::{InboxCreated, InboxPlace, NewInbox, SubdomainUse};
pub use places::GoverningDomain;
pub use remove::PurgeStep;

/// What a client keeps with an inbox: names and their string, number or boolean.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// Rows that one search request looks at, at most; the next page continues behind them.
const SEARCH_ROWS: usize = 20_000;
/// Rows that a search reads at a time.
const SEARCH_CHUNK: usize = 1_000;

/// An inbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Inbox {
    /// Owner.
    pub organization_id: OrganizationId,
    /// Owner.
    pub pod_id: PodId,
    /// Which incarnation of the address.
    pub inbox_key: InboxKey,
    /// The address.
    pub inbox_id: InboxId,
    /// The registered domain that covers the address; `None` on the installation's shared domain and below it.
    pub governing_domain: Option<String>,
    /// Shown before the address in `From`.
    pub display_name: Option<String>,
    /// What the client called it on create.
    pub client_id: Option<String>,
    /// Neither sends nor stores.
    pub paused: bool,
    /// Absent when there is none.
    pub metadata: Option<Metadata>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct InboxRow {
    organization_id: String,
    pod_id: String,
    inbox_key: String,
    inbox_id: String,
    governing_domain: Option<String>,
    display_name: Option<String>,
    client_id: Option<String>,
    paused: i64,
    metadata: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<InboxRow> for Inbox {
    type Error = Error;
    fn try_from(row: InboxRow) -> Result<Self> {
        let metadata = row.metadata.as_deref().map(serde_json::from_str).transpose();
        Ok(Self {
            organization_id: id(&row.organization_id, OrganizationId::parse)?,
            pod_id: id(&row.pod_id, PodId::parse)?,
            inbox_key: id(&row.inbox_key, InboxKey::parse)?,
            inbox_id: id(&row.inbox_id, InboxId::parse)?,
            governing_domain: row.governing_domain,
            display_name: row.display_name,
            client_id: row.client_id,
            paused: row.paused != 0,
            metadata: metadata.map_err(|_| Error::Corrupt("the metadata of an inbox"))?,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

/// What a search looks at.
#[derive(sqlx::FromRow, serde::Deserialize)]
struct Candidate {
    inbox_key: String,
    inbox_id: String,
    display_name: Option<String>,
    created_at: i64,
}

/// A change of an inbox; `None` leaves a member as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InboxChange {
    /// `Some(None)` clears it.
    pub display_name: Option<Option<String>>,
    /// Pauses or resumes.
    pub paused: Option<bool>,
    /// See [`MetadataChange`].
    pub metadata: Option<MetadataChange>,
}

/// A change of an inbox's metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataChange {
    /// All of it goes.
    Clear,
    /// Named members are set, or removed where the value is `null`; the others stay.
    Merge(Metadata),
}

/// Outcome of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum InboxChanged {
    /// The inbox afterwards.
    Done(Box<Inbox>),
    /// The metadata would have more members than [`limits::METADATA_KEYS`]; nothing changed.
    TooMuchMetadata,
    /// There is no such inbox any more.
    Gone,
}

const SELECT: &str = "SELECT i.organization_id, i.pod_id, i.inbox_key, i.inbox_id, i.governing_domain, \
    i.display_name, i.client_id, i.paused, i.metadata, i.created_at, i.updated_at FROM inboxes i \
    WHERE i.organization_id = $1";

/// Inboxes have no rows once they are deleted, so a scope narrows them without a look at `purges`.
fn within(text: &str, scope: &Scope) -> Query {
    let mut query = Query::new(text, args![scope.organization()]);
    if let Some(inbox) = scope.inbox() {
        query.and("i.inbox_key = ?", args![inbox.key]);
    } else if let Some(pod) = scope.pod() {
        query.and("i.pod_id = ?", args![pod]);
    }
    query
}

async fn by_key(conn: &mut crate::db::Conn, scope: &Scope, key: InboxKey) -> Result<Option<Inbox>> {
    let mut query = within(SELECT, scope);
    query.and("i.inbox_key = ?", args![key]);
    query.all::<InboxRow>(conn).await?.into_iter().next().map(Inbox::try_from).transpose()
}

impl Store {
    /// The inbox of an inbox scope.
    pub async fn inbox(&self, scope: &Scope) -> Result<Option<Inbox>> {
        let mut conn = self.reader().await?;
        by_key(&mut conn, scope, scope.inbox_key()?).await
    }

    /// A page of the scope's inboxes by time of creation.
    pub async fn list_inboxes(
        &self,
        scope: &Scope,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Inbox>> {
        let mut query = within(SELECT, scope);
        order.seek(&mut query, "i.created_at", "i.inbox_key", after, limit);
        let mut conn = self.reader().await?;
        let rows: Vec<InboxRow> = query.all(&mut conn).await?;
        let found = rows.into_iter().map(Inbox::try_from).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(found, limit, |inbox| Cursor::new(inbox.created_at, inbox.inbox_key)))
    }

    /// A page of inboxes that match `q`: each of its words begins a word of the address or of the display name. The
    /// one whose address is `q` first, then those whose address begins with a `q` that has an `@`, then those that match
    /// by address alone, then the rest; newest first within each. Looks at a bounded number of inboxes, so that a page may be empty and yet not be the last.
    pub async fn search_inboxes(
        &self,
        scope: &Scope,
        q: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Inbox>> {
        let terms = words(q);
        let exact = q.trim().to_ascii_lowercase();
        let whole = exact.contains('@');
        let (mut part, mut position) = match after.map(read_position) {
            None => (if whole { Part::Beginning } else { Part::Address }, None),
            Some(read) => read,
        };
        let mut conn = self.reader().await?;
        let mut items = Vec::new();
        if after.is_none() && whole {
            let mut query = within(SELECT, scope);
            query.and("i.inbox_id = ?", args![exact.as_str()]);
            for row in query.all::<InboxRow>(&mut conn).await? {
                items.push(row.try_into()?);
            }
        }
        let mut budget = SEARCH_ROWS;
        while !terms.is_empty() {
            if items.len() >= limit || budget == 0 {
                return Ok(Page { items, next: Some(write_position(part, position)) });
            }
            let take = SEARCH_CHUNK.min(budget);
            let mut query = within(
                "SELECT i.inbox_key, i.inbox_id, i.display_name, i.created_at FROM inboxes i \
                 WHERE i.organization_id = $1",
                scope,
            );
            match part {
                Part::Beginning => {
                    let end = format!("{exact}{}", char::MAX);
                    query.and("i.inbox_id >= ? AND i.inbox_id < ?", args![exact.as_str(), end]);
                }
                Part::Address => {}
                Part::Name => query.and("i.display_name IS NOT NULL", Vec::new()),
            }
            Order::Descending.seek(&mut query, "i.created_at", "i.inbox_key", position.as_ref(), take);
            let mut rows: Vec<Candidate> = query.all(&mut conn).await?;
            let more = rows.len() > take;
            rows.truncate(take);
            for row in rows {
                let matched =
                    row.inbox_id != exact && class(&row, whole.then_some(&exact), &terms) == Some(part);
                // Positions are taken one by one: a page that fills up ends here, not at the end of the chunk.
                if matched && items.len() >= limit {
                    return Ok(Page { items, next: Some(write_position(part, position)) });
                }
                let key = id(&row.inbox_key, InboxKey::parse)?;
                if matched {
                    items.extend(by_key(&mut conn, scope, key).await?);
                }
                position = Some(Cursor::new(Timestamp::from_micros(row.created_at), key));
            }
            budget -= take;
            match (more, part) {
                (true, _) => {}
                (false, Part::Beginning) => (part, position) = (Part::Address, None),
                (false, Part::Address) => (part, position) = (Part::Name, None),
                (false, Part::Name) => break,
            }
        }
        Ok(Page { items, next: None })
    }

    /// Changes the scope's inbox; metadata is merged with what is stored at that moment.
    pub async fn change_inbox(
        &self,
        scope: &Scope,
        change: InboxChange,
        now: Timestamp,
    ) -> Result<InboxChanged> {
        self.write((scope.clone(), change, now), |tx, (scope, change, now)| {
            Box::pin(async move {
                let key = scope.inbox_key()?;
                if !lock_inbox(tx, scope.organization(), key).await? {
                    return Ok(InboxChanged::Gone);
                }
                let Some(mut inbox) = by_key(tx, scope, key).await? else { return Ok(InboxChanged::Gone) };
                if let Some(name) = &change.display_name {
                    inbox.display_name.clone_from(name);
                }
                inbox.paused = change.paused.unwrap_or(inbox.paused);
                if let Some(change) = &change.metadata {
                    inbox.metadata = merge(inbox.metadata.take(), change);
                }
                if inbox.metadata.as_ref().is_some_and(|metadata| metadata.len() > limits::METADATA_KEYS) {
                    return Ok(InboxChanged::TooMuchMetadata);
                }
                inbox.updated_at = inbox.updated_at.max(*now);
                tx.run(
                    "UPDATE inboxes SET display_name = $3, paused = $4, metadata = $5, updated_at = $6 \
                     WHERE organization_id = $1 AND inbox_key = $2",
                    args![
                        scope.organization(),
                        key,
                        inbox.display_name.clone(),
                        inbox.paused,
                        inbox.metadata.as_ref().map(json),
                        inbox.updated_at
                    ],
                )
                .await?;
                Ok(InboxChanged::Done(Box::new(inbox)))
            })
        })
        .await
    }
}

fn merge(current: Option<Metadata>, change: &MetadataChange) -> Option<Metadata> {
    let mut merged = current.unwrap_or_default();
    match change {
        MetadataChange::Clear => merged.clear(),
        MetadataChange::Merge(members) => {
            for (name, value) in members {
                if value.is_null() {
                    merged.shift_remove(name);
                } else {
                    merged.insert(name.clone(), value.clone());
                }
            }
        }
    }
    (!merged.is_empty()).then_some(merged)
}

/// The words of a text: runs of letters and digits, in lower case and without accents.
fn words(text: &str) -> Vec<String> {
    let folded: String =
        text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect();
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The parts of a search's answer, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The address begins with the whole text.
    Beginning,
    /// The address has all words.
    Address,
    /// The display name is needed.
    Name,
}

impl Part {
    /// Marks a search's position.
    const fn mark(self) -> &'static str {
        match self {
            Self::Beginning => "beginning ",
            Self::Address => "address ",
            Self::Name => "name ",
        }
    }
}

/// The part of a search's answer that an inbox belongs to. `beginning`: what the address may begin with.
fn class(candidate: &Candidate, beginning: Option<&String>, terms: &[String]) -> Option<Part> {
    if beginning.is_some_and(|beginning| candidate.inbox_id.starts_with(beginning.as_str())) {
        return Some(Part::Beginning);
    }
    let begins = |text: &str| {
        let words = words(text);
        terms.iter().map(|term| words.iter().any(|word| word.starts_with(term.as_str()))).collect::<Vec<_>>()
    };
    let address = begins(&candidate.inbox_id);
    if address.iter().all(|found| *found) {
        return Some(Part::Address);
    }
    let name = begins(candidate.display_name.as_deref().unwrap_or_default());
    address.iter().zip(&name).all(|(address, name)| *address || *name).then_some(Part::Name)
}

fn write_position(part: Part, position: Option<Cursor>) -> Cursor {
    let cursor = position.unwrap_or(Cursor { time: Timestamp::MAX, id: String::new() });
    Cursor { time: cursor.time, id: format!("{}{}", part.mark(), cursor.id) }
}

/// A position that no search wrote is one without matches behind it.
fn read_position(cursor: &Cursor) -> (Part, Option<Cursor>) {
    let marked = |part: Part| cursor.id.strip_prefix(part.mark()).map(|key| (part, key));
    let (part, key) = [Part::Beginning, Part::Address, Part::Name]
        .into_iter()
        .find_map(marked)
        .unwrap_or((Part::Name, cursor.id.as_str()));
    (part, (!key.is_empty()).then(|| Cursor { time: cursor.time, id: key.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(address: &str, name: Option<&str>) -> Candidate {
        Candidate {
            inbox_key: String::new(),
            inbox_id: address.to_owned(),
            display_name: name.map(str::to_owned),
            created_at: 0,
        }
    }

    #[test]
    fn words_match_by_their_beginnings_in_address_or_name() {
        for (q, address, name, want) in [
            ("sup", "support@example.com", None, Some(Part::Address)),
            ("port", "support@example.com", None, None),
            ("port", "x@example.com", Some("Port Authority"), Some(Part::Name)),
            ("AUTH x", "x@example.com", Some("Port Authority"), Some(Part::Name)),
            ("x exam", "x@example.com", Some("Port"), Some(Part::Address)),
            ("x nothing", "x@example.com", Some("Port"), None),
            ("éco", "x@example.com", Some("Écoles"), Some(Part::Name)),
            ("ecole", "x@example.com", Some("Écoles"), Some(Part::Name)),
            ("Éco", "x@example.com", Some("Ecoles"), Some(Part::Name)),
        ] {
            assert_eq!(class(&candidate(address, name), None, &words(q)), want, "{q}");
        }
        let begun = Some("x@exam".to_owned());
        for (address, want) in [("x@example.com", Part::Beginning), ("y.x@example.com", Part::Address)] {
            assert_eq!(
                class(&candidate(address, None), begun.as_ref(), &words("x@exam")),
                Some(want),
                "{address}"
            );
        }
    }
}
