//! OAuth at the fakes: a browser that comes with a client's id is sent back with
//! a code at once, and a code is good for one token. GitHub's are held against
//! their verifiers, and end.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Fakes, World, world::SLACK_TEAM};
use runtime::identity::random_hex;

/// Below a provider's prefix: where browsers are sent, and where codes are
/// exchanged by providers that do it beside their API.
pub(super) fn routes(provider: &'static str) -> Router<Fakes> {
    let authorize = move |state, query| authorize(provider, state, query);
    let exchange = move |state, headers, body| beside(provider, state, headers, body);
    Router::new().route("/oauth/authorize", get(authorize)).route("/oauth/access_token", post(exchange))
}

#[derive(Deserialize)]
struct Sent {
    client_id: String,
    redirect_uri: String,
    #[serde(default)]
    state: String,
    code_challenge: Option<String>,
}

async fn authorize(provider: &'static str, State(fakes): State<Fakes>, Query(sent): Query<Sent>) -> Response {
    let code = random_hex();
    let kept = json!({
        "provider": provider, "client": sent.client_id, "redirect": sent.redirect_uri, "challenge": sent.code_challenge,
    });
    fakes.world().oauth.put(&code, kept);
    let Ok(mut back) = sent.redirect_uri.parse::<reqwest::Url>() else {
        return (StatusCode::BAD_REQUEST, "no redirect_uri").into_response();
    };
    back.query_pairs_mut().append_pair("code", &code).append_pair("state", &sent.state);
    (StatusCode::FOUND, [(header::LOCATION, back.to_string())]).into_response()
}

async fn beside(provider: &'static str, State(fakes): State<Fakes>, headers: HeaderMap, body: Bytes) -> Response {
    Json(exchange(&mut fakes.world(), provider, &fields(&headers, &body))).into_response()
}

/// What a token is asked for with, as a form or as JSON.
pub(super) fn fields(headers: &HeaderMap, body: &[u8]) -> Value {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        return serde_json::from_slice(body).unwrap_or_default();
    }
    let text = std::str::from_utf8(body).unwrap_or_default();
    let pairs = udfs::form::fields(text).flatten().map(|(name, value)| (name.into_owned(), json!(value)));
    Value::Object(pairs.collect())
}

/// A token for a code or for what the last one came with; an `error` otherwise.
pub(super) fn exchange(world: &mut World, provider: &str, fields: &Value) -> Value {
    let text = |name: &str| fields[name].as_str().unwrap_or_default();
    if text("client_id").is_empty() || text("client_secret").is_empty() {
        return json!({ "ok": false, "error": "bad_client_secret" });
    }
    if text("grant_type") == "refresh_token" {
        let known = world.oauth.take(text("refresh_token"));
        return match known.filter(|known| known["refresh"] == provider) {
            Some(_) => token(world, provider),
            None => json!({ "ok": false, "error": "invalid_refresh_token" }),
        };
    }
    let Some(code) = world.oauth.take(text("code")).filter(|code| code["provider"] == provider) else {
        return json!({ "ok": false, "error": "invalid_code" });
    };
    let verifier = text("code_verifier");
    let is_right = match code["challenge"].as_str() {
        Some(challenge) => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == challenge,
        None => verifier.is_empty(),
    };
    let is_same = provider == "clickup" || code["redirect"] == text("redirect_uri");
    if !is_right || !is_same || code["client"] != text("client_id") {
        return json!({ "ok": false, "error": "bad_verification_code" });
    }
    token(world, provider)
}

fn token(world: &mut World, provider: &str) -> Value {
    let access = format!("fake-{provider}-{}", random_hex());
    if let Some(good) = world.tokens.get_mut(provider) {
        good.push(access.clone());
    }
    let mut said = json!({ "ok": true, "access_token": access, "token_type": "bearer" });
    if provider == "slack" {
        let more = json!({
            "token_type": "bot", "scope": "chat:write", "bot_user_id": "U0NEXUS", "app_id": "A0FAKE",
            "team": { "id": SLACK_TEAM, "name": "Orchard" }, "enterprise": null, "authed_user": { "id": "U0ADA" },
        });
        said.as_object_mut().into_iter().for_each(|said| said.extend(more.as_object().cloned().unwrap_or_default()));
    }
    if let Some(lifetime_s) = world.oauth_lifetime_s.filter(|_| provider != "clickup") {
        let refresh = random_hex();
        world.oauth.put(&refresh, json!({ "refresh": provider }));
        (said["expires_in"], said["refresh_token"]) = (json!(lifetime_s), json!(refresh));
    }
    said
}
