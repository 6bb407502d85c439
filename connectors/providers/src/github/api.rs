//! How GitHub's REST API is called. Its limits are 403s.

use runtime::config::ProviderSettings;

use super::GitHub;
use crate::{
    client::{
        Answer, Policies, ProviderError, Request,
        budget::Limit,
        judge::{ErrorBody, by_status},
    },
    credentials::Link,
    provider::{Api, ONLY_PAUSES},
};

/// Secondary limits want a minute.
const PAUSE_MS: u64 = 60_000;

impl Api for GitHub {
    fn base_url(&self, link: &Link, settings: &ProviderSettings) -> Option<String> {
        Some(link.base_url.clone().unwrap_or_else(|| settings.get("github_api_url").to_owned()))
    }

    fn token_key(&self) -> Option<&'static str> {
        Some("github_token")
    }

    fn dress(&self, request: Request) -> Request {
        request.header("x-github-api-version", "2022-11-28")
    }

    fn limit(&self, _has_scope: bool, _policies: &Policies) -> Option<Limit> {
        Some(ONLY_PAUSES)
    }

    fn judge(&self, answer: Answer, now_ms: u64) -> Result<Answer, ProviderError> {
        if answer.status == 403 {
            let said = ErrorBody::read(&answer.body);
            // A quota that is spent, or too many at once (a secondary limit).
            if answer.rate.pause_until_ms().is_some() || is_secondary_limit(&said) {
                return Err(said.limited(&answer, PAUSE_MS, now_ms));
            }
        }
        by_status(answer, PAUSE_MS, now_ms)
    }
}

fn is_secondary_limit(said: &ErrorBody) -> bool {
    said.words.as_deref().is_some_and(|words| {
        let words = words.to_ascii_lowercase();
        words.contains("secondary rate limit") || words.contains("abuse detection")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::judge::tests::{NOW_MS, judged};

    #[test]
    fn github_says_it_in_a_403() {
        let limit_until = |headers: &[(&str, &str)], body: &str| match judged(&GitHub, 403, headers, body) {
            Err(ProviderError::RetryAt { at_ms, .. }) => at_ms,
            other => panic!("a limit, not {other:?}"),
        };
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795248600")];
        assert_eq!(limit_until(&spent, r#"{"message":"API rate limit exceeded"}"#), Some(NOW_MS + 600_000));
        let body = r#"{"message":"You have exceeded a secondary rate limit. Please wait."}"#;
        assert_eq!(limit_until(&[("x-ratelimit-remaining", "4999")], body), Some(NOW_MS + 60_000));
        let body = r#"{"message":"Resource not accessible by integration"}"#;
        assert!(matches!(judged(&GitHub, 403, &[], body), Err(ProviderError::Unauthorised { is_known: true, .. })));
    }
}
