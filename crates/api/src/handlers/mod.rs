//! One file per noun: the routes of the noun and their handlers. Handlers translate; `app` decides.

pub(crate) mod auth;
pub(crate) mod domains;
pub(crate) mod downloads;
pub(crate) mod drafts;
pub(crate) mod history;
pub(crate) mod inboxes;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod messages;
pub(crate) mod opens;
pub(crate) mod organizations;
pub(crate) mod pods;
pub(crate) mod search;
pub(crate) mod threads;
pub(crate) mod unsubscribe;
pub(crate) mod webhooks;

use crate::route::Route;

/// The whole table.
pub(crate) fn all() -> Vec<Route> {
    [
        auth::routes(),
        domains::routes(),
        downloads::routes(),
        drafts::routes(),
        history::routes(),
        inboxes::routes(),
        keys::routes(),
        lists::routes(),
        messages::routes(),
        opens::routes(),
        organizations::routes(),
        pods::routes(),
        search::routes(),
        threads::routes(),
        unsubscribe::routes(),
        webhooks::routes(),
    ]
    .concat()
}
