//! Segments in the database: adding documents, and reading which of a scope's carry what a query asks for, newest first
//! and no further than it has to.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use fixedbitset::FixedBitSet;
use podmail_domain::OrganizationId;
use podmail_domain::source::random;

use super::segment::{self, CHUNK, Segment};
use super::{SearchDocument, SearchWindow, place_of, places_before};
use crate::db::{Bytes, Conn, Insert, Query, Value, args};
use crate::scope::Scope;
use crate::writer::Tx;
use crate::{Error, Result, Store};

/// Segments of one level that are merged into one of the next, which holds about as many times the documents.
pub(super) const FANOUT: usize = 8;
/// The level of segments that are not merged any more.
pub(super) const FULL: i64 = 5;
/// Documents of the segments that a query looks into first; then ever more.
const FIRST_DOCUMENTS: usize = 2_048;
/// How many times as many it looks into next.
const GROWTH: usize = 16;
/// Segments that a query looks into at once at most.
const SEGMENTS_AT_ONCE: usize = 64;

/// What a document is looked up by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    /// This token. It begins with a letter of ASCII, as all do.
    Exact(String),
    /// Any token that begins so.
    Prefix(String),
}

impl Lookup {
    /// The first and the last token that it means.
    fn range(&self) -> (String, String) {
        match self {
            Self::Exact(token) => (token.clone(), token.clone()),
            Self::Prefix(start) => (start.clone(), format!("{start}\u{10ffff}")),
        }
    }
}

/// One way in which a term can be met: all of these. None: everything meets it.
pub type Alternative = Vec<Lookup>;

/// What candidates have to carry: for each term one of its alternatives.
pub type Terms = Vec<Vec<Alternative>>;

/// The segments of one scope as they were when a search began, with what was read of them.
#[derive(Debug)]
pub struct SearchIndex {
    organization: OrganizationId,
    home: String,
    inbox: Option<Lookup>,
    /// Those with the newest documents first.
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    segment: String,
    documents: usize,
    oldest: i64,
    newest: i64,
    /// All numbers, or the first of each block of them.
    numbers: Vec<i64>,
    chunks: HashMap<usize, Vec<i64>>,
    known: HashMap<Lookup, FixedBitSet>,
}

impl Part {
    fn is_small(&self) -> bool {
        self.documents <= CHUNK
    }

    /// The places that lie below a number, rounded up to a whole block of numbers.
    fn places_below(&self, below: i64) -> usize {
        let first = self.numbers.partition_point(|number| *number < below);
        if self.is_small() { first } else { (first * CHUNK).min(self.documents) }
    }

    /// Which documents carry what is asked for; all of it has been looked up.
    fn matching(&self, terms: &[Vec<Alternative>], inbox: Option<&Lookup>) -> FixedBitSet {
        let mut all = FixedBitSet::with_capacity(self.documents);
        all.insert_range(..);
        let narrow = |set: &mut FixedBitSet, lookup: &Lookup| match self.known.get(lookup) {
            Some(found) => set.intersect_with(found),
            None => set.clear(),
        };
        if let Some(inbox) = inbox {
            narrow(&mut all, inbox);
        }
        for alternatives in terms {
            let mut any = FixedBitSet::with_capacity(self.documents);
            for way in alternatives {
                let mut both = all.clone();
                way.iter().for_each(|lookup| narrow(&mut both, lookup));
                any.union_with(&both);
            }
            all = any;
        }
        all
    }

    fn number(&self, place: usize) -> Option<i64> {
        if self.is_small() {
            return self.numbers.get(place).copied();
        }
        self.chunks.get(&(place / CHUNK))?.get(place % CHUNK).copied()
    }
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct PartRow {
    segment_id: String,
    documents: i64,
    oldest: i64,
    newest: i64,
    numbers: Bytes,
}

/// The name of the scope under which its segments are kept, and what narrows them to an inbox.
fn home(scope: &Scope) -> (String, Option<Lookup>) {
    let home = scope.pod().map(|pod| pod.to_string()).unwrap_or_default();
    let inbox = scope.inbox().map(|inbox| Lookup::Exact(inbox_token(&inbox.key.to_string())));
    // An inbox is named in the segments of its pod alone.
    let inbox = inbox.filter(|_| !home.is_empty());
    (home, inbox)
}

fn inbox_token(inbox: &str) -> String {
    format!("i{}", inbox.replace('-', ""))
}

impl Store {
    /// The segments of a scope.
    pub async fn search_index(&self, scope: &Scope) -> Result<SearchIndex> {
        let (home, inbox) = home(scope);
        let organization = scope.organization();
        let rows: Vec<PartRow> = self
            .reader()
            .await?
            .all(
                "SELECT segment_id, documents, oldest, newest, numbers FROM search_segments \
                 WHERE organization_id = $1 AND scope = $2",
                args![organization, home.as_str()],
            )
            .await?;
        let mut parts = Vec::with_capacity(rows.len());
        for row in rows {
            parts.push(Part {
                segment: row.segment_id,
                documents: usize::try_from(row.documents).unwrap_or(0),
                oldest: row.oldest,
                newest: row.newest,
                numbers: segment::unpacked(&row.numbers.0)?,
                chunks: HashMap::new(),
                known: HashMap::new(),
            });
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.newest));
        Ok(SearchIndex { organization, home, inbox, parts })
    }

    /// Numbers of the latest documents that carry what the terms ask for, latest first. Fails with [`Error::Race`] when
    /// a segment was merged away meanwhile: the search then begins again.
    pub async fn search_candidates(
        &self,
        index: &mut SearchIndex,
        terms: &[Vec<Alternative>],
        window: SearchWindow,
        limit: usize,
    ) -> Result<Vec<i64>> {
        let below = window.below.unwrap_or(i64::MAX).min(window.before.map_or(i64::MAX, places_before));
        let from = window.from.unwrap_or(i64::MIN).max(window.after.map_or(i64::MIN, place_of));
        let lookups: BTreeSet<Lookup> =
            terms.iter().flatten().flatten().chain(&index.inbox).cloned().collect();
        let mut conn = self.reader().await?;
        let (mut found, mut next, mut most) = (Vec::new(), 0, FIRST_DOCUMENTS);
        while let Some(newest) = index.parts.get(next).map(|part| part.newest) {
            let enough = limit.checked_sub(1).is_none_or(|last| found.get(last) >= Some(&newest));
            if enough || newest < from {
                break;
            }
            let (first, mut documents) = (next, 0);
            while let Some(part) = index.parts.get(next)
                && documents < most
                && next - first < SEGMENTS_AT_ONCE
            {
                documents += part.documents;
                next += 1;
            }
            most = most.saturating_mul(GROWTH);
            let SearchIndex { organization, home, inbox, parts } = &mut *index;
            let parts = parts.get_mut(first..next).unwrap_or_default();
            let mut parts: Vec<&mut Part> = parts.iter_mut().filter(|part| part.oldest < below).collect();
            look_up(&mut conn, *organization, home, &lookups, &mut parts).await?;
            let mut chosen = Vec::new();
            for part in &parts {
                let matching = part.matching(terms, inbox.as_ref());
                let (whole, end) = (part.places_below(below).saturating_sub(CHUNK), part.places_below(below));
                // As many as are wanted, besides those of the one block that may lie partly above.
                let mut left = limit;
                let places: Vec<usize> = matching
                    .ones()
                    .rev()
                    .skip_while(|place| *place >= end)
                    .take_while(|place| {
                        let more = left > 0;
                        left -= usize::from(more && *place < whole);
                        more
                    })
                    .collect();
                chosen.push(places);
            }
            read_numbers(&mut conn, *organization, &mut parts, &chosen).await?;
            for (part, places) in parts.iter().zip(&chosen) {
                let numbers = places.iter().filter_map(|place| part.number(*place));
                found.extend(numbers.filter(|number| (from..below).contains(number)));
            }
            found.sort_unstable_by(|a, b| b.cmp(a));
            // A document that was indexed again is in two segments until they are merged.
            found.dedup();
            found.truncate(limit);
        }
        Ok(found)
    }
}

/// Looks tokens up in segments, unless that was done before.
async fn look_up(
    conn: &mut Conn,
    organization: OrganizationId,
    home: &str,
    lookups: &BTreeSet<Lookup>,
    parts: &mut [&mut Part],
) -> Result<()> {
    for lookup in lookups {
        let mut wanted: HashMap<String, &mut Part> = parts
            .iter_mut()
            .filter(|part| !part.known.contains_key(lookup))
            .map(|part| (part.segment.clone(), &mut **part))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let (first, last) = lookup.range();
        let mut query = match lookup {
            // A token stands in one block.
            Lookup::Exact(_) => Query::new(
                "SELECT s.segment_id, (SELECT b.entries FROM search_blocks b WHERE b.organization_id = s.organization_id \
                 AND b.segment_id = s.segment_id AND b.name <= $3 ORDER BY b.name DESC LIMIT 1) AS entries \
                 FROM search_segments s WHERE s.organization_id = $1 AND s.scope = $2",
                args![organization, home, first.as_str()],
            ),
            // CROSS JOIN: the segments first, whatever SQLite thinks of how many there are.
            Lookup::Prefix(_) => Query::new(
                "SELECT s.segment_id, b.entries FROM search_segments s CROSS JOIN search_blocks b \
             WHERE s.organization_id = $1 AND s.scope = $2 AND b.organization_id = s.organization_id \
             AND b.segment_id = s.segment_id AND b.name >= (SELECT x.name FROM search_blocks x \
             WHERE x.organization_id = s.organization_id AND x.segment_id = s.segment_id AND x.name <= $3 \
             ORDER BY x.name DESC LIMIT 1) AND b.name <= $4",
                args![organization, home, first.as_str(), last.as_str()],
            ),
        };
        query.within("s.segment_id", wanted.keys().map(|segment| segment.as_str().into()).collect());
        for (segment, entries) in query.all::<(String, Option<Bytes>)>(conn).await? {
            let (Some(part), Some(entries)) = (wanted.get_mut(&segment), entries) else { continue };
            let documents = part.documents;
            let found =
                part.known.entry(lookup.clone()).or_insert_with(|| FixedBitSet::with_capacity(documents));
            segment::find(&entries.0, &first, &last, found)?;
        }
        // Each has a block that begins at or before any token, so one that answers nothing is gone.
        if wanted.values().any(|part| !part.known.contains_key(lookup)) {
            return Err(Error::Race);
        }
    }
    Ok(())
}

/// Reads the numbers of documents at these places of each segment.
async fn read_numbers(
    conn: &mut Conn,
    organization: OrganizationId,
    parts: &mut [&mut Part],
    places: &[Vec<usize>],
) -> Result<()> {
    let mut wanted: Vec<Vec<Value>> = Vec::new();
    for (part, places) in parts.iter().zip(places) {
        if part.is_small() {
            continue;
        }
        let chunks: BTreeSet<usize> = places.iter().map(|place| place / CHUNK).collect();
        let chunks = chunks.into_iter().filter(|chunk| !part.chunks.contains_key(chunk));
        wanted.extend(chunks.map(|chunk| args![part.segment.as_str(), segment::chunk_name(chunk).as_str()]));
    }
    for wanted in wanted.chunks(128) {
        let mut query = Query::new(
            "SELECT segment_id, name, entries FROM search_blocks WHERE organization_id = $1",
            args![organization],
        );
        query.within_tuples("(segment_id, name)", wanted, 2);
        let rows: Vec<(String, String, Bytes)> = query.all(conn).await?;
        let mut missing = wanted.len();
        for (segment, name, entries) in rows {
            let Some(part) = parts.iter_mut().find(|part| part.segment == segment) else { continue };
            let numbers = segment::unpacked(&entries.0)?;
            let chunk = part.numbers.partition_point(|first| numbers.first().is_some_and(|own| first < own));
            debug_assert_eq!(
                segment::chunk_name(chunk),
                name,
                "blocks of numbers begin with what the segment says"
            );
            part.chunks.insert(chunk, numbers);
            missing = missing.saturating_sub(1);
        }
        if missing > 0 {
            return Err(Error::Race);
        }
    }
    Ok(())
}

/// A document's number and tokens.
type Numbered = (i64, Vec<String>);

/// Adds documents with their numbers to the index of their pods and of their organizations.
pub(super) async fn add(tx: &mut Tx, documents: &[(i64, &SearchDocument)]) -> Result<()> {
    let mut scopes: BTreeMap<(OrganizationId, String), Vec<Numbered>> = BTreeMap::new();
    for (number, document) in documents {
        let (message, tokens) = (&document.message, document.tokens.iter().cloned());
        let mut own: Vec<String> = tokens.collect();
        scopes.entry((message.organization_id, String::new())).or_default().push((*number, own.clone()));
        own.push(inbox_token(&message.inbox_key.to_string()));
        scopes.entry((message.organization_id, message.pod_id.to_string())).or_default().push((*number, own));
    }
    let segments = scopes.into_iter().map(|((organization, home), documents)| Written {
        organization,
        home,
        segment: Segment::new(documents).stored(),
    });
    write(tx, segments.collect()).await
}

/// A segment to write.
pub(super) struct Written {
    pub(super) organization: OrganizationId,
    pub(super) home: String,
    pub(super) segment: segment::Stored,
}

/// How far a segment of so many documents has been merged.
const fn level(documents: usize) -> i64 {
    match documents {
        0..8 => 0,
        8..64 => 1,
        64..512 => 2,
        512..4_096 => 3,
        4_096..=8_192 => 4,
        _ => FULL,
    }
}

/// Stores segments and asks for work on scopes that have many of one level now.
pub(super) async fn write(tx: &mut Tx, segments: Vec<Written>) -> Result<()> {
    let (mut rows, mut blocks) = (VecDeque::new(), VecDeque::new());
    let mut scopes: BTreeMap<OrganizationId, BTreeSet<String>> = BTreeMap::new();
    for Written { organization, home, segment } in segments {
        // An empty one is none.
        if segment.documents == 0 {
            continue;
        }
        let segment_id = format!("{:016x}", random_id(tx));
        rows.push_back(args![
            organization,
            home.as_str(),
            segment_id.as_str(),
            level(segment.documents),
            segment.documents,
            segment.oldest,
            segment.newest,
            0_i64,
            segment.numbers
        ]);
        for (name, entries) in segment.blocks {
            blocks.push_back(args![organization, segment_id.as_str(), name.as_str(), entries]);
        }
        scopes.entry(organization).or_default().insert(home);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let insert = |sql, columns, rows| Insert { sql, columns, tail: "", rows };
    tx.insert_all(vec![
        insert(
            "INSERT INTO search_segments (organization_id, scope, segment_id, level, documents, oldest, newest, gone, numbers)",
            9,
            rows,
        ),
        insert("INSERT INTO search_blocks (organization_id, segment_id, name, entries)", 4, blocks),
    ])
    .await?;
    let mut work = Vec::new();
    for (organization, homes) in scopes {
        let mut query = Query::new(
            "SELECT scope FROM search_segments WHERE organization_id = $1 AND level < $2",
            args![organization, FULL],
        );
        query.within("scope", homes.iter().map(|home| home.as_str().into()).collect());
        query.push(" GROUP BY scope, level HAVING COUNT(*) >= ?", args![FANOUT]);
        let many: BTreeSet<(String,)> = query.all(tx).await?.into_iter().collect();
        work.extend(many.into_iter().map(|(home,)| (organization, home)));
    }
    ask_for_work(tx, work, 0).await
}

/// Tells those who tend the scopes of a pod that a document of it is gone.
pub(super) async fn tell_of_gone(
    tx: &mut Tx,
    organization: OrganizationId,
    pod: String,
    document: i64,
) -> Result<()> {
    ask_for_work(tx, vec![(organization, String::new()), (organization, pod)], document).await
}

async fn ask_for_work(tx: &mut Tx, scopes: Vec<(OrganizationId, String)>, document: i64) -> Result<()> {
    if scopes.is_empty() {
        return Ok(());
    }
    let rows = scopes
        .into_iter()
        .map(|(organization, home)| args![organization, home.as_str(), random_id(tx), document])
        .collect();
    let sql = "INSERT INTO search_work (organization_id, scope, work_id, document)";
    tx.insert_all(vec![Insert { sql, columns: 4, tail: "", rows }]).await
}

fn random_id(tx: &Tx) -> i64 {
    i64::from_le_bytes(random(&*tx.ids)) & i64::MAX
}
