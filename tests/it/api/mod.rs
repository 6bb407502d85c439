//! The API through HTTP, on a real hub.

mod document;
mod isolation;
mod online;
mod rights;
mod rows;
mod schemathesis;
mod secrets;
mod tokens;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::hub::{Answer, Hub, client};

/// A hub with tenants, and tokens for them.
pub struct Api {
    pub hub: Hub,
    client: reqwest::Client,
}

impl Api {
    pub async fn start() -> Api {
        Api::start_with(|_| {}).await
    }

    /// Guesses at secrets cost little here; bcrypt's cost has a test of its own.
    pub async fn start_with(change: impl FnOnce(&mut runtime::config::Config)) -> Api {
        let api = Api::start_in(tempfile::tempdir().unwrap(), change).await;
        for tenant in ["acme", "umbra"] {
            api.made("/admin/tenants", json!({ "id": tenant, "name": tenant })).await;
        }
        api
    }

    /// With the directory of one that was there before, and its tenants.
    pub async fn start_in(directory: tempfile::TempDir, change: impl FnOnce(&mut runtime::config::Config)) -> Api {
        let hub = Hub::start_in(directory, |config| {
            config.auth.bcrypt_cost = 4;
            config.server.client_requests_per_s = 0;
            change(config);
        })
        .await;
        Api { hub, client: client() }
    }

    /// A request, to be sent by [`Api::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.hub.url()))
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.unwrap() }
    }

    /// A request with a token.
    pub async fn ask(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let mut request = self.request(method.parse().unwrap(), path).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    /// The token of whoever may read the data directory.
    pub fn local(&self) -> String {
        hub::Notice::read(self.hub.directory.path()).unwrap().token
    }

    /// Made by that one; its `data`.
    pub async fn made(&self, path: &str, body: Value) -> Value {
        let answer = self.ask("POST", path, &self.local(), Some(body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{path}: {}", answer.text);
        answer.json()["data"].clone()
    }

    /// A token for a client's id and secret.
    pub async fn token(&self, client_id: &str, client_secret: &str) -> String {
        let answer = self.login(client_id, client_secret).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub async fn login(&self, client_id: &str, client_secret: &str) -> Answer {
        let body = json!({ "client_id": client_id, "client_secret": client_secret });
        self.send(self.request(Method::POST, "/auth/token").json(&body)).await
    }

    /// A new client of a role, and its token.
    pub async fn client_of(&self, tenant: &str, role: &str) -> (String, String) {
        if role == "agent" {
            let agent = self.agent_of(tenant, "probe").await;
            return (agent.0, agent.2);
        }
        let path = format!("/admin/clients?tenantId={tenant}");
        let made = self.made(&path, json!({ "role": role, "name": format!("{role} of {tenant}") })).await;
        let (id, secret) = (text(&made["clientId"]), text(&made["clientSecret"]));
        let token = self.token(&id, &secret).await;
        (id, token)
    }

    /// A new agent: its client, its id, its token.
    pub async fn agent_of(&self, tenant: &str, name: &str) -> (String, String, String) {
        let made = self.made(&format!("/api/agents?tenantId={tenant}"), json!({ "name": name })).await;
        let (id, client_id) = (text(&made["id"]), text(&made["clientId"]));
        let token = self.token(&client_id, &text(&made["clientSecret"])).await;
        (client_id, id, token)
    }
}

/// A text that must be there.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// The fields that an answer complains of.
pub fn fields(answer: &Answer) -> Vec<String> {
    let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| text(&error["field"])).collect()
}
