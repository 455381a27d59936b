//! Full-text search: messages of an inbox, threads at three levels.

use podmail_api_types::search::{FoundMessage, FoundThread};
use podmail_app::search::SearchFilter;
use podmail_app::{Issue, IssueCode, Result};
use podmail_domain::{Permission, limits};

use crate::describe::{AFTER, BEFORE, Doc, Param, Shape, doc};
use crate::paging::{Paging, Rules};
use crate::request::{Reply, Request};
use crate::route::Route;

const Q: Param = Param::query(
    "q",
    Shape::Text { min: 1, max: limits::SEARCH_CHARS },
    "Words that all have to be met; double quotes make a phrase. In addresses and subjects any part of a word counts, in \
     bodies whole words and their beginnings of three characters or more.",
)
.required();

fn described(id: &'static str, summary: &'static str) -> Doc {
    doc(id, summary)
        .about(
            "Best match first: subjects before people before bodies, whole words before parts, newer before older. What is \
             marked as spam, blocked, unauthenticated or trash is never found. Looks at the latest thousand candidates.",
        )
        .params(&[Q, BEFORE, AFTER])
}

pub(crate) fn routes() -> Vec<Route> {
    let threads = Route::get("/v0/threads/search", Permission::MessageRead, threads).describe(
        described("threads.search", "Search threads").pages::<FoundThread>("threads").at_most_100(),
    );
    vec![
        Route::get("/v0/inboxes/{inbox_id}/messages/search", Permission::MessageRead, messages).describe(
            described("messages.search", "Search messages of an inbox")
                .pages::<FoundMessage>("messages")
                .at_most_100(),
        ),
        threads.clone(),
        threads.at("/v0/pods/{pod_id}/threads/search"),
        threads.at("/v0/inboxes/{inbox_id}/threads/search"),
    ]
}

fn read(request: &Request) -> Result<(SearchFilter, Paging)> {
    let mut query = request.query();
    let given = query.raw("q").map(str::to_owned);
    match &given {
        None => query.issue(Issue {
            path: vec!["q".into()],
            code: IssueCode::InvalidType { expected: "string", received: Some("undefined") },
            message: "Invalid input: expected string, received undefined".to_owned(),
        }),
        Some(q) if q.trim().is_empty() => query.issue(Issue::too_small(["q".into()], "string", 1)),
        // Reading it binds the page tokens to it, and refuses what is too long.
        Some(_) => drop(query.string("q", limits::SEARCH_CHARS)),
    }
    let filter = SearchFilter {
        q: given.unwrap_or_default(),
        before: query.time("before"),
        after: query.time("after"),
    };
    Ok((filter, query.page(Rules::FILTERED.newest_first())?))
}

async fn messages(request: Request) -> Result<Reply> {
    let (filter, paging) = read(&request)?;
    let page =
        request.app.search_messages(request.caller()?, &filter, paging.after.as_ref(), paging.limit).await?;
    paging.reply("messages", page, |message| message)
}

async fn threads(request: Request) -> Result<Reply> {
    let (filter, paging) = read(&request)?;
    let page =
        request.app.search_threads(request.caller()?, &filter, paging.after.as_ref(), paging.limit).await?;
    paging.reply("threads", page, |thread| thread)
}
