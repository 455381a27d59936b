//! Pods and inboxes to send to.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::http::{Client, escape};

/// Makes pods and spreads inboxes over them; returns their ids and addresses. Names are fixed, so a filled data folder
/// has them already: `client_id` gives the same ones back.
pub async fn create(api: &mut Client, pods: usize, inboxes: usize) -> Result<(Vec<String>, Vec<String>)> {
    let mut pod_ids = Vec::with_capacity(pods);
    for at in 0..pods {
        let body = json!({"name": format!("pod {at}"), "client_id": format!("pod-{at}")});
        pod_ids.push(text(&api.send("POST", "/v0/pods", &body).await?, "pod_id")?);
    }
    let mut addresses = Vec::with_capacity(inboxes);
    for at in 0..inboxes {
        let path = match pod_ids.get(at.checked_rem(pods).unwrap_or_default()) {
            Some(pod) => format!("/v0/pods/{pod}/inboxes"),
            None => "/v0/inboxes".to_owned(),
        };
        let body = json!({"username": format!("box{at}"), "client_id": format!("box-{at}")});
        addresses.push(text(&api.send("POST", &path, &body).await?, "inbox_id")?);
    }
    Ok((pod_ids, addresses))
}

/// A string member of an answer.
pub fn text(value: &Value, member: &str) -> Result<String> {
    let found = value.get(member).and_then(Value::as_str).map(str::to_owned);
    found.with_context(|| format!("no {member} in {value}"))
}

/// All items of a list, page after page; `path` has a query already.
pub async fn list(api: &mut Client, path: &str, member: &str) -> Result<Vec<Value>> {
    let (mut all, mut token) = (Vec::new(), None::<String>);
    loop {
        let page = match &token {
            Some(token) => format!("{path}&page_token={}", escape(token)),
            None => path.to_owned(),
        };
        let mut answer = api.get(&page).await?;
        let items =
            answer.get_mut(member).and_then(Value::as_array_mut).with_context(|| format!("no {member}"))?;
        all.append(items);
        token = answer.get("next_page_token").and_then(Value::as_str).map(str::to_owned);
        if token.is_none() {
            return Ok(all);
        }
    }
}
