//! How ClickUp's API is called.

use runtime::config::ProviderSettings;

use super::ClickUp;
use crate::{
    client::{Answer, Credential, Policies, ProviderError, budget::Limit, judge::by_status},
    credentials::Link,
    provider::Api,
};

/// So long are ClickUp's windows.
const PAUSE_MS: u64 = 60_000;

impl Api for ClickUp {
    fn base_url(&self, link: &Link, settings: &ProviderSettings) -> Option<String> {
        Some(link.base_url.clone().unwrap_or_else(|| settings.get("clickup_api_url").to_owned()))
    }

    fn token_key(&self) -> Option<&'static str> {
        Some("clickup_api_token")
    }

    fn credential(&self, token: &str, _email: Option<&str>) -> Option<Credential> {
        Credential::plain(token)
    }

    fn limit(&self, _has_scope: bool, _policies: &Policies) -> Option<Limit> {
        Some(Limit { calls_max: 100, window_ms: 60_000 })
    }

    fn judge(&self, answer: Answer, now_ms: u64) -> Result<Answer, ProviderError> {
        by_status(answer, PAUSE_MS, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{
        NotSent,
        judge::tests::{NOW_MS, judged},
    };

    #[test]
    fn clickup_says_it_with_a_status() {
        let limited = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795248009")];
        let body = r#"{"err":"Rate limit reached","ECODE":"APP_002"}"#;
        let Err(ProviderError::RetryAt { at_ms, detail, .. }) = judged(&ClickUp, 429, &limited, body) else {
            panic!("a limit");
        };
        assert_eq!((at_ms, detail.contains("APP_002")), (Some(NOW_MS + 9_000), true));
        let body = r#"{"err":"Token invalid","ECODE":"OAUTH_025"}"#;
        assert!(matches!(judged(&ClickUp, 401, &[], body), Err(ProviderError::Unauthorised { is_known: false, .. })));
        let Err(ProviderError::Gone { detail }) = judged(&ClickUp, 404, &[], "not even JSON \u{1b}[2J") else {
            panic!("gone");
        };
        assert_eq!(detail, "answered 404");
        assert!(matches!(judged(&ClickUp, 503, &[], ""), Err(ProviderError::MayHaveLanded { .. })));
        assert!(matches!(
            judged(&ClickUp, 302, &[], ""),
            Err(ProviderError::NotSent { why: NotSent::Misconfigured, .. })
        ));
        assert!(judged(&ClickUp, 204, &[], "").is_ok());
    }
}
