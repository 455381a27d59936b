//! Attachments given by URL are fetched before anything is stored, through the guard for outgoing connections.

use std::time::Duration;

use podmail_domain::limits;

use super::check::{Attachment, Source};
use crate::{App, Error, Issue, Result};

/// Whole download of one attachment.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

impl App {
    /// Replaces the URLs in one member of a request by their bytes. Nothing is stored when one cannot be fetched.
    pub(crate) async fn fetch_attachments(&self, field: &str, attachments: &mut [Attachment]) -> Result<()> {
        let most = usize::try_from(limits::SEND_ATTACHMENT_BYTES).unwrap_or(usize::MAX);
        let mut left = most;
        for (n, attachment) in attachments.iter_mut().enumerate() {
            let Source::Url(url) = &attachment.source else { continue };
            let url = url.clone();
            let fetched = match self.egress().fetch(&url, left, FETCH_TIMEOUT).await {
                Ok(fetched) if (200..300).contains(&fetched.status) => fetched,
                Ok(fetched) => return Err(unreachable(&url, &format!("status {}", fetched.status))),
                Err(podmail_egress::EgressError::TooLarge) => {
                    let path = [field.into(), n.into(), "url".into()];
                    return Err(Error::invalid(Issue::too_big(path, "file", most)));
                }
                Err(error) => return Err(unreachable(&url, &error.to_string())),
            };
            left = left.saturating_sub(fetched.body.len());
            name(attachment, &url, fetched.content_type.as_deref(), fetched.content_disposition.as_deref());
            attachment.source = Source::Bytes(fetched.body.to_vec());
        }
        Ok(())
    }
}

fn name(
    attachment: &mut Attachment,
    url: &str,
    content_type: Option<&str>,
    content_disposition: Option<&str>,
) {
    if attachment.filename.is_none() {
        let parsed = url::Url::parse(url).ok();
        let last = parsed.as_ref().and_then(|url| url.path_segments()?.next_back().map(str::to_owned));
        let last = last.map(|name| percent_decoded(&name)).filter(|name| !name.is_empty());
        attachment.filename = last
            .or_else(|| content_disposition.and_then(named_by))
            .map(|name| podmail_mime::clean_filename(&name))
            .filter(|name| !name.is_empty());
    }
    let guessed = attachment.filename.as_deref().and_then(|name| mime_guess::from_path(name).first_raw());
    if attachment.content_type.is_none() && guessed.is_none() {
        attachment.content_type =
            content_type.filter(|kind| super::check::media_type(kind)).map(str::to_owned);
    }
}

fn percent_decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// The file name in the value of a `Content-Disposition` header.
fn named_by(content_disposition: &str) -> Option<String> {
    let header = format!("Content-Type: x/x\r\nContent-Disposition: {content_disposition}\r\n\r\n");
    podmail_mime::parse(header.as_bytes()).attachments.into_iter().next()?.filename
}

fn unreachable(url: &str, cause: &str) -> Error {
    Error::MessageRejected {
        message: format!("Message rejected: attachment {url} could not be fetched: {cause}"),
        fix: Some("Check that the URL is public and answers 200, or send the content as Base64".to_owned()),
    }
}
