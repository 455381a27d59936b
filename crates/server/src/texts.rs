//! Takes text out of attachments in a process of its own, started for each file from the server's own program: the
//! parsers may panic, overflow their stack, loop or ask for any amount of memory, and the server does not notice.
//!
//! The child gets no environment, no open files but its pipes, and limits on memory, processor time and files; the
//! parent kills it when it takes too long. Its standard input is a line with kind and charset, then the file; its standard
//! output ends with the text and, in eight bytes, the length of the text, so that whatever a library prints before does
//! not matter.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use podmail_app::App;
use podmail_app::texts::{Extractor, TEXT_BYTES_MAX, TextFile};
use podmail_jobs::Tasks;
use podmail_text_extract::{INPUT_BYTES_MAX, Kind, extract};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// Name of the command that the child runs.
const COMMAND: &str = "extract-text";
/// Wall-clock time of one file; the child is killed then.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Processor time of one file, in seconds, in case nobody is left to kill the child.
const CPU_SECONDS_MAX: u64 = 10;
/// Address space of the child, its program included.
const MEMORY_BYTES_MAX: u64 = 768 * 1024 * 1024;
/// Bytes of a child's output that are read: the text, its length, and what libraries print.
const OUTPUT_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// How far the child stands back behind everything else.
const NICENESS: i32 = 10;
/// Characters of a charset's name that are passed on.
const CHARSET_MAX: usize = 40;
/// Bytes of the first line of the child's input.
const HEADER_BYTES_MAX: u64 = 128;

/// Starts the worker.
pub(crate) fn run(app: &App, tasks: &Tasks) {
    let (app, token) = (app.clone(), tasks.token());
    tasks.spawn("attachment texts", async move {
        app.run_texts(&ChildExtractor::new(own_program()), token).await;
    });
}

/// This program, also when its file was replaced since it was started.
fn own_program() -> PathBuf {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { own } else { std::env::current_exe().unwrap_or(own) }
}

/// Runs `PROGRAM extract-text` for each file.
#[derive(Clone, Debug)]
pub struct ChildExtractor {
    program: Arc<PathBuf>,
}

impl ChildExtractor {
    /// Starts `program`, which has to be this server's.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program: Arc::new(program) }
    }

    async fn run(&self, file: TextFile) -> anyhow::Result<Option<String>> {
        let mut child = Command::new(&*self.program)
            .arg(COMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the process that takes text out of files")?;
        let mut stdin = child.stdin.take().context("no input")?;
        let stdout = child.stdout.take().context("no output")?;
        let write = async move {
            let charset: String = file.charset.unwrap_or_default();
            let charset: String = charset
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || "-_.:".contains(*c))
                .take(CHARSET_MAX)
                .collect();
            // A child that has seen enough closes its end.
            if stdin.write_all(format!("{} {charset}\n", file.kind.as_str()).as_bytes()).await.is_ok() {
                drop(stdin.write_all(&file.bytes).await);
            }
            drop(stdin.shutdown().await);
        };
        let mut output = Vec::new();
        let mut stdout = stdout.take(OUTPUT_BYTES_MAX);
        let ((), read) = tokio::join!(write, stdout.read_to_end(&mut output));
        read?;
        let status = child.wait().await?;
        Ok(status.success().then(|| text(&output)).flatten())
    }
}

impl Extractor for ChildExtractor {
    fn extract(&self, file: TextFile) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move {
            match tokio::time::timeout(TIME_MAX, self.run(file)).await {
                Ok(Ok(text)) => text,
                Ok(Err(error)) => {
                    tracing::warn!(error = format!("{error:#}"), "text could not be taken from a file");
                    None
                }
                Err(_) => None,
            }
        })
    }
}

/// The text at the end of a child's output.
fn text(output: &[u8]) -> Option<String> {
    let (rest, length) = output.split_last_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let text = rest.get(rest.len().checked_sub(length)?..)?;
    (!text.is_empty() && text.len() <= TEXT_BYTES_MAX)
        .then(|| String::from_utf8(text.to_vec()).ok())
        .flatten()
}

/// What the child does: limits itself, reads a file from standard input, writes its text to standard output.
///
/// # Errors
///
/// When a limit cannot be set, or the pipes break.
pub fn child() -> anyhow::Result<()> {
    // Mail comes first; not being allowed to stand back is no reason not to work.
    let _reached = rustix::process::nice(NICENESS);
    let limit = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    limit(Resource::Core, 0).context("cannot do without core files")?;
    limit(Resource::Fsize, 0).context("cannot do without files")?;
    limit(Resource::Cpu, CPU_SECONDS_MAX).context("cannot limit processor time")?;
    limit(Resource::As, MEMORY_BYTES_MAX).context("cannot limit memory")?;
    let mut input = Vec::new();
    std::io::stdin().lock().take(INPUT_BYTES_MAX + HEADER_BYTES_MAX).read_to_end(&mut input)?;
    let end = input.iter().position(|&byte| byte == b'\n').context("no kind")?;
    let (header, rest) = input.split_at(end);
    let header = std::str::from_utf8(header)?;
    let (kind, charset) = header.split_once(' ').context("no charset")?;
    let kind = Kind::parse(kind).context("unknown kind")?;
    let charset = (!charset.is_empty()).then_some(charset);
    let text = extract(kind, charset, rest.get(1..).unwrap_or_default()).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(&u64::try_from(text.len())?.to_le_bytes())?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn the_text_is_what_the_end_of_the_output_says() {
        let with = |text: &str, length: u64| [text.as_bytes(), &length.to_le_bytes()].concat();
        assert_eq!(text(&with("noise\nHello", 5)).as_deref(), Some("Hello"));
        for broken in [with("", 0), with("abc", 4), with("abc", u64::MAX), b"abc".to_vec()] {
            assert_eq!(text(&broken), None);
        }
    }
}
