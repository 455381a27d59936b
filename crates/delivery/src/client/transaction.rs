//! One mail transaction: MAIL, RCPT for each recipient, DATA.

use std::time::Duration;

use podmail_smtp_wire::client::{self, MailParameters};
use podmail_smtp_wire::{DotStuffer, Reply};

use super::Progress;
use super::connection::Broken;
use super::outcome::{Failure, RecipientResult, Stage, delivered, refused};
use super::session::{Session, at};

/// Most commands that are written before their replies are read (RFC 2920, section 3.1: neither side's
/// buffers may fill up).
const PIPELINED_MAX: usize = 50;
/// Bytes of the message that are written at once.
const BLOCK_BYTES: usize = 64 * 1024;
/// How long a server that stopped listening in the middle of a message may take to say why.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(2);

/// What is to be delivered.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    mail_from: &'a str,
    recipients: &'a [String],
    data: &'a [u8],
    eight_bit: bool,
}

impl<'a> Envelope<'a> {
    pub(crate) fn new(mail_from: &'a str, recipients: &'a [String], data: &'a [u8]) -> Self {
        Self { mail_from, recipients, data, eight_bit: !data.is_ascii() }
    }
}

/// One command of the envelope, with the recipient that it is about.
struct Step {
    command: Vec<u8>,
    recipient: Option<usize>,
}

/// Hands the message over for all recipients without a result. Recipients about which the server has spoken
/// have their result afterwards, also when this fails.
///
/// # Errors
/// A failure that concerns all recipients left. With [`Stage::Data`] the message may have arrived.
pub(crate) async fn run(
    session: &mut Session,
    envelope: &Envelope<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    progress.stage = Stage::Sender;
    let steps = steps(session, envelope, progress);
    let accepted = announce(session, &steps, progress).await?;
    if accepted.is_empty() {
        return Ok(());
    }
    progress.stage = Stage::Data;
    let reply = transmit(session, envelope.data, progress).await?;
    if reply.code == 421 {
        return Err(Failure::reply(Stage::Data, &reply));
    }
    let result =
        if reply.is_positive() { delivered(&reply) } else { Failure::reply(Stage::Data, &reply).result() };
    settle(progress, &accepted, &result);
    Ok(())
}

/// MAIL and the RCPTs. Settles recipients that cannot be asked about; without any left there are no steps.
fn steps(session: &Session, envelope: &Envelope<'_>, progress: &mut Progress) -> Vec<Step> {
    let offered = &session.capabilities;
    let pending: Vec<usize> = (0..progress.results.len())
        .filter(|at| progress.results.get(*at).is_some_and(Option::is_none))
        .collect();
    if let Some(max) = offered.size_max
        && u64::try_from(envelope.data.len()).is_ok_and(|size| size > max)
    {
        let text =
            format!("the message of {} bytes exceeds the server's limit of {max}", envelope.data.len());
        settle(progress, &pending, &refused(552, "5.3.4", text, Stage::Sender));
        return Vec::new();
    }
    let needs_utf8 = |address: &str| !address.is_ascii();
    if needs_utf8(envelope.mail_from) && !offered.smtputf8 {
        let text = "the server takes no internationalized sender".to_owned();
        settle(progress, &pending, &refused(550, "5.6.7", text, Stage::Sender));
        return Vec::new();
    }
    let mut utf8 = needs_utf8(envelope.mail_from);
    let mut recipients = Vec::new();
    for index in pending {
        let Some(address) = envelope.recipients.get(index) else { continue };
        if needs_utf8(address) && !offered.smtputf8 {
            let text = "the server takes no internationalized recipient".to_owned();
            settle(progress, &[index], &refused(550, "5.6.7", text, Stage::Recipient));
            continue;
        }
        let mut command = Vec::new();
        if client::write_rcpt_to(&mut command, address).is_err() {
            let text = "the recipient is not a valid address".to_owned();
            settle(progress, &[index], &refused(501, "5.1.3", text, Stage::Recipient));
            continue;
        }
        utf8 |= needs_utf8(address);
        recipients.push(Step { command, recipient: Some(index) });
    }
    let parameters = MailParameters {
        size: offered.size.then(|| u64::try_from(envelope.data.len()).unwrap_or(u64::MAX)),
        eight_bit_mime: envelope.eight_bit && offered.eight_bit_mime,
        smtputf8: utf8,
    };
    let sender = Some(envelope.mail_from).filter(|sender| !sender.is_empty());
    let mut command = Vec::new();
    if client::write_mail_from(&mut command, sender, parameters).is_err() {
        let left: Vec<usize> = recipients.iter().filter_map(|step| step.recipient).collect();
        let text = "the sender is not a valid address".to_owned();
        settle(progress, &left, &refused(501, "5.1.7", text, Stage::Sender));
        return Vec::new();
    }
    if !recipients.is_empty() {
        recipients.insert(0, Step { command, recipient: None });
    }
    recipients
}

/// Sends the envelope, in one go where the server can take it, and returns the recipients it accepted.
async fn announce(
    session: &mut Session,
    steps: &[Step],
    progress: &mut Progress,
) -> Result<Vec<usize>, Failure> {
    let together = if session.capabilities.pipelining { PIPELINED_MAX } else { 1 };
    let limit = session.limits.command;
    let mut accepted = Vec::new();
    for group in steps.chunks(together) {
        let bytes: Vec<u8> = group.iter().flat_map(|step| step.command.iter().copied()).collect();
        session.connection.write(&bytes, limit).await.map_err(at(progress.stage))?;
        for step in group {
            let reply = session.connection.reply(limit).await.map_err(at(progress.stage))?;
            let stage = if step.recipient.is_some() { Stage::Recipient } else { Stage::Sender };
            let failure = Failure::reply(stage, &reply);
            match step.recipient {
                // The server is going away: what it said before stands, the rest is for another time.
                _ if reply.code == 421 => return Err(failure),
                Some(index) if reply.is_positive() => accepted.push(index),
                Some(index) => settle(progress, &[index], &failure.result()),
                None if reply.is_positive() => progress.stage = Stage::Recipient,
                None if failure.is_permanent() => {
                    let left: Vec<usize> = steps.iter().filter_map(|step| step.recipient).collect();
                    settle(progress, &left, &failure.result());
                    // Replies to what was pipelined behind are of no interest any more.
                    return Ok(Vec::new());
                }
                None => return Err(failure),
            }
        }
    }
    Ok(accepted)
}

/// DATA and the message; the final reply, or the refusal that came instead.
async fn transmit(session: &mut Session, data: &[u8], progress: &mut Progress) -> Result<Reply, Failure> {
    let start = session.ask(b"DATA\r\n", session.limits.data_start).await.map_err(|broken| {
        // Nothing of the message has been transmitted: another address may be tried.
        progress.stage = Stage::Recipient;
        at(Stage::Recipient)(broken)
    })?;
    if !start.is_intermediate() {
        return if start.is_positive() {
            Err(Failure::local(Stage::Data, "the server answered DATA with neither 354 nor a refusal"))
        } else {
            Ok(start)
        };
    }
    let sent = write_message(session, data).await;
    let limit = if sent.is_ok() { session.limits.data_end } else { LAST_WORDS_TIMEOUT };
    match (sent, session.connection.reply(limit).await) {
        (Ok(()), reply) => reply.map_err(at(Stage::Data)),
        // A refusal explains why the server stopped reading; anything else cannot be about the message.
        (Err(_), Ok(reply)) if reply.is_transient() || reply.is_permanent() => Ok(reply),
        (Err(broken), _) => Err(at(Stage::Data)(broken)),
    }
}

async fn write_message(session: &mut Session, data: &[u8]) -> Result<(), Broken> {
    let limit = session.limits.data_block;
    let mut stuffer = DotStuffer::new();
    let mut block = Vec::new();
    for piece in data.chunks(BLOCK_BYTES) {
        block.clear();
        stuffer.push(piece, &mut block);
        session.connection.write(&block, limit).await?;
    }
    block.clear();
    stuffer.finish(&mut block);
    session.connection.write(&block, limit).await
}

fn settle(progress: &mut Progress, recipients: &[usize], result: &RecipientResult) {
    for index in recipients {
        if let Some(slot) = progress.results.get_mut(*index) {
            *slot = Some(result.clone());
        }
    }
}
