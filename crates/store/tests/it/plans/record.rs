//! Which statements the store really runs: the contract suite runs once more in a process of its own, which writes down
//! each distinct text that reaches an engine.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock};

use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// Names the file to the process that records.
const FILE: &str = "PODMAIL_TEST_STATEMENTS";
/// What the store calls its statements in the log.
const TARGET: &str = "podmail_store::sql";

/// Starts recording in a process that was asked to.
#[expect(clippy::disallowed_methods, reason = "how the process that records is told")]
pub(crate) fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    let Ok(path) = std::env::var(FILE) else { return };
    STARTED.get_or_init(|| {
        let file = std::fs::File::create(path).expect("the file of the recording");
        let recorder = Recorder(Mutex::new((BTreeSet::new(), file)));
        let subscriber = tracing_subscriber::registry().with(recorder);
        tracing::subscriber::set_global_default(subscriber).expect("nobody else listens");
    });
}

/// Runs the other tests of this binary; the texts that they made each engine run: (engine, text).
pub(crate) fn suite() -> BTreeSet<(String, String)> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("statements");
    // Whether each of them passes is told where it runs by itself.
    std::process::Command::new(std::env::current_exe().expect("this binary"))
        .args(["--skip", "plans::no_", "--skip", "tenancy::", "--test-threads", "2"])
        .env(FILE, &path)
        .output()
        .expect("the suite runs");
    read(&path)
}

fn read(path: &Path) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(path).expect("the recording");
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    pairs.map(|(engine, text)| (engine.to_owned(), text.to_owned())).collect()
}

struct Recorder(Mutex<(BTreeSet<String>, std::fs::File)>);

impl<S: tracing::Subscriber> Layer<S> for Recorder {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == TARGET
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        let words: Vec<&str> = statement.sql.split_whitespace().collect();
        let line = format!("{}\t{}\n", statement.engine, words.join(" "));
        let mut recorded = self.0.lock().expect("nobody panics in here");
        if recorded.0.insert(line.clone()) {
            recorded.1.write_all(line.as_bytes()).expect("written down");
        }
    }
}

#[derive(Default)]
struct Statement {
    engine: String,
    sql: String,
}

impl tracing::field::Visit for Statement {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        if field.name() == "sql" {
            value.clone_into(&mut self.sql);
        }
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        if field.name() == "engine" {
            self.engine = format!("{value:?}");
        }
    }
}
