//! Counters of the parts that are not HTTP, as Prometheus text. The API adds its own.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use podmail_app::receive::AuthenticationCounters;

/// The counters that the parts of a server share with `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) smtp: Arc<podmail_smtp_in::Counters>,
    pub(crate) delivery: OnceLock<Arc<podmail_delivery::Counters>>,
}

impl Metrics {
    /// Prometheus text, version 0.0.4.
    pub(crate) fn render(&self, checks: &AuthenticationCounters, objects_removed: u64) -> String {
        let smtp = &self.smtp;
        let delivery = self.delivery.get().map(|counters| counters.read()).unwrap_or_default();
        let mut text = String::new();
        let rows = [
            (
                "smtp_connections_total",
                "counter",
                "SMTP connections accepted",
                smtp.connections.load(Ordering::Relaxed),
            ),
            (
                "smtp_connections_open",
                "gauge",
                "SMTP connections open",
                smtp.connections_open.load(Ordering::Relaxed),
            ),
            (
                "smtp_connections_refused_total",
                "counter",
                "SMTP connections over a bound",
                smtp.connections_refused.load(Ordering::Relaxed),
            ),
            (
                "smtp_tls_sessions_total",
                "counter",
                "SMTP sessions over TLS",
                smtp.tls_sessions.load(Ordering::Relaxed),
            ),
            (
                "smtp_messages_accepted_total",
                "counter",
                "Messages answered with 250",
                smtp.messages_accepted.load(Ordering::Relaxed),
            ),
            (
                "smtp_messages_refused_total",
                "counter",
                "Messages refused or put off",
                smtp.messages_refused.load(Ordering::Relaxed),
            ),
            (
                "smtp_recipients_refused_total",
                "counter",
                "Recipients refused",
                smtp.recipients_refused.load(Ordering::Relaxed),
            ),
            (
                "smtp_message_bytes_total",
                "counter",
                "Bytes of accepted messages",
                smtp.message_bytes.load(Ordering::Relaxed),
            ),
            ("delivery_attempts_total", "counter", "Outbound attempts that ended", delivery.attempts),
            ("delivery_delivered_total", "counter", "Recipients delivered to", delivery.delivered),
            ("delivery_bounced_total", "counter", "Recipients given up", delivery.bounced),
            ("delivery_deferred_total", "counter", "Times a recipient was put off", delivery.deferred),
            (
                "delivery_rejected_total",
                "counter",
                "Recipients that we refused to send to",
                delivery.rejected,
            ),
            ("delivery_in_flight", "gauge", "Outbound attempts running", delivery.in_flight),
            (
                "blob_unreferenced_removed_total",
                "counter",
                "Objects removed that nothing referred to",
                objects_removed,
            ),
        ];
        for (name, kind, help, value) in rows {
            writeln!(
                text,
                "# HELP podmail_{name} {help}\n# TYPE podmail_{name} {kind}\npodmail_{name} {value}"
            )
            .expect("writing to a string cannot fail");
        }
        write_checks(&mut text, checks).expect("writing to a string cannot fail");
        text
    }
}

/// What SPF, DKIM and DMARC said of arriving mail, and what became of it.
fn write_checks(text: &mut String, checks: &AuthenticationCounters) -> std::fmt::Result {
    let head =
        |name: &str, help: &str| format!("# HELP podmail_{name} {help}\n# TYPE podmail_{name} counter\n");
    text.push_str(&head("inbound_checks_total", "Checks of arriving mail by result"));
    for (check, word, count) in checks.results() {
        writeln!(text, "podmail_inbound_checks_total{{check=\"{check}\",result=\"{word}\"}} {count}")?;
    }
    text.push_str(&head("inbound_checked_messages_total", "Checked messages by what became of them"));
    for (outcome, count) in checks.outcomes() {
        writeln!(text, "podmail_inbound_checked_messages_total{{outcome=\"{outcome}\"}} {count}")?;
    }
    Ok(())
}
