//! What the figures were measured on.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

/// Syncs measured; enough for a median, short enough not to be noticed.
const SYNCS: usize = 200;

/// Processor, cores, memory, kernel, file system of `folder` and the median time of a 4 KiB append with `fdatasync` in it.
pub fn describe(folder: &Path) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        text.lines()
            .find(|line| line.starts_with(key))
            .and_then(|line| line.split_once(':'))
            .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    json!({
        "processor": value(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": value(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load_average_at_start": read("/proc/loadavg").trim(),
        "file_system": file_system(folder, &read("/proc/mounts")),
        "fdatasync_median_us": sync_median_us(folder),
    })
}

fn file_system(folder: &Path, mounts: &str) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(point, _)| folder.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

fn sync_median_us(folder: &Path) -> Option<u64> {
    let mut file = tempfile::tempfile_in(folder).ok()?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all(&[7; 4096]).ok()?;
        file.sync_data().ok()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times.get(SYNCS / 2).and_then(|time| u64::try_from(time.as_micros()).ok())
}
