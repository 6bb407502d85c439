//! Webhooks at the providers: made once, mended, watched.

use std::time::{Duration, Instant};

use pipeline::topics::Topic;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{House, TOKEN};
use crate::{api::text, hub::PATIENCE};

impl House {
    fn webhooks(&self) -> Vec<Value> {
        self.provider.fakes.world().clickup_webhooks.all().cloned().collect()
    }

    async fn row(&self, id: &str) -> Value {
        self.get(&format!("/api/connections/{id}")).await["data"].clone()
    }

    async fn health(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let health = self.row(id).await["health"].clone();
            if wanted(&health) {
                return health;
            }
            assert!(begun.elapsed() < PATIENCE, "it stays {health}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn alerts(&self, id: &str) -> Vec<Value> {
        let alerts = self.api.hub.values(Topic::Alerts, 0).await;
        alerts.into_iter().filter(|alert| alert["kind"] == "connection.silent" && alert["subject"] == id).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clickups_webhook_is_made_once_and_again_when_it_is_gone() {
    let house = House::open().await;
    // Nobody asked for it: a token alone is enough.
    let id = house.connection("clickup", json!({})).await;
    let named = |row: &Value| row["webhookSecrets"] == 1 && row["externalId"] != "";
    house.until("the webhook", || async { named(&house.row(&id).await).then_some(()) }).await;
    let first = house.webhooks();
    assert_eq!(first.len(), 1);
    assert_eq!(house.row(&id).await["externalId"], first[0]["id"]);
    assert_eq!(first[0]["endpoint"], format!("{}/webhooks/clickup", house.api.hub.url()));
    let events: Vec<_> = first[0]["events"].as_array().unwrap().iter().map(text).collect();
    assert!(
        events.contains(&"taskCommentPosted".to_owned()) && events.contains(&"listCreated".to_owned()),
        "{events:?}"
    );
    let path = format!("/api/connections/{id}/register");
    let again = house.make(&path, json!({})).await;
    assert_eq!((&again["created"], &again["webhookId"]), (&json!(false), &first[0]["id"]));
    assert_eq!(house.webhooks(), first);
    // Somebody changes it there: it is put right, and keeps its secret.
    house.provider.fakes.world().clickup_webhooks.get_mut(&text(&first[0]["id"])).unwrap()["events"] =
        json!(["taskCreated"]);
    house.make(&path, json!({})).await;
    assert_eq!(house.webhooks(), first);
    // Somebody deletes it there: the next look makes another, which is believed.
    house.provider.fakes.world().clickup_webhooks.take(&text(&first[0]["id"]));
    house.until("another webhook", || async { (house.webhooks().len() == 1).then_some(()) }).await;
    let second = house.webhooks().remove(0);
    house.until("its id", || async { (house.row(&id).await["externalId"] == second["id"]).then_some(()) }).await;
    assert_ne!(second["id"], first[0]["id"]);
    house
        .until("its secret", || async {
            let secret = text(&second["secret"]);
            let body = json!({ "event": "taskDeleted", "task_id": "t1", "webhook_id": second["id"] });
            let signed = house.signed("/webhooks/clickup", &udfs::signature::CLICKUP, &secret, &[], &body);
            (signed.await.status == StatusCode::OK).then_some(())
        })
        .await;
    // Another tenant's connection to the same workspace has a webhook of its own.
    let (_, umbra) = house.api.client_of("umbra", "admin").await;
    let body = json!({ "provider": "clickup", "apiToken": "hush-umbra" });
    assert_eq!(house.api.ask("POST", "/api/connections", &umbra, Some(body)).await.status, StatusCode::CREATED);
    house.until("two webhooks", || async { (house.webhooks().len() == 2).then_some(()) }).await;
    assert_eq!(house.row(&id).await["externalId"], second["id"]);
    let secrets: Vec<_> = house.webhooks().iter().map(|webhook| text(&webhook["secret"])).collect();
    house.keeps_secrets(&[TOKEN, "hush-umbra", &secrets[0], &secrets[1]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_webhook_is_switched_on_and_told_of_once() {
    let house = House::open().await;
    let id = house.connection("clickup", json!({})).await;
    house.health(&id, |health| health["status"] == "ok").await;
    let webhook = text(&house.webhooks()[0]["id"]);
    house.make("/api/projects", json!({ "name": "Shop", "clickupListId": "901200345678" })).await;
    // It used to speak.
    house.clickup_says(json!({ "event": "taskDeleted", "task_id": "t0" })).await;
    house.health(&id, |health| health["lastHeardAt"].is_string()).await;
    let suspend = || {
        let mut world = house.provider.fakes.world();
        world.clickup_webhooks.get_mut(&webhook).unwrap()["health"] =
            json!({ "status": "suspended", "fail_count": 100 });
    };
    suspend();
    // What happens meanwhile is told to nobody, and found when it is noticed.
    let now_ms = pipeline::ports::Clock::now_ms(&runtime::clock::SystemClock);
    let body = json!({ "id": "t1", "name": "While nobody listened" });
    fakes::clickup::new_task(&mut house.provider.fakes.world(), "901200345678", &body, now_ms).unwrap();
    house.until("the alert", || async { (!house.alerts(&id).await.is_empty()).then_some(()) }).await;
    house.health(&id, |health| health["status"] == "ok").await;
    assert_eq!(house.webhooks()[0]["health"], json!({ "status": "active", "fail_count": 0 }));
    let alerts = house.alerts(&id).await;
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!((&alerts[0]["tenantId"], &alerts[0]["severity"]), (&json!("orchard"), &json!("warning")));
    assert_eq!(house.one("NewWorkItem", "t1").await["reconciled"], "missed");
    // A second episode is told of again, once the first is over.
    house.health(&id, |health| health["status"] == "ok").await;
    suspend();
    house.until("another alert", || async { (house.alerts(&id).await.len() == 2).then_some(()) }).await;
    let metrics = house.api.hub.get("/metrics").await.text;
    assert!(metrics.contains("nexus_connections{provider=\"clickup\",status="), "{metrics}");
    assert!(metrics.contains("nexus_connection_calls_total{outcome=\"done\",provider=\"clickup\"}"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_bad_tokens_show_on_the_connection() {
    let house = House::open_with(|config| config.upkeep.silent_after_ms = 1).await;
    let id = house.connection("slack", json!({ "externalId": "T0ORCHARD1" })).await;
    house.health(&id, |health| health["status"] == "ok" && health["checkedAt"].is_string()).await;
    assert!(house.alerts(&id).await.is_empty(), "it never spoke");
    house
        .slack_says(
            "Ev1",
            json!({ "type": "message", "channel": "C1", "user": "U1", "text": "hi", "ts": "1795248000.000100" }),
        )
        .await;
    let health = house.health(&id, |health| health["status"] == "silent").await;
    assert!(text(&health["detail"]).contains("nexus backfill"), "{health}");
    house.until("the alert", || async { (house.alerts(&id).await.len() == 1).then_some(()) }).await;
    house.provider.fakes.world().tokens.insert("slack".to_owned(), Vec::new());
    house.health(&id, |health| health["status"] == "unauthorised").await;
    assert_eq!(house.alerts(&id).await.len(), 1, "the same episode");
    // A look at the list shows it, too.
    let listed = house.get("/api/connections?provider=slack").await;
    assert_eq!(listed["data"][0]["health"]["status"], "unauthorised");
    let path = format!("/api/connections/{id}");
    assert_eq!(house.ask("DELETE", &path, None).await.status, StatusCode::OK);
    house.api.hub.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn githubs_hook_signs_with_what_only_the_two_know() {
    let house = House::open().await;
    let id = house.connection("github", json!({ "externalId": "orchard/shop" })).await;
    house
        .until("the hook", || async {
            let world = house.provider.fakes.world();
            world.github_hooks.all().next().map(|_| ())
        })
        .await;
    house.health(&id, |health| health["status"] == "ok").await;
    let hook = house.provider.fakes.world().github_hooks.all().next().unwrap().clone();
    assert_eq!(hook["config"]["url"], format!("{}/webhooks/github", house.api.hub.url()));
    let secret = text(&hook["config"]["secret"]);
    house.make("/api/projects", json!({ "name": "Shop", "githubRepository": "orchard/shop" })).await;
    let body = json!({
        "action": "opened", "issue": { "number": 7, "title": "Checkout fails", "state": "open" },
        "repository": { "full_name": "orchard/shop", "name": "shop" }, "sender": { "login": "ada", "type": "User" },
    });
    house
        .until("its secret", || async {
            (house.github_says(&secret, "issues", "guid-1", &body).await.status == StatusCode::OK).then_some(())
        })
        .await;
    house.one("NewWorkItem", "orchard/shop#7").await;
    let path = format!("/api/connections/{id}/register");
    let again = house.make(&path, json!({})).await;
    assert_eq!(again["created"], false);
    assert_eq!(house.provider.fakes.world().github_hooks.all().collect::<Vec<_>>(), [&hook]);
    let other = house.ask("POST", &path, Some(json!({ "repository": "orchard/other" }))).await;
    assert_eq!((other.status, &other.json()["code"]), (StatusCode::CONFLICT, &json!("other_repository")));
    // GitHub's last delivery failed; then the hook is switched off, and on again.
    {
        let mut world = house.provider.fakes.world();
        let key = format!("orchard/shop {}", hook["id"]);
        world
            .github_deliveries
            .put("1", json!({ "id": 1, "guid": "g", "hook": key, "status_code": 502, "event": "push" }));
    }
    house.health(&id, |health| health["status"] == "failing").await;
    {
        let mut world = house.provider.fakes.world();
        world.github_deliveries.take("1");
        world.github_hooks.get_mut(&format!("orchard/shop {}", hook["id"])).unwrap()["active"] = json!(false);
    }
    house
        .until("an active hook", || async {
            let world = house.provider.fakes.world();
            (world.github_hooks.all().next()?["active"] == true).then_some(())
        })
        .await;
    house.keeps_secrets(&[TOKEN, &secret]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_nothing_is_registered() {
    let house = House::open_with(|config| config.server.public_url.clear()).await;
    let id = house.connection("clickup", json!({})).await;
    let refused = house.ask("POST", &format!("/api/connections/{id}/register"), Some(json!({}))).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::CONFLICT, &json!("no_public_url")));
    assert!(refused.text.contains("NEXUS_PUBLIC_URL"), "{}", refused.text);
    house.health(&id, |health| health["status"] == "unregistered").await;
    assert!(house.webhooks().is_empty());
    let slack = house.connection("slack", json!({ "externalId": "T0ORCHARD1" })).await;
    let refused = house.ask("POST", &format!("/api/connections/{slack}/register"), None).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("unsupported")));
    let (_, umbra) = house.api.client_of("umbra", "admin").await;
    let path = format!("/api/connections/{id}/register");
    assert_eq!(house.api.ask("POST", &path, &umbra, None).await.status, StatusCode::NOT_FOUND);
}
