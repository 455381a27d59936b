//! Commands that a client writes. Arguments come from stored data, so each is checked: nothing that holds
//! a control character or a space reaches the wire as part of a command.

/// An argument would break out of its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the argument holds characters that a command cannot carry")]
pub struct UnsafeArgument;

/// Parameters of `MAIL FROM`; set only what the server's [`Capabilities`](crate::Capabilities) offer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// `SIZE=`, in bytes
    pub size: Option<u64>,
    /// `BODY=8BITMIME`
    pub eight_bit_mime: bool,
    /// `SMTPUTF8`
    pub smtputf8: bool,
}

/// Appends `EHLO name`.
///
/// # Errors
/// [`UnsafeArgument`], and then nothing is appended.
pub fn write_ehlo(out: &mut Vec<u8>, name: &str) -> Result<(), UnsafeArgument> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UnsafeArgument);
    }
    append(out, &["EHLO ", name, "\r\n"]);
    Ok(())
}

/// Appends `MAIL FROM:<address>` with its parameters; `None` is `<>`.
///
/// # Errors
/// [`UnsafeArgument`], and then nothing is appended.
pub fn write_mail_from(
    out: &mut Vec<u8>,
    address: Option<&str>,
    parameters: MailParameters,
) -> Result<(), UnsafeArgument> {
    let address = address.map_or(Ok(""), path)?;
    append(out, &["MAIL FROM:<", address, ">"]);
    if let Some(size) = parameters.size {
        append(out, &[" SIZE=", &size.to_string()]);
    }
    if parameters.eight_bit_mime {
        append(out, &[" BODY=8BITMIME"]);
    }
    if parameters.smtputf8 {
        append(out, &[" SMTPUTF8"]);
    }
    append(out, &["\r\n"]);
    Ok(())
}

/// Appends `RCPT TO:<address>`.
///
/// # Errors
/// [`UnsafeArgument`], and then nothing is appended.
pub fn write_rcpt_to(out: &mut Vec<u8>, address: &str) -> Result<(), UnsafeArgument> {
    append(out, &["RCPT TO:<", path(address)?, ">\r\n"]);
    Ok(())
}

/// The address, if it is one by the parser that our own server uses.
fn path(address: &str) -> Result<&str, UnsafeArgument> {
    let whole = format!("<{address}>");
    match crate::path::parse(&whole) {
        Some((crate::path::Path::Address(_), "")) => Ok(address),
        Some(_) | None => Err(UnsafeArgument),
    }
}

fn append(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}
