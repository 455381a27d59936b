//! One attempt: sign, post, judge the answer.

use std::time::Duration;

use podmail_app::App;
use podmail_app::webhooks::{Delivery, Prepared, Verdict};
use podmail_egress::{EgressError, HttpAnswer};

use crate::signature::sign;

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Value of `webhook-delivery` by which a receiver stops the retries of one message.
const ABORT: &str = "abort-message";

/// Attempts a delivery; `None` when no attempt could be made and its row is left to its lease.
pub(crate) async fn attempt(app: &App, delivery: &mut Delivery) -> Option<Verdict> {
    if !app.lease_holds(delivery) {
        return None;
    }
    let prepared = match app.prepare_webhook_delivery(delivery).await {
        Ok(Some(prepared)) => prepared,
        Ok(None) => return Some(Verdict::Dropped),
        Err(error) => {
            tracing::error!(delivery.id = %delivery.key.delivery_id, error = %error, "a webhook delivery cannot be read");
            return None;
        }
    };
    let started = app.now();
    let answer = post(app, delivery, prepared).await;
    let verdict = judge(&answer);
    report(app, delivery, &answer, verdict, app.now().since(started));
    Some(verdict)
}

async fn post(app: &App, delivery: &Delivery, prepared: Prepared) -> Result<HttpAnswer, EgressError> {
    let Prepared { url, secret, headers: custom, body } = prepared;
    let id = delivery.key.delivery_id.as_str();
    // Fresh on every attempt: receivers refuse old ones.
    let timestamp = app.now().seconds();
    let signature = sign(&secret, id, timestamp, &body)
        .ok_or_else(|| EgressError::Other("the webhook's secret is damaged".to_owned()))?;
    let timestamp = timestamp.to_string();
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    for prefix in ["svix", "webhook"] {
        headers.push((format!("{prefix}-id"), id.to_owned()));
        headers.push((format!("{prefix}-timestamp"), timestamp.clone()));
        headers.push((format!("{prefix}-signature"), signature.clone()));
    }
    headers.extend(custom);
    app.egress().post(&url, headers, body, TIMEOUT).await
}

fn judge(answer: &Result<HttpAnswer, EgressError>) -> Verdict {
    match answer {
        Ok(answer) if (200..300).contains(&answer.status) => Verdict::Delivered,
        Ok(HttpAnswer { webhook_delivery: Some(word), .. }) if word.trim().eq_ignore_ascii_case(ABORT) => {
            Verdict::Aborted
        }
        Ok(_) | Err(_) => Verdict::Failed,
    }
}

fn report(
    app: &App,
    delivery: &Delivery,
    answer: &Result<HttpAnswer, EgressError>,
    verdict: Verdict,
    duration: Duration,
) {
    let key = &delivery.key;
    let attempt = delivery.attempts.saturating_add(1);
    let milliseconds = duration.as_millis();
    let outcome = match answer {
        Ok(answer) => format!("status {}", answer.status),
        Err(error) => error.to_string(),
    };
    match verdict {
        Verdict::Delivered => tracing::debug!(
            organization.id = %key.organization_id, webhook.id = %key.webhook_id, event.id = %delivery.event_id,
            delivery.id = %key.delivery_id, job.attempt = attempt, duration_ms = milliseconds,
            "webhook delivery {} succeeded at attempt {attempt}: {outcome}", key.delivery_id
        ),
        Verdict::Failed | Verdict::Aborted | Verdict::Dropped => {
            let last = attempt as usize > app.settings().webhook_retry_delays.len();
            tracing::info!(
                organization.id = %key.organization_id, webhook.id = %key.webhook_id, event.id = %delivery.event_id,
                delivery.id = %key.delivery_id, job.attempt = attempt, duration_ms = milliseconds, last,
                "webhook delivery {} failed at attempt {attempt}: {outcome}", key.delivery_id
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_2xx_answer_is_a_success_and_a_receiver_may_stop_retries() {
        for (status, word, want) in [
            (200, None, Verdict::Delivered),
            (204, Some("abort-message"), Verdict::Delivered),
            (302, None, Verdict::Failed),
            (410, Some("abort-message"), Verdict::Aborted),
            (500, Some("other"), Verdict::Failed),
        ] {
            let answer = Ok(HttpAnswer { status, webhook_delivery: word.map(str::to_owned) });
            assert_eq!(judge(&answer), want, "{status} {word:?}");
        }
        assert_eq!(judge(&Err(EgressError::Timeout)), Verdict::Failed);
    }
}
