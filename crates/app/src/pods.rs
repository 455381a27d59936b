//! Pods: made and deleted by organization keys, seen by pod keys, closed to inbox keys.

use podmail_api_types::pods as wire;
use podmail_store::{Cursor, Order, Page, Pod, PodDeleted};

use crate::error::Explained;
use crate::{App, Caller, Error, Result};

/// Name of a pod that was given none.
const DEFAULT_NAME: &str = "My Pod";

impl App {
    /// The pods of the caller's scope: all of the organization, or the pod key's own.
    pub async fn list_pods(
        &self,
        caller: &Caller,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::Pod>> {
        refuse_inbox_keys(caller)?;
        Ok(self.store().pods(&caller.scope, order, after, limit).await?.map(render))
    }

    /// What a `client_id` made, if it was used: a repeated create gets it whatever else it says.
    pub async fn pod_of_client_id(&self, caller: &Caller, client_id: &str) -> Result<Option<wire::Pod>> {
        refuse_inbox_keys(caller)?;
        Ok(self.store().pod_of_client_id(&caller.scope, client_id).await?.map(render))
    }

    /// Makes a pod, or returns the one that this `client_id` made before. Both values are already checked.
    pub async fn create_pod(
        &self,
        caller: &Caller,
        name: Option<String>,
        client_id: Option<String>,
    ) -> Result<wire::Pod> {
        refuse_inbox_keys(caller)?;
        let name = name.unwrap_or_else(|| DEFAULT_NAME.to_owned());
        Ok(render(self.store().create_pod(&caller.scope, name, client_id, self.now()).await?))
    }

    /// The pod that the path narrowed the caller to.
    pub async fn pod(&self, caller: &Caller) -> Result<wire::Pod> {
        refuse_inbox_keys(caller)?;
        self.store().pod(&caller.scope).await?.map(render).ok_or(Error::NotFound("Pod"))
    }

    /// Deletes the pod that the path narrowed the caller to, with its keys and webhooks. Inboxes and domains have to
    /// be deleted first, so that one call cannot destroy a tenant's mail.
    pub async fn delete_pod(&self, caller: &Caller) -> Result<()> {
        refuse_inbox_keys(caller)?;
        let (why, fix) = match self.store().delete_pod(&caller.scope).await? {
            PodDeleted::Done => return Ok(()),
            PodDeleted::Absent => return Err(Error::NotFound("Pod")),
            PodDeleted::Default => (
                "Cannot delete default pod",
                "The default pod belongs to the organization: delete what is in it instead.",
            ),
            PodDeleted::HasInboxes => {
                ("Cannot delete pod with existing inboxes", "Delete the inboxes of the pod first.")
            }
            PodDeleted::HasDomains => {
                ("Cannot delete pod with existing domains", "Delete the domains of the pod first.")
            }
        };
        Err(Error::CannotDelete(Explained { message: format!("Cannot delete Pod: {why}"), fix }))
    }
}

fn refuse_inbox_keys(caller: &Caller) -> Result<()> {
    if caller.own.inbox().is_some() { Err(Error::ScopeForbidden) } else { Ok(()) }
}

fn render(pod: Pod) -> wire::Pod {
    wire::Pod {
        pod_id: pod.pod_id,
        name: pod.name,
        client_id: pod.client_id,
        updated_at: pod.updated_at,
        created_at: pod.created_at,
    }
}
