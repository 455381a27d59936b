//! Labs: joining, who may, and what the operator decides (extras, section 1).

use std::time::Duration;

use http::Method;
use podmail_app::organizations::OrganizationChange;
use serde_json::{Value, json};

use crate::{Answer, World};

const LABS: &str = "/v0/organizations/labs";

async fn join(world: &World, key: &str) -> Answer {
    world.call(&Method::POST, LABS, Some(key), "").await
}

async fn labs(world: &World, key: &str) -> Value {
    let answer = world.get(LABS, key).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

fn outside(available: bool) -> Value {
    json!({ "enabled": false, "enabled_at": null, "available": available })
}

async fn set(world: &World, name: &str, labs: bool) {
    let change = OrganizationChange { labs: Some(labs), ..OrganizationChange::default() };
    world.app.operator_set_organization(name, change).await.unwrap();
}

// extras.md check 1
#[tokio::test]
async fn an_organization_joins_once_and_the_operator_takes_it_out() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let (_, other) = world.organization("two").await;
        assert_eq!(labs(&world, &key).await, outside(true));
        let inside = json!({ "enabled": true, "enabled_at": "2026-03-01T09:00:05.000Z", "available": true });
        world.clock.advance(Duration::from_secs(5));
        let joined = join(&world, &key).await;
        assert_eq!((joined.status, &joined.body), (200, &inside));
        world.clock.advance(Duration::from_secs(60));
        assert_eq!(join(&world, &key).await.body, inside);
        set(&world, "one", true).await;
        assert_eq!(labs(&world, &key).await, inside);
        assert_eq!(labs(&world, &other).await, outside(true));

        set(&world, "one", false).await;
        assert_eq!(labs(&world, &key).await, outside(true));
        let again = join(&world, &key).await;
        assert_eq!(again.body["enabled_at"], "2026-03-01T09:01:05.000Z");
    }
}

// extras.md check 2: every organization counts as verified
#[tokio::test]
async fn only_an_unrestricted_key_of_the_organization_joins() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let pod = world.pod(&scope, "a").await;
        let inbox = world.inbox(&pod, "a@mail.test").await;
        let all = json!({ "organization_read": true, "inbox_read": true }).to_string();
        for (scope, flags, code) in [
            (&pod, None, "missing_permission"),
            (&pod, Some("{}"), "missing_permission"),
            (&inbox, None, "missing_permission"),
            (&scope, Some("{}"), "unrestricted_key_required"),
            (&scope, Some(all.as_str()), "unrestricted_key_required"),
        ] {
            let (_, refused) = world.key(scope, flags, None).await;
            let answer = join(&world, &refused).await;
            assert_eq!((answer.status, answer.code()), (403, code), "{flags:?}: {}", answer.text);
        }
        let (_, restricted) = world.key(&scope, Some("{}"), None).await;
        assert_eq!(labs(&world, &restricted).await, outside(true));
        let (_, narrow) = world.key(&pod, None, None).await;
        let refused = world.get(LABS, &narrow).await;
        assert_eq!((refused.status, refused.code()), (403, "missing_permission"));
        assert_eq!(labs(&world, &key).await, outside(true));
    }
}

// extras.md check 3
#[tokio::test]
async fn where_labs_is_not_offered_nobody_is_in_it_and_get_still_answers() {
    for world in World::each(|settings| {
        settings.labs_available = false;
        settings.labs_everyone = true;
    })
    .await
    {
        let (_, key) = world.organization("one").await;
        assert_eq!(labs(&world, &key).await, outside(false));
        let refused = join(&world, &key).await;
        assert_eq!((refused.status, refused.code()), (403, "forbidden"));
        assert_eq!(refused.body["message"], "Labs is not offered here");
        let change = OrganizationChange { labs: Some(true), ..OrganizationChange::default() };
        let refused = world.app.operator_set_organization("one", change).await.unwrap_err();
        assert_eq!(refused.to_string(), "Labs is not offered here");
        set(&world, "one", false).await;
        assert_eq!(labs(&world, &key).await, outside(false));
    }
}

#[tokio::test]
async fn the_operator_can_put_everyone_into_labs() {
    for world in World::each(|settings| settings.labs_everyone = true).await {
        let (_, key) = world.organization("one").await;
        let inside = json!({ "enabled": true, "enabled_at": "2026-03-01T09:00:00.000Z", "available": true });
        world.clock.advance(Duration::from_secs(5));
        assert_eq!(labs(&world, &key).await, inside);
        assert_eq!(join(&world, &key).await.body, inside);
        set(&world, "one", false).await;
        assert_eq!(labs(&world, &key).await, outside(true));
        assert_eq!(join(&world, &key).await.body["enabled_at"], "2026-03-01T09:00:05.000Z");
    }
}
