//! The request of a send, checked: every violated field at once, with the path that the client wrote.

use base64::Engine as _;
use podmail_domain::{label, limits};
use podmail_mime::{Disposition, Mailbox};

use super::Kind;
use crate::error::{Issue, IssueCode, PathItem};

/// Addresses as a client gave them: one string or a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The strings.
    pub values: Vec<String>,
    /// Whether it was one bare string: paths of issues then have no position.
    pub single: bool,
}

/// An attachment as a client gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachmentInput {
    /// Base64.
    pub content: Option<String>,
    /// An address to fetch.
    pub url: Option<String>,
    /// Name.
    pub filename: Option<String>,
    /// Media type.
    pub content_type: Option<String>,
    /// `inline` or `attachment`.
    pub content_disposition: Option<String>,
    /// With or without brackets.
    pub content_id: Option<String>,
}

/// The members of a send, reply or forward, of the right JSON types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendInput {
    /// Whether the request has recipients of its own, be they readable or not.
    pub addressed: bool,
    /// `None` when absent.
    pub to: Option<Given>,
    /// `None` when absent.
    pub cc: Option<Given>,
    /// `None` when absent.
    pub bcc: Option<Given>,
    /// `None` when absent.
    pub reply_to: Option<Given>,
    /// Ignored on replies.
    pub subject: Option<String>,
    /// Plain text body.
    pub text: Option<String>,
    /// HTML body.
    pub html: Option<String>,
    /// Custom labels.
    pub labels: Vec<String>,
    /// In order.
    pub attachments: Vec<AttachmentInput>,
    /// Extra headers.
    pub headers: Vec<(String, String)>,
    /// Asks for an open pixel.
    pub track_opens: bool,
    /// On the reply route: the same as reply-all.
    pub reply_all: bool,
}

/// Where an attachment's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Decoded already.
    Bytes(Vec<u8>),
    /// To be fetched.
    Url(String),
}

/// A checked attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub(crate) source: Source,
    pub(crate) filename: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) disposition: Disposition,
    pub(crate) content_id: Option<String>,
}

impl Attachment {
    /// How many bytes are there.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.source {
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::Url(_) => 0,
        }
    }
}

/// A checked request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub(crate) to: Vec<Mailbox>,
    pub(crate) cc: Vec<Mailbox>,
    pub(crate) bcc: Vec<Mailbox>,
    pub(crate) reply_to: Vec<Mailbox>,
    pub(crate) subject: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) reply_all: bool,
    pub(crate) track_opens: bool,
    /// Recipients and subject are final: nothing is derived from a source any more.
    pub(crate) settled: bool,
}

/// Checks a request; adds to `issues` and answers `None` when something does not fit.
pub fn check(kind: Kind<'_>, input: SendInput, issues: &mut Vec<Issue>) -> Option<Draft> {
    let before = issues.len();
    if matches!(kind, Kind::Send | Kind::Forward(_)) && !input.addressed {
        issues.push(Issue::custom([], "to, cc, or bcc must be specified"));
    }
    let draft = content(kind, input, issues);
    (issues.len() == before).then_some(draft)
}

/// Checks what a request says, recipients or not.
pub fn content(kind: Kind<'_>, input: SendInput, issues: &mut Vec<Issue>) -> Draft {
    if input.reply_all && input.addressed {
        issues.push(Issue::custom(["reply_all".into()], "reply_all cannot be combined with to, cc or bcc"));
    }
    let mut draft = Draft {
        to: mailboxes("to", input.to, issues),
        cc: mailboxes("cc", input.cc, issues),
        bcc: mailboxes("bcc", input.bcc, issues),
        reply_to: mailboxes("reply_to", input.reply_to, issues),
        subject: input.subject.map(|subject| podmail_mime::clean_subject(&subject)).filter(|s| !s.is_empty()),
        text: input.text.filter(|text| !text.is_empty()),
        html: input.html.filter(|html| !html.is_empty()),
        labels: labels(&input.labels, issues),
        attachments: attachments("attachments", input.attachments, issues),
        headers: headers(kind, input.headers, issues),
        reply_all: input.reply_all,
        track_opens: input.track_opens,
        settled: false,
    };
    distinct(&mut draft);
    if draft.to.len() + draft.cc.len() + draft.bcc.len() > limits::SEND_RECIPIENTS {
        issues.push(Issue::too_big(["to".into()], "array", limits::SEND_RECIPIENTS));
    }
    draft
}

/// A subject as it is kept: one line, no white space at its end.
pub fn clean_subject(subject: &str) -> String {
    podmail_mime::clean_subject(subject)
}

/// Removes repeated recipients; the first occurrence keeps its place and spelling.
fn distinct(draft: &mut Draft) {
    let mut seen = std::collections::HashSet::new();
    for list in [&mut draft.to, &mut draft.cc, &mut draft.bcc] {
        list.retain(|mailbox| seen.insert(mailbox.key()));
    }
}

/// Addresses; each that is none is named by its position.
pub fn mailboxes(field: &str, given: Option<Given>, issues: &mut Vec<Issue>) -> Vec<Mailbox> {
    let given = given.unwrap_or_default();
    if given.values.len() > 10 * limits::SEND_RECIPIENTS {
        issues.push(Issue::too_big([field.into()], "array", limits::SEND_RECIPIENTS));
        return Vec::new();
    }
    let mut parsed = Vec::with_capacity(given.values.len());
    for (n, text) in given.values.iter().enumerate() {
        match Mailbox::parse(text) {
            Ok(mailbox) => parsed.push(mailbox),
            Err(error) => {
                let mut path: Vec<PathItem> = vec![field.into()];
                if !given.single {
                    path.push(n.into());
                }
                issues.push(Issue::format(path, "email", format!("Invalid email address: {error}")));
            }
        }
    }
    parsed
}

/// Normalized labels; each refused one is named by its position.
pub fn labels_at(field: &str, given: &[String], issues: &mut Vec<Issue>) -> Vec<String> {
    let mut normalized: Vec<String> = Vec::with_capacity(given.len());
    for (n, text) in given.iter().enumerate() {
        match label::normalize(text) {
            Ok(label) if normalized.contains(&label) => {}
            Ok(label) => normalized.push(label),
            Err(error) => issues.push(Issue::custom([field.into(), n.into()], error.to_string())),
        }
    }
    if normalized.len() > limits::LABELS_PER_MESSAGE {
        issues.push(Issue::too_big([field.into()], "array", limits::LABELS_PER_MESSAGE));
    }
    normalized
}

fn labels(given: &[String], issues: &mut Vec<Issue>) -> Vec<String> {
    labels_at("labels", given, issues)
}

fn headers(kind: Kind<'_>, given: Vec<(String, String)>, issues: &mut Vec<Issue>) -> Vec<(String, String)> {
    for (name, value) in &given {
        let path = || -> [PathItem; 2] { ["headers".into(), name.as_str().into()] };
        let links = name.eq_ignore_ascii_case("in-reply-to") || name.eq_ignore_ascii_case("references");
        if !podmail_mime::header_name_valid(name) {
            issues.push(Issue::custom(path(), "Invalid header name"));
        } else if podmail_mime::header_name_reserved(name) || (links && kind.source().is_some()) {
            issues.push(Issue::custom(path(), format!("Header is set by the server: {name}")));
        } else if !podmail_mime::header_value_valid(value) {
            issues.push(Issue::custom(path(), "A header value must not contain CR, LF or NUL"));
        }
    }
    given
}

/// Attachments of the member `field`; each that does not fit is named by its position.
pub fn attachments(field: &str, given: Vec<AttachmentInput>, issues: &mut Vec<Issue>) -> Vec<Attachment> {
    if given.len() > limits::SEND_ATTACHMENTS {
        issues.push(Issue::too_big([field.into()], "array", limits::SEND_ATTACHMENTS));
        return Vec::new();
    }
    given.into_iter().enumerate().filter_map(|(n, input)| attachment(field, n, input, issues)).collect()
}

fn attachment(field: &str, n: usize, input: AttachmentInput, issues: &mut Vec<Issue>) -> Option<Attachment> {
    let before = issues.len();
    let at = |member: &str| -> [PathItem; 3] { [field.into(), n.into(), member.into()] };
    let source = match (input.content, input.url) {
        (Some(content), None) => match decode(&content) {
            Some(bytes) => Some(Source::Bytes(bytes)),
            None => {
                issues.push(Issue::format(at("content"), "base64", "Attachment content must be Base64"));
                None
            }
        },
        (None, Some(url)) => {
            if url::Url::parse(&url).is_err() {
                issues.push(Issue::format(at("url"), "url", "Attachment url must be an absolute URL"));
            }
            Some(Source::Url(url))
        }
        (Some(_), Some(_)) | (None, None) => {
            let path: [PathItem; 2] = [field.into(), n.into()];
            issues.push(Issue::custom(path, "Exactly one of content and url must be given"));
            None
        }
    };
    let content_id = input.content_id.map(|id| id.trim().trim_matches(['<', '>']).to_owned());
    let content_id = content_id.filter(|id| !id.is_empty());
    if content_id.as_deref().is_some_and(|id| id.len() > 900 || !id.chars().all(|c| c.is_ascii_graphic())) {
        issues.push(Issue::custom(at("content_id"), "A content id has 1 to 900 printable ASCII characters"));
    }
    let disposition = match input.content_disposition.as_deref() {
        None if content_id.is_some() => Disposition::Inline,
        None | Some("attachment") => Disposition::Attachment,
        Some("inline") => Disposition::Inline,
        Some(_) => {
            issues.push(Issue {
                path: at("content_disposition").to_vec(),
                code: IssueCode::InvalidValue { values: vec!["inline".to_owned(), "attachment".to_owned()] },
                message: "Invalid option: expected one of \"inline\"|\"attachment\"".to_owned(),
            });
            Disposition::Attachment
        }
    };
    if input.content_type.as_deref().is_some_and(|kind| !media_type(kind)) {
        issues.push(Issue::format(
            at("content_type"),
            "media_type",
            "content_type must look like type/subtype",
        ));
    }
    let filename =
        input.filename.map(|name| podmail_mime::clean_filename(&name)).filter(|name| !name.is_empty());
    let source = source.filter(|_| issues.len() == before)?;
    Some(Attachment { source, filename, content_type: input.content_type, disposition, content_id })
}

/// Whether text looks like `type/subtype`, possibly with parameters.
pub(crate) fn media_type(text: &str) -> bool {
    let token = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    let (essence, parameters) = text.split_once(';').map_or((text, ""), |(a, b)| (a, b));
    let fits = parameters.bytes().all(|b| (0x20..0x7f).contains(&b));
    text.len() <= 255
        && fits
        && essence.trim().split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub))
}

/// Base64 in the standard or URL-safe alphabet, with or without padding, white space ignored, a `data:` prefix
/// stripped. Anything else is refused: a decoder that skips foreign characters would deliver garbage.
fn decode(content: &str) -> Option<Vec<u8>> {
    let content = match content.strip_prefix("data:") {
        Some(rest) => rest.split_once(";base64,")?.1,
        None => content,
    };
    let mut clean: Vec<u8> = Vec::with_capacity(content.len());
    for byte in content.bytes().filter(|b| !b.is_ascii_whitespace()) {
        clean.push(match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        });
    }
    while clean.last() == Some(&b'=') {
        clean.pop();
    }
    let engine = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    engine.decode(clean).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_taken_in_every_common_form_and_nothing_else() {
        for (text, want) in [
            ("aGVsbG8=", Some("hello")),
            ("aGVsbG8", Some("hello")),
            ("aGVs\r\nbG8=", Some("hello")),
            ("data:text/plain;base64,aGVsbG8=", Some("hello")),
            ("", Some("")),
            ("not base64!", None),
            ("data:text/plain,hello", None),
        ] {
            assert_eq!(decode(text).as_deref(), want.map(str::as_bytes), "{text}");
        }
        assert_eq!(decode("-_8="), decode("+/8="));
    }

    #[test]
    fn every_violated_field_is_named_at_once() {
        let input = SendInput {
            addressed: true,
            to: Some(Given { values: vec!["ok@x.test".to_owned(), "nope".to_owned()], single: false }),
            cc: Some(Given { values: vec!["bad".to_owned()], single: true }),
            labels: vec!["fine".to_owned(), "Sent".to_owned()],
            headers: vec![
                ("X-A".to_owned(), "1\r\nBcc: e@x.test".to_owned()),
                ("From".to_owned(), "x".to_owned()),
            ],
            attachments: vec![AttachmentInput::default()],
            ..SendInput::default()
        };
        let mut issues = Vec::new();
        assert_eq!(check(Kind::Send, input, &mut issues), None);
        let paths: Vec<Vec<PathItem>> = issues.into_iter().map(|issue| issue.path).collect();
        assert_eq!(
            paths,
            [
                vec!["to".into(), 1.into()],
                vec!["cc".into()],
                vec!["labels".into(), 1.into()],
                vec!["attachments".into(), 0.into()],
                vec!["headers".into(), "X-A".into()],
                vec!["headers".into(), "From".into()],
            ]
        );
    }

    #[test]
    fn recipients_are_required_and_bounded_after_removing_duplicates() {
        let given =
            |n: usize| Given { values: (0..n).map(|i| format!("a{i}@x.test")).collect(), single: false };
        let run = |input: SendInput| {
            let mut issues = Vec::new();
            let draft = check(Kind::Send, input, &mut issues);
            (draft, issues)
        };
        let (none, issues) = run(SendInput::default());
        assert!(none.is_none());
        assert_eq!(issues[0].message, "to, cc, or bcc must be specified");
        let to = |n| SendInput { addressed: true, to: Some(given(n)), ..SendInput::default() };
        assert!(run(to(50)).0.is_some());
        assert!(run(to(51)).0.is_none());
        let twice = SendInput { cc: Some(given(50)), ..to(50) };
        assert_eq!(run(twice).0.expect("duplicates do not count").cc.len(), 0);
    }
}
