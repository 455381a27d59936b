//! The API's own counters in Prometheus' text format. Their number is fixed by the table of routes: nothing that a
//! client sends becomes a label.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the duration histogram, in milliseconds.
const BUCKETS_MS: [u64; 10] = [5, 10, 25, 50, 100, 250, 500, 1000, 5000, 60_000];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Debug, Default)]
struct Counters {
    classes: [AtomicU64; CLASSES.len()],
    buckets: [AtomicU64; BUCKETS_MS.len()],
    sum_micros: AtomicU64,
}

/// Counters of every route, and of requests that fit none.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Method and template, in the order of the table.
    routes: Vec<(String, &'static str)>,
    counters: Vec<Counters>,
    other: Counters,
}

impl Metrics {
    pub(crate) fn new(routes: Vec<(String, &'static str)>) -> Self {
        let counters = routes.iter().map(|_| Counters::default()).collect();
        Self { routes, counters, other: Counters::default() }
    }

    /// Counts a request; `route` is its position in the table.
    pub(crate) fn count(&self, route: Option<usize>, status: u16, took: Duration) {
        let counters = route.and_then(|route| self.counters.get(route)).unwrap_or(&self.other);
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(counter) = counters.classes.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let at = BUCKETS_MS.iter().position(|bound| took <= Duration::from_millis(*bound));
        if let Some(bucket) = at.and_then(|at| counters.buckets.get(at)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        counters.sum_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn text(&self) -> String {
        let mut requests = String::from(
            "# HELP podmail_api_requests_total Requests by route and class of status.\n\
             # TYPE podmail_api_requests_total counter\n",
        );
        let mut durations = String::from(
            "# HELP podmail_api_request_seconds Time from the request's head to the answer.\n\
             # TYPE podmail_api_request_seconds histogram\n",
        );
        let routes = self.routes.iter().map(|(method, path)| (method.as_str(), *path));
        let rows = routes.zip(&self.counters).chain([(("", "other"), &self.other)]);
        for ((method, path), counters) in rows {
            write_route(
                &mut requests,
                &mut durations,
                &format!("method=\"{method}\",route=\"{path}\""),
                counters,
            )
            .expect("writing to a string cannot fail");
        }
        requests + &durations
    }
}

/// How far the full-text index is behind.
pub(crate) fn search_backlog(waiting: u64) -> String {
    format!(
        "# HELP podmail_search_backlog Messages that wait for the full-text index, counted up to 100000.\n\
         # TYPE podmail_search_backlog gauge\npodmail_search_backlog {waiting}\n"
    )
}

fn write_route(
    requests: &mut String,
    durations: &mut String,
    labels: &str,
    counters: &Counters,
) -> std::fmt::Result {
    let mut total = 0;
    for (class, counter) in CLASSES.iter().zip(&counters.classes) {
        let count = counter.load(Ordering::Relaxed);
        total += count;
        if count > 0 {
            writeln!(requests, "podmail_api_requests_total{{{labels},status=\"{class}\"}} {count}")?;
        }
    }
    if total == 0 {
        return Ok(());
    }
    let mut seen = 0;
    for (bound, bucket) in BUCKETS_MS.iter().zip(&counters.buckets) {
        seen += bucket.load(Ordering::Relaxed);
        let seconds = Duration::from_millis(*bound).as_secs_f64();
        writeln!(durations, "podmail_api_request_seconds_bucket{{{labels},le=\"{seconds}\"}} {seen}")?;
    }
    let sum = Duration::from_micros(counters.sum_micros.load(Ordering::Relaxed)).as_secs_f64();
    writeln!(durations, "podmail_api_request_seconds_bucket{{{labels},le=\"+Inf\"}} {total}")?;
    writeln!(durations, "podmail_api_request_seconds_sum{{{labels}}} {sum}")?;
    writeln!(durations, "podmail_api_request_seconds_count{{{labels}}} {total}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_class() {
        let metrics =
            Metrics::new(vec![("GET".to_owned(), "/v0/inboxes"), ("POST".to_owned(), "/v0/inboxes")]);
        metrics.count(Some(0), 200, Duration::from_millis(7));
        metrics.count(Some(0), 404, Duration::from_millis(700));
        metrics.count(None, 404, Duration::from_secs(100));
        let text = metrics.text();
        let get = "method=\"GET\",route=\"/v0/inboxes\"";
        for line in [
            format!("podmail_api_requests_total{{{get},status=\"2xx\"}} 1"),
            format!("podmail_api_requests_total{{{get},status=\"4xx\"}} 1"),
            format!("podmail_api_request_seconds_bucket{{{get},le=\"0.01\"}} 1"),
            format!("podmail_api_request_seconds_bucket{{{get},le=\"1\"}} 2"),
            format!("podmail_api_request_seconds_count{{{get}}} 2"),
            "podmail_api_requests_total{method=\"\",route=\"other\",status=\"4xx\"} 1".to_owned(),
        ] {
            assert!(text.lines().any(|own| own == line), "{line} in\n{text}");
        }
        assert!(!text.contains("POST"), "{text}");
    }
}
