//! Every statement of the store finds its rows through an index: the texts that the source holds are explained by both
//! engines, and a plan that walks through a whole table of tenants fails.
//!
//! Texts that only a builder completes are explained as far as the source holds them; a condition more narrows a plan.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use crate::tenancy;
use crate::worlds;

/// Statements that walk by purpose, by the start of their text, each with the reason.
const WALKING: &[(&str, &str)] = &[
    ("DELETE FROM event_payloads WHERE NOT EXISTS", "an hourly sweep over a table that is nearly empty"),
    ("SELECT organization_id, inbox_key FROM purges ORDER BY", "deleted inboxes are few"),
    (
        "SELECT rowid FROM search_index WHERE search_index MATCH",
        "SQLite calls a look-up in the full-text index a scan",
    ),
    ("DELETE FROM search_index WHERE rowid", "likewise, by its row id"),
    ("SELECT COUNT(*) FROM (SELECT message_key FROM search_queue", "counts what waits, up to a bound"),
    ("SELECT COUNT(*) FROM domain_directory d JOIN domains m", "the builder adds the names, a primary key"),
];

/// Statements that must be among those explained, so that a change of the scan does not empty the test.
const LEAST: usize = 60;

/// The texts of the source that are whole statements on tables of tenants.
fn statements() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    tenancy::collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut texts);
    texts
        .into_iter()
        .filter(|(_, text)| {
            !text.starts_with("INSERT") && !WALKING.iter().any(|(start, _)| text.starts_with(start))
        })
        .filter(|(_, text)| !text.contains('{'))
        .collect()
}

fn is_tenants(table: &str) -> bool {
    !tenancy::SHARED.contains(&table)
}

#[tokio::test]
async fn no_statement_walks_through_a_table_of_tenants() {
    for world in worlds().await {
        let url = world.url().to_owned();
        let (explained, walks) = match url.strip_prefix("sqlite:") {
            Some(path) => on_sqlite(Path::new(path.trim_start_matches("//"))),
            None => on_postgres(&url).await,
        };
        assert!(explained >= LEAST, "only {explained} statements were explained on {url}");
        assert!(walks.is_empty(), "{} statements walk:\n{}", walks.len(), walks.join("\n"));
    }
}

fn on_sqlite(path: &Path) -> (usize, Vec<String>) {
    let connection = rusqlite::Connection::open(path).expect("the database");
    let mut tables =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").expect("the schema");
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).expect("read").map(|name| name.expect("a name")).collect();
    let (mut explained, mut walks) = (0, Vec::new());
    for (place, text) in statements() {
        let Ok(mut plan) = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")) else { continue };
        explained += 1;
        let steps = plan.raw_query().mapped(|row| row.get::<_, String>(3)).map(|step| step.expect("a step"));
        for step in steps {
            let Some(name) = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next()) else {
                continue;
            };
            // An alias is followed by nothing that names its table, so it is looked up in the text.
            let table = tables.iter().find(|table| {
                *table == name
                    || text.contains(&format!(" {table} {name} "))
                    || text.contains(&format!(" {table} AS {name}"))
            });
            // In the order of an index and bounded by a LIMIT: the first rows, not all.
            let bounded = step.contains("USING") && text.contains("LIMIT");
            if table.is_some_and(|table| is_tenants(table)) && !bounded {
                walks.push(format!("{place}: {step}\n    {text}"));
            }
        }
    }
    (explained, walks)
}

async fn on_postgres(url: &str) -> (usize, Vec<String>) {
    let mut connection = PgConnection::connect(url).await.expect("the database");
    for setting in ["enable_seqscan = off", "plan_cache_mode = force_generic_plan"] {
        connection.execute(AssertSqlSafe(format!("SET {setting}"))).await.expect("set");
    }
    let (mut explained, mut walks) = (0, Vec::new());
    for (place, text) in statements() {
        let run = async |connection: &mut PgConnection, text: String| {
            sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(connection).await
        };
        if run(&mut connection, format!("PREPARE one AS {text}")).await.is_err() {
            continue;
        }
        let count = (1..100).take_while(|n| text.contains(&format!("${n}"))).count();
        let nulls = vec!["NULL"; count].join(",");
        let values = if count == 0 { String::new() } else { format!("({nulls})") };
        let plan = run(&mut connection, format!("EXPLAIN EXECUTE one{values}")).await.expect("a plan");
        run(&mut connection, "DEALLOCATE one".to_owned()).await.expect("forgotten");
        explained += 1;
        for line in plan {
            let line: String = line.get(0);
            let Some((_, rest)) = line.split_once("Seq Scan on ") else { continue };
            let table = rest.split(' ').next().unwrap_or_default();
            if is_tenants(table) {
                walks.push(format!("{place}: {}\n    {text}", line.trim()));
            }
        }
    }
    (explained, walks)
}
