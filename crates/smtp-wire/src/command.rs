//! Commands of a client (RFC 5321 §4.1), parsed strictly and without copies.
//!
//! The parser knows syntax only. Whether a command may come now is decided by the session in `smtp-in`.

use std::borrow::Cow;

use crate::path::{self, Path};

/// Longest name after `HELO` or `EHLO`: a domain, or an address in brackets.
const HELO_MAX_BYTES: usize = 255;

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// `HELO name`. The name is printable ASCII without spaces, at most 255 bytes, and nothing more:
    /// too many honest clients send names that are not domains.
    Helo(&'a str),
    /// `EHLO name`, the same.
    Ehlo(&'a str),
    /// `MAIL FROM:<path> parameters`
    Mail(MailFrom<'a>),
    /// `RCPT TO:<path>`
    Rcpt(RcptTo<'a>),
    /// `DATA`
    Data,
    /// `RSET`
    Rset,
    /// `NOOP`, whatever follows it
    Noop,
    /// `QUIT`
    Quit,
    /// `VRFY`, whatever follows it
    Vrfy,
    /// `HELP`, whatever follows it
    Help,
    /// `STARTTLS` (RFC 3207)
    StartTls,
    /// A command that exists and is not offered: `AUTH`, `BDAT`, `EXPN`, `ETRN`, `TURN`.
    NotOffered,
}

/// `MAIL FROM`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailFrom<'a> {
    /// `local@domain`; `None` for `<>`, the sender of bounces. ASCII unless `smtputf8`.
    pub address: Option<Cow<'a, str>>,
    /// `SIZE=`, in bytes (RFC 1870)
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152)
    pub body: Option<Body>,
    /// `SMTPUTF8` (RFC 6531)
    pub smtputf8: bool,
}

/// The value of `BODY=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// `7BIT`
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
}

/// `RCPT TO`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RcptTo<'a> {
    /// `local@domain`. It may hold UTF-8; the session knows whether `MAIL` allowed that.
    Address(Cow<'a, str>),
    /// `postmaster` without a domain, in any case (RFC 5321 §4.1.1.3)
    Postmaster,
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Not a command that we know.
    #[error("Command not recognized")]
    Unknown,
    /// Control characters, or not UTF-8.
    #[error("Line holds bytes that no command may hold")]
    Bytes,
    /// Arguments are missing, wrong or too many.
    #[error("Syntax error in arguments")]
    Arguments,
    /// The path after `MAIL FROM:` is wrong.
    #[error("Bad sender address syntax")]
    Sender,
    /// The path after `RCPT TO:` is wrong.
    #[error("Bad recipient address syntax")]
    Recipient,
    /// A parameter that was not offered.
    #[error("Parameter not recognized or not implemented")]
    Parameter,
    /// An address with UTF-8 and no `SMTPUTF8`.
    #[error("Address needs SMTPUTF8")]
    NeedsSmtpUtf8,
}

impl CommandError {
    /// Reply code and enhanced code (RFC 3463) for this error; the text is its `Display`.
    #[must_use]
    pub fn codes(self) -> (u16, &'static str) {
        match self {
            Self::Unknown | Self::Bytes => (500, "5.5.2"),
            Self::Arguments => (501, "5.5.4"),
            Self::Sender => (501, "5.1.7"),
            Self::Recipient => (501, "5.1.3"),
            Self::Parameter => (555, "5.5.4"),
            Self::NeedsSmtpUtf8 => (553, "5.6.7"),
        }
    }
}

impl<'a> Command<'a> {
    /// Parses one line without its CR LF.
    ///
    /// # Errors
    /// A [`CommandError`]; its [`codes`](CommandError::codes) are the reply.
    pub fn parse(line: &'a [u8]) -> Result<Self, CommandError> {
        let text = std::str::from_utf8(line).map_err(|_| CommandError::Bytes)?;
        if text.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return Err(CommandError::Bytes);
        }
        let text = text.trim_ascii_end();
        let (verb, arguments) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let arguments = arguments.trim_ascii_start();
        let verb_is = |name: &str| verb.eq_ignore_ascii_case(name);
        if verb_is("MAIL") {
            return mail(arguments).map(Self::Mail);
        }
        if verb_is("RCPT") {
            return recipient(arguments).map(Self::Rcpt);
        }
        if verb_is("EHLO") {
            return helo(arguments).map(Self::Ehlo);
        }
        if verb_is("HELO") {
            return helo(arguments).map(Self::Helo);
        }
        for (name, command) in
            [("DATA", Self::Data), ("RSET", Self::Rset), ("QUIT", Self::Quit), ("STARTTLS", Self::StartTls)]
        {
            if verb_is(name) {
                return if arguments.is_empty() { Ok(command) } else { Err(CommandError::Arguments) };
            }
        }
        for (name, command) in [("NOOP", Self::Noop), ("VRFY", Self::Vrfy), ("HELP", Self::Help)] {
            if verb_is(name) {
                return Ok(command);
            }
        }
        if ["AUTH", "BDAT", "EXPN", "ETRN", "TURN"].into_iter().any(verb_is) {
            return Ok(Self::NotOffered);
        }
        Err(CommandError::Unknown)
    }
}

fn helo(name: &str) -> Result<&str, CommandError> {
    let fine = !name.is_empty() && name.len() <= HELO_MAX_BYTES && name.bytes().all(|b| b.is_ascii_graphic());
    if fine { Ok(name) } else { Err(CommandError::Arguments) }
}

fn mail(arguments: &str) -> Result<MailFrom<'_>, CommandError> {
    let input = after_keyword(arguments, "FROM:").ok_or(CommandError::Arguments)?;
    let (path, parameters) = path::parse(input).ok_or(CommandError::Sender)?;
    let address = match path {
        Path::Null => None,
        Path::Address(address) => Some(address),
        Path::Local(_) => return Err(CommandError::Sender),
    };
    let mut mail = MailFrom { address, size: None, body: None, smtputf8: false };
    for (name, value) in self::parameters(parameters)? {
        let twice = if name.eq_ignore_ascii_case("SIZE") {
            mail.size.replace(size(value)?).is_some()
        } else if name.eq_ignore_ascii_case("BODY") {
            mail.body.replace(body(value)?).is_some()
        } else if name.eq_ignore_ascii_case("SMTPUTF8") && value.is_none() {
            std::mem::replace(&mut mail.smtputf8, true)
        } else {
            return Err(CommandError::Parameter);
        };
        if twice {
            return Err(CommandError::Arguments);
        }
    }
    if !mail.smtputf8 && mail.address.as_ref().is_some_and(|address| !address.is_ascii()) {
        return Err(CommandError::NeedsSmtpUtf8);
    }
    Ok(mail)
}

/// RFC 1870 §4: one to twenty digits. What does not fit 64 bits is surely too large.
fn size(value: Option<&str>) -> Result<u64, CommandError> {
    let digits = value.unwrap_or_default();
    if digits.is_empty() || digits.len() > 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CommandError::Arguments);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

fn body(value: Option<&str>) -> Result<Body, CommandError> {
    match value {
        Some(value) if value.eq_ignore_ascii_case("7BIT") => Ok(Body::SevenBit),
        Some(value) if value.eq_ignore_ascii_case("8BITMIME") => Ok(Body::EightBitMime),
        Some(_) | None => Err(CommandError::Arguments),
    }
}

fn recipient(arguments: &str) -> Result<RcptTo<'_>, CommandError> {
    let input = after_keyword(arguments, "TO:").ok_or(CommandError::Arguments)?;
    let (path, parameters) = path::parse(input).ok_or(CommandError::Recipient)?;
    if self::parameters(parameters)?.next().is_some() {
        return Err(CommandError::Parameter);
    }
    match path {
        Path::Address(address) => Ok(RcptTo::Address(address)),
        Path::Local(local) if local.eq_ignore_ascii_case("postmaster") => Ok(RcptTo::Postmaster),
        Path::Local(_) | Path::Null => Err(CommandError::Recipient),
    }
}

/// A space after the colon is wrong and common; it is skipped.
fn after_keyword<'a>(arguments: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, tail) = arguments.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| tail.trim_ascii_start())
}

/// `name` or `name=value`, separated by spaces, after a path.
fn parameters(text: &str) -> Result<impl Iterator<Item = (&str, Option<&str>)>, CommandError> {
    if !text.is_empty() && !text.starts_with([' ', '\t']) {
        return Err(CommandError::Arguments);
    }
    Ok(text.split_ascii_whitespace().map(|parameter| match parameter.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (parameter, None),
    }))
}
