//! The server under load: the real binary as a process of its own, on free loopback ports, on either engine.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::http::Client;
use crate::process;

/// How long a start may take before it counts as failed.
const START_MAX: Duration = Duration::from_secs(60);
/// How long draining after SIGTERM may take.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Which profile of the binary is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// For tests.
    Dev,
    /// For figures.
    Release,
}

/// Builds the binary with cargo and returns where it lies.
pub fn build(profile: Profile) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("bench lies in the workspace")?;
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "-p", "podmail-cli", "--bin", "podmail"]);
    command.arg("--message-format=json-render-diagnostics");
    if profile == Profile::Release {
        command.arg("--release");
    }
    let output =
        command.current_dir(root).stderr(Stdio::inherit()).output().context("cargo does not start")?;
    anyhow::ensure!(output.status.success(), "the binary does not build");
    let path = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .next_back();
    path.context("cargo names no binary")
}

/// The binary that tests run: `PODMAIL_TEST_BINARY`, or what cargo builds.
pub fn test_binary() -> Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "how a test run names a binary that is already built")]
    match std::env::var("PODMAIL_TEST_BINARY") {
        Ok(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => build(Profile::Dev),
    }
}

/// Where the data lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// In the data folder.
    Sqlite,
    /// In a database of its own, at this URL.
    Postgres(String),
}

impl Engine {
    /// The name in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// A PostgreSQL database for one run.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
    /// The database's own URL.
    pub url: String,
}

impl Database {
    /// Makes an empty database on the server at that URL.
    pub async fn create(server: &str) -> Result<Self> {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let name = format!("bench_{}_{}", std::process::id(), since.as_nanos());
        let mut connection = PgConnection::connect(server).await.context("PostgreSQL does not answer")?;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        Ok(Self::named(server, name))
    }

    /// The database of that name, which is made when missing.
    pub async fn open(server: &str, name: &str) -> Result<Self> {
        let plain =
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        anyhow::ensure!(plain, "a name of small letters, digits and underscores is needed, not `{name}`");
        let mut connection = PgConnection::connect(server).await.context("PostgreSQL does not answer")?;
        let found = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(name);
        if found.fetch_optional(&mut connection).await?.is_none() {
            connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        }
        Ok(Self::named(server, name.to_owned()))
    }

    fn named(server: &str, name: String) -> Self {
        let (base, query) = server.split_once('?').map_or((server, ""), |(base, query)| (base, query));
        let root = base.rsplit_once('/').map_or(base, |(root, _)| root);
        let url = if query.is_empty() { format!("{root}/{name}") } else { format!("{root}/{name}?{query}") };
        Self { server: server.to_owned(), name, url }
    }

    /// Drops it, with whatever connections are left.
    pub async fn remove(self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.server).await?;
        connection.execute(AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name))).await?;
        Ok(())
    }
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary.
    pub binary: PathBuf,
    /// The data folder; made when missing.
    pub data_dir: PathBuf,
    /// The engine.
    pub engine: Engine,
    /// Further environment variables.
    pub variables: Vec<(String, String)>,
    /// A program and its arguments that run the binary, `strace` for example.
    pub wrapper: Vec<String>,
}

impl Options {
    /// A quiet development server: outbound mail is captured, webhooks may go to loopback, mail is not authenticated.
    pub fn new(binary: &Path, data_dir: &Path, engine: Engine) -> Self {
        let variables =
            [("PODMAIL_LOG_LEVEL", "warn"), ("PODMAIL_INBOUND_MAX_CONNECTIONS_PER_CLIENT", "1000")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let (binary, data_dir) = (binary.to_owned(), data_dir.to_owned());
        Self { binary, data_dir, engine, variables, wrapper: Vec::new() }
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command line, for starts that are meant to fail too.
    pub fn command(&self) -> Command {
        let mut words = self.wrapper.iter().map(PathBuf::from).chain([self.binary.clone()]);
        let mut command = Command::new(words.next().expect("the binary at least"));
        command.args(words).arg("dev").arg("--data-dir").arg(&self.data_dir);
        command.args(["--http", "127.0.0.1:0", "--smtp", "127.0.0.1:0"]);
        for listener in ["--https", "--submission", "--submissions", "--imap", "--imaps"] {
            command.args([listener, "off"]);
        }
        if let Engine::Postgres(url) = &self.engine {
            command.args(["--database-url", url]);
        }
        // Settings of whoever runs this must not change what is measured.
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.envs(self.variables.iter().cloned());
        command
    }

    /// Starts a server and waits until it says that it is ready. Its log is `server.log` in the data folder.
    pub fn start(&self) -> Result<Server> {
        let begun = Instant::now();
        std::fs::create_dir_all(&self.data_dir)?;
        let log_path = self.data_dir.join("server.log");
        let log = std::fs::File::options().create(true).append(true).open(&log_path)?;
        let mut child = self.command().stdout(Stdio::piped()).stderr(log).spawn()?;
        let output = child.stdout.take().context("standard output is a pipe")?;
        let (lines, received) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads to the end, so that the server never blocks on a full pipe; the receiver only wants the first line.
            BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(lines.send(line)));
        });
        let Ok(line) = received.recv_timeout(START_MAX) else {
            child.kill()?;
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            bail!("the server did not become ready: {}\n{log}", child.wait()?);
        };
        let ready_after = begun.elapsed();
        let address = |name: &str| {
            let prefix = format!("{name}=");
            let word = line.split_ascii_whitespace().find_map(|word| word.strip_prefix(&prefix));
            word.map(str::to_owned).with_context(|| format!("no {name} in `{line}`"))
        };
        let key = std::fs::read_to_string(self.data_dir.join("bootstrap-key")).context("no bootstrap-key")?;
        let lock = std::fs::read_to_string(self.data_dir.join("lock")).unwrap_or_default();
        let lock: serde_json::Value = serde_json::from_str(&lock).unwrap_or_default();
        let pid = lock.get("pid").and_then(serde_json::Value::as_u64).and_then(|pid| u32::try_from(pid).ok());
        Ok(Server {
            http: address("http")?,
            smtp: address("smtp")?,
            key: key.trim().to_owned(),
            pid: pid.unwrap_or_else(|| child.id()),
            ready_after,
            child,
        })
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    /// The bound HTTP address.
    pub http: String,
    /// The bound SMTP address.
    pub smtp: String,
    /// The first organization's key.
    pub key: String,
    /// The server's process id, also behind a wrapper.
    pub pid: u32,
    /// From the start of the process to its ready line.
    pub ready_after: Duration,
    child: Child,
}

impl Server {
    /// A client with the first organization's key.
    pub fn client(&self) -> Client {
        Client::new(&self.http, &self.key)
    }

    /// kill -9, and waits until the process is gone.
    pub fn kill(mut self) -> Result<()> {
        self.end()
    }

    /// Also behind a wrapper: the server would outlive one that is killed.
    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() && self.pid != self.child.id() {
            // Gone already, or killed with its wrapper below.
            drop(process::signal(self.pid, "KILL"));
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM; returns how it exited.
    pub fn stop(mut self) -> Result<ExitStatus> {
        process::signal(self.pid, "TERM")?;
        let deadline = Instant::now() + STOP_MAX;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            anyhow::ensure!(Instant::now() < deadline, "the server does not stop on SIGTERM");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Processor seconds used so far.
    pub fn cpu_seconds(&self) -> Result<f64> {
        process::cpu_seconds(self.pid)
    }

    /// KiB of resident memory.
    pub fn resident_kib(&self) -> Result<u64> {
        process::memory_kib(self.pid, "VmRSS")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `kill` and `stop`.
        drop(self.end());
    }
}
