//! The conversation up to the point where mail can be handed over: greeting, EHLO, TLS, AUTH.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use podmail_smtp_wire::{Capabilities, Reply, client};

use super::connection::{Broken, Connection};
use super::outcome::{Failure, Stage};
use super::{Limits, Target, TlsConfigs, TlsMode};

/// How long leaving politely may take.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a session tries to encrypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// As the target's mode says.
    Wanted,
    /// Not at all: the second try of [`TlsMode::Opportunistic`].
    Off,
}

/// A server that is ready for a transaction.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) capabilities: Capabilities,
    pub(crate) limits: Limits,
    encrypted: bool,
}

/// Puts the stage to what went wrong with the connection.
pub(crate) fn at(stage: Stage) -> impl FnOnce(Broken) -> Failure {
    move |broken| Failure::local(stage, &broken.to_string())
}

impl Session {
    /// Connects and goes as far as a transaction can begin. `stage` follows the progress.
    pub(crate) async fn open(
        address: SocketAddr,
        target: &Target,
        limits: &Limits,
        tls: &TlsConfigs,
        encryption: Encryption,
        stage: &mut Stage,
    ) -> Result<Self, Failure> {
        let implicit = target.tls == TlsMode::Implicit;
        let mut connection = Connection::open(address, limits.connect).await.map_err(at(Stage::Connect))?;
        if implicit {
            *stage = Stage::Tls;
            let config = tls.verified.clone();
            connection =
                connection.encrypt(config, &target.host, limits.connect).await.map_err(at(Stage::Tls))?;
        }
        *stage = Stage::Greeting;
        let greeting = connection.reply(limits.greeting).await.map_err(at(Stage::Greeting))?;
        if !greeting.is_positive() {
            return Err(Failure::reply(Stage::Greeting, &greeting));
        }
        let mut session =
            Self { connection, capabilities: Capabilities::default(), limits: *limits, encrypted: implicit };
        *stage = Stage::Hello;
        session.hello(&target.helo).await?;
        if !implicit && encryption == Encryption::Wanted {
            session = session.start_tls(target, tls, stage).await?;
        }
        if let Some((user, password)) = &target.credentials {
            *stage = Stage::Authentication;
            if !session.encrypted && target.tls != TlsMode::WhenOffered {
                return Err(Failure::local(Stage::Authentication, "credentials are not sent without TLS"));
            }
            session.authenticate(user, password).await?;
        }
        Ok(session)
    }

    pub(crate) fn encrypted(&self) -> bool {
        self.encrypted
    }

    /// Writes `command`, which carries its CR LF, and waits for the reply.
    pub(crate) async fn ask(&mut self, command: &[u8], limit: Duration) -> Result<Reply, Broken> {
        self.connection.write(command, limit).await?;
        self.connection.reply(limit).await
    }

    /// EHLO, or HELO where EHLO is unknown (RFC 5321, section 3.2).
    async fn hello(&mut self, name: &str) -> Result<(), Failure> {
        let broken = at(Stage::Hello);
        let mut command = Vec::new();
        client::write_ehlo(&mut command, name)
            .map_err(|_| Failure::local(Stage::Hello, "our own name cannot be said in EHLO"))?;
        let reply = self.ask(&command, self.limits.command).await.map_err(broken)?;
        if reply.is_positive() {
            self.capabilities = Capabilities::parse(&reply);
            return Ok(());
        }
        if !reply.is_permanent() {
            return Err(Failure::reply(Stage::Hello, &reply));
        }
        let command = format!("HELO {name}\r\n");
        let reply = self.ask(command.as_bytes(), self.limits.command).await.map_err(at(Stage::Hello))?;
        if !reply.is_positive() {
            return Err(Failure::reply(Stage::Hello, &reply));
        }
        self.capabilities = Capabilities::default();
        Ok(())
    }

    async fn start_tls(
        mut self,
        target: &Target,
        tls: &TlsConfigs,
        stage: &mut Stage,
    ) -> Result<Self, Failure> {
        *stage = Stage::Tls;
        let required = target.tls == TlsMode::Required;
        if !self.capabilities.starttls {
            if required {
                return Err(Failure::local(Stage::Tls, "the server does not offer STARTTLS"));
            }
            return Ok(self);
        }
        let reply = self.ask(b"STARTTLS\r\n", self.limits.command).await.map_err(at(Stage::Tls))?;
        if !reply.is_positive() {
            // Refused but still in step: mail to an MX may go on in the clear, nothing else may.
            return if target.tls == TlsMode::Opportunistic && reply.code != 421 {
                Ok(self)
            } else {
                Err(Failure::reply(Stage::Tls, &reply))
            };
        }
        let config = if required { tls.verified.clone() } else { tls.unverified.clone() };
        self.connection = self
            .connection
            .encrypt(config, &target.host, self.limits.connect)
            .await
            .map_err(at(Stage::Tls))?;
        self.encrypted = true;
        *stage = Stage::Hello;
        // What was offered before may have been put there by somebody else (RFC 3207, section 4.2).
        self.hello(&target.helo).await.map_err(|failure| match failure.code {
            // With TLS 1.3 a server that refuses the handshake says so only now.
            None => Failure { stage: Stage::Tls, ..failure },
            Some(_) => failure,
        })?;
        Ok(self)
    }

    /// AUTH PLAIN (RFC 4616), or LOGIN where only that is offered.
    async fn authenticate(&mut self, user: &str, password: &str) -> Result<(), Failure> {
        const STAGE: Stage = Stage::Authentication;
        let limit = self.limits.command;
        let offers = |mechanism: &str| self.capabilities.auth.iter().any(|offered| offered == mechanism);
        let reply = if offers("PLAIN") {
            let secret = STANDARD.encode(format!("\0{user}\0{password}"));
            self.ask(format!("AUTH PLAIN {secret}\r\n").as_bytes(), limit).await.map_err(at(STAGE))?
        } else if offers("LOGIN") {
            let mut reply = self.ask(b"AUTH LOGIN\r\n", limit).await.map_err(at(STAGE))?;
            for secret in [user, password] {
                if reply.is_intermediate() {
                    let line = format!("{}\r\n", STANDARD.encode(secret));
                    reply = self.ask(line.as_bytes(), limit).await.map_err(at(STAGE))?;
                }
            }
            reply
        } else {
            return Err(Failure::local(STAGE, "the server offers neither AUTH PLAIN nor AUTH LOGIN"));
        };
        if reply.is_positive() { Ok(()) } else { Err(Failure::reply(STAGE, &reply)) }
    }

    /// Says goodbye.
    pub(crate) async fn quit(mut self) {
        if self.ask(b"QUIT\r\n", QUIT_TIMEOUT).await.is_ok() {
            self.connection.close(QUIT_TIMEOUT).await;
        }
    }
}
