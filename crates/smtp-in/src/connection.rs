//! The bytes of one connection: reads into one bounded buffer, lets the session answer everything in it,
//! writes all answers at once (RFC 2920), and changes to TLS.
//!
//! Invariants: the buffer never holds more than [`READ_BUFFER_BYTES`] or so; nothing that was read before
//! TLS is looked at after it.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use podmail_smtp_wire::{DataReader, LineSplitter};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use crate::MailSink;
use crate::counters::add;
use crate::limits::Reservation;
use crate::server::Context;
use crate::session::{Next, Session};

/// Room for what a client sends at once; a command line always fits.
const READ_BUFFER_BYTES: usize = 16_384;
/// Less room than this, and the front of the buffer is reused.
const READ_ROOM_MIN_BYTES: usize = 4_096;
/// Replies are written early when a batch of commands makes more than this.
const REPLY_BATCH_MAX_BYTES: usize = 16_384;
/// Room for a message whose size was not declared; most fit.
const MESSAGE_ROOM_BYTES: usize = 8_192;
/// Most room that a declared size gets before the bytes are there.
const MESSAGE_ROOM_MAX_BYTES: usize = 131_072;
/// A client that sends this many times the limit is not worth reading to the end.
const EXCESS_FACTOR: u64 = 2;

/// Why the exchange on a stream is over.
enum End {
    Closed,
    StartTls,
}

/// Serves one connection to its end.
pub(crate) async fn serve<S: MailSink>(context: &Context<S>, mut stream: TcpStream, remote: SocketAddr) {
    let counters = &context.counters;
    add(&counters.connections, 1);
    let _open = OpenConnection::new(context);
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "smtp.in connection was gone at once");
        return;
    }
    let mut session = Session::new(context, remote);
    session.greet();
    let deadline = Instant::now() + context.config.session_timeout;
    if let End::Closed = exchange(context, &mut stream, &mut session, deadline).await {
        return;
    }
    let Some(tls) = &context.tls else { return };
    let acceptor = TlsAcceptor::from(tls.borrow().clone());
    let patience = deadline.min(Instant::now() + context.config.command_timeout);
    let handshake = timeout_at(patience, acceptor.accept(stream));
    let accepted = tokio::select! {
        biased;
        accepted = handshake => accepted,
        () = context.shutdown.cancelled() => return,
    };
    match accepted {
        Ok(Ok(mut stream)) => {
            add(&counters.tls_sessions, 1);
            session.tls_started();
            exchange(context, &mut stream, &mut session, deadline).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "smtp.in TLS handshake failed"),
        Err(_) => tracing::debug!("smtp.in TLS handshake timed out"),
    }
}

/// A message that is coming in.
struct Incoming {
    reader: DataReader,
    reservation: Reservation,
}

/// Commands and replies on one stream, until it is closed or changes to TLS.
async fn exchange<S: MailSink, IO: AsyncRead + AsyncWrite + Unpin + Send>(
    context: &Context<S>,
    stream: &mut IO,
    session: &mut Session<'_, S>,
    deadline: Instant,
) -> End {
    let mut buffer = BytesMut::with_capacity(READ_BUFFER_BYTES);
    let mut splitter = LineSplitter::new();
    let mut incoming: Option<Incoming> = None;
    loop {
        let next = answer_all(context, &mut buffer, &mut splitter, &mut incoming, session).await;
        if write_replies(context, stream, session).await.is_err() {
            return End::Closed;
        }
        match next {
            Batch::WantsInput => {}
            Batch::WantsWrite => continue,
            Batch::StartTls => return End::StartTls,
            Batch::Close => {
                return close(context, stream).await;
            }
        }
        let heard = read(context, stream, &mut buffer, incoming.is_some(), deadline).await;
        match heard {
            Heard::Bytes => {}
            Heard::Gone => return End::Closed,
            Heard::Timeout => session.say(421, "4.4.2", "Timeout, closing connection"),
            Heard::Shutdown => session.say(421, "4.3.2", "Shutting down, try again later"),
        }
        if !matches!(heard, Heard::Bytes) {
            if write_replies(context, stream, session).await.is_err() {
                return End::Closed;
            }
            return close(context, stream).await;
        }
    }
}

/// What comes after the commands in the buffer.
enum Batch {
    WantsInput,
    WantsWrite,
    StartTls,
    Close,
}

/// Lets the session answer what is in the buffer, as far as it is complete.
async fn answer_all<S: MailSink>(
    context: &Context<S>,
    buffer: &mut BytesMut,
    splitter: &mut LineSplitter,
    incoming: &mut Option<Incoming>,
    session: &mut Session<'_, S>,
) -> Batch {
    loop {
        let next = match incoming.take() {
            Some(mut message) => {
                if !take_content(context, buffer, &mut message) {
                    if message.reader.seen_bytes() > EXCESS_FACTOR * context.config.max_message_bytes as u64 {
                        session.excess(message.reader.seen_bytes());
                        return Batch::Close;
                    }
                    *incoming = Some(message);
                    return Batch::WantsInput;
                }
                let next = session.message(message.reader).await;
                drop(message.reservation);
                next
            }
            None => {
                let split = splitter.next_line(buffer);
                let consumed = split.consumed;
                let Some(line) = split.line else {
                    buffer.advance(consumed);
                    return Batch::WantsInput;
                };
                let next = session.command(line).await;
                buffer.advance(consumed);
                next
            }
        };
        match next {
            Next::Command => {}
            Next::Data { expected_bytes } => {
                let expected_bytes = expected_bytes.unwrap_or(MESSAGE_ROOM_BYTES).min(MESSAGE_ROOM_MAX_BYTES);
                let reader = DataReader::new(context.config.max_message_bytes, expected_bytes);
                *incoming = Some(Incoming { reader, reservation: context.memory.reserve() });
            }
            Next::StartTls => return Batch::StartTls,
            Next::Close => return Batch::Close,
        }
        if session.replies().len() > REPLY_BATCH_MAX_BYTES {
            return Batch::WantsWrite;
        }
    }
}

/// Moves content from the buffer to the message; `true` at its end.
fn take_content<S>(context: &Context<S>, buffer: &mut BytesMut, message: &mut Incoming) -> bool {
    let progress = message.reader.feed(buffer);
    buffer.advance(progress.consumed);
    if !message.reservation.resize(message.reader.stored_bytes()) {
        tracing::warn!(
            limit_bytes = context.config.max_buffered_bytes,
            "smtp.in has no memory for a message"
        );
        message.reader.discard();
        message.reservation.resize(0);
    }
    progress.done
}

enum Heard {
    Bytes,
    Gone,
    Timeout,
    Shutdown,
}

/// Waits for the client. A shutdown ends the wait for a command and not that for the rest of a message.
async fn read<S: MailSink, IO: AsyncRead + Unpin + Send>(
    context: &Context<S>,
    stream: &mut IO,
    buffer: &mut BytesMut,
    within_message: bool,
    deadline: Instant,
) -> Heard {
    if !within_message && context.shutdown.is_cancelled() {
        return Heard::Shutdown;
    }
    if buffer.capacity() - buffer.len() < READ_ROOM_MIN_BYTES {
        // The rest of a line is short and far from the front by now, so this moves it there.
        buffer.reserve(READ_BUFFER_BYTES - buffer.len().min(READ_BUFFER_BYTES));
    }
    let patience = if within_message { context.config.data_timeout } else { context.config.command_timeout };
    let deadline = deadline.min(Instant::now() + patience);
    tokio::select! {
        biased;
        heard = timeout_at(deadline, stream.read_buf(buffer)) => match heard {
            Ok(Ok(0) | Err(_)) => Heard::Gone,
            Ok(Ok(_)) => Heard::Bytes,
            Err(_) => Heard::Timeout,
        },
        () = context.shutdown.cancelled(), if !within_message => Heard::Shutdown,
    }
}

/// Writes what the session has to say. An error means that the client is gone, or does not read.
async fn write_replies<S: MailSink, IO: AsyncWrite + Unpin + Send>(
    context: &Context<S>,
    stream: &mut IO,
    session: &mut Session<'_, S>,
) -> Result<(), ()> {
    if session.replies().is_empty() {
        return Ok(());
    }
    let write = async {
        stream.write_all(session.replies()).await?;
        stream.flush().await
    };
    let written = timeout(context.config.command_timeout, write).await;
    session.replies_written();
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}

/// Says goodbye on the level of the transport, which may fail: the client may be gone already.
async fn close<S: MailSink, IO: AsyncWrite + Unpin + Send>(context: &Context<S>, stream: &mut IO) -> End {
    let closed = timeout(context.config.command_timeout, stream.shutdown()).await;
    tracing::trace!(clean = matches!(closed, Ok(Ok(()))), "smtp.in connection closed");
    End::Closed
}

/// Counts a connection as open until dropped.
struct OpenConnection<'a, S>(&'a Context<S>);

impl<'a, S> OpenConnection<'a, S> {
    fn new(context: &'a Context<S>) -> Self {
        add(&context.counters.connections_open, 1);
        Self(context)
    }
}

impl<S> Drop for OpenConnection<'_, S> {
    fn drop(&mut self) {
        self.0.counters.connections_open.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}
