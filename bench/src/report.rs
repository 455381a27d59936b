//! How results leave: a table for people on standard output, JSON for programs in a file, progress on standard error.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Times of one kind of operation.
#[derive(Debug, Default, Clone)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Adds one.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Adds another's.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest time that at least `per_mille` thousandths do not exceed, in milliseconds; 0 without times.
    pub fn percentile_ms(&mut self, per_mille: usize) -> f64 {
        self.0.sort_unstable();
        let at = (self.0.len() * per_mille).div_ceil(1000).saturating_sub(1);
        self.0.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }

    /// p50, p95, p99 and the worst, in milliseconds.
    pub fn summary(&mut self) -> [f64; 4] {
        [500, 950, 990, 1000].map(|per_mille| self.percentile_ms(per_mille))
    }
}

/// Rows of figures under headings.
#[derive(Debug)]
pub struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// An empty table. Columns are named like JSON fields, with their units.
    pub fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a value for each column.
    pub fn row(&mut self, values: Vec<Value>) {
        assert_eq!(values.len(), self.columns.len(), "a row has a value for each column");
        self.rows.push(values);
    }

    /// The rows as JSON objects.
    pub fn json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            self.columns.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned()).collect()
        };
        Value::Array(self.rows.iter().map(|row| Value::Object(object(row))).collect())
    }

    /// Prints the table with aligned columns.
    #[expect(clippy::print_stdout, reason = "the table is what a measuring program is run for")]
    pub fn print(&self) {
        let texts: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(text).collect()).collect();
        let width =
            |at: usize| texts.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0);
        let widths: Vec<usize> =
            self.columns.iter().enumerate().map(|(at, name)| name.len().max(width(at))).collect();
        let line = |cells: &[String]| {
            let cells: Vec<String> =
                cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
            println!("{}", cells.join("  "));
        };
        line(&self.columns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        for row in &texts {
            line(row);
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (None, Some(real)) => format!("{real:.2}"),
            _ => number.to_string(),
        },
        Value::Null => "-".to_owned(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Writes `{"benchmark","machine",TABLES…}` to `path`, or to `bench/results/NAME.json`.
pub fn write_json(name: &str, path: Option<&Path>, machine: Value, tables: &[(&str, &Table)]) -> Result<()> {
    let standard = Path::new(env!("CARGO_MANIFEST_DIR")).join("results").join(format!("{name}.json"));
    let path: PathBuf = path.map_or(standard, Path::to_owned);
    let mut document = serde_json::Map::new();
    document.insert("benchmark".to_owned(), json!(name));
    document.insert("machine".to_owned(), machine);
    for (key, table) in tables {
        document.insert((*key).to_owned(), table.json());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    std::fs::write(&path, format!("{:#}\n", Value::Object(document)))
        .with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("wrote {}", path.display()));
    Ok(())
}

/// A line for whoever waits.
#[expect(clippy::print_stderr, reason = "progress of a program that runs for minutes")]
pub fn say(line: &str) {
    eprintln!("{line}");
}

/// A line of progress about once a second.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: usize,
    last: Instant,
}

impl Progress {
    /// Counts `what` up to `total`.
    pub fn new(what: &'static str, total: usize) -> Self {
        Self { what, total, last: Instant::now() }
    }

    /// Tells how far it has come.
    pub fn at(&mut self, done: usize) {
        if self.last.elapsed() >= Duration::from_secs(1) || done >= self.total {
            self.last = Instant::now();
            say(&format!("{}: {done} of {}", self.what, self.total));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut times = Times::default();
        (1..=100).rev().for_each(|ms| times.push(Duration::from_millis(ms)));
        assert_eq!(times.summary(), [50.0, 95.0, 99.0, 100.0]);
        assert_eq!(Times::default().percentile_ms(500), 0.0);
    }

    #[test]
    fn a_table_is_an_array_of_objects() {
        let mut table = Table::new(&["a", "b_ms"]);
        table.row(vec![json!("x"), json!(1.5)]);
        assert_eq!(table.json(), json!([{"a": "x", "b_ms": 1.5}]));
    }
}
