//! `POST /auth/token`: client credentials (RFC 6749 §4.4) for a token.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use pipeline::event::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Desk,
    call::{Call, problem_of},
    input::Credentials,
    operation::{Operation, operation},
    output::Bare,
};
use runtime::{
    auth::{Access, Authenticate, Authenticated, Denied, Gate, Guess, Known, LOCAL, Principal, TOKEN_TTL_S},
    http::problem::{FieldError, Problem},
};
use store::StoreError;

/// A request for a token. Other fields (`scope`, …) are not looked at.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct TokenForm {
    /// `client_credentials`, if it is said at all.
    #[schemars(length(max = 100))]
    grant_type: Option<String>,
    /// The client; or by HTTP Basic.
    #[schemars(length(max = 200))]
    client_id: Option<String>,
    /// Its secret; or by HTTP Basic.
    #[schemars(length(max = 1_000))]
    client_secret: Option<String>,
}

/// A token.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Token {
    /// What goes into `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds for which it counts.
    expires_in: u64,
}

/// `/auth/token`
pub fn operations() -> Vec<Operation> {
    vec![
        operation(Method::POST, "/auth/token", Access::Open, "Get a token for a client's id and secret", token)
            .errors(&[StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS])
            .example(json!({ "client_id": "cli_1", "client_secret": "…", "grant_type": "client_credentials" })),
    ]
}

async fn token(call: Call, Credentials(form): Credentials<TokenForm>) -> Result<Bare<Token>, Problem> {
    if form.grant_type.as_deref().is_some_and(|kind| kind != "client_credentials") {
        let detail = "the only grant type is client_credentials";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", detail).as_oauth());
    }
    let (client_id, secret) = credentials(&call.headers, form)?;
    let now_ms = call.now().as_ms();
    let guess = Guess { client_id: &client_id, secret: &secret, address: call.address, now_ms };
    let known = proven(&call.desk, guess).await?;
    let subject = known.agent_id.as_deref().unwrap_or(&client_id);
    let access_token = call.desk.tokens.issue(&known.tenant_id, &client_id, subject, known.role);
    Ok(Bare(Token { access_token, token_type: "Bearer", expires_in: TOKEN_TTL_S }))
}

/// The client that a guess names, if the guess is right. A client that was made
/// or changed a moment ago holds in this process when this answers.
async fn proven(desk: &Desk, guess: Guess<'_>) -> Result<Known, Problem> {
    let (client_id, mut row) = (guess.client_id, None);
    let find = async {
        let Some(found) = desk.store.clients().credentials(client_id).await? else { return Ok(None) };
        let client = row.insert(found.client.row);
        Ok::<_, StoreError>(Some(Known {
            tenant_id: found.tenant_id,
            agent_id: client.agent_id.clone(),
            role: client.role,
            enabled: client.enabled,
            secret_hash: found.bcrypt_hash,
        }))
    };
    let known = desk.login.prove(guess, find).await.map_err(problem_of)?.map_err(denied)?;
    desk.settled::<Client>(&known.tenant_id, client_id, row.as_ref()).await;
    Ok(known)
}

impl Authenticate for Desk {
    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn authenticate<'a>(&'a self, access: Access, guess: Guess<'a>) -> Authenticated<'a> {
        Box::pin(async move {
            let secret = guess.secret;
            let who = match HeaderValue::try_from(format!("Bearer {secret}")) {
                Ok(bearer) if looks_like_a_token(secret) => {
                    self.gate.principal(&HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]))?
                }
                _ => {
                    let (client_id, now_ms) = (guess.client_id.to_owned(), guess.now_ms);
                    let known = proven(self, guess).await?;
                    Principal {
                        tenant_id: known.tenant_id,
                        subject: known.agent_id.unwrap_or_else(|| client_id.clone()),
                        client_id,
                        role: known.role,
                        expires_at_ms: now_ms + TOKEN_TTL_S * 1_000,
                    }
                }
            };
            Gate::admit(access, &who)?;
            Ok(who)
        })
    }

    fn may_stay(&self, who: &Principal) -> bool {
        who.client_id == LOCAL || self.tokens.still_counts(who)
    }
}

/// Tokens have two dots; secrets, which are made here, have none.
fn looks_like_a_token(secret: &str) -> bool {
    secret.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// The client's id and secret, given in one way and no other.
fn credentials(headers: &HeaderMap, form: TokenForm) -> Result<(String, String), Problem> {
    let in_body = form.client_id.is_some() || form.client_secret.is_some();
    match (headers.get(header::AUTHORIZATION), in_body) {
        (Some(_), true) => Err(invalid("client_id", "is there twice: in the head and in the body")),
        (Some(given), false) => {
            let given = given.to_str().ok().and_then(basic);
            given.ok_or_else(|| denied(Denied::Wrong))
        }
        (None, _) => match (form.client_id, form.client_secret) {
            (Some(id), Some(secret)) => Ok((id, secret)),
            (None, _) => Err(invalid("client_id", "is missing")),
            (Some(_), None) => Err(invalid("client_secret", "is missing")),
        },
    }
}

/// HTTP Basic, whose two parts are encoded as a form is (RFC 6749 §2.3.1).
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    let plain = |text: &str| {
        let pair = format!("v={}", text.replace('&', "%26"));
        let text = udfs::form::field(&pair, "v").ok().flatten()?.into_owned();
        (!text.contains('\0')).then_some(text)
    };
    Some((plain(id)?, plain(secret)?))
}

fn invalid(field: &str, message: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_request", "the request is not valid")
        .with_errors(vec![FieldError::new(field, message)])
        .as_oauth()
}

fn denied(denied: Denied) -> Problem {
    match denied {
        Denied::Wrong => {
            Problem::new(StatusCode::UNAUTHORIZED, "invalid_client", "there is no client with this id and secret")
                .as_oauth()
                .challenge(r#"Basic realm="nexus""#)
        }
        Denied::Often(seconds) => {
            let detail = "too many wrong secrets; try again later";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail).retry_after(seconds)
        }
        Denied::Busy => {
            let detail = "too many clients ask for tokens at the same time; try again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(5)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_decoded() {
        let encoded = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(basic(&encoded("id:secret")), Some(("id".into(), "secret".into())));
        assert_eq!(basic(&encoded("a%3Ab:c%20d&e:f")), Some(("a:b".into(), "c d&e:f".into())));
        assert_eq!(basic("basic aWQ6"), Some(("id".into(), String::new())));
        for bad in ["Basic", "Basic !", "Bearer aWQ6", &encoded("nocolon"), &encoded("%zz:a")] {
            assert_eq!(basic(bad), None, "{bad}");
        }
    }
}
