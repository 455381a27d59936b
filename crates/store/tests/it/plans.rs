//! Every statement of the store finds its rows through an index that begins with the organization: what really runs
//! while the contract suite runs is explained by both engines, over an installation with enough rows and, where they
//! are kept, fresh statistics; a whole text of the source that the suite does not run is explained as it stands. A plan
//! that walks through a table of tenants fails.

pub(crate) mod lists;
pub(crate) mod record;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use crate::tenancy;
use crate::worlds;

/// Statements that walk by purpose, by the start of their text, each with the reason.
const WALKING: &[(&str, &str)] = &[
    ("DELETE FROM event_payloads WHERE NOT EXISTS", "an hourly sweep over a table that is nearly empty"),
    ("SELECT organization_id, inbox_key FROM purges ORDER BY", "deleted inboxes are few"),
    ("SELECT organization_id, scope FROM search_work LIMIT", "scopes that want tending are few"),
    ("SELECT COUNT(*) FROM (SELECT message_key FROM search_queue", "counts what waits, up to a bound"),
];

/// Statements that look for rows of all tenants by purpose, besides those that the tenancy test knows.
const CROSSING: &[(&str, &str)] = &[(
    "INSERT INTO search_queue {} SELECT {} WHERE version < $1",
    "documents of older code, by their version",
)];

/// Joins of which SQLite, without statistics, has to begin with the one table, and what its first step then says. It once
/// began with the messages of the inbox or organization, which only a large one shows.
const BEGINNINGS: &[(&str, &[&str])] = &[("SELECT d.doc_id, m.message_key", &["doc_id=?)", "thread_id=?)"])];

/// Texts that must be among those explained on each engine, so that a recording that misses most does not pass.
const LEAST: usize = 400;

/// How a look-up begins that finds rows of one organization, or of one message, whose key is unique everywhere.
const NARROWED_ON_SQLITE: [&str; 4] =
    ["(organization_id=?", "((organization_id,due_at)>", "(rowid=?", "(message_key=?"];
/// Likewise.
const NARROWED_ON_POSTGRES: [&str; 3] =
    ["organization_id = ", "(ROW(organization_id, due_at) >= ROW(", "(message_key = "];

/// The index that finds one inbox by its key, which is unique everywhere.
const BY_INBOX_KEY: &str = " inboxes_by_key ";

/// One step of a plan that should not be.
type Walk = String;

/// Whether the engine was seen running a text. One that nobody ran may be the other engine's own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ran {
    Here,
    Nowhere,
}

/// A text to explain.
type Text<'a> = (&'a str, Ran);

/// Statements of the source that the suite did not run: those that are whole, and those that are filled in first.
fn left_out(ran: &BTreeSet<(String, String)>) -> (Vec<String>, Vec<String>) {
    let mut texts = Vec::new();
    tenancy::collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut texts);
    let ran = |text: &str| ran.iter().any(|(_, ran)| begins(ran, text));
    texts.into_iter().map(|(_, text)| text).filter(|text| !ran(text)).partition(|text| !text.contains('{'))
}

#[tokio::test]
async fn no_statement_walks_through_a_table_of_tenants() {
    let recording = tokio::task::spawn_blocking(record::suite);
    let worlds = worlds().await;
    for world in &worlds {
        lists::installation(world, 10, 128).await;
    }
    let recorded = recording.await.expect("recorded");
    let (whole, partial) = left_out(&recorded);
    assert!(partial.is_empty(), "no test runs these, so nobody knows their texts:\n{}", partial.join("\n"));
    let mut all = Vec::new();
    for world in worlds {
        let url = world.url().to_owned();
        let (engine, file) = match url.strip_prefix("sqlite:") {
            Some(path) => ("Sqlite", Some(path.trim_start_matches("//").to_owned())),
            None => ("Postgres", None),
        };
        let ran = recorded.iter().filter(|(of, _)| of == engine).map(|(_, text)| (text, Ran::Here));
        let texts = ran.chain(whole.iter().map(|text| (text, Ran::Nowhere)));
        let texts: Vec<Text<'_>> = texts
            .map(|(text, ran)| (text.as_str(), ran))
            .filter(|(text, _)| finds_rows(text) && !walks_by_purpose(text))
            .collect();
        assert!(texts.len() >= LEAST, "only {} statements ran on {engine}", texts.len());
        let walks = match file {
            Some(path) => on_sqlite(Path::new(&path), &texts),
            None => on_postgres(&url, &texts).await,
        };
        all.extend(walks.into_iter().map(|walk| format!("{engine}: {walk}")));
    }
    assert!(all.is_empty(), "{} statements walk:\n{}", all.len(), all.join("\n"));
}

/// Inserts find no rows, apart from those that select what they insert and do not have it with them.
fn finds_rows(text: &str) -> bool {
    match text.split(' ').next() {
        Some("SELECT" | "WITH" | "UPDATE" | "DELETE") => true,
        Some("INSERT") => text.contains(" SELECT ") && !text.contains("FROM ( VALUES"),
        _ => false,
    }
}

fn walks_by_purpose(text: &str) -> bool {
    WALKING.iter().any(|(start, _)| begins(text, start))
}

/// Whether the text may look for rows of all tenants: the same list as that of the tenancy test.
fn crosses(text: &str) -> bool {
    tenancy::CROSSING.iter().chain(CROSSING).any(|(start, _)| begins(text, start))
}

/// Whether a text that ran begins like one of the source, which may hold `{…}` for what is filled in.
fn begins(text: &str, start: &str) -> bool {
    let mut pieces = start.split('{').map(|piece| piece.rsplit_once('}').map_or(piece, |(_, after)| after));
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    true
}

fn is_tenants(table: &str) -> bool {
    !tenancy::SHARED.contains(&table)
}

fn on_sqlite(path: &Path, texts: &[Text<'_>]) -> Vec<Walk> {
    let connection = rusqlite::Connection::open(path).expect("the database");
    let mut walks = explained_by_sqlite(&connection, texts);
    walks.extend(begun_elsewhere(&connection, texts));
    walks.iter_mut().for_each(|walk| walk.insert_str(0, "without statistics: "));
    // The server keeps no statistics; an operator may.
    connection.execute_batch("ANALYZE").expect("statistics");
    let connection = rusqlite::Connection::open(path).expect("the database");
    walks.extend(explained_by_sqlite(&connection, texts));
    walks.sort();
    walks.dedup();
    walks
}

fn begun_elsewhere(connection: &rusqlite::Connection, texts: &[Text<'_>]) -> Vec<Walk> {
    let mut walks = Vec::new();
    for (start, wanted) in BEGINNINGS {
        let ran: Vec<&str> = texts
            .iter()
            .filter(|(text, ran)| *ran == Ran::Here && begins(text, start))
            .map(|(text, _)| *text)
            .collect();
        assert!(!ran.is_empty(), "nothing ran that begins with {start}");
        for text in ran {
            let explain = format!("EXPLAIN QUERY PLAN {}", text.replace('$', "?"));
            let first: String = connection
                .prepare(&explain)
                .expect("a plan")
                .raw_query()
                .next()
                .expect("a step")
                .expect("a step")
                .get(3)
                .expect("its words");
            if !wanted.iter().any(|wanted| first.contains(wanted)) {
                walks.push(format!("begins with {first}\n    {text}"));
            }
        }
    }
    walks
}

fn explained_by_sqlite(connection: &rusqlite::Connection, texts: &[Text<'_>]) -> Vec<Walk> {
    let mut tables =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").expect("the schema");
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).expect("read").map(|name| name.expect("a name")).collect();
    let mut walks = Vec::new();
    for (text, ran) in texts {
        let plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", text.replace('$', "?")));
        let mut plan = match plan {
            Ok(plan) => plan,
            Err(_) if *ran == Ran::Nowhere => continue,
            Err(error) => panic!("{error}: {text}"),
        };
        let steps = plan.raw_query().mapped(|row| row.get::<_, String>(3)).map(|step| step.expect("a step"));
        for step in steps {
            let Some((verb @ ("SCAN" | "SEARCH"), rest)) = step.split_once(' ') else { continue };
            let name = rest.split(' ').next().unwrap_or_default();
            // An alias is followed by nothing that names its table, so it is looked up in the text.
            let table = tables.iter().find(|table| {
                *table == name
                    || text.contains(&format!(" {table} {name} "))
                    || text.contains(&format!(" {table} AS {name}"))
            });
            if !table.is_some_and(|table| is_tenants(table)) {
                continue;
            }
            // In the order of an index and bounded by a LIMIT: the first rows, not all.
            let bounded = step.contains("USING") && text.contains("LIMIT") && crosses(text);
            let narrowed =
                step.contains(BY_INBOX_KEY) || NARROWED_ON_SQLITE.iter().any(|by| step.contains(by));
            let found = verb == "SEARCH" && (narrowed || crosses(text));
            if !bounded && !found {
                walks.push(format!("{step}\n    {text}"));
            }
        }
    }
    walks
}

/// A small table is read as a whole, or hashed, for good reason; a large one is not.
const SETTINGS: [&str; 5] = [
    "ANALYZE",
    "SET enable_seqscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET plan_cache_mode = force_generic_plan",
];

async fn on_postgres(url: &str, texts: &[Text<'_>]) -> Vec<Walk> {
    let mut connection = PgConnection::connect(url).await.expect("the database");
    for statement in SETTINGS {
        connection.execute(statement).await.expect("run");
    }
    let rows = connection.fetch_all("SELECT indexname::text, tablename::text FROM pg_indexes").await;
    let indexes: HashMap<String, String> =
        rows.expect("read").iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut walks = Vec::new();
    for (text, ran) in texts {
        let run = async |connection: &mut PgConnection, text: String| {
            sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(connection).await
        };
        let prepared = run(&mut connection, format!("PREPARE one AS {text}")).await;
        match prepared {
            Ok(_) => {}
            Err(_) if *ran == Ran::Nowhere => continue,
            Err(error) => panic!("{error}: {text}"),
        }
        let count = (1..1000).take_while(|n| text.contains(&format!("${n}"))).count();
        let nulls = vec!["NULL"; count].join(",");
        let values = if count == 0 { String::new() } else { format!("({nulls})") };
        let plan = run(&mut connection, format!("EXPLAIN EXECUTE one{values}")).await.expect("a plan");
        run(&mut connection, "DEALLOCATE one".to_owned()).await.expect("forgotten");
        let lines: Vec<String> = plan.iter().map(|line| line.get(0)).collect();
        for (n, line) in lines.iter().enumerate() {
            let Some((scan, table)) = scanned(line, &indexes) else { continue };
            if !is_tenants(&table) {
                continue;
            }
            let details = lines.iter().skip(n + 1).take_while(|line| !line.contains("->"));
            let condition = details.map(|line| line.trim()).find(|line| line.starts_with("Index Cond:"));
            let narrowed = condition.is_some_and(|condition| {
                line.contains(BY_INBOX_KEY) || NARROWED_ON_POSTGRES.iter().any(|by| condition.contains(by))
            });
            // In the order of an index and bounded by a LIMIT: the first rows, not all.
            let crossing = crosses(text) && (condition.is_some() || text.contains("LIMIT"));
            if scan == Scan::Table || !(narrowed || crossing) {
                walks.push(format!("{} {}\n    {text}", line.trim(), condition.unwrap_or_default()));
            }
        }
    }
    walks
}

#[derive(PartialEq, Eq)]
enum Scan {
    Table,
    Index,
}

/// What a line of a plan of PostgreSQL reads, if it reads a table.
fn scanned(line: &str, indexes: &HashMap<String, String>) -> Option<(Scan, String)> {
    let word = |rest: &str| rest.split(' ').next().unwrap_or_default().to_owned();
    if let Some((_, rest)) = line.split_once("Seq Scan on ") {
        return Some((Scan::Table, word(rest)));
    }
    if let Some((_, rest)) = line.split_once("Bitmap Index Scan on ") {
        return Some((Scan::Index, indexes.get(&word(rest))?.clone()));
    }
    let (_, rest) = line.split_once("Index Scan ").or_else(|| line.split_once("Index Only Scan "))?;
    let (_, table) = rest.split_once(" on ")?;
    Some((Scan::Index, word(table)))
}
