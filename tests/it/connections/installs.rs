//! OAuth installs, as a browser makes them, and as somebody hostile tries to.

use reqwest::{StatusCode, header};
use serde_json::{Value, json};

use super::House;
use crate::{api::text, hub::Answer};

/// A browser that has been sent to a provider.
struct Browser {
    client: reqwest::Client,
    location: String,
    cookie: String,
}

impl Browser {
    /// Opens the link that the administrator asked for.
    async fn begin(house: &House, provider: &str) -> Browser {
        let link = house.make(&format!("/oauth/{provider}/install"), json!({})).await;
        Browser::open(&text(&link["url"]), None).await
    }

    async fn open(url: &str, token: Option<&str>) -> Browser {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut request = client.get(url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FOUND, "{}", answer.text().await.unwrap());
        let of = |name| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
        let set = of(header::SET_COOKIE);
        assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Path=/oauth"), "{set}");
        let (location, cookie) = (of(header::LOCATION), set.split(';').next().unwrap().to_owned());
        Browser { client, location, cookie }
    }

    /// Says yes at the provider: where that sends it back to.
    async fn agree(&self) -> String {
        let answer = self.client.get(&self.location).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FOUND);
        answer.headers()[header::LOCATION].to_str().unwrap().to_owned()
    }

    async fn back(&self, url: &str, cookie: &str) -> Answer {
        let answer = self.client.get(url).header(header::COOKIE, cookie).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.unwrap() }
    }
}

fn is_refused(answer: &Answer) {
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_state")),
        "{}",
        answer.text
    );
}

async fn connections(house: &House) -> Vec<Value> {
    house.get("/api/connections").await["data"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_is_installed_by_the_browser_that_began_and_by_no_other() {
    let house = House::open().await;
    let browser = Browser::begin(&house, "slack").await;
    assert!(browser.location.contains("client_id=app-1") && !browser.location.contains("hush"), "{}", browser.location);
    let callback = browser.agree().await;
    // Another browser, and the state is spent with it.
    is_refused(&browser.back(&callback, "nexus_install_slack=stolen").await);
    is_refused(&browser.back(&callback, &browser.cookie).await);
    assert!(connections(&house).await.is_empty());

    let browser = Browser::begin(&house, "slack").await;
    let callback = browser.agree().await;
    for (from, to) in [
        ("/oauth/slack/", "/oauth/github/"),
        ("state=orchard", "state=umbra"),
        ("state=orchard~", "state=orchard~0"),
        ("state=", "nostate="),
    ] {
        let changed = callback.replace("%7E", "~").replacen(from, to, 1);
        assert_ne!(changed, callback.replace("%7E", "~"), "{callback}");
        let answer = browser.back(&changed, &browser.cookie).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{to}: {}", answer.text);
    }
    assert!(connections(&house).await.is_empty());
    let done = browser.back(&callback, &browser.cookie).await;
    // The first of the changed ones was a real state at the wrong provider: spent.
    is_refused(&done);

    let browser = Browser::begin(&house, "slack").await;
    let callback = browser.agree().await;
    let done = browser.back(&callback, &browser.cookie).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert!(done.text.contains("Orchard"));
    let rows = connections(&house).await;
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["externalId"], &rows[0]["hasApiToken"]), (&json!("T0ORCHARD1"), &json!(true)));
    assert_eq!(rows[0]["ownIds"], json!(["U0NEXUS"]));
    is_refused(&browser.back(&callback, &browser.cookie).await);
    // Once more is the same connection; another tenant cannot have it.
    let browser = Browser::begin(&house, "slack").await;
    assert_eq!(browser.back(&browser.agree().await, &browser.cookie).await.status, StatusCode::OK);
    assert_eq!(connections(&house).await.len(), 1);
    let (_, umbra) = house.api.client_of("umbra", "admin").await;
    let browser = Browser::open(&format!("{}/oauth/slack/install", house.api.hub.url()), Some(&umbra)).await;
    let taken = browser.back(&browser.agree().await, &browser.cookie).await;
    assert_eq!((taken.status, &taken.json()["code"]), (StatusCode::CONFLICT, &json!("conflict")), "{}", taken.text);
    assert!(!taken.text.contains("orchard"), "{}", taken.text);
    // The token works, and is told nowhere.
    let channels = house.get(&format!("/api/connections/{}/channels", text(&rows[0]["id"]))).await;
    assert_eq!(channels["data"][0]["id"], "C0SHOPDEV1");
    house.keeps_secrets(&["fake-slack-", "hush-app-secret"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_is_an_administrators_and_ends() {
    let house = House::open_with(|config| config.upkeep.install_ttl_ms = 0).await;
    let url = format!("{}/oauth/slack/install", house.api.hub.url());
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    assert_eq!(client.get(&url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let (_, member) = house.api.client_of("orchard", "member").await;
    assert_eq!(client.get(&url).bearer_auth(member).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(client.get(format!("{url}?ticket=orchard~x")).send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    // What is over when it begins.
    let link = house.make("/oauth/slack/install", json!({})).await;
    assert_eq!(client.get(text(&link["url"])).send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let browser = Browser::open(&url, Some(&house.admin)).await;
    is_refused(&browser.back(&browser.agree().await, &browser.cookie).await);
    let unknown = house.ask("POST", "/oauth/gitlab/install", Some(json!({}))).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let bare = House::open_with(|config| {
        config.oauth.set("github_client_id", "");
        config.server.public_url.clear();
    })
    .await;
    for (provider, code) in [("github", "no_app"), ("slack", "no_public_url")] {
        let answer = bare.ask("POST", &format!("/oauth/{provider}/install"), Some(json!({}))).await;
        assert_eq!((answer.status, &answer.json()["code"]), (StatusCode::CONFLICT, &json!(code)), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn githubs_code_is_held_against_its_verifier_and_its_token_is_renewed() {
    let house = House::open().await;
    house.provider.fakes.world().oauth_lifetime_s = Some(2);
    house.provider.fakes.world().tokens.insert("github".to_owned(), Vec::new());
    let browser = Browser::begin(&house, "github").await;
    assert!(browser.location.contains("code_challenge_method=S256"), "{}", browser.location);
    let callback = browser.agree().await;
    // Somebody who asked with another challenge has another verifier.
    let code = callback.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let mut kept = house.provider.fakes.world().oauth.get(&code).unwrap().clone();
    kept["challenge"] = json!("of somebody else");
    house.provider.fakes.world().oauth.put(&code, kept);
    let refused = browser.back(&callback, &browser.cookie).await;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::BAD_GATEWAY, &json!("provider_unauthorised")));
    assert!(!refused.text.contains(&code) && !refused.text.contains("hush"), "{}", refused.text);

    let browser = Browser::begin(&house, "github").await;
    let done = browser.back(&browser.agree().await, &browser.cookie).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let row = connections(&house).await.remove(0);
    assert_eq!((&row["name"], &row["ownIds"]), (&json!("nexus-bot"), &json!(["nexus-bot"])));
    // Only the newest token is good: the one before was replaced in time.
    let first = house.provider.fakes.world().tokens["github"].clone();
    assert_eq!(first.len(), 1);
    house
        .until("another token", || async {
            let mut world = house.provider.fakes.world();
            let tokens = world.tokens.get_mut("github").unwrap();
            (tokens.len() > 1).then(|| tokens.retain(|token| !first.contains(token)))
        })
        .await;
    let path = format!("/api/connections/{}/lists", text(&row["id"]));
    house
        .until("a call with the new token", || async {
            (house.ask("GET", &path, None).await.status == StatusCode::OK).then_some(())
        })
        .await;
    house.keeps_secrets(&["fake-github-", "hush-app-secret"]).await;
}

/// From the link to the first event, without anybody setting up a webhook.
#[tokio::test(flavor = "multi_thread")]
async fn clickup_is_installed_with_its_webhook() {
    let house = House::open().await;
    let browser = Browser::begin(&house, "clickup").await;
    let done = browser.back(&browser.agree().await, &browser.cookie).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    house
        .until("the webhook", || async {
            let rows = connections(&house).await;
            (rows[0]["webhookSecrets"] == 1 && rows[0]["externalId"] != "").then_some(())
        })
        .await;
    assert_eq!(house.provider.fakes.world().clickup_webhooks.all().count(), 1);
    house.make("/api/projects", json!({ "name": "Shop", "clickupListId": "901200345678" })).await;
    // ClickUp tells it again where the hub does not know the secret yet.
    house.provider.fakes.world().telling.attempts_max = 100;
    let client = crate::hub::client();
    let made = client.post(format!("{}/fakes/clickup/tasks", house.provider.url)).json(&json!({ "name": "First" }));
    let task: Value = made.send().await.unwrap().json().await.unwrap();
    let event = house.one("NewWorkItem", &text(&task["id"])).await;
    assert_eq!(event.get("reconciled"), None);
    // Another install of the same workspace is the same connection.
    let browser = Browser::begin(&house, "clickup").await;
    assert_eq!(browser.back(&browser.agree().await, &browser.cookie).await.status, StatusCode::OK);
    assert_eq!(connections(&house).await.len(), 1);
}
