//! The few places where the engines need different texts; both stand together here.

use crate::db::Engine;

/// A function `f(text, part)` that gives the position of `part`, 0 when it is not there. Compares bytes.
pub(crate) const fn contains(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "instr",
        Engine::Postgres => "strpos",
    }
}

/// Appended to the inner SELECT of a lease: other nodes' claims are stepped over instead of waited for.
pub(crate) const fn skip_locked(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "",
        Engine::Postgres => " FOR UPDATE SKIP LOCKED",
    }
}

/// What is safe to read of the event log: on PostgreSQL numbers become visible out of order, so only what no running
/// transaction can still precede. On SQLite commits are in order.
pub(crate) const fn settled_events(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "",
        Engine::Postgres => " AND txn < (pg_snapshot_xmin(pg_current_snapshot())::text)::bigint",
    }
}

/// The latest documents that match a query: $1 the query, $2 and $3 the numbers between which they lie, $4 how many, $5
/// the organization. The query itself names the scope by a token; the full-text table of SQLite knows nothing else.
pub(crate) const fn search_candidates(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "SELECT rowid FROM search_index WHERE search_index MATCH $1 AND rowid < $2 AND rowid >= $3 AND $5 <> '' \
             ORDER BY rowid DESC LIMIT $4"
        }
        Engine::Postgres => {
            "SELECT doc_id FROM search_documents WHERE tokens @@ CAST($1 AS tsquery) AND doc_id < $2 AND doc_id >= $3 \
             AND organization_id = $5 ORDER BY doc_id DESC LIMIT $4"
        }
    }
}

/// Adds documents unless their numbers are taken, and returns which: what stands before the rows, the columns of a row, and
/// what stands after. On PostgreSQL a document's tokens are a column, on SQLite a row of a table of their own.
pub(crate) const fn insert_documents(engine: Engine) -> (&'static str, usize, &'static str) {
    match engine {
        Engine::Sqlite => (
            "INSERT INTO search_documents (organization_id, doc_id, pod_id, inbox_key, message_key, thread_id, version, \
             text)",
            8,
            " ON CONFLICT DO NOTHING RETURNING message_key",
        ),
        Engine::Postgres => (
            "INSERT INTO search_documents (organization_id, doc_id, pod_id, inbox_key, message_key, thread_id, version, \
             text, tokens) SELECT organization_id, doc_id, pod_id, inbox_key, message_key, thread_id, version, text, \
             CAST(tokens AS tsvector) FROM (",
            9,
            ") AS v (organization_id, doc_id, pod_id, inbox_key, message_key, thread_id, version, text, tokens) \
             ON CONFLICT DO NOTHING RETURNING message_key",
        ),
    }
}
