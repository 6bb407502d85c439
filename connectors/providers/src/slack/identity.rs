//! Whose a token of Slack's is: a bot has two names.

use reqwest::Method;
use serde_json::json;

use super::Slack;
use crate::{
    capability::{Identity, identity::ids_at},
    client::ProviderClient,
    provider::Asking,
};

const PLACES: &[&str] = &["/user_id", "/bot_id"];

impl Identity for Slack {
    fn ask<'a>(&'a self, client: &'a ProviderClient) -> Asking<'a, Vec<String>> {
        Box::pin(async move {
            let mut request = client.request(Method::POST, client.url(&["auth.test"])?).json(&json!({}));
            // It only asks.
            request.is_repeatable = true;
            Ok(ids_at(&client.ask(request, None).await?, PLACES))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::identity::tests::recorded;

    #[test]
    fn slack_calls_us_as_its_events_do() {
        let slack =
            json!({"ok": true, "user_id": "U0NEXUS", "bot_id": "B0NEXUS", "team_id": "T0ACME", "user": "nexus"});
        assert_eq!(ids_at(&slack, PLACES), ["U0NEXUS", "B0NEXUS"]);
        let person = json!({"ok": true, "user_id": "U0ADA", "team_id": "T0ACME"});
        assert_eq!(ids_at(&person, PLACES), ["U0ADA"], "a person's token has no bot");
        if let Some(answer) = recorded("slack/http.auth_test_success.0.json") {
            assert_eq!(ids_at(&answer["body"], PLACES).len(), 2);
        }
    }
}
