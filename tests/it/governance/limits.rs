//! Limits at the API: whose they are, and what is wrong with them.

use reqwest::StatusCode;
use serde_json::json;

use super::House;
use crate::api::fields;

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sets_the_own_tenants_limits() {
    let house = House::open().await;
    let api = &house.api;
    let (_, admin) = api.client_of("acme", "admin").await;
    let (_, member) = api.client_of("acme", "member").await;
    let before = api.ask("GET", "/api/tenant", &member, None).await;
    assert_eq!(before.status, StatusCode::OK, "{}", before.text);
    assert_eq!(before.json()["data"]["limitsInForce"]["messages"]["limit"], 10);
    assert!(before.json()["data"].get("limits").is_none());

    let limits = json!({ "messages": { "limit": 30 }, "handoffs": { "level": "nudge" } });
    let change = json!({ "limits": limits, "adminSlackChannelId": "C0ADMIN" });
    let denied = api.ask("PATCH", "/api/tenant", &member, Some(change.clone())).await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
    let changed = api.ask("PATCH", "/api/tenant", &admin, Some(change)).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    let shown = changed.json()["data"].clone();
    assert_eq!(
        (&shown["id"], &shown["limits"], &shown["adminSlackChannelId"]),
        (&json!("acme"), &limits, &json!("C0ADMIN"))
    );
    let in_force = &shown["limitsInForce"];
    assert_eq!((&in_force["messages"]["limit"], &in_force["messages"]["windowMs"]), (&json!(30), &json!(60_000)));
    assert_eq!(in_force["handoffs"]["level"], "nudge");

    // One field goes back; the rest stays. Then all of them.
    let one = json!({ "limits": { "messages": { "limit": null } } });
    let changed = api.ask("PATCH", "/api/tenant", &admin, Some(one)).await.json()["data"].clone();
    assert_eq!(
        (&changed["limitsInForce"]["messages"]["limit"], &changed["limitsInForce"]["handoffs"]["level"]),
        (&json!(10), &json!("nudge"))
    );
    let changed = api.ask("PATCH", "/api/tenant", &admin, Some(json!({ "limits": null }))).await.json()["data"].clone();
    assert!(changed.get("limits").is_none(), "{changed}");

    // Who works across tenants reaches any of them.
    let platform = json!({ "limits": { "coolDownMs": 5_000 } });
    let other = api.ask("PATCH", "/admin/tenants/umbra", &api.local(), Some(platform)).await;
    assert_eq!((other.status, &other.json()["data"]["limits"]["coolDownMs"]), (StatusCode::OK, &json!(5_000)));
    let untouched = api.ask("GET", "/api/tenant", &admin, None).await.json();
    assert_eq!(untouched["data"]["limitsInForce"]["coolDownMs"], 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_cannot_be_worked_with_are_refused_by_their_fields() {
    let house = House::open().await;
    for (limits, expected) in [
        (json!({ "messages": { "limit": 0 } }), vec!["limits.messages.limit"]),
        (json!({ "messages": { "limits": 3 } }), vec!["limits.messages.limits"]),
        (json!({ "syncs": { "windowMs": 10, "level": "often" } }), vec!["limits.syncs.level", "limits.syncs.windowMs"]),
        (json!({ "nearDuplicates": { "distance": 21 } }), vec!["limits.nearDuplicates.distance"]),
        (json!({ "coolDownMs": -1 }), vec!["limits.coolDownMs"]),
        (json!({ "sleep": {} }), vec!["limits.sleep"]),
        (json!(7), vec!["limits"]),
    ] {
        for path in ["/api/tenant?tenantId=acme", "/admin/tenants/acme"] {
            let body = Some(json!({ "limits": limits }));
            let answer = house.api.ask("PATCH", path, &house.api.local(), body).await;
            assert_eq!(
                (answer.status, answer.json()["code"].as_str()),
                (StatusCode::BAD_REQUEST, Some("invalid")),
                "{}",
                answer.text
            );
            let mut found = fields(&answer);
            found.sort();
            assert_eq!(found, expected, "{path} {limits}");
        }
    }
}
