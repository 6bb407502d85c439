//! Tokens: got in every way, refused in every way, taken back in time.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use pipeline::{event::Role, ports::Clock, testing::ManualClock};
use reqwest::{Method, StatusCode, header};
use runtime::{
    auth::{TOKEN_TTL_S, Tokens},
    clock::SystemClock,
    directory::Directory,
};
use serde_json::{Value, json};

use super::{Api, fields, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_got_by_json_by_form_and_by_basic() {
    let api = Api::start().await;
    let made = api.made("/admin/clients", json!({ "role": "analyst" })).await;
    let (id, secret) = (text(&made["clientId"]), text(&made["clientSecret"]));
    let post = || api.request(Method::POST, "/auth/token");
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=any");
    let kind = "application/x-www-form-urlencoded";
    for request in [
        post().json(&json!({ "client_id": id, "client_secret": secret })),
        post().header("content-type", kind).body(form.clone()),
        post().basic_auth(&id, Some(&secret)),
        post().basic_auth(&id, Some(&secret)).header("content-type", kind).body("grant_type=client_credentials"),
    ] {
        let answer = api.send(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.headers["cache-control"], "no-store");
        let token = answer.json();
        assert_eq!((&token["token_type"], &token["expires_in"]), (&json!("Bearer"), &json!(3600)));
        let claims = claims(&text(&token["access_token"]));
        for name in ["sub", "tenantId", "clientId", "role", "iat", "exp", "jti"] {
            assert!(!claims[name].is_null(), "{name} in {claims}");
        }
        assert_eq!(
            (&claims["sub"], &claims["tenantId"], &claims["role"]),
            (&json!(id), &json!("acme"), &json!("analyst"))
        );
    }
    for (request, status, code) in [
        (post().json(&json!({ "client_id": id, "client_secret": "wrong" })), 401, "invalid_client"),
        (post().json(&json!({ "client_id": "nobody", "client_secret": secret })), 401, "invalid_client"),
        (post().basic_auth(&id, Some("wrong")), 401, "invalid_client"),
        (post().json(&json!({ "client_id": id })), 400, "invalid_request"),
        (post().json(&json!({ "client_id": 7, "client_secret": secret })), 400, "invalid_request"),
        (post(), 400, "invalid_request"),
        (post().header("content-type", kind).body(format!("{form}&client_id=x")), 400, "invalid_request"),
        (post().basic_auth(&id, Some(&secret)).header("content-type", kind).body(form.clone()), 400, "invalid_request"),
        (
            post().json(&json!({ "client_id": id, "client_secret": secret, "grant_type": "password" })),
            400,
            "unsupported_grant_type",
        ),
        (post().header("content-type", "text/plain").body(form.clone()), 415, "unsupported_media_type"),
    ] {
        let answer = api.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (status, Some(code)), "{}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        if status != 415 {
            assert_eq!(answer.json()["error"], code, "also under OAuth's name");
        }
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
    }
}

fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_ends_soon_and_only_for_who_is_guessed_at() {
    let api = Api::start().await;
    let victim = api.made("/admin/clients", json!({ "role": "member" })).await;
    let other = api.made("/admin/clients", json!({ "role": "member" })).await;
    let id = text(&victim["clientId"]);
    let mut statuses = Vec::new();
    for guess in 0..12 {
        statuses.push(api.login(&id, &format!("guess {guess}")).await.status.as_u16());
    }
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 2]].concat());
    let right = api.login(&id, &text(&victim["clientSecret"])).await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS, "the right one is not told either");
    assert!(right.headers[header::RETRY_AFTER].to_str().unwrap().parse::<u64>().unwrap() <= 30);
    api.token(&text(&other["clientId"]), &text(&other["clientSecret"])).await;
    // Clients that are not there are counted too, by the address in the end.
    let mut refused = 0;
    for guess in 0..120 {
        refused +=
            usize::from(api.login(&format!("nobody-{guess}"), "x").await.status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(refused >= 20, "{refused}");
}

/// The signing secret that the hub made for itself.
fn secret(api: &Api) -> Vec<u8> {
    let files = std::fs::read_dir(api.hub.directory.path()).unwrap();
    let file = files.map(|file| file.unwrap().path()).find(|path| path.to_string_lossy().contains("jwt")).unwrap();
    std::fs::read_to_string(file).unwrap().trim().as_bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_tokens_count_and_only_for_an_hour() {
    let api = Api::start().await;
    let (id, token) = api.client_of("acme", "admin").await;
    let status = async |token: &str| {
        let answer = api.ask("GET", "/api/agents", token, None).await;
        (answer.status.as_u16(), answer.json()["code"].as_str().unwrap_or("none").to_owned())
    };
    assert_eq!(status(&token).await, (200, "none".to_owned()));
    let now_ms = SystemClock.now_ms();
    let issued = |age_ms: u64, tenant: &str, role| {
        let clock = std::sync::Arc::new(ManualClock::at(now_ms - age_ms));
        let tokens = Tokens::new(&secret(&api), std::sync::Arc::new(Directory::default()), clock);
        tokens.issue(tenant, &id, &id, role)
    };
    // The key is the hub's, or what follows would prove nothing.
    assert_eq!(status(&issued(0, "acme", Role::Admin)).await.0, 200);
    let bad = |why: &str| (401, why.to_owned());
    assert_eq!(status(&issued(TOKEN_TTL_S * 1_000, "acme", Role::Admin)).await, bad("invalid_token"), "expired");
    assert_eq!(status(&issued(0, "umbra", Role::Admin)).await, bad("invalid_token"), "another's tenant");
    assert_eq!(status(&issued(0, "acme", Role::Platform)).await, bad("invalid_token"), "another role");
    let (head, rest) = token.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let hs512 = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS512","typ":"JWT"}"#);
    let mut raised = claims(&token);
    raised["role"] = json!("platform");
    let raised = URL_SAFE_NO_PAD.encode(raised.to_string());
    for forged in [
        format!("{none}.{body}."),
        format!("{none}.{body}.{signature}"),
        format!("{hs512}.{body}.{signature}"),
        format!("{head}.{raised}.{signature}"),
        format!("{head}.{body}."),
        format!("{head}.{body}"),
        "a".repeat(10_000),
        String::from("x"),
    ] {
        assert_eq!(status(&forged).await, bad("invalid_token"), "{forged}");
    }
    for header in ["", "Bearer", "Basic eDp5", &format!("Token {token}")] {
        let answer = api.send(api.request(Method::GET, "/api/agents").header("authorization", header)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{header}");
    }
    let lower = api.request(Method::GET, "/api/agents").header("authorization", format!("bearer {token}"));
    assert_eq!(api.send(lower).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_ends_within_five_seconds() {
    let api = Api::start().await;
    let ends = async |token: &str, why: &str| {
        let begun = Instant::now();
        while api.ask("GET", "/api/agents", token, None).await.status != StatusCode::UNAUTHORIZED {
            assert!(begun.elapsed() < Duration::from_secs(5), "{why}");
        }
    };
    for (method, what) in [("POST", "/revoke"), ("POST", "/rotate-secret"), ("DELETE", "")] {
        let (id, token) = api.client_of("acme", "member").await;
        assert_eq!(api.ask("GET", "/api/agents", &token, None).await.status, StatusCode::OK);
        let answer = api.ask(method, &format!("/admin/clients/{id}{what}"), &api.local(), None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        ends(&token, what).await;
    }
    let (_, agent, token) = api.agent_of("acme", "atlas").await;
    let off = api.ask("PATCH", &format!("/api/agents/{agent}"), &api.local(), Some(json!({ "enabled": false }))).await;
    assert_eq!(off.json()["data"]["enabled"], false, "{}", off.text);
    ends(&token, "an agent that is switched off").await;
    let (client_id, agent, token) = api.agent_of("acme", "bolt").await;
    let path = format!("/api/agents/{agent}");
    let rotated = api.ask("POST", &format!("{path}/rotate-secret"), &api.local(), None).await.json();
    ends(&token, "an agent's old secret").await;
    let token = api.token(&client_id, &text(&rotated["data"]["clientSecret"])).await;
    assert_eq!(api.ask("GET", "/api/agents", &token, None).await.status, StatusCode::OK);
    let direct = api.ask("DELETE", &format!("/admin/clients/{client_id}"), &api.local(), None).await;
    assert_eq!(direct.status, StatusCode::CONFLICT, "an agent's client goes with the agent");
    assert_eq!(api.ask("DELETE", &path, &api.local(), None).await.status, StatusCode::OK);
    ends(&token, "an agent that is gone").await;
    assert_eq!(api.login(&client_id, "anything").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_a_bucket_of_its_own() {
    let api = Api::start_with(|config| {
        config.server.client_requests_per_s = 1;
        config.server.client_requests_burst = 5;
    })
    .await;
    let (_, fast) = api.client_of("acme", "member").await;
    let (_, other) = api.client_of("acme", "member").await;
    let mut refused = None;
    for _ in 0..20 {
        let answer = api.ask("GET", "/api/agents", &fast, None).await;
        if answer.status != StatusCode::OK {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a limit");
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (StatusCode::TOO_MANY_REQUESTS, Some("too_many_requests"))
    );
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    assert_eq!(api.ask("GET", "/api/agents", &other, None).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_named_pages_may_ask() {
    let preflight = async |api: &Api, origin: &str| {
        let request = api.request(Method::OPTIONS, "/api/agents/agt_1").header("origin", origin);
        api.send(request.header("access-control-request-method", "PATCH")).await
    };
    let api = Api::start_with(|config| config.server.cors_origins = vec!["https://a.example".to_owned()]).await;
    let answer = preflight(&api, "https://a.example").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://a.example");
    assert!(answer.headers["access-control-allow-methods"].to_str().unwrap().contains("PATCH"));
    assert!(answer.headers["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    assert!(!preflight(&api, "https://b.example").await.headers.contains_key("access-control-allow-origin"));
    let refused = api.send(api.request(Method::GET, "/api/agents").header("origin", "https://a.example")).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers["access-control-allow-origin"], "https://a.example", "also on errors, to be read");
    let closed = Api::start().await;
    assert!(!preflight(&closed, "https://a.example").await.headers.contains_key("access-control-allow-origin"));
}

/// What a browser does for a client with the default transports: a preflight
/// where the client sends headers of its own, then polls.
#[tokio::test(flavor = "multi_thread")]
async fn named_pages_may_open_sockets_by_polling() {
    let api = Api::start_with(|config| config.server.cors_origins = vec!["https://a.example".to_owned()]).await;
    let path = "/socket.io/?EIO=4&transport=polling";
    for (origin, allowed) in [("https://a.example", Some("https://a.example")), ("https://b.example", None)] {
        let allows = |answer: &super::Answer| {
            let value = answer.headers.get("access-control-allow-origin")?;
            Some(value.to_str().unwrap().to_owned())
        };
        for path in [path, "/mcp", "/api/tasks/task_1"] {
            let preflight = api.request(Method::OPTIONS, path).header("origin", origin);
            let preflight = preflight
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization,content-type");
            let answer = api.send(preflight).await;
            assert_eq!((answer.status, allows(&answer).as_deref()), (StatusCode::NO_CONTENT, allowed), "{path}");
            let may_say = answer.headers["access-control-allow-headers"].to_str().unwrap();
            for header in [
                "authorization",
                "content-type",
                "if-match",
                "idempotency-key",
                "last-event-id",
                "mcp-protocol-version",
                "mcp-session-id",
                "mcp-method",
                "mcp-name",
            ] {
                assert!(may_say.split(',').any(|named| named.trim() == header), "{header}: {may_say}");
            }
        }
        let open = api.send(api.request(Method::GET, path).header("origin", origin)).await;
        assert_eq!((open.status, allows(&open).as_deref()), (StatusCode::OK, allowed));
        let opened: Value = serde_json::from_str(open.text.strip_prefix('0').unwrap()).unwrap();
        let polls = format!("{path}&sid={}", text(&opened["sid"]));
        let posted = api.request(Method::POST, &polls).header("origin", origin);
        let posted = api.send(posted.header("content-type", "text/plain;charset=UTF-8").body("40/agents,{}")).await;
        assert_eq!((&*posted.text, allows(&posted).as_deref()), ("ok", allowed));
        let refused = api.send(api.request(Method::GET, &polls).header("origin", origin)).await;
        assert!(refused.text.starts_with("44/agents,"), "{}", refused.text);
        assert_eq!(allows(&refused).as_deref(), allowed);
        let gone = api.send(api.request(Method::GET, &format!("{path}&sid=none")).header("origin", origin)).await;
        assert_eq!((gone.status, allows(&gone).as_deref()), (StatusCode::BAD_REQUEST, allowed), "also on errors");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded() {
    let api = Api::start().await;
    let token = api.local();
    let post = |kind: &str, body: String| {
        let request = api.request(Method::POST, "/api/workgroups").bearer_auth(&token);
        api.send(request.header("content-type", kind.to_owned()).body(body))
    };
    let deep = format!("{{\"name\":{}1{}}}", "[".repeat(64), "]".repeat(64));
    for (kind, body, status, code) in [
        ("text/plain", "{}".to_owned(), 415, "unsupported_media_type"),
        ("application/json; charset=utf-16", "{}".to_owned(), 415, "unsupported_media_type"),
        ("application/json", "{".to_owned(), 400, "invalid_json"),
        ("application/json", String::new(), 400, "invalid"),
        ("application/json", deep, 400, "invalid_json"),
        ("application/json", format!("{{\"name\":\"{}\"}}", "x".repeat(1 << 20)), 413, "body_too_large"),
    ] {
        let answer = post(kind, body).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (status, Some(code)), "{}", answer.text);
    }
    let empty = post("application/json", "{\"nam\":1}".to_owned()).await;
    assert_eq!(fields(&empty), ["name", "nam"]);
}
