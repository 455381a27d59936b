//! Messages of an inbox: reading, labelling, deleting, sending, answering, passing on.

use std::collections::BTreeMap;

use podmail_api_types::messages as wire;
use podmail_app::filters::{Substrings, lowered};
use podmail_app::messages::included;
use podmail_app::readable::{Readable, Source};
use podmail_app::send::{self, AttachmentInput, Given, Idempotency, Kind, SendInput, check};
use podmail_app::{Caller, Error, Issue, LabelChange, MessageFilter, Result};
use podmail_domain::{MessageId, Permission, limits};
use serde_json::Value;

use crate::describe::{
    AFTER, BEFORE, Doc, IDEMPOTENCY_KEY, INCLUDES, LABELS, OneOrMany, Param, Shape, body_type, doc,
};
use crate::error::Code;
use crate::fields::{Fields, Text};
use crate::paging::Rules;
use crate::query::Query;
use crate::request::{Reply, Request};
use crate::route::Route;

/// Elements of an address list that are looked at; more cannot fit the 50 recipients.
const ADDRESSES_MAX: usize = 500;
/// Extra headers of one send.
const HEADERS_MAX: usize = 100;
/// What the links to attachments have besides the bytes.
pub(super) const TEXT_OF_FILE: &str = "`text_url` leads to the plain text of documents (PDF, Word, Excel, HTML and texts). \
     It is taken out in the background, so that it may still be missing shortly after a message arrived.";

pub(crate) fn routes() -> Vec<Route> {
    use Permission::{MessageDelete, MessageRead, MessageSend, MessageUpdate};
    vec![
        Route::get("/v0/inboxes/{inbox_id}/messages", MessageRead, list).describe(
            doc("messages.list", "List messages")
                .about("Text filters take `limit` up to 100, and the order stays newest first. Items have no bodies.")
                .params(&[LABELS, BEFORE, AFTER])
                .params(INCLUDES)
                .params(&[
                    Param::query("from", Shape::Texts, "Parts of senders, all of which have to be found."),
                    Param::query("to", Shape::Texts, "Parts of recipients, all of which have to be found."),
                    Param::query(
                        "subject",
                        Shape::Texts,
                        "Parts of the subject, all of which have to be found.",
                    ),
                ])
                .pages::<wire::Message>("messages")
                .ascending(),
        ),
        Route::post("/v0/inboxes/{inbox_id}/messages/batch-get", MessageRead, batch_get).describe(
            doc("messages.batch_get", "Get several messages without their bodies")
                .about("What is not there is left out.")
                .body::<BatchGetMessages>()
                .answers::<wire::BatchGet>(),
        ),
        Route::post("/v0/inboxes/{inbox_id}/messages/batch-update", MessageUpdate, batch_update).describe(
            doc("messages.batch_update", "Change the labels of several messages")
                .about("What is not there is left out. At least one label is needed.")
                .body::<BatchUpdateMessages>()
                .answers::<wire::BatchUpdate>(),
        ),
        Route::post("/v0/inboxes/{inbox_id}/messages/send", MessageSend, send)
            .describe(sending("messages.send", "Send a message").body::<NewMessage>()),
        Route::get("/v0/inboxes/{inbox_id}/messages/{message_id}", MessageRead, get).describe(
            doc("messages.get", "Get a message with its bodies")
                .params(BODY)
                .answers::<wire::ReadableMessage>(),
        ),
        Route::patch("/v0/inboxes/{inbox_id}/messages/{message_id}", MessageUpdate, update).describe(
            doc("messages.update", "Change the labels of a message")
                .about("At least one label is needed.")
                .body::<LabelsChange>()
                .answers::<wire::MessageUpdate>(),
        ),
        Route::delete("/v0/inboxes/{inbox_id}/messages/{message_id}", MessageDelete, delete)
            .describe(doc("messages.delete", "Delete a message")),
        Route::get("/v0/inboxes/{inbox_id}/messages/{message_id}/raw", MessageRead, raw).describe(
            doc("messages.get_raw", "Get a link to the message as it came or went")
                .answers::<wire::RawMessage>(),
        ),
        Route::get(
            "/v0/inboxes/{inbox_id}/messages/{message_id}/attachments/{attachment_id}",
            MessageRead,
            attachment,
        )
        .describe(
            doc("messages.get_attachment", "Get a link to an attachment of a message")
                .about(TEXT_OF_FILE)
                .answers::<wire::AttachmentResponse>(),
        ),
        Route::post("/v0/inboxes/{inbox_id}/messages/{message_id}/reply", MessageSend, reply).describe(
            sending("messages.reply", "Reply to a message")
                .about("Without recipients it goes to the sender, with `reply_all` to everybody.")
                .body::<NewReply>(),
        ),
        Route::post("/v0/inboxes/{inbox_id}/messages/{message_id}/reply-all", MessageSend, reply_all)
            .describe(
                sending("messages.reply_all", "Reply to everybody on a message").body::<NewReplyToAll>(),
            ),
        Route::post("/v0/inboxes/{inbox_id}/messages/{message_id}/forward", MessageSend, forward).describe(
            sending("messages.forward", "Forward a message with its attachments").body::<NewMessage>(),
        ),
    ]
}

/// What every sending route says.
pub(super) fn sending(operation: &'static str, summary: &'static str) -> Doc {
    doc(operation, summary).params(&[IDEMPOTENCY_KEY]).answers::<wire::Sent>().fails(&[
        Code::DomainNotVerified,
        Code::MessageRejected,
        Code::InboxPaused,
        Code::Conflict,
        Code::RaceCondition,
        Code::Unprocessable,
    ])
}

body_type! {
    /// A message to send.
    #[schemars(extend("examples" = [{ "to": "ada@example.com", "subject": "Hello", "text": "Hello Ada" }]))]
    NewMessage {
        /// `name@host` or `Name <name@host>`; at most 50 recipients over `to`, `cc` and `bcc`.
        to: Option<OneOrMany>,
        /// Further recipients.
        cc: Option<OneOrMany>,
        /// Further recipients that nobody sees.
        bcc: Option<OneOrMany>,
        /// Where answers should go.
        reply_to: Option<OneOrMany>,
        /// Subject.
        subject: Option<String>,
        /// The body as text.
        text: Option<String>,
        /// The body as HTML.
        html: Option<String>,
        /// Labels of the stored message.
        labels: Option<OneOrMany>,
        /// Extra headers.
        headers: Option<BTreeMap<String, String>>,
        /// Files.
        #[schemars(length(max = limits::SEND_ATTACHMENTS))]
        attachments: Option<Vec<NewAttachment>>,
        /// Whether opens are tracked; the sending domain has to have it switched on.
        track_opens: Option<bool>,
    }
}

body_type! {
    /// An answer to a message.
    #[schemars(extend("examples" = [{ "text": "Thank you" }]))]
    NewReply {
        /// Recipients, instead of the sender of the message.
        to: Option<OneOrMany>,
        /// Further recipients.
        cc: Option<OneOrMany>,
        /// Further recipients that nobody sees.
        bcc: Option<OneOrMany>,
        /// Where answers should go.
        reply_to: Option<OneOrMany>,
        /// Instead of `Re:` and the subject of the message.
        subject: Option<String>,
        /// The body as text; the message is quoted below.
        text: Option<String>,
        /// The body as HTML; the message is quoted below.
        html: Option<String>,
        /// Labels of the stored message.
        labels: Option<OneOrMany>,
        /// Extra headers.
        headers: Option<BTreeMap<String, String>>,
        /// Files.
        #[schemars(length(max = limits::SEND_ATTACHMENTS))]
        attachments: Option<Vec<NewAttachment>>,
        /// Whether opens are tracked; the sending domain has to have it switched on.
        track_opens: Option<bool>,
        /// To everybody on the message; excludes recipients of its own.
        reply_all: Option<bool>,
    }
}

body_type! {
    /// An answer to everybody on a message.
    #[schemars(extend("examples" = [{ "text": "Thank you all" }]))]
    NewReplyToAll {
        /// Where answers should go.
        reply_to: Option<OneOrMany>,
        /// Instead of `Re:` and the subject of the message.
        subject: Option<String>,
        /// The body as text; the message is quoted below.
        text: Option<String>,
        /// The body as HTML; the message is quoted below.
        html: Option<String>,
        /// Labels of the stored message.
        labels: Option<OneOrMany>,
        /// Extra headers.
        headers: Option<BTreeMap<String, String>>,
        /// Files.
        #[schemars(length(max = limits::SEND_ATTACHMENTS))]
        attachments: Option<Vec<NewAttachment>>,
        /// Whether opens are tracked; the sending domain has to have it switched on.
        track_opens: Option<bool>,
    }
}

body_type! {
    /// A file to send: exactly one of `content` and `url`.
    pub(super) NewAttachment {
        /// Base64.
        content: Option<String>,
        /// Where the server fetches it.
        #[schemars(length(max = 8192))]
        url: Option<String>,
        /// File name.
        filename: Option<String>,
        /// Media type; found from the name when left out.
        content_type: Option<String>,
        /// `attachment` or `inline`.
        content_disposition: Option<String>,
        /// For `cid:` links in the HTML.
        content_id: Option<String>,
    }
}

body_type! {
    /// Which messages.
    #[schemars(extend("examples" = [{ "message_ids": ["<1@example.com>", "<2@example.com>"] }]))]
    BatchGetMessages {
        /// No id twice.
        #[schemars(length(min = 1, max = limits::BATCH_GET_IDS))]
        message_ids: Vec<MessageId>,
    }
}

body_type! {
    /// Which messages, and which labels.
    #[schemars(extend("examples" = [{ "message_ids": ["<1@example.com>", "<2@example.com>"], "add_labels": "done" }]))]
    BatchUpdateMessages {
        /// No id twice.
        #[schemars(length(min = 1, max = limits::BATCH_UPDATE_IDS))]
        message_ids: Vec<MessageId>,
        /// Labels to put on.
        add_labels: Option<OneOrMany>,
        /// Labels to take off.
        remove_labels: Option<OneOrMany>,
    }
}

body_type! {
    /// Labels to put on and to take off.
    #[schemars(extend("examples" = [{ "add_labels": ["done"], "remove_labels": ["unread"] }]))]
    pub(super) LabelsChange {
        /// Labels to put on.
        add_labels: Option<OneOrMany>,
        /// Labels to take off.
        remove_labels: Option<OneOrMany>,
    }
}

async fn list(request: Request) -> Result<Reply> {
    let mut query = request.query();
    let filter = MessageFilter {
        labels: labels(&mut query),
        before: query.time("before"),
        after: query.time("after"),
        visible: visible(&mut query),
    };
    let substrings = Substrings {
        senders: substrings(&mut query, "from"),
        recipients: substrings(&mut query, "to"),
        subjects: substrings(&mut query, "subject"),
    };
    // messages.md §3: with text filters the order stays newest first.
    let rules = if substrings.is_empty() { Rules::LIST } else { Rules::FILTERED.newest_first() };
    let paging = query.page(rules)?;
    let page = request
        .app
        .list_messages(
            request.caller()?,
            &filter,
            &substrings,
            paging.order,
            paging.after.as_ref(),
            paging.limit,
        )
        .await?;
    paging.reply("messages", page, |message| message)
}

/// Label filters, compared like stored labels.
pub(super) fn labels(query: &mut Query) -> Vec<String> {
    query.comma_list("labels").into_iter().map(|label| label.trim().to_lowercase()).collect()
}

/// Which restricted labels a list includes.
pub(super) fn visible(query: &mut Query) -> podmail_domain::label::Restricted {
    included(|label| query.boolean(&format!("include_{label}")).unwrap_or(false))
}

/// Case-insensitive substrings that all have to match.
pub(super) fn substrings(query: &mut Query, name: &str) -> Vec<String> {
    let values = query.list(name);
    for (n, _) in values.iter().enumerate().filter(|(_, value)| value.is_empty()) {
        query.issue(Issue::too_small([name.into(), n.into()], "string", 1));
    }
    values.iter().map(|value| lowered(value)).collect()
}

async fn get(request: Request) -> Result<Reply> {
    let caller = request.caller()?;
    let message = request.app.message(caller, &request.message_id()).await?;
    let mut query = request.query();
    let readable = readable(&mut query);
    query.finish()?;
    let full = request.app.render_message(&caller.scope, &message).await?;
    match readable {
        None => Reply::json(&full),
        Some(readable) => Reply::json(&readable.add(vec![full]).await?.first()),
    }
}

/// What readers of bodies as Markdown may ask for.
pub(super) const BODY: &[Param] = &[
    Param::query(
        "body",
        Shape::OneOf(&["markdown", "markdown_extracted"]),
        "Adds the body as `markdown`: all of it, or only what its author newly wrote.",
    ),
    Param::query(
        "body_limit",
        Shape::Integer { min: 1, max: limits::BODY_CHARS_MAX },
        "Characters of a page of it.",
    ),
    Param::query(
        "body_offset",
        Shape::Integer { min: 0, max: limits::BODY_OFFSET_MAX },
        "Where the page begins: `markdown_next_offset` of the page before.",
    ),
];

/// `body`, `body_limit` and `body_offset`; the latter two are checked even without the first.
pub(super) fn readable(query: &mut Query) -> Option<Readable> {
    let source = query.one_of("body", &["markdown", "markdown_extracted"]);
    let limit = query.integer("body_limit", 1, limits::BODY_CHARS_MAX);
    let offset = query.integer("body_offset", 0, limits::BODY_OFFSET_MAX);
    let source = if source? == "markdown" { Source::Whole } else { Source::Extracted };
    Some(Readable { source, offset: offset.unwrap_or(0), limit: limit.unwrap_or(limits::BODY_CHARS_DEFAULT) })
}

/// Ids of a batch: 1 to `max`, none twice.
fn batch(fields: &mut Fields, max: usize) -> Vec<MessageId> {
    let ids = fields.string_list("message_ids", max, Text::upto(2048).at_least(1));
    if fields.raw("message_ids").is_none() || ids.as_ref().is_some_and(Vec::is_empty) {
        fields.issue(Issue::too_small(["message_ids".into()], "array", 1));
    }
    let ids: Vec<MessageId> = ids.unwrap_or_default().iter().map(|id| MessageId::new(id)).collect();
    let mut seen = std::collections::HashSet::new();
    if let Some(n) = ids.iter().position(|id| !seen.insert(id)) {
        fields.issue(Issue::custom(["message_ids".into(), n.into()], "Duplicate message id"));
    }
    ids
}

async fn batch_get(request: Request) -> Result<Reply> {
    let mut fields = request.fields()?;
    let ids = batch(&mut fields, limits::BATCH_GET_IDS);
    fields.finish()?;
    Reply::json(&request.app.batch_get(request.caller()?, &ids).await?)
}

/// `add_labels` and `remove_labels`, at least one label in all.
pub(super) fn label_change(fields: &mut Fields) -> LabelChange {
    // By what was given: a label that was refused is no label that is missing.
    let given = ["add_labels", "remove_labels"].into_iter().any(|name| filled(fields, name));
    let change = optional_label_change(fields);
    if !given {
        fields.issue(Issue::custom([], "At least one label in add_labels or remove_labels is required"));
    }
    change
}

/// The same where no label is needed.
pub(super) fn optional_label_change(fields: &mut Fields) -> LabelChange {
    let mut read = |name: &str| {
        let given =
            fields.one_or_many(name, 10 * limits::LABELS_PER_MESSAGE, Text::any()).unwrap_or_default();
        let mut issues = Vec::new();
        let labels = check::labels_at(name, &given, &mut issues);
        for issue in issues {
            fields.issue(issue);
        }
        labels
    };
    LabelChange { add: read("add_labels"), remove: read("remove_labels") }
}

async fn batch_update(request: Request) -> Result<Reply> {
    let mut fields = request.fields()?;
    let ids = batch(&mut fields, limits::BATCH_UPDATE_IDS);
    let change = label_change(&mut fields);
    fields.finish()?;
    let updates = request.app.relabel_messages(request.caller()?, &ids, change).await?;
    Reply::json(&wire::BatchUpdate { limit: ids.len(), count: updates.len(), updates })
}

async fn update(request: Request) -> Result<Reply> {
    let (caller, id) = (request.caller()?, request.message_id());
    request.app.message(caller, &id).await?;
    let mut fields = request.fields()?;
    let change = label_change(&mut fields);
    fields.finish()?;
    let updates = request.app.relabel_messages(caller, &[id], change).await?;
    Reply::json(&updates.into_iter().next().ok_or(Error::NotFound("Message"))?)
}

async fn delete(request: Request) -> Result<Reply> {
    request.app.delete_message(request.caller()?, &request.message_id()).await?;
    Ok(Reply::Empty)
}

async fn raw(request: Request) -> Result<Reply> {
    Reply::json(&request.app.raw_message(request.caller()?, &request.message_id()).await?)
}

async fn attachment(request: Request) -> Result<Reply> {
    let (caller, id) = (request.caller()?, request.message_id());
    request.app.message(caller, &id).await?;
    Reply::json(&request.app.message_attachment(caller, &id, request.attachment_id()?).await?)
}

/// What a sending route does with its source.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    Send,
    Reply,
    ReplyAll,
    Forward,
}

async fn send(request: Request) -> Result<Reply> {
    dispatch(request, Sending::Send).await
}

async fn reply(request: Request) -> Result<Reply> {
    dispatch(request, Sending::Reply).await
}

async fn reply_all(request: Request) -> Result<Reply> {
    dispatch(request, Sending::ReplyAll).await
}

async fn forward(request: Request) -> Result<Reply> {
    // It hands out the whole original.
    request.caller()?.require(Permission::MessageRead)?;
    dispatch(request, Sending::Forward).await
}

async fn dispatch(request: Request, route: Sending) -> Result<Reply> {
    let caller = request.caller()?;
    let idempotency = idempotency(&request, caller, route)?;
    // Held until the answer: a second request with the key meanwhile is a conflict.
    let _running = match &idempotency {
        None => None,
        Some(idempotency) => match request.app.begin_idempotent(caller, idempotency).await? {
            Ok(running) => Some(running),
            Err(sent) => return Reply::json(&sent),
        },
    };
    let source = match route {
        Sending::Send => None,
        Sending::Reply | Sending::ReplyAll | Sending::Forward => {
            Some(request.app.message(caller, &request.message_id()).await?)
        }
    };
    let kind = match (route, &source) {
        (Sending::Send, _) | (_, None) => Kind::Send,
        (Sending::Reply, Some(source)) => Kind::Reply(source),
        (Sending::ReplyAll, Some(source)) => Kind::ReplyAll(source),
        (Sending::Forward, Some(source)) => Kind::Forward(source),
    };
    let mut fields = request.fields()?;
    let input = input(&mut fields, route);
    let mut issues = Vec::new();
    let draft = check::check(kind, input, &mut issues);
    for issue in issues {
        fields.issue(issue);
    }
    fields.finish()?;
    let draft = draft.ok_or_else(|| Error::internal("a request without issues has no draft"))?;
    Reply::json(&request.app.send(caller, kind, draft, idempotency).await?)
}

fn idempotency(request: &Request, caller: &Caller, route: Sending) -> Result<Option<Idempotency>> {
    let name = match route {
        Sending::Send => "send",
        Sending::Reply => "reply",
        Sending::ReplyAll => "reply-all",
        Sending::Forward => "forward",
    };
    let source = if route == Sending::Send { String::new() } else { request.message_id().to_string() };
    keyed(request, caller, name, &source)
}

/// The `Idempotency-Key` of a request that sends, with what makes the request the same one.
///
/// # Errors
/// `Invalid` for a bad key, and for a body that is no object: such a one was never accepted, so it replays nothing.
pub(super) fn keyed(request: &Request, caller: &Caller, name: &str, of: &str) -> Result<Option<Idempotency>> {
    let Some(key) = request.idempotency_key()? else { return Ok(None) };
    let fields = request.fields()?;
    let inbox = caller.scope.inbox().map(|inbox| inbox.key);
    Ok(Some(Idempotency { key, request_hash: send::request_hash(name, inbox, of, fields.members()) }))
}

/// Whether a member is there and is not an empty list, readable or not.
pub(super) fn filled(fields: &Fields, name: &str) -> bool {
    fields.raw(name).is_some_and(|value| value.as_array().is_none_or(|items| !items.is_empty()))
}

/// Addresses: one string or an array.
pub(super) fn addresses(fields: &mut Fields, name: &str) -> Option<Given> {
    let single = fields.raw(name).is_some_and(Value::is_string);
    let values = fields.one_or_many(name, ADDRESSES_MAX, Text::upto(1000))?;
    Some(Given { values, single })
}

/// Attachments as given.
pub(super) fn files(fields: &mut Fields, name: &str) -> Vec<AttachmentInput> {
    fields
        .objects(name, limits::SEND_ATTACHMENTS, |attachment| AttachmentInput {
            content: attachment.string("content", Text::any()),
            url: attachment.string("url", Text::upto(8192)),
            // A NUL in a name becomes `_` rather than vanishing.
            filename: attachment.string("filename", Text::any().keeping_nul()),
            content_type: attachment.string("content_type", Text::any()),
            content_disposition: attachment.string("content_disposition", Text::any()),
            content_id: attachment.string("content_id", Text::any()),
        })
        .unwrap_or_default()
}

fn input(fields: &mut Fields, route: Sending) -> SendInput {
    let addressed =
        route != Sending::ReplyAll && ["to", "cc", "bcc"].into_iter().any(|name| filled(fields, name));
    let mut addresses = |name: &str| addresses(fields, name);
    // Reply-all has no recipients of its own: the members are ignored there like any unknown one.
    let (to, cc, bcc) = if route == Sending::ReplyAll {
        (None, None, None)
    } else {
        (addresses("to"), addresses("cc"), addresses("bcc"))
    };
    let reply_to = addresses("reply_to");
    SendInput {
        addressed,
        to,
        cc,
        bcc,
        reply_to,
        subject: fields.string("subject", Text::any()),
        text: fields.string("text", Text::any()),
        html: fields.string("html", Text::any()),
        labels: fields
            .one_or_many("labels", 10 * limits::LABELS_PER_MESSAGE, Text::any())
            .unwrap_or_default(),
        headers: headers(fields),
        track_opens: fields.boolean("track_opens").unwrap_or(false),
        reply_all: route == Sending::Reply && fields.boolean("reply_all").unwrap_or(false),
        attachments: files(fields, "attachments"),
    }
}

/// Extra headers as given, NUL included: a bad value is refused, not mended.
fn headers(fields: &mut Fields) -> Vec<(String, String)> {
    let Some(given) = fields.raw("headers").cloned() else { return Vec::new() };
    let Value::Object(members) = given else {
        fields.object("headers");
        return Vec::new();
    };
    if members.len() > HEADERS_MAX {
        fields.issue(Issue::too_big(["headers".into()], "object", HEADERS_MAX));
        return Vec::new();
    }
    let mut headers = Vec::with_capacity(members.len());
    for (name, value) in members {
        match value {
            Value::String(value) => headers.push((name, value)),
            other
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                let received = crate::fields::type_name(&other);
                let path = vec!["headers".into(), name.into()];
                fields.issue(crate::fields::wrong_type(path, "string", received));
            }
        }
    }
    headers
}
