//! Pods.

use podmail_app::Result;
use podmail_domain::{Permission, limits};

use crate::fields::Text;
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

/// Names of pods and keys.
pub(crate) const NAME: Text = Text::upto(limits::NAME_CHARS).at_least(1).trimmed().single_line();

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v0/pods", Permission::PodRead, list).types("", "ListPodsResponse"),
        Route::post("/v0/pods", Permission::PodCreate, create).types("CreatePodRequest", "Pod"),
        Route::get("/v0/pods/{pod_id}", Permission::PodRead, get).types("", "Pod"),
        Route::delete("/v0/pods/{pod_id}", Permission::PodDelete, delete),
    ]
}

async fn list(request: Request) -> Result<Reply> {
    let paging = request.query().page(Rules::LIST)?;
    let caller = request.caller()?;
    let page = request.app.list_pods(caller, paging.order, paging.after.as_ref(), paging.limit).await?;
    paging.reply("pods", page, |pod| pod)
}

async fn create(request: Request) -> Result<Reply> {
    let mut fields = request.fields()?;
    let name = fields.string("name", NAME);
    let client_id = fields.client_id();
    fields.finish()?;
    Reply::json(&request.app.create_pod(request.caller()?, name, client_id).await?)
}

async fn get(request: Request) -> Result<Reply> {
    Reply::json(&request.app.pod(request.caller()?).await?)
}

async fn delete(request: Request) -> Result<Reply> {
    request.app.delete_pod(request.caller()?).await?;
    Ok(Reply::Empty)
}
