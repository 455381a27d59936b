//! Tending segments: many small ones of a scope become one, and documents that are gone leave those that they were in.
//! Everything is read and made outside of a transaction; a short one then exchanges the segments, unless somebody else
//! did so first.

use std::collections::{HashMap, HashSet};

use podmail_domain::OrganizationId;
use podmail_domain::source::random;

use super::index::{FANOUT, FULL, Written, write};
use super::segment::{DOCUMENTS_MAX, Segment, Stored};
use crate::db::{Bytes, Query, args};
use crate::scope::id;
use crate::writer::Tx;
use crate::{Error, Result, Store};

/// Documents up to which a segment is written anew for each one that is gone; larger ones wait until a quarter is.
const SMALL: usize = 512;
/// Requests of one scope that are dealt with at once.
const REQUESTS_MAX: usize = 4_096;
/// Requests that are looked at to take one of them, so that nodes rarely take the same.
const REQUESTS: usize = 16;

#[derive(Clone, sqlx::FromRow, serde::Deserialize)]
struct Row {
    segment_id: String,
    level: i64,
    documents: i64,
    oldest: i64,
    newest: i64,
    gone: i64,
}

impl Row {
    fn documents(&self) -> usize {
        usize::try_from(self.documents).unwrap_or(0)
    }
}

/// Those that are to become one: all up to the highest level that has many, the oldest first, as far as they fit.
fn to_merge(segments: &[Row]) -> Vec<String> {
    let count = |level: i64| segments.iter().filter(|row| row.level == level).count();
    let Some(level) = (0..FULL).rev().find(|level| count(*level) >= FANOUT) else { return Vec::new() };
    let mut small: Vec<&Row> = segments.iter().filter(|row| row.level <= level).collect();
    small.sort_by_key(|row| row.newest);
    let mut sum = 0;
    let fitting = small.into_iter().take_while(|row| {
        sum += row.documents();
        sum <= DOCUMENTS_MAX
    });
    fitting.map(|row| row.segment_id.clone()).collect()
}

impl Store {
    /// Tends the segments of one scope that wants it; `false`: none does.
    pub async fn tend_search(&self) -> Result<bool> {
        let mut conn = self.reader().await?;
        let wanting: Vec<(String, String)> =
            conn.all("SELECT organization_id, scope FROM search_work LIMIT $1", args![REQUESTS]).await?;
        let [choice] = random(self.writer.ids());
        let Some((organization, home)) = wanting.get(usize::from(choice) % wanting.len().max(1)).cloned()
        else {
            return Ok(false);
        };
        let organization = id(&organization, OrganizationId::parse)?;
        let requests: Vec<(i64, i64)> = conn
            .all(
                "SELECT work_id, document FROM search_work WHERE organization_id = $1 AND scope = $2 LIMIT $3",
                args![organization, home.as_str(), REQUESTS_MAX],
            )
            .await?;
        if requests.is_empty() {
            // Another node was faster.
            return Ok(true);
        }
        let segments: Vec<Row> = conn
            .all(
                "SELECT segment_id, level, documents, oldest, newest, gone FROM search_segments \
                 WHERE organization_id = $1 AND scope = $2",
                args![organization, home.as_str()],
            )
            .await?;
        drop(conn);
        let together = to_merge(&segments);
        if together.len() > 1 {
            self.rewrite(organization, &home, together.clone(), 0).await?;
        }
        // What is known of each of the others when this is over.
        let mut counted: Vec<(String, i64)> = Vec::new();
        for row in segments.iter().filter(|row| !together.contains(&row.segment_id)) {
            let own = |document: i64| document != 0 && (row.oldest..=row.newest).contains(&document);
            let new = requests.iter().filter(|(_, document)| own(*document)).count();
            if new == 0 {
                continue;
            }
            let documents = row.documents();
            let least = if documents <= SMALL { 1 } else { documents.div_ceil(4) };
            let gone = usize::try_from(row.gone).unwrap_or(0).saturating_add(new);
            let left = if gone < least {
                Some(gone)
            } else {
                self.rewrite(organization, &home, vec![row.segment_id.clone()], least).await?
            };
            if let Some(gone) = left {
                counted.push((row.segment_id.clone(), i64::try_from(gone).unwrap_or(i64::MAX)));
            }
        }
        self.write_later(
            (organization, home, requests, counted),
            |tx, (organization, home, requests, counted)| {
                Box::pin(async move {
                    for (segment, gone) in counted {
                        tx.run(
                            "UPDATE search_segments SET gone = $4 \
                             WHERE organization_id = $1 AND scope = $2 AND segment_id = $3",
                            args![*organization, home.as_str(), segment.as_str(), *gone],
                        )
                        .await?;
                    }
                    let mut query = Query::new(
                        "DELETE FROM search_work WHERE organization_id = $1 AND scope = $2",
                        args![*organization, home.as_str()],
                    );
                    query.within("work_id", requests.iter().map(|(request, _)| (*request).into()).collect());
                    query.run(tx).await?;
                    Ok(())
                })
            },
        )
        .await?;
        Ok(true)
    }

    /// Makes one segment of these without what is gone, if at least so many documents are; else says how many. When
    /// somebody else did something of the kind meanwhile, nothing is done.
    async fn rewrite(
        &self,
        organization: OrganizationId,
        home: &str,
        segments: Vec<String>,
        least: usize,
    ) -> Result<Option<usize>> {
        match self.rewrite_once(organization, home, segments, least).await {
            Err(Error::Race) => Ok(None),
            done => done,
        }
    }

    async fn rewrite_once(
        &self,
        organization: OrganizationId,
        home: &str,
        segments: Vec<String>,
        least: usize,
    ) -> Result<Option<usize>> {
        let mut conn = self.reader().await?;
        let mut query = Query::new(
            "SELECT segment_id, numbers FROM search_segments WHERE organization_id = $1 AND scope = $2",
            args![organization, home],
        );
        let ids = || segments.iter().map(|segment| segment.as_str().into()).collect::<Vec<_>>();
        query.within("segment_id", ids());
        let rows: Vec<(String, Bytes)> = query.all(&mut conn).await?;
        let mut query = Query::new(
            "SELECT segment_id, name, entries FROM search_blocks WHERE organization_id = $1",
            args![organization],
        );
        query.within("segment_id", ids());
        let mut blocks: HashMap<String, Vec<(String, Vec<u8>)>> = HashMap::new();
        for (segment, name, entries) in query.all::<(String, String, Bytes)>(&mut conn).await? {
            blocks.entry(segment).or_default().push((name, entries.0));
        }
        let mut stored = Vec::with_capacity(rows.len());
        for (segment, numbers) in rows {
            stored.push((numbers.0, blocks.remove(&segment).ok_or(Error::Race)?));
        }
        if stored.len() != segments.len() {
            return Err(Error::Race);
        }
        let parts = blocking(move || {
            stored.iter().map(|(numbers, blocks)| Segment::read(numbers, blocks)).collect::<Result<Vec<_>>>()
        })
        .await??;
        let numbers: Vec<i64> = parts.iter().flat_map(|part| part.numbers().iter().copied()).collect();
        let mut alive = HashSet::with_capacity(numbers.len());
        for some in numbers.chunks(256) {
            let mut query = Query::new(
                "SELECT doc_id FROM search_documents WHERE organization_id = $1",
                args![organization],
            );
            query.within("doc_id", some.iter().map(|number| (*number).into()).collect());
            alive.extend(query.all::<(i64,)>(&mut conn).await?.into_iter().map(|(number,)| number));
        }
        drop(conn);
        let gone = numbers.iter().filter(|number| !alive.contains(number)).count();
        if gone < least {
            return Ok(Some(gone));
        }
        let new = blocking(move || Segment::merged(parts, &alive).stored()).await?;
        self.write_later(
            (organization, home.to_owned(), segments, new),
            |tx, (organization, home, segments, new)| {
                Box::pin(exchange(tx, *organization, home, segments, new.clone()))
            },
        )
        .await?;
        Ok(None)
    }
}

async fn exchange(
    tx: &mut Tx,
    organization: OrganizationId,
    home: &str,
    segments: &[String],
    new: Stored,
) -> Result<()> {
    let ids = || segments.iter().map(|segment| segment.as_str().into()).collect::<Vec<_>>();
    let mut query = Query::new(
        "DELETE FROM search_segments WHERE organization_id = $1 AND scope = $2",
        args![organization, home],
    );
    query.within("segment_id", ids());
    if query.run(tx).await? != segments.len() as u64 {
        return Err(Error::Race);
    }
    let mut query = Query::new("DELETE FROM search_blocks WHERE organization_id = $1", args![organization]);
    query.within("segment_id", ids());
    query.run(tx).await?;
    write(tx, vec![Written { organization, home: home.to_owned(), segment: new }]).await
}

/// Work on another thread than those that answer requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Corrupt("a segment that cannot be merged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(all: &[(i64, i64, i64)]) -> Vec<Row> {
        all.iter()
            .map(|(number, level, documents)| Row {
                segment_id: number.to_string(),
                level: *level,
                documents: *documents,
                oldest: *number,
                newest: *number,
                gone: 0,
            })
            .collect()
    }

    #[test]
    fn many_segments_of_one_level_become_one_with_all_smaller_ones() {
        let mut all: Vec<(i64, i64, i64)> = (0..7).map(|n| (n, 1, 10)).collect();
        assert_eq!(to_merge(&rows(&all)), Vec::<String>::new());
        all.extend([(7, 0, 1), (8, 1, 10), (9, 0, 1), (10, 2, 100)]);
        assert_eq!(to_merge(&rows(&all)), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }

    #[test]
    fn a_segment_never_becomes_larger_than_is_read_at_once() {
        let all: Vec<(i64, i64, i64)> = (0..8).map(|n| (n, 4, 5_000)).collect();
        assert_eq!(to_merge(&rows(&all)), ["0", "1", "2"]);
        // Full ones are left alone however many there are.
        let all: Vec<(i64, i64, i64)> = (0..20).map(|n| (n, FULL, 9_000)).collect();
        assert_eq!(to_merge(&rows(&all)), Vec::<String>::new());
    }
}
