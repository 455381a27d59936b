//! The second wall around tenants: every SQL text of this crate is parsed, and one that touches a table of tenants
//! without an equality on `organization_id` fails, unless it is listed here with its reason.

use std::ops::ControlFlow;
use std::path::Path;
use std::str::FromStr as _;

use proc_macro2::{TokenStream, TokenTree};
use sqlparser::ast::{
    BinaryOperator, Expr, FromTable, JoinConstraint, JoinOperator, ObjectName, Query, Select, SetExpr,
    Statement, TableFactor, TableObject, TableWithJoins, Visit, Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

/// Tables that belong to no tenant: directories of what is unique in the installation, and the installation's own.
pub(crate) const SHARED: &[&str] = &[
    "installation",
    "cursors",
    "organizations",
    "key_directory",
    "address_directory",
    "domain_directory",
    "subdomain_directory",
    "schema_minimum",
    "_sqlx_migrations",
];

/// Statements that may cross tenants, by the start of their text, each with the reason.
pub(crate) const CROSSING: &[(&str, &str)] = &[
    ("SELECT seq FROM events WHERE (txn, seq)", "the event log is read by the server's own readers"),
    ("SELECT txn, seq, organization_id, pod_id", "likewise; each event brings its scope"),
    ("WITH due AS (SELECT organization_id, inbox_key, message_key", "leasing: each row brings its scope"),
    ("SELECT organization_id, webhook_id, delivery_id, due_at FROM webhook_deliveries", "leasing, likewise"),
    (
        "SELECT organization_id, pod_id, inbox_id, governing_domain FROM inboxes WHERE inbox_key",
        "a report names the inbox by its key alone, which is random; the row brings its scope",
    ),
    ("SELECT organization_id FROM text_jobs", "who has the next turn"),
    (
        "SELECT inbox_key, message_key, attempts FROM text_jobs WHERE (organization_id, due_at) >=",
        "a range that begins and ends in one organization",
    ),
    (
        "SELECT organization_id, inbox_key, message_key FROM text_jobs WHERE due_at",
        "each row brings its scope",
    ),
    ("SELECT COUNT(*) FROM (SELECT domain FROM domains WHERE next_check_at", "whether any domain is due"),
    ("SELECT organization_id, domain FROM domains WHERE next_check_at", "leasing, likewise"),
    ("SELECT {COLUMNS} FROM drafts d WHERE d.due_at <=", "leasing, likewise"),
    ("SELECT organization_id, scope FROM search_work LIMIT", "tending takes any scope, then works in it"),
    ("SELECT COUNT(*) FROM (SELECT message_key FROM search_queue", "how much waits for the index, whoever's"),
    (
        "SELECT organization_id, inbox_key, message_key FROM search_queue ORDER BY",
        "the indexer takes the oldest, whoever's; each row brings its scope",
    ),
    ("SELECT d.due_at FROM drafts d", "when any draft is due"),
    (
        "SELECT organization_id, draft_id FROM drafts WHERE due_at",
        "claims that outlive every lease, whoever's",
    ),
    (
        "SELECT organization_id, draft_id, snapshot FROM sent_drafts WHERE sent_at",
        "what is to be forgotten, whoever's",
    ),
    (
        "SELECT organization_id, inbox_key FROM purges ORDER BY",
        "the purge worker takes any deleted inbox, then works in it",
    ),
    (
        "SELECT organization_id, delivery_id FROM deliveries WHERE state = $1 AND due_at <",
        "what is too old, whoever's",
    ),
    ("SELECT organization_id, idempotency_key FROM idempotency_keys WHERE created_at", "likewise"),
    ("SELECT seq, created_at FROM events WHERE (txn, seq) <=", "likewise"),
    ("DELETE FROM events WHERE seq IN", "likewise; the number of a row is its own"),
    ("DELETE FROM event_payloads WHERE NOT EXISTS", "payloads that nobody needs any more, whoever's"),
];

#[test]
fn every_statement_on_a_tenant_table_names_its_organization() {
    let mut texts = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut texts);
    assert!(texts.len() > 60, "the scan found only {} statements", texts.len());
    let mut problems = Vec::new();
    for (place, text) in &texts {
        if CROSSING.iter().any(|(start, _)| text.starts_with(start)) {
            continue;
        }
        if let Err(problem) = check(text) {
            problems.push(format!("{place}: {problem}\n    {text}"));
        }
    }
    assert!(
        problems.is_empty(),
        "{} statements cross tenants or do not parse:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

#[test]
fn the_scan_notices_what_it_is_there_for() {
    for (text, fine) in [
        ("SELECT name FROM pods WHERE organization_id = $1", true),
        ("SELECT name FROM pods", false),
        ("SELECT name FROM pods WHERE organization_id > $1", false),
        ("SELECT name FROM pods WHERE organization_id = $1 OR pod_id = $2", false),
        ("SELECT 1 FROM pods p JOIN inboxes i ON i.pod_id = p.pod_id WHERE p.organization_id = $1", false),
        ("SELECT 1 FROM inboxes WHERE organization_id = $1 AND EXISTS (SELECT 1 FROM pods)", false),
        ("UPDATE pods SET name = $1 WHERE pod_id = $2", false),
        ("DELETE FROM pods WHERE pod_id = $1", false),
        ("INSERT INTO pods (pod_id) VALUES ($1)", false),
        ("INSERT INTO pods (organization_id, pod_id)", true),
    ] {
        assert_eq!(check(text).is_ok(), fine, "{text}");
    }
}

pub(crate) fn collect(folder: &Path, texts: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, texts);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let source = std::fs::read_to_string(&path).expect("a source file");
            let tokens = TokenStream::from_str(&source).expect("Rust tokens");
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            literals(tokens, &name, texts);
        }
    }
}

fn literals(tokens: TokenStream, file: &str, texts: &mut Vec<(String, String)>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => literals(group.stream(), file, texts),
            TokenTree::Literal(literal) => {
                let Some(text) = unquote(&literal.to_string()) else { continue };
                let verb = text.split_whitespace().next().unwrap_or_default();
                let second = text.split_whitespace().nth(1).unwrap_or_default();
                let statement = match verb {
                    "SELECT" | "WITH" => true,
                    "INSERT" => second == "INTO",
                    "DELETE" => second == "FROM",
                    "UPDATE" => text.contains(" SET "),
                    _ => false,
                };
                if statement {
                    texts.push((format!("{file}:{}", literal.span().start().line), text));
                }
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// The text of an ordinary string literal: continuation lines joined, white space folded.
fn unquote(literal: &str) -> Option<String> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    let joined: Vec<&str> = inner.split('\\').map(|part| part.strip_prefix('\n').unwrap_or(part)).collect();
    Some(joined.join(" ").split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Fills what `format!` would: lists of columns, of placeholders, of rows, names of functions.
fn filled(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else { break };
        out.push_str(match name {
            "values" => "VALUES (1, 2, 3)",
            "contains" => "instr",
            _ if out.ends_with("t.restricted IN (") => "1",
            _ if out.trim_end().ends_with("SELECT") || out.trim_end().ends_with("RETURNING") => "1",
            _ if out.ends_with('(') => "1",
            _ => "",
        });
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn check(text: &str) -> Result<(), String> {
    if let Some(rest) = text.strip_prefix("INSERT INTO ") {
        let (table, columns) = rest.split_once('(').ok_or("an INSERT without columns")?;
        let columns = columns.split(')').next().unwrap_or_default();
        let named = columns.split(',').any(|column| column.trim() == "organization_id");
        let fine = named || SHARED.contains(&table.trim());
        return if fine { Ok(()) } else { Err(format!("INSERT into {table} without organization_id")) };
    }
    let mut text = filled(text);
    if text.trim_end().ends_with("IN (") {
        text.push_str("1)");
    }
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, &text).map_err(|error| error.to_string())?;
    let mut walls = Walls;
    for statement in &statements {
        if let ControlFlow::Break(problem) = statement.visit(&mut walls) {
            return Err(problem);
        }
    }
    Ok(())
}

struct Walls;

impl Visitor for Walls {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        selects(&query.body)
    }

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<String> {
        match statement {
            Statement::Update(update) => {
                let mut tables = Vec::new();
                names(&update.table, &mut tables);
                guarded(&tables, update.selection.as_ref(), &[])
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
                let mut tables = Vec::new();
                for table in from {
                    names(table, &mut tables);
                }
                guarded(&tables, delete.selection.as_ref(), &[])
            }
            Statement::Insert(insert) => match &insert.table {
                TableObject::TableName(_) => ControlFlow::Continue(()),
                _ => ControlFlow::Break("an INSERT that is not understood".to_owned()),
            },
            Statement::Query(_) => ControlFlow::Continue(()),
            other => ControlFlow::Break(format!("not understood: {other}")),
        }
    }
}

fn selects(body: &SetExpr) -> ControlFlow<String> {
    match body {
        SetExpr::Select(select) => guarded_select(select),
        SetExpr::SetOperation { left, right, .. } => {
            selects(left)?;
            selects(right)
        }
        _ => ControlFlow::Continue(()),
    }
}

fn guarded_select(select: &Select) -> ControlFlow<String> {
    let (mut tables, mut conditions) = (Vec::new(), Vec::new());
    for from in &select.from {
        names(from, &mut tables);
        for join in &from.joins {
            if let JoinOperator::Join(c)
            | JoinOperator::Inner(c)
            | JoinOperator::Left(c)
            | JoinOperator::LeftOuter(c) = &join.join_operator
                && let JoinConstraint::On(on) = c
            {
                conditions.push(on);
            }
        }
    }
    guarded(&tables, select.selection.as_ref(), &conditions)
}

/// Tables with the name by which conditions call them.
fn names(table: &TableWithJoins, out: &mut Vec<(String, String)>) {
    for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
        if let TableFactor::Table { name, alias, .. } = factor {
            let name = last(name);
            let alias = alias.as_ref().map_or_else(|| name.clone(), |alias| alias.name.value.clone());
            out.push((name, alias));
        }
    }
}

fn last(name: &ObjectName) -> String {
    name.0.last().map(ToString::to_string).unwrap_or_default()
}

fn guarded(tables: &[(String, String)], selection: Option<&Expr>, joins: &[&Expr]) -> ControlFlow<String> {
    let mut named = Vec::new();
    for condition in selection.into_iter().chain(joins.iter().copied()) {
        equalities(condition, &mut named);
    }
    for (table, alias) in tables {
        if SHARED.contains(&table.as_str()) {
            continue;
        }
        let own = format!("{alias}.organization_id");
        let fine = named.iter().any(|name| *name == own || (tables.len() == 1 && name == "organization_id"));
        // Within an UPDATE … FROM the bare column means the updated table.
        let fine = fine || named.iter().any(|name| name == "organization_id");
        if !fine {
            return ControlFlow::Break(format!("{table} ({alias}) without an equality on organization_id"));
        }
    }
    ControlFlow::Continue(())
}

/// Columns that an AND-ed equality, or a row-value IN, binds.
fn equalities(expr: &Expr, named: &mut Vec<String>) {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            equalities(left, named);
            equalities(right, named);
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            named.push(left.to_string());
            named.push(right.to_string());
        }
        Expr::Nested(inner) => equalities(inner, named),
        Expr::InSubquery { expr, negated: false, .. } | Expr::InList { expr, negated: false, .. } => {
            match &**expr {
                Expr::Tuple(columns) => named.extend(columns.iter().map(ToString::to_string)),
                other => named.push(other.to_string()),
            }
        }
        _ => {}
    }
}
