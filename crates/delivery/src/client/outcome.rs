//! What an attempt came to, per recipient.

use std::net::SocketAddr;

use podmail_smtp_wire::Reply;

/// Most bytes of a server's text that are kept.
const TEXT_BYTES_MAX: usize = 1_000;
/// Shortest bare word of a final answer that is taken for an id.
const ID_BYTES_MIN: usize = 8;

/// How far a conversation had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Connecting.
    Connect,
    /// Waiting for the greeting. A permanent refusal here is about us, not about the recipient.
    Greeting,
    /// EHLO or HELO; also about us.
    Hello,
    /// STARTTLS or the handshake.
    Tls,
    /// AUTH.
    Authentication,
    /// MAIL FROM.
    Sender,
    /// RCPT TO: about this recipient.
    Recipient,
    /// DATA and the message itself.
    Data,
}

/// What the server said about one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientResult {
    /// The server has taken responsibility for the message.
    Delivered {
        /// The text of the final answer.
        reply: String,
        /// See [`relay_message_id`]; whether it means anything depends on the server.
        relay_message_id: Option<String>,
    },
    /// Refused for good.
    Permanent {
        /// The reply code, 500 to 599.
        code: u16,
        /// The enhanced code (RFC 3463), such as `5.1.1`.
        enhanced: Option<String>,
        /// The server's words, at most 1,000 bytes.
        text: String,
        /// At which point.
        stage: Stage,
    },
    /// Not delivered now; may work later.
    Transient {
        /// The reply code, absent when there was no reply.
        code: Option<u16>,
        /// The enhanced code (RFC 3463), such as `4.2.2`.
        enhanced: Option<String>,
        /// The server's words or what happened, at most 1,000 bytes.
        text: String,
        /// At which point.
        stage: Stage,
    },
}

/// The outcome of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One result per recipient, in the order given.
    pub recipients: Vec<RecipientResult>,
    /// The address that was tried last.
    pub peer: Option<SocketAddr>,
    /// Whether the last conversation was encrypted.
    pub encrypted: bool,
}

/// Why a conversation ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    pub(crate) code: Option<u16>,
    pub(crate) enhanced: Option<String>,
    pub(crate) text: String,
}

impl Failure {
    /// The server refused.
    pub(crate) fn reply(stage: Stage, reply: &Reply) -> Self {
        Self {
            stage,
            code: Some(reply.code),
            enhanced: reply.enhanced.map(|code| code.to_string()),
            text: bounded(&reply.text()),
        }
    }

    /// Something went wrong on our side or on the way.
    pub(crate) fn local(stage: Stage, text: &str) -> Self {
        Self { stage, code: None, enhanced: None, text: bounded(text) }
    }

    pub(crate) fn timeout(stage: Stage) -> Self {
        Self::local(stage, "timed out")
    }

    /// Whether trying again is of no use. Trouble with TLS or credentials is for the operator to mend and
    /// must not bounce mail.
    pub(crate) fn is_permanent(&self) -> bool {
        self.code.is_some_and(|code| code >= 500) && !matches!(self.stage, Stage::Tls | Stage::Authentication)
    }

    /// The result of a recipient that the failure concerns.
    pub(crate) fn result(&self) -> RecipientResult {
        let (enhanced, text, stage) = (self.enhanced.clone(), self.text.clone(), self.stage);
        match self.code {
            Some(code) if self.is_permanent() => RecipientResult::Permanent { code, enhanced, text, stage },
            code => RecipientResult::Transient { code, enhanced, text, stage },
        }
    }
}

/// A permanent refusal that needs no server to be known.
pub(crate) fn refused(code: u16, enhanced: &str, text: String, stage: Stage) -> RecipientResult {
    RecipientResult::Permanent { code, enhanced: Some(enhanced.to_owned()), text, stage }
}

/// The result of the final positive answer.
pub(crate) fn delivered(reply: &Reply) -> RecipientResult {
    let text = bounded(&reply.text());
    RecipientResult::Delivered { relay_message_id: relay_message_id(&text), reply: text }
}

/// The text with control characters replaced, cut at a character's edge.
fn bounded(text: &str) -> String {
    let mut kept = String::new();
    for symbol in text.chars() {
        if kept.len() + symbol.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        kept.push(if symbol.is_control() { ' ' } else { symbol });
    }
    kept
}

/// The id that a relay names in its final answer: one in angle brackets, one behind `queued as` or `id=`, or
/// the only word behind `Ok` (`Ok 0102018…` of SES). Without angle brackets.
#[must_use]
pub fn relay_message_id(text: &str) -> Option<String> {
    let plain = |word: &str| {
        let word = word.trim_matches(|symbol: char| "<>()[]\"',;.".contains(symbol));
        let fine = word.len() >= ID_BYTES_MIN
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@+=/$".contains(&byte));
        fine.then(|| word.to_owned())
    };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let bracketed = words.iter().find_map(|word| {
        let start = word.find('<')?;
        let inside = word.get(start + 1..)?;
        plain(inside.get(..inside.find('>')?)?)
    });
    if bracketed.is_some() {
        return bracketed;
    }
    for (index, word) in words.iter().enumerate() {
        let previous = index.checked_sub(1).and_then(|at| words.get(at)).copied().unwrap_or_default();
        if word.eq_ignore_ascii_case("as") && previous.eq_ignore_ascii_case("queued") {
            return words.get(index + 1).and_then(|word| plain(word));
        }
        if let Some(id) = word.strip_prefix("id=") {
            return plain(id);
        }
    }
    let rest = match words.as_slice() {
        [code, rest @ ..] if podmail_smtp_wire::EnhancedCode::parse(code).is_some() => rest,
        all => all,
    };
    match rest {
        [ok, id] if ok.trim_end_matches(':').eq_ignore_ascii_case("ok") => {
            // A word without a digit is talk.
            plain(id).filter(|id| id.bytes().any(|byte| byte.is_ascii_digit()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_relays_are_found_in_their_answers() {
        let ses = "0102018f1b2c3d4e-5f6a7b8c-1234-5678-9abc-def012345678-000000";
        let table = [
            (format!("Ok {ses}"), Some(ses)),
            (format!("2.0.0 OK: {ses}"), Some(ses)),
            ("2.0.0 Ok: queued as 4XyZ1234abc".to_owned(), Some("4XyZ1234abc")),
            ("OK id=1rAbCd-0001Ab-2C".to_owned(), Some("1rAbCd-0001Ab-2C")),
            (
                "2.6.0 <abc.def@relay.example> Queued mail for delivery".to_owned(),
                Some("abc.def@relay.example"),
            ),
            ("2.0.0 Ok".to_owned(), None),
            ("2.0.0 OK  1700000000 a1b2c3d4e5f6 - gsmtp".to_owned(), None),
            ("Ok: accepted".to_owned(), None),
            ("Message accepted for delivery".to_owned(), None),
            ("queued as".to_owned(), None),
            (">< <".to_owned(), None),
            (String::new(), None),
        ];
        for (text, want) in table {
            assert_eq!(relay_message_id(&text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn text_of_strangers_is_bounded() {
        assert_eq!(bounded("a\u{7}b\r\nc"), "a b  c");
        assert_eq!(bounded(&"\u{fc}".repeat(2_000)).len(), TEXT_BYTES_MAX);
    }
}
