//! Whose a token of GitHub's is. An app is nobody's account: it is asked about
//! otherwise.

use reqwest::Method;
use serde_json::json;

use super::GitHub;
use crate::{
    capability::{Identity, identity::ids_at},
    client::{NotSent, ProviderClient, ProviderError, Rejection},
    provider::Asking,
};

const PLACES: &[&str] = &["/login", "/data/viewer/login"];
/// Who a GitHub app is, which the address for people does not tell.
const VIEWER: &str = "query { viewer { login } }";

impl Identity for GitHub {
    fn ask<'a>(&'a self, client: &'a ProviderClient) -> Asking<'a, Vec<String>> {
        Box::pin(async move {
            let answer = match client.get(&["user"], &[]).await {
                Err(error) if is_refused(&error) => {
                    let request = client.request(Method::POST, client.url(&["graphql"])?);
                    let mut request = request.json(&json!({ "query": VIEWER }));
                    // It only asks.
                    request.is_repeatable = true;
                    client.ask(request, None).await?
                }
                answer => answer?,
            };
            Ok(ids_at(&answer, PLACES))
        })
    }
}

fn is_refused(error: &ProviderError) -> bool {
    match error {
        ProviderError::Unauthorised { .. } | ProviderError::Gone { .. } => true,
        ProviderError::Rejected { code, .. } => *code != Rejection::BadAnswer,
        ProviderError::NotSent { why, .. } => *why == NotSent::Misconfigured,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn github_calls_us_as_its_events_do() {
        assert_eq!(ids_at(&json!({"login": "nexus-bot", "id": 1}), PLACES), ["nexus-bot"]);
        let app = json!({"data": {"viewer": {"login": "nexus[bot]"}}});
        assert_eq!(ids_at(&app, PLACES), ["nexus[bot]"]);
        assert!(ids_at(&json!({"data": {"viewer": null}}), PLACES).is_empty());
    }
}
