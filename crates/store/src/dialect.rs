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

/// Joins labels `l` with their messages as `m`, in the order of the labels. PostgreSQL takes inbox and key for independent
/// and so expects a single message, for which reading the whole inbox would be no worse; the fence keeps it to the order.
pub(crate) const fn labelled_messages(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "JOIN messages m ON m.organization_id = l.organization_id AND m.inbox_key = l.inbox_key \
             AND m.message_key = l.message_key"
        }
        Engine::Postgres => {
            "CROSS JOIN LATERAL (SELECT * FROM messages k WHERE k.organization_id = l.organization_id \
             AND k.inbox_key = l.inbox_key AND k.message_key = l.message_key OFFSET 0) m"
        }
    }
}
