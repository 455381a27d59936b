//! Pods.

use podmail_api_types::pods::Pod;
use podmail_app::Result;
use podmail_domain::{Permission, limits};

use crate::describe::{ClientId, body_type, doc};
use crate::error::Code;
use crate::fields::Text;
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

/// Names of pods and keys.
pub(crate) const NAME: Text = Text::upto(limits::NAME_CHARS).at_least(1).trimmed().single_line();

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v0/pods", Permission::PodRead, list)
            .describe(doc("pods.list", "List pods").pages::<Pod>("pods").ascending()),
        Route::post("/v0/pods", Permission::PodCreate, create).describe(
            doc("pods.create", "Create a pod")
                .about("A pod is a tenant of the organization: keys of one pod see nothing of another.")
                .body::<CreatePod>()
                .answers::<Pod>(),
        ),
        Route::get("/v0/pods/{pod_id}", Permission::PodRead, get)
            .describe(doc("pods.get", "Get a pod").answers::<Pod>()),
        Route::delete("/v0/pods/{pod_id}", Permission::PodDelete, delete).describe(
            doc("pods.delete", "Delete a pod")
                .about("With everything in it. The default pod cannot be deleted.")
                .fails(&[Code::CannotDelete]),
        ),
    ]
}

body_type! {
    /// A new pod.
    #[schemars(extend("examples" = [{ "name": "Customer 1" }]))]
    CreatePod {
        /// For people; made up when left out.
        #[schemars(length(min = 1, max = limits::NAME_CHARS))]
        name: Option<String>,
        /// Your own name for it: a second create with it answers the existing pod.
        client_id: Option<ClientId>,
    }
}

async fn list(request: Request) -> Result<Reply> {
    let paging = request.query().page(Rules::LIST)?;
    let caller = request.caller()?;
    let page = request.app.list_pods(caller, paging.order, paging.after.as_ref(), paging.limit).await?;
    paging.reply("pods", page, |pod| pod)
}

async fn create(request: Request) -> Result<Reply> {
    let mut fields = request.fields()?;
    let caller = request.caller()?;
    let client_id = fields.client_id();
    if let Some(client_id) = &client_id
        && let Some(known) = request.app.pod_of_client_id(caller, client_id).await?
    {
        return Reply::json(&known);
    }
    let name = fields.string("name", NAME);
    fields.finish()?;
    Reply::json(&request.app.create_pod(caller, name, client_id).await?)
}

async fn get(request: Request) -> Result<Reply> {
    Reply::json(&request.app.pod(request.caller()?).await?)
}

async fn delete(request: Request) -> Result<Reply> {
    request.app.delete_pod(request.caller()?).await?;
    Ok(Reply::Empty)
}
