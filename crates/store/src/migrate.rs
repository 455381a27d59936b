//! Migrations of both engines, embedded. Expand, move, contract: an older program must start on a schema one release
//! newer, so unknown migrations are ignored and a minimum version in the schema says when it must refuse.

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension as _};
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};

use crate::db::{Conn, Db};
use crate::{Error, Result};

struct Step {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const STEPS: &[Step] = &[
    Step {
        version: 1,
        name: "create platform",
        sqlite: include_str!("../migrations/sqlite/0001_create_platform.sql"),
        postgres: include_str!("../migrations/postgres/0001_create_platform.sql"),
    },
    Step {
        version: 2,
        name: "create drafts",
        sqlite: include_str!("../migrations/sqlite/0002_create_drafts.sql"),
        postgres: include_str!("../migrations/postgres/0002_create_drafts.sql"),
    },
    Step {
        version: 3,
        name: "create lists",
        sqlite: include_str!("../migrations/sqlite/0003_create_lists.sql"),
        postgres: include_str!("../migrations/postgres/0003_create_lists.sql"),
    },
    Step {
        version: 4,
        name: "create search",
        sqlite: include_str!("../migrations/sqlite/0004_create_search.sql"),
        postgres: include_str!("../migrations/postgres/0004_create_search.sql"),
    },
    Step {
        version: 5,
        name: "add attachment texts",
        sqlite: include_str!("../migrations/sqlite/0005_add_attachment_texts.sql"),
        postgres: include_str!("../migrations/postgres/0005_add_attachment_texts.sql"),
    },
    Step {
        version: 6,
        name: "add labs",
        sqlite: include_str!("../migrations/sqlite/0006_add_labs.sql"),
        postgres: include_str!("../migrations/postgres/0006_add_labs.sql"),
    },
    Step {
        version: 7,
        name: "add authentication and opens",
        sqlite: include_str!("../migrations/sqlite/0007_add_authentication_and_opens.sql"),
        postgres: include_str!("../migrations/postgres/0007_add_authentication_and_opens.sql"),
    },
    Step {
        version: 9,
        name: "register public keys",
        sqlite: include_str!("../migrations/sqlite/0009_register_public_keys.sql"),
        postgres: include_str!("../migrations/postgres/0009_register_public_keys.sql"),
    },
    Step {
        version: 15,
        name: "take turns with texts",
        sqlite: include_str!("../migrations/sqlite/0015_take_turns_with_texts.sql"),
        postgres: include_str!("../migrations/postgres/0015_take_turns_with_texts.sql"),
    },
    Step {
        version: 16,
        name: "take reports",
        sqlite: include_str!("../migrations/sqlite/0016_take_reports.sql"),
        postgres: include_str!("../migrations/postgres/0016_take_reports.sql"),
    },
    Step {
        version: 17,
        name: "index objects",
        sqlite: include_str!("../migrations/sqlite/0017_index_objects.sql"),
        postgres: include_str!("../migrations/postgres/0017_index_objects.sql"),
    },
    Step {
        version: 18,
        name: "gather search entries",
        sqlite: include_str!("../migrations/sqlite/0018_gather_search_entries.sql"),
        postgres: include_str!("../migrations/postgres/0018_gather_search_entries.sql"),
    },
    Step {
        version: 19,
        name: "index by scope",
        sqlite: include_str!("../migrations/sqlite/0019_index_by_scope.sql"),
        postgres: include_str!("../migrations/postgres/0019_index_by_scope.sql"),
    },
    Step {
        version: 20,
        name: "keep headers",
        sqlite: include_str!("../migrations/sqlite/0020_keep_headers.sql"),
        postgres: include_str!("../migrations/postgres/0020_keep_headers.sql"),
    },
];

fn migrator() -> Migrator {
    let migrations = STEPS
        .iter()
        .map(|step| {
            let text = step.postgres.into_sql_str();
            Migration::new(step.version, Cow::Borrowed(step.name), MigrationType::Simple, text, false)
        })
        .collect();
    Migrator { migrations: Cow::Owned(migrations), ignore_missing: true, ..Migrator::DEFAULT }
}

/// What opening a database did to its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Migrations that were run.
    pub applied: u64,
    /// The newest migration that the schema has.
    pub version: i64,
}

/// Brings the schema up to date; refuses a schema that no longer carries this program.
pub(crate) async fn run(db: &Db) -> Result<Migrated> {
    // Fails on an empty database, which has nothing applied.
    let before = applied(&mut db.writer().await?).await.unwrap_or(0);
    match db {
        Db::Sqlite(embedded) => {
            let guard = embedded.writer().await;
            let connection = guard.as_ref().ok_or(Error::Closed)?;
            for step in STEPS {
                apply(connection, step)?;
            }
        }
        Db::Postgres(pool) => migrator().run(pool).await?,
    }
    let mut conn: Conn = db.writer().await?;
    let minimum = conn.count("SELECT MAX(version) FROM schema_minimum", Vec::new()).await?;
    let newest = STEPS.last().map_or(0, |step| step.version);
    if minimum > newest {
        return Err(Error::Schema(format!(
            "the database needs a newer program: its schema asks for version {minimum}, this one knows {newest}"
        )));
    }
    let after = applied(&mut conn).await?;
    let version = conn.count("SELECT MAX(version) FROM _sqlx_migrations", Vec::new()).await?;
    Ok(Migrated { applied: u64::try_from(after - before).unwrap_or(0), version })
}

/// Runs one migration of the embedded engine unless the database has it. The table that remembers is the one that the
/// migrator of PostgreSQL keeps.
fn apply(connection: &Connection, step: &Step) -> Result<()> {
    connection.execute_batch(
        "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, \
         description TEXT NOT NULL, installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
         success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)",
    )?;
    let checksum = Migration::new(
        step.version,
        Cow::Borrowed(step.name),
        MigrationType::Simple,
        step.sqlite.into_sql_str(),
        false,
    )
    .checksum;
    let known: Option<Vec<u8>> = connection
        .query_row("SELECT checksum FROM _sqlx_migrations WHERE version = $1", [step.version], |row| {
            row.get(0)
        })
        .optional()?;
    let done = match known {
        Some(known) if known == *checksum => Ok(()),
        Some(_) => Err(MigrateError::VersionMismatch(step.version).into()),
        None => connection
            .execute_batch(step.sqlite)
            .and_then(|()| {
                connection.execute(
                    "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES ($1, $2, TRUE, $3, -1)",
                    (step.version, step.name, &*checksum),
                )?;
                Ok(())
            })
            .map_err(Error::from),
    };
    connection.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    done
}

async fn applied(conn: &mut Conn) -> Result<i64> {
    conn.count("SELECT COUNT(*) FROM _sqlx_migrations", Vec::new()).await
}
