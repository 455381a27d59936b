//! Reads what `strace -f -y` writes: one [`Call`] per system call, with the lines at which it began and ended.
//!
//! The lines stand in the order in which things happened. A call that another thread's interrupts stands on two lines, the
//! first one with `<unfinished ...>`, the second one with `<... NAME resumed>`.

use std::collections::HashMap;

/// One system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// Line of its beginning.
    pub(super) begin: usize,
    /// Line of its end; `usize::MAX` when the process ended within it.
    pub(super) end: usize,
    pub(super) name: String,
    /// Everything between the brackets.
    pub(super) arguments: String,
    /// What stands after the last `=`; empty when it did not return.
    pub(super) result: String,
}

impl Call {
    /// The file or socket behind the first argument: `14</data/podmail.db-wal>`.
    pub(super) fn target(&self) -> &str {
        let inner = self.arguments.split_once('<').map(|(_, rest)| rest);
        inner.and_then(|rest| rest.split_once('>')).map_or("", |(target, _)| target)
    }

    /// The beginning of the first text that was read or written, with strace's escapes.
    pub(super) fn data(&self) -> &str {
        self.arguments.split_once('"').map_or("", |(_, rest)| rest)
    }

    /// It returned and not with an error.
    pub(super) fn succeeded(&self) -> bool {
        !self.result.is_empty() && !self.result.starts_with('-') && !self.result.starts_with('?')
    }

    /// It makes its file durable.
    pub(super) fn syncs(&self, target: &str) -> bool {
        ["fsync", "fdatasync"].contains(&self.name.as_str()) && self.succeeded() && self.target() == target
    }

    /// It writes to its file or socket.
    pub(super) fn writes(&self) -> bool {
        ["write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg"].contains(&self.name.as_str())
    }
}

/// All calls in the order of their beginnings.
pub(super) fn parse(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    // Position in `calls` of the call in which a thread is, by thread.
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.trim_start().split_once(' ') else { continue };
        let Some((_time, text)) = rest.trim_start().split_once(' ') else { continue };
        if let Some(resumed) = text.strip_prefix("<... ") {
            let Some((_, more)) = resumed.split_once(" resumed>") else { continue };
            let Some(call) = unfinished.remove(thread).and_then(|position| calls.get_mut(position)) else {
                continue;
            };
            let (arguments, result) = ended(more);
            call.arguments.push_str(arguments);
            (call.end, call.result) = (at, result.to_owned());
        } else if let Some((name, more)) = text.split_once('(') {
            // Signals (`---`) and ends of threads (`+++`) are no calls.
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                continue;
            }
            let call = match more.strip_suffix("<unfinished ...>") {
                Some(arguments) => {
                    unfinished.insert(thread, calls.len());
                    let (arguments, result) = (arguments.trim_end().to_owned(), String::new());
                    Call { begin: at, end: usize::MAX, name: name.to_owned(), arguments, result }
                }
                None => {
                    let (arguments, result) = ended(more);
                    let (arguments, result) = (arguments.to_owned(), result.to_owned());
                    Call { begin: at, end: at, name: name.to_owned(), arguments, result }
                }
            };
            calls.push(call);
        }
    }
    calls
}

/// Divides `ARGUMENTS) = RESULT`; strace fills with spaces before the `=`.
fn ended(text: &str) -> (&str, &str) {
    let (arguments, result) = text.rsplit_once(" = ").unwrap_or((text, ""));
    let arguments = arguments.trim_end();
    (arguments.strip_suffix(')').unwrap_or(arguments), result.trim())
}

#[test]
fn interrupted_calls_are_put_together() {
    let trace = "\
12 1.000001 pwrite64(14</d/podmail.db-wal>, \"\\0\\0 = )\\0\"..., 4096, 32) = 4096
12 1.000002 fsync(14</d/podmail.db-wal> <unfinished ...>
7  1.000003 <... write resumed>) = 8
13 1.000004 recvfrom(9<socket:[5]>,  <unfinished ...>
12 1.000005 <... fsync resumed>)       = 0
13 1.000006 <... recvfrom resumed>\"POST /v0 HTTP/1.1\", 8192, 0, NULL, NULL) = 17
7 1.000007 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER} ---
13 1.000008 writev(9<socket:[5]>, [{iov_base=\"HTTP/1.1 200 OK\\r\\n\"..., iov_len=99}], 1) = 99
13 1.000009 recvfrom(9<socket:[5]>, 0x7f, 8192, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
13 1.000010 fdatasync(15</d/x> <unfinished ...>
13 1.000011 +++ exited with 0 +++
";
    let calls = parse(trace);
    let seen: Vec<_> = calls
        .iter()
        .map(|call| (call.begin, call.end, call.name.as_str(), call.target(), call.result.as_str()))
        .collect();
    let never = usize::MAX;
    assert_eq!(
        seen,
        [
            (0, 0, "pwrite64", "/d/podmail.db-wal", "4096"),
            (1, 4, "fsync", "/d/podmail.db-wal", "0"),
            (3, 5, "recvfrom", "socket:[5]", "17"),
            (7, 7, "writev", "socket:[5]", "99"),
            (8, 8, "recvfrom", "socket:[5]", "-1 EAGAIN (Resource temporarily unavailable)"),
            (9, never, "fdatasync", "/d/x", ""),
        ]
    );
    let data: Vec<_> = calls.iter().map(|call| call.data().starts_with("POST /v0 HTTP/1.1")).collect();
    assert_eq!(data, [false, false, true, false, false, false]);
    assert!(calls.get(3).is_some_and(|call| call.writes() && call.data().starts_with("HTTP/1.1 200")));
    let synced: Vec<_> =
        calls.iter().map(|call| call.syncs("/d/podmail.db-wal") || call.syncs("/d/x")).collect();
    assert_eq!(synced, [false, true, false, false, false, false]);
}
