//! Drafts: reading at three levels, writing at the inbox.

use podmail_api_types::drafts::Draft;
use podmail_api_types::messages::AttachmentResponse;
use podmail_app::drafts::{self, DraftUpdate, NewDraftInput, Set};
use podmail_app::send::check;
use podmail_app::send::{Kind, SendInput};
use podmail_app::{DraftFilter, Error, Issue, LabelChange, Result};
use podmail_domain::{DraftId, MessageId, Permission, Timestamp, limits};
use serde_json::Value;

use super::messages::{
    LabelsChange, NewAttachment, addresses, files, filled, keyed, labels, optional_label_change, sending,
};
use crate::describe::{AFTER, BEFORE, ClientId, LABELS, OneOrMany, body_type, complete_type, doc};
use crate::error::Code;
use crate::fields::{Field, Fields, Text};
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    use Permission::{DraftCreate, DraftDelete, DraftRead, DraftSend, DraftUpdate};
    let list = Route::get("/v0/drafts", DraftRead, list).describe(
        doc("drafts.list", "List drafts")
            .about("Items have no bodies.")
            .params(&[LABELS, BEFORE, AFTER])
            .pages::<Draft>("drafts")
            .ascending(),
    );
    let get = Route::get("/v0/drafts/{draft_id}", DraftRead, get)
        .describe(doc("drafts.get", "Get a draft with its bodies").answers::<FullDraft>());
    let attachment = Route::get("/v0/drafts/{draft_id}/attachments/{attachment_id}", DraftRead, attachment)
        .describe(
            doc("drafts.get_attachment", "Get a link to an attachment of a draft")
                .answers::<AttachmentResponse>(),
        );
    let mut routes = Vec::new();
    for [collection, item, file] in [
        ["/v0/drafts", "/v0/drafts/{draft_id}", "/v0/drafts/{draft_id}/attachments/{attachment_id}"],
        [
            "/v0/pods/{pod_id}/drafts",
            "/v0/pods/{pod_id}/drafts/{draft_id}",
            "/v0/pods/{pod_id}/drafts/{draft_id}/attachments/{attachment_id}",
        ],
        [
            "/v0/inboxes/{inbox_id}/drafts",
            "/v0/inboxes/{inbox_id}/drafts/{draft_id}",
            "/v0/inboxes/{inbox_id}/drafts/{draft_id}/attachments/{attachment_id}",
        ],
    ] {
        routes.extend([list.at(collection), get.at(item), attachment.at(file)]);
    }
    routes.extend([
        Route::post("/v0/inboxes/{inbox_id}/drafts", DraftCreate, create).describe(
            doc("drafts.create", "Write a draft")
                .about("With `send_at` it is sent at that time, and needs the permission `draft_send` too.")
                .body::<NewDraft>()
                .answers::<FullDraft>()
                .fails(&[Code::AlreadyExists, Code::MessageRejected, Code::Unprocessable]),
        ),
        Route::patch("/v0/inboxes/{inbox_id}/drafts/{draft_id}", DraftUpdate, update).describe(
            doc("drafts.update", "Change a draft")
                .about("Members that are left out stay, null clears. At least one is needed.")
                .body::<DraftChange>()
                .not_null(&["add_attachments", "remove_attachments"])
                .answers::<FullDraft>()
                .fails(&[Code::MessageRejected, Code::Conflict]),
        ),
        Route::delete("/v0/inboxes/{inbox_id}/drafts/{draft_id}", DraftDelete, delete)
            .describe(doc("drafts.delete", "Delete a draft").fails(&[Code::Conflict])),
        Route::post("/v0/inboxes/{inbox_id}/drafts/{draft_id}/send", DraftSend, send).describe(
            sending("drafts.send", "Send a draft")
                .about("The draft becomes a message and is gone. Labels are changed on the way.")
                .body::<LabelsChange>(),
        ),
    ]);
    routes
}

body_type! {
    /// A new draft.
    #[schemars(extend("examples" = [{ "to": "ada@example.com", "subject": "Hello", "text": "Hello Ada" }]))]
    NewDraft {
        /// `name@host` or `Name <name@host>`; at most 50 recipients over `to`, `cc` and `bcc`.
        to: Option<OneOrMany>,
        /// Further recipients.
        cc: Option<OneOrMany>,
        /// Further recipients that nobody sees.
        bcc: Option<OneOrMany>,
        /// Where answers should go.
        reply_to: Option<OneOrMany>,
        /// Subject; derived from the message that it answers or forwards when left out.
        subject: Option<String>,
        /// The body as text, without a quote: that comes when it is sent.
        text: Option<String>,
        /// The body as HTML, without a quote.
        html: Option<String>,
        /// Labels of the draft and of the message that it becomes.
        labels: Option<OneOrMany>,
        /// Files.
        #[schemars(length(max = limits::SEND_ATTACHMENTS))]
        attachments: Option<Vec<NewAttachment>>,
        /// The message that it answers; excludes `forward_of`.
        #[schemars(length(min = 1, max = 2048))]
        in_reply_to: Option<String>,
        /// The message that it forwards.
        #[schemars(length(min = 1, max = 2048))]
        forward_of: Option<String>,
        /// To everybody on the message that it answers; excludes recipients of its own.
        reply_all: Option<bool>,
        /// When to send it by itself; in the future.
        send_at: Option<Timestamp>,
        /// Your own name for it: a second create with it answers the existing draft.
        client_id: Option<ClientId>,
    }
}

body_type! {
    /// A change of a draft.
    #[schemars(extend("examples" = [{ "subject": "Hello again" }]))]
    DraftChange {
        /// Recipients; null and an empty list clear them.
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
        /// When to send it by itself; null takes it off the schedule.
        send_at: Option<Timestamp>,
        /// Files to add.
        #[schemars(length(max = limits::SEND_ATTACHMENTS))]
        add_attachments: Option<Vec<NewAttachment>>,
        /// Ids of files to take off.
        remove_attachments: Option<Vec<String>>,
        /// Labels to put on.
        add_labels: Option<OneOrMany>,
        /// Labels to take off.
        remove_labels: Option<OneOrMany>,
    }
}

complete_type! {
    /// A draft with its bodies.
    FullDraft = Draft, with "created_at"
}

fn draft_id(request: &Request) -> Result<DraftId> {
    request.id("draft_id", DraftId::parse, "Draft")
}

async fn list(request: Request) -> Result<Reply> {
    let mut query = request.query();
    let filter =
        DraftFilter { labels: labels(&mut query), before: query.time("before"), after: query.time("after") };
    let paging = query.page(Rules::LIST)?;
    let page = request
        .app
        .list_drafts(request.caller()?, &filter, paging.order, paging.after.as_ref(), paging.limit)
        .await?;
    paging.reply("drafts", page, |draft| draft)
}

async fn get(request: Request) -> Result<Reply> {
    Reply::json(&request.app.full_draft(request.caller()?, draft_id(&request)?).await?)
}

async fn attachment(request: Request) -> Result<Reply> {
    let (caller, draft) = (request.caller()?, draft_id(&request)?);
    request.app.draft(caller, draft).await?;
    Reply::json(&request.app.draft_attachment(caller, draft, request.attachment_id()?).await?)
}

/// `send_at` lies in the future: sending at once by accident is worse than an error.
fn send_at(fields: &mut Fields, now: Timestamp) -> Option<Timestamp> {
    let at = fields.time("send_at")?;
    if at <= now {
        fields.refuse("send_at", "send_at must be in the future");
    }
    Some(at)
}

async fn create(request: Request) -> Result<Reply> {
    let caller = request.caller()?;
    let mut fields = request.fields()?;
    // What else the key must be allowed follows from what the draft is for.
    if fields.raw("in_reply_to").is_some() || fields.raw("forward_of").is_some() {
        caller.require(Permission::MessageRead)?;
    }
    if fields.raw("send_at").is_some() {
        caller.require(Permission::DraftSend)?;
    }
    let client_id = fields.client_id();
    if let Some(client_id) = &client_id
        && let Some(known) = request.app.draft_of_client_id(caller, client_id).await?
    {
        return Reply::json(&known);
    }
    let (to, cc, bcc) =
        (addresses(&mut fields, "to"), addresses(&mut fields, "cc"), addresses(&mut fields, "bcc"));
    let addressed = ["to", "cc", "bcc"].into_iter().any(|name| filled(&fields, name));
    let input = SendInput {
        addressed,
        to,
        cc,
        bcc,
        reply_to: addresses(&mut fields, "reply_to"),
        subject: fields.string("subject", Text::any()),
        text: fields.string("text", Text::any()),
        html: fields.string("html", Text::any()),
        labels: fields
            .one_or_many("labels", 10 * limits::LABELS_PER_MESSAGE, Text::any())
            .unwrap_or_default(),
        attachments: files(&mut fields, "attachments"),
        ..SendInput::default()
    };
    let id = |text: String| MessageId::new(&text);
    let in_reply_to = fields.string("in_reply_to", Text::upto(2048).at_least(1)).map(id);
    let forward_of = fields.string("forward_of", Text::upto(2048).at_least(1)).map(id);
    let reply_all = fields.boolean("reply_all").unwrap_or(false);
    if in_reply_to.is_some() && forward_of.is_some() {
        fields.refuse("forward_of", "forward_of cannot be combined with in_reply_to");
    }
    if reply_all && in_reply_to.is_none() {
        fields.refuse("reply_all", "reply_all needs in_reply_to");
    }
    if reply_all && addressed {
        fields.refuse("reply_all", "reply_all cannot be combined with to, cc or bcc");
    }
    let send_at = send_at(&mut fields, request.app.now());
    let mut issues = Vec::new();
    let checked = check::content(Kind::Send, input, &mut issues);
    for issue in issues {
        fields.issue(issue);
    }
    fields.finish()?;
    let input = NewDraftInput { checked, in_reply_to, forward_of, reply_all, send_at, client_id };
    Reply::json(&request.app.create_draft(caller, input).await?)
}

/// The members of an update.
const MEMBERS: [&str; 12] = [
    "reply_to",
    "to",
    "cc",
    "bcc",
    "subject",
    "text",
    "html",
    "send_at",
    "add_attachments",
    "remove_attachments",
    "add_labels",
    "remove_labels",
];

async fn update(request: Request) -> Result<Reply> {
    let (caller, draft) = (request.caller()?, draft_id(&request)?);
    let known = request.app.draft(caller, draft).await?;
    let mut fields = request.fields()?;
    if fields.raw("send_at").is_some() {
        caller.require(Permission::DraftSend)?;
    }
    fields.need_any(&MEMBERS);
    for name in ["add_attachments", "remove_attachments"] {
        fields.not_null(name, "array");
    }
    let (reply_to, to, cc, bcc) = (
        mailboxes(&mut fields, "reply_to"),
        mailboxes(&mut fields, "to"),
        mailboxes(&mut fields, "cc"),
        mailboxes(&mut fields, "bcc"),
    );
    let send_at = match fields.field("send_at") {
        Field::Absent => Set::Keep,
        Field::Null => Set::To(None),
        Field::Value(_) => send_at(&mut fields, request.app.now()).map_or(Set::Keep, |at| Set::To(Some(at))),
    };
    let mut issues = Vec::new();
    let given = files(&mut fields, "add_attachments");
    let add_attachments = check::attachments("add_attachments", given, &mut issues);
    let removed = fields.string_list("remove_attachments", 10 * limits::SEND_ATTACHMENTS, Text::upto(64));
    let remove_attachments =
        drafts::removals(&known, &removed.unwrap_or_default()).unwrap_or_else(|unknown| {
            issues.extend(unknown);
            Vec::new()
        });
    for issue in issues {
        fields.issue(issue);
    }
    let update = DraftUpdate {
        reply_to,
        to,
        cc,
        bcc,
        subject: text(&mut fields, "subject", |subject| check::clean_subject(&subject)),
        text: text(&mut fields, "text", |text| text),
        html: text(&mut fields, "html", |html| html),
        send_at,
        add_attachments,
        remove_attachments,
        labels: optional_label_change(&mut fields),
    };
    fields.finish()?;
    Reply::json(&request.app.update_draft(caller, draft, update).await?)
}

/// Addresses of an update: null and an empty list clear them.
fn mailboxes(fields: &mut Fields, name: &str) -> Set<Vec<String>> {
    match fields.field(name) {
        Field::Absent => return Set::Keep,
        Field::Null => return Set::To(Vec::new()),
        Field::Value(Value::Array(items)) if items.len() > 10 * limits::SEND_RECIPIENTS => {
            fields.issue(Issue::too_big([name.into()], "array", limits::SEND_RECIPIENTS));
            return Set::Keep;
        }
        Field::Value(_) => {}
    }
    let given = addresses(fields, name);
    let mut issues = Vec::new();
    let parsed = check::mailboxes(name, given, &mut issues);
    for issue in issues {
        fields.issue(issue);
    }
    let mut seen = std::collections::HashSet::new();
    Set::To(parsed.iter().filter(|mailbox| seen.insert(mailbox.key())).map(ToString::to_string).collect())
}

/// A text of an update: null and an empty one clear it.
fn text(fields: &mut Fields, name: &str, clean: impl Fn(String) -> String) -> Set<Option<String>> {
    match fields.nullable_string(name, Text::any()) {
        Field::Absent => Set::Keep,
        Field::Null => Set::To(None),
        Field::Value(value) => Set::To(Some(clean(value)).filter(|value| !value.is_empty())),
    }
}

async fn delete(request: Request) -> Result<Reply> {
    request.app.delete_draft(request.caller()?, draft_id(&request)?).await?;
    Ok(Reply::Empty)
}

async fn send(request: Request) -> Result<Reply> {
    let (caller, draft) = (request.caller()?, draft_id(&request)?);
    let idempotency = keyed(&request, caller, "draft", &draft.to_string())?;
    // Held until the answer; and an earlier send is answered although the draft is gone.
    let _running = match &idempotency {
        None => None,
        Some(idempotency) => match request.app.begin_idempotent(caller, idempotency).await? {
            Ok(running) => Some(running),
            Err(sent) => return Reply::json(&sent),
        },
    };
    request.app.draft(caller, draft).await?;
    let mut fields = request.fields()?;
    let labels: LabelChange = optional_label_change(&mut fields);
    fields.finish()?;
    match request.app.send_draft(caller, draft, labels, idempotency).await {
        // Two people sent it at once: for the second one it is gone.
        Err(Error::RaceCondition) => Err(Error::NotFound("Draft")),
        other => Reply::json(&other?),
    }
}
