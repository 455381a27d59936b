//! The conversation of one connection: which command may come when, and what is answered (RFC 5321 §4.1.4).
//!
//! Replies collect in a buffer that `connection` writes. Each transaction ends in one line of the log, without
//! addresses: the domain of the sender, counts, size, outcome.

use std::borrow::Cow;
use std::net::SocketAddr;

use bytes::Bytes;
use podmail_smtp_wire::{Command, DataReader, LineError, MailFrom, RcptTo, write_lines, write_reply};
use tokio::time::Instant;

use crate::counters::add;
use crate::server::Context;
use crate::{DeliverAnswer, Envelope, MailSink, RecipientAnswer};

/// What the connection does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read a command.
    Command,
    /// Read a message. The size that was declared is not beyond the limit.
    Data { expected_bytes: Option<usize> },
    /// Write the replies, forget what has been read, and begin TLS.
    StartTls,
    /// Write the replies and close.
    Close,
}

/// From `MAIL` to the answer to the message.
struct Transaction {
    from: Option<String>,
    recipients: Vec<String>,
    refused_recipients: usize,
    smtputf8: bool,
    declared_bytes: Option<usize>,
    started: Instant,
}

pub(crate) struct Session<'c, S> {
    context: &'c Context<S>,
    remote: SocketAddr,
    tls: bool,
    helo: Option<String>,
    transaction: Option<Transaction>,
    errors: usize,
    unknown_recipients: usize,
    messages: usize,
    replies: Vec<u8>,
}

impl<'c, S: MailSink> Session<'c, S> {
    pub(crate) fn new(context: &'c Context<S>, remote: SocketAddr) -> Self {
        Self {
            context,
            remote,
            tls: false,
            helo: None,
            transaction: None,
            errors: 0,
            unknown_recipients: 0,
            messages: 0,
            replies: Vec::new(),
        }
    }

    pub(crate) fn greet(&mut self) {
        let greeting = format!("{} ESMTP", self.context.config.hostname);
        write_lines(&mut self.replies, 220, &[&greeting]);
    }

    /// RFC 3207 §4.2: what was said before TLS counts no more.
    pub(crate) fn tls_started(&mut self) {
        self.tls = true;
        self.helo = None;
        self.abandon();
    }

    pub(crate) fn replies(&self) -> &[u8] {
        &self.replies
    }

    pub(crate) fn replies_written(&mut self) {
        self.replies.clear();
    }

    /// Adds a reply.
    pub(crate) fn say(&mut self, code: u16, enhanced: &str, text: &str) {
        write_reply(&mut self.replies, code, enhanced, text);
    }

    /// Answers a reply that counts as the client's mistake.
    fn mistake(&mut self, code: u16, enhanced: &str, text: &str) -> Next {
        self.errors += 1;
        if self.errors >= self.context.config.max_errors {
            return self.hang_up("Too many errors");
        }
        self.say(code, enhanced, text);
        Next::Command
    }

    fn hang_up(&mut self, why: &str) -> Next {
        self.say(421, "4.7.0", why);
        Next::Close
    }

    /// Answers one line.
    pub(crate) async fn command(&mut self, line: Result<&[u8], LineError>) -> Next {
        let line = match line {
            Ok(line) => line,
            Err(LineError::TooLong) => return self.mistake(500, "5.5.2", "Line too long"),
            Err(LineError::BareLineFeed) => return self.mistake(500, "5.5.2", "Lines end with CR LF"),
        };
        match Command::parse(line) {
            Ok(Command::Ehlo(name)) => self.ehlo(name),
            Ok(Command::Helo(name)) => {
                self.hello(name);
                let hostname = &self.context.config.hostname;
                write_lines(&mut self.replies, 250, &[hostname.as_str()]);
                Next::Command
            }
            Ok(Command::Mail(mail)) => self.mail(mail),
            Ok(Command::Rcpt(recipient)) => self.recipient(recipient).await,
            Ok(Command::Data) => self.data(),
            Ok(Command::StartTls) => self.start_tls(),
            Ok(Command::Rset) => {
                self.abandon();
                self.fine("2.0.0", "Ok")
            }
            Ok(Command::Noop) => self.fine("2.0.0", "Ok"),
            Ok(Command::Vrfy) => {
                self.say(252, "2.5.0", "Send some mail, and see");
                Next::Command
            }
            Ok(Command::Help) => {
                self.say(214, "2.0.0", "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY QUIT STARTTLS; see RFC 5321");
                Next::Command
            }
            Ok(Command::Quit) => {
                self.say(221, "2.0.0", "Bye");
                Next::Close
            }
            Ok(Command::NotOffered) => self.mistake(502, "5.5.1", "Command not implemented"),
            Err(error) => {
                let (code, enhanced) = error.codes();
                self.mistake(code, enhanced, &error.to_string())
            }
        }
    }

    fn fine(&mut self, enhanced: &str, text: &str) -> Next {
        self.say(250, enhanced, text);
        Next::Command
    }

    /// A new greeting is also a reset (RFC 5321 §4.1.4).
    fn hello(&mut self, name: &str) {
        self.abandon();
        self.helo = Some(name.to_owned());
    }

    fn ehlo(&mut self, name: &str) -> Next {
        self.hello(name);
        let config = &self.context.config;
        let size = format!("SIZE {}", config.max_message_bytes);
        let mut lines = vec![
            config.hostname.as_str(),
            &size,
            "PIPELINING",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
        ];
        if self.context.tls.is_some() && !self.tls {
            lines.push("STARTTLS");
        }
        write_lines(&mut self.replies, 250, &lines);
        Next::Command
    }

    fn start_tls(&mut self) -> Next {
        if self.tls || self.context.tls.is_none() {
            return self.mistake(503, "5.5.1", "STARTTLS is not offered");
        }
        if self.transaction.is_some() {
            return self.mistake(503, "5.5.1", "STARTTLS within a transaction");
        }
        self.say(220, "2.0.0", "Go ahead");
        Next::StartTls
    }

    fn mail(&mut self, mail: MailFrom<'_>) -> Next {
        let config = &self.context.config;
        if self.helo.is_none() {
            return self.mistake(503, "5.5.1", "Say EHLO first");
        }
        if self.transaction.is_some() {
            return self.mistake(503, "5.5.1", "Sender is given already");
        }
        if self.messages >= config.max_messages_per_session {
            return self.hang_up("Too many messages, connect again");
        }
        let declared_bytes = mail.size.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        if declared_bytes.is_some_and(|size| size > config.max_message_bytes) {
            self.say(552, "5.3.4", "Message too large");
            return Next::Command;
        }
        self.transaction = Some(Transaction {
            from: mail.address.map(Cow::into_owned),
            recipients: Vec::new(),
            refused_recipients: 0,
            smtputf8: mail.smtputf8,
            declared_bytes,
            started: Instant::now(),
        });
        self.fine("2.1.0", "Ok")
    }

    async fn recipient(&mut self, recipient: RcptTo<'_>) -> Next {
        let config = &self.context.config;
        let Some(transaction) = &mut self.transaction else {
            return self.mistake(503, "5.5.1", "Say MAIL first");
        };
        let address = match recipient {
            RcptTo::Address(address) => address,
            RcptTo::Postmaster => Cow::Owned(format!("postmaster@{}", config.hostname)),
        };
        if !address.is_ascii() && !transaction.smtputf8 {
            return self.mistake(553, "5.6.7", "Address needs SMTPUTF8");
        }
        if transaction.recipients.iter().any(|known| *known == address) {
            return self.fine("2.1.5", "Ok");
        }
        if transaction.recipients.len() >= config.max_recipients {
            self.say(452, "4.5.3", "Too many recipients");
            return Next::Command;
        }
        let answer = self.context.sink.recipient(&address).await;
        if answer == RecipientAnswer::Accept {
            transaction.recipients.push(address.into_owned());
            return self.fine("2.1.5", "Ok");
        }
        transaction.refused_recipients += 1;
        add(&self.context.counters.recipients_refused, 1);
        if answer == RecipientAnswer::Unavailable {
            self.say(451, "4.3.0", "Try again later");
            return Next::Command;
        }
        self.unknown_recipients += 1;
        if self.unknown_recipients >= config.max_unknown_recipients {
            return self.hang_up("Too many unknown recipients");
        }
        self.say(550, "5.1.1", "No such mailbox here");
        Next::Command
    }

    fn data(&mut self) -> Next {
        match &self.transaction {
            None => self.mistake(503, "5.5.1", "Say MAIL first"),
            Some(Transaction { recipients, refused_recipients: 0, .. }) if recipients.is_empty() => {
                self.mistake(503, "5.5.1", "Say RCPT first")
            }
            Some(Transaction { recipients, .. }) if recipients.is_empty() => {
                self.mistake(554, "5.5.1", "No valid recipients")
            }
            Some(Transaction { declared_bytes, .. }) => {
                let expected_bytes = *declared_bytes;
                self.say(354, "", "End with <CR><LF>.<CR><LF>");
                Next::Data { expected_bytes }
            }
        }
    }

    /// Answers a message that is complete.
    pub(crate) async fn message(&mut self, reader: DataReader) -> Next {
        // Data is read only within a transaction, and nothing ends one while it is read.
        let Some(mut transaction) = self.transaction.take() else { return Next::Close };
        self.messages += 1;
        let size_bytes = reader.seen_bytes();
        add(&self.context.counters.message_bytes, size_bytes);
        let answer = if reader.is_too_large() {
            refused(552, "5.3.4", "Message too large")
        } else if let Some(content) = reader.into_content() {
            let envelope = Envelope {
                from: transaction.from.clone(),
                recipients: std::mem::take(&mut transaction.recipients),
                helo: self.helo.clone().unwrap_or_default(),
                remote: self.remote,
                tls: self.tls,
                smtputf8: transaction.smtputf8,
            };
            let recipients = envelope.recipients.len();
            let answer = self.context.sink.deliver(envelope, Bytes::from(content)).await;
            self.conclude(&transaction, recipients, size_bytes, answer);
            return Next::Command;
        } else {
            refused(452, "4.3.1", "Not enough memory, try again later")
        };
        self.conclude(&transaction, transaction.recipients.len(), size_bytes, answer);
        Next::Command
    }

    /// Answers a message that is far too large and not complete.
    pub(crate) fn excess(&mut self, size_bytes: u64) {
        add(&self.context.counters.message_bytes, size_bytes);
        if let Some(transaction) = self.transaction.take() {
            let answer = refused(552, "5.3.4", "Message too large");
            self.conclude(&transaction, transaction.recipients.len(), size_bytes, answer);
        }
    }

    /// Replies to a message, counts it and logs it.
    fn conclude(
        &mut self,
        transaction: &Transaction,
        recipients: usize,
        size_bytes: u64,
        answer: DeliverAnswer,
    ) {
        let (code, enhanced, text) = match answer {
            DeliverAnswer::Stored => (250, "2.0.0", Cow::Borrowed("Ok")),
            DeliverAnswer::Refused { code: code @ 400..600, enhanced, text } => (code, enhanced, text.into()),
            DeliverAnswer::Refused { .. } | DeliverAnswer::Unavailable => {
                (451, "4.3.0", "Try again later".into())
            }
        };
        let counters = &self.context.counters;
        add(if code == 250 { &counters.messages_accepted } else { &counters.messages_refused }, 1);
        self.say(code, enhanced, &text);
        let outcome = if code == 250 { "stored" } else { "refused" };
        self.log(transaction, recipients, size_bytes, outcome, code);
    }

    /// Drops a transaction that no message ended.
    fn abandon(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.log(&transaction, transaction.recipients.len(), 0, "abandoned", 0);
        }
    }
}

impl<S> Session<'_, S> {
    /// The one line of a transaction.
    fn log(&self, transaction: &Transaction, recipients: usize, size_bytes: u64, outcome: &str, code: u16) {
        let sender = transaction.from.as_deref().unwrap_or("<>");
        let sender_domain = sender.rsplit_once('@').map_or(sender, |(_, domain)| domain);
        tracing::info!(
            remote.ip = %self.remote.ip(),
            helo = self.helo.as_deref(),
            tls = self.tls,
            sender.domain = sender_domain,
            recipients,
            recipients_refused = transaction.refused_recipients,
            size_bytes,
            reply.code = code,
            duration_ms = u64::try_from(transaction.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "smtp.in transaction {outcome}",
        );
    }
}

impl<S> Drop for Session<'_, S> {
    fn drop(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.log(&transaction, transaction.recipients.len(), 0, "abandoned", 0);
        }
    }
}

fn refused(code: u16, enhanced: &'static str, text: &str) -> DeliverAnswer {
    DeliverAnswer::Refused { code, enhanced, text: text.to_owned() }
}
