//! What the kernel tells about processes: processor time and memory, from `/proc`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

/// Clock ticks in a second; Linux shows 100 to programs on every architecture in use.
const TICKS: f64 = 100.0;

/// Seconds of processor time (user and system) a process has used.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    Ok(ticks(&stat, 2) / TICKS)
}

/// Seconds of processor time of all processes of that name, with their finished children.
pub fn cpu_seconds_of_all(name: &str) -> f64 {
    let Ok(folders) = std::fs::read_dir("/proc") else { return 0.0 };
    let mut total = 0.0;
    for folder in folders.flatten() {
        let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap_or_default();
        if read("comm").trim_end() == name {
            total += ticks(&read("stat"), 4) / TICKS;
        }
    }
    total
}

/// The first `count` of utime, stime, cutime, cstime. The name before them may hold spaces, so count from its `)`.
fn ticks(stat: &str, count: usize) -> f64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    fields.skip(11).take(count).filter_map(|field| field.parse::<f64>().ok()).sum()
}

/// KiB of a line of `/proc/PID/status`: `VmRSS`, `RssAnon`, `VmHWM`, …
pub fn memory_kib(pid: u32, line: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    status
        .lines()
        .find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
        .with_context(|| format!("/proc/{pid}/status has no {line}"))
}

/// Bytes of all files below a folder.
pub fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Sends a signal, for example `TERM`, to one process.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status()?;
    anyhow::ensure!(status.success(), "kill -{name} {pid}: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 2 3 4 100 50 7 8 20 0 1 0 5";
        assert_eq!(ticks(stat, 2), 150.0);
        assert_eq!(ticks(stat, 4), 165.0);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(memory_kib(std::process::id(), "VmRSS").unwrap() > 0);
    }
}
