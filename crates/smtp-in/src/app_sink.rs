//! The application as a place where mail goes: its outcomes as SMTP replies, in one place.

use bytes::Bytes;
use podmail_app::App;
use podmail_app::receive::{Incoming, Received};

use crate::sink::{DeliverAnswer, Envelope, MailSink, RecipientAnswer};

impl MailSink for App {
    async fn recipient(&self, address: &str) -> RecipientAnswer {
        match self.takes_mail(address).await {
            Ok(true) => RecipientAnswer::Accept,
            Ok(false) => RecipientAnswer::Unknown,
            Err(error) => {
                tracing::error!(error = %error, "a recipient could not be looked up");
                RecipientAnswer::Unavailable
            }
        }
    }

    async fn deliver(&self, envelope: Envelope, raw: Bytes) -> DeliverAnswer {
        let incoming = Incoming {
            from: envelope.from,
            recipients: envelope.recipients,
            helo: envelope.helo,
            remote: Some(envelope.remote),
            tls: envelope.tls,
        };
        match self.receive(&incoming, raw).await {
            Ok(Received::Accepted) => DeliverAnswer::Stored,
            Ok(Received::Refused(refusal)) => {
                DeliverAnswer::Refused { code: refusal.code, enhanced: refusal.enhanced, text: refusal.text }
            }
            Err(error) => {
                tracing::error!(error = %error, "a message could not be stored");
                DeliverAnswer::Unavailable
            }
        }
    }
}
