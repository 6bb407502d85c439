//! How Slack's Web API is called. It answers errors with 200 and a code.

use runtime::config::ProviderSettings;

use super::Slack;
use crate::{
    client::{
        Answer, Policies, ProviderError, Rejection, Request,
        budget::Limit,
        judge::{DEFAULT_PAUSE_MS, ErrorBody, by_status},
    },
    credentials::Link,
    provider::{Api, ONLY_PAUSES},
};

impl Api for Slack {
    fn base_url(&self, link: &Link, settings: &ProviderSettings) -> Option<String> {
        Some(link.base_url.clone().unwrap_or_else(|| settings.get("slack_api_url").to_owned()))
    }

    fn token_key(&self) -> Option<&'static str> {
        Some("slack_bot_token")
    }

    /// A message a second and channel; other methods tell their limits.
    fn limit(&self, has_scope: bool, policies: &Policies) -> Option<Limit> {
        match has_scope {
            true => Some(Limit { calls_max: 1, window_ms: policies.scope_window_ms }),
            false => Some(ONLY_PAUSES),
        }
    }

    /// Slack's limits are by method: a history that wants a pause must not hold up
    /// what the mirror has to say.
    fn pace(&self, request: &Request) -> Option<String> {
        request.url.path_segments().and_then(Iterator::last).map(str::to_owned)
    }

    fn judge(&self, answer: Answer, now_ms: u64) -> Result<Answer, ProviderError> {
        let status = answer.status;
        let said = ErrorBody::read(&answer.body);
        if !(200..300).contains(&status) || said.is_ok {
            return by_status(answer, DEFAULT_PAUSE_MS, now_ms);
        }
        let Some(code) = said.code.as_deref() else { return Ok(answer) };
        let detail = said.detail(status);
        Err(match code {
            "ratelimited" | "rate_limited" | "message_limit_exceeded" => {
                said.limited(&answer, DEFAULT_PAUSE_MS, now_ms)
            }
            "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => said.failed(&answer, true),
            "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
                ProviderError::Unauthorised { is_known: false, detail }
            }
            "missing_scope" | "no_permission" | "access_denied" | "not_allowed_token_type" => {
                ProviderError::Unauthorised { is_known: true, detail }
            }
            "msg_blocks_too_long" | "msg_too_long" => {
                ProviderError::Rejected { code: Rejection::TooLong, status: Some(status), detail }
            }
            "message_not_found" | "thread_not_found" | "channel_not_found" => ProviderError::Gone { detail },
            _ => said.rejected(status),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{
        Cause,
        judge::tests::{NOW_MS, judged},
    };

    #[test]
    fn slack_says_it_in_a_200() {
        let said = |error: &str| {
            judged(&Slack, 200, &[], &format!(r#"{{"ok":false,"error":"{error}"}}"#)).expect_err("an error")
        };
        assert!(judged(&Slack, 200, &[], r#"{"ok":true,"error":"x"}"#).is_ok());
        assert!(matches!(said("ratelimited"), ProviderError::RetryAt { cause: Cause::Limit { .. }, .. }));
        assert!(matches!(said("invalid_auth"), ProviderError::Unauthorised { is_known: false, .. }));
        assert!(matches!(said("internal_error"), ProviderError::MayHaveLanded { .. }));
        assert!(matches!(said("missing_scope"), ProviderError::Unauthorised { is_known: true, .. }));
        assert!(matches!(said("msg_blocks_too_long"), ProviderError::Rejected { code: Rejection::TooLong, .. }));
        assert!(matches!(said("thread_not_found"), ProviderError::Gone { .. }));
        let Err(ProviderError::RetryAt { at_ms, .. }) = judged(&Slack, 429, &[("retry-after", "3")], "") else {
            panic!("a limit")
        };
        assert_eq!(at_ms, Some(NOW_MS + 3_000));
    }
}
