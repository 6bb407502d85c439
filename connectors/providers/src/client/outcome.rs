//! What became of a call: whose fault it is, and whether another attempt can
//! help. Every provider has its own way of saying it; here they become one.

use bytes::Bytes;
use serde_json::Value;

use super::rate::Rate;

/// Whose API it is, and so whose manners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Provider {
    ClickUp,
    Slack,
    GitHub,
    Jira,
    /// Somebody who speaks plain HTTP.
    Other,
}

impl Provider {
    /// The provider of a connection.
    pub fn from_name(name: &str) -> Provider {
        match name {
            "clickup" => Provider::ClickUp,
            "slack" => Provider::Slack,
            "github" => Provider::GitHub,
            "jira" => Provider::Jira,
            _ => Provider::Other,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Provider::ClickUp => "clickup",
            Provider::Slack => "slack",
            Provider::GitHub => "github",
            Provider::Jira => "jira",
            Provider::Other => "other",
        }
    }
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// What it says of limits.
    pub rate: Rate,
    /// Where the next page is, if its head says so (`Link`, RFC 8288).
    pub next: Option<String>,
    /// Its body.
    pub body: Bytes,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request asks for what is not there or not possible.
    Request,
    /// The token is not valid, or may not do this: its owner can help.
    Credential,
    /// The address or a setting is wrong: whoever runs the hub can help.
    Configuration,
    /// The provider is unwell, or the way to it.
    Provider,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Trouble {
    /// Whose fault it is.
    pub fault: Fault,
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// The provider's own code for it (`channel_not_found`, `OAUTH_025`).
    pub code: Option<String>,
    /// In words, nothing secret among them.
    pub detail: String,
}

/// What became of a call.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was done.
    Ok(Answer),
    /// Too many: not before then.
    RateLimited {
        /// In milliseconds since the epoch.
        until_ms: u64,
        /// In the provider's words.
        trouble: Trouble,
    },
    /// Another attempt may succeed.
    Retryable {
        /// Why this one did not.
        trouble: Trouble,
        /// Whether the provider may have done it all the same.
        may_have_landed: bool,
        /// When the provider wants to be asked again.
        retry_at_ms: Option<u64>,
    },
    /// The provider does not know the token.
    Unauthorised(Trouble),
    /// No further attempt can succeed.
    Permanent(Trouble),
}

impl Outcome {
    /// What went wrong, if something did.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Outcome::Ok(_) => None,
            Outcome::RateLimited { trouble, .. } | Outcome::Retryable { trouble, .. } => Some(trouble),
            Outcome::Unauthorised(trouble) | Outcome::Permanent(trouble) => Some(trouble),
        }
    }
}

/// A pause for those who ask for one without saying how long. GitHub's
/// secondary limits want a minute; so long are ClickUp's windows.
fn default_pause_ms(provider: Provider) -> u64 {
    match provider {
        Provider::ClickUp | Provider::GitHub => 60_000,
        Provider::Slack | Provider::Jira | Provider::Other => 1_000,
    }
}

/// Reads a provider's answer.
pub fn judge(provider: Provider, answer: Answer, now_ms: u64) -> Outcome {
    let status = answer.status;
    if (200..300).contains(&status) && provider != Provider::Slack {
        return Outcome::Ok(answer);
    }
    let said = Said::read(&answer.body);
    if (200..300).contains(&status) && (said.ok || said.code.is_none()) {
        return Outcome::Ok(answer);
    }
    let trouble = |fault| said.trouble(fault, status);
    let limited = || Outcome::RateLimited {
        until_ms: answer.rate.pause_until_ms().unwrap_or_else(|| now_ms.saturating_add(default_pause_ms(provider))),
        trouble: trouble(Fault::Provider),
    };
    let retryable = || Outcome::Retryable {
        trouble: trouble(Fault::Provider),
        may_have_landed: status >= 500,
        retry_at_ms: answer.rate.pause_until_ms(),
    };
    match (status, provider) {
        (200..300, _) => match said.code.as_deref().unwrap_or_default() {
            "ratelimited" | "rate_limited" | "message_limit_exceeded" => limited(),
            "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => Outcome::Retryable {
                trouble: trouble(Fault::Provider),
                may_have_landed: true,
                retry_at_ms: answer.rate.pause_until_ms(),
            },
            "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
                Outcome::Unauthorised(trouble(Fault::Credential))
            }
            "missing_scope" | "no_permission" | "access_denied" | "not_allowed_token_type" => {
                Outcome::Permanent(trouble(Fault::Credential))
            }
            _ => Outcome::Permanent(trouble(Fault::Request)),
        },
        (300..=399, _) => Outcome::Permanent(Trouble {
            detail: format!("answered with a redirect ({status}), which is not followed: correct the API's address"),
            ..trouble(Fault::Configuration)
        }),
        (429, _) => limited(),
        // A quota that is spent, or too many at once (a secondary limit).
        (403, Provider::GitHub) if answer.rate.pause_until_ms().is_some() || said.is_secondary_limit() => limited(),
        (401, _) => Outcome::Unauthorised(trouble(Fault::Credential)),
        (403, _) => Outcome::Permanent(trouble(Fault::Credential)),
        (408 | 425 | 500.., _) => retryable(),
        _ => Outcome::Permanent(trouble(Fault::Request)),
    }
}

/// What a provider says in an error's body.
struct Said {
    ok: bool,
    code: Option<String>,
    words: Option<String>,
}

/// Characters of a provider's words that are passed on.
const WORDS_CHARS_MAX: usize = 300;
const CODE_CHARS_MAX: usize = 64;

impl Said {
    fn read(body: &[u8]) -> Said {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |place: &str| json.pointer(place).and_then(Value::as_str).filter(|text| !text.is_empty());
        let words = text("/err").or_else(|| text("/message")).or_else(|| text("/errorMessages/0"));
        let words = words.or_else(|| text("/error_description"));
        let code = text("/ECODE").or_else(|| text("/error"));
        Said {
            ok: json["ok"] == true,
            code: code.map(|code| clean(code, CODE_CHARS_MAX)),
            words: words.map(|words| clean(words, WORDS_CHARS_MAX)),
        }
    }

    fn is_secondary_limit(&self) -> bool {
        self.words.as_deref().is_some_and(|words| {
            let words = words.to_ascii_lowercase();
            words.contains("secondary rate limit") || words.contains("abuse detection")
        })
    }

    fn trouble(&self, fault: Fault, status: u16) -> Trouble {
        let detail = match (&self.words, &self.code) {
            (Some(words), Some(code)) => format!("answered {status}: {words} ({code})"),
            (Some(said), None) | (None, Some(said)) => format!("answered {status}: {said}"),
            (None, None) => format!("answered {status}"),
        };
        Trouble { fault, status: Some(status), code: self.code.clone(), detail }
    }
}

/// One line of bounded length, whatever a stranger wrote.
fn clean(text: &str, chars_max: usize) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_795_248_000_000;

    fn judged(provider: Provider, status: u16, headers: &[(&str, &str)], body: &str) -> Outcome {
        let get = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let rate = Rate::read(get, NOW_MS);
        judge(provider, Answer { status, rate, next: None, body: Bytes::copy_from_slice(body.as_bytes()) }, NOW_MS)
    }

    #[test]
    fn clickup_says_it_with_a_status() {
        let limited = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795248009")];
        let body = r#"{"err":"Rate limit reached","ECODE":"APP_002"}"#;
        let Outcome::RateLimited { until_ms, trouble } = judged(Provider::ClickUp, 429, &limited, body) else {
            panic!("a limit");
        };
        assert_eq!((until_ms, trouble.code.as_deref()), (NOW_MS + 9_000, Some("APP_002")));
        let body = r#"{"err":"Token invalid","ECODE":"OAUTH_025"}"#;
        assert!(matches!(judged(Provider::ClickUp, 401, &[], body), Outcome::Unauthorised(_)));
        let Outcome::Permanent(trouble) = judged(Provider::ClickUp, 404, &[], "not even JSON \u{1b}[2J") else {
            panic!("permanent");
        };
        assert_eq!((trouble.fault, trouble.detail.as_str()), (Fault::Request, "answered 404"));
        assert!(matches!(judged(Provider::ClickUp, 503, &[], ""), Outcome::Retryable { may_have_landed: true, .. }));
        assert!(
            matches!(judged(Provider::ClickUp, 302, &[], ""), Outcome::Permanent(t) if t.fault == Fault::Configuration)
        );
        assert!(matches!(judged(Provider::ClickUp, 204, &[], ""), Outcome::Ok(_)));
    }

    #[test]
    fn slack_says_it_in_a_200() {
        let said = |error: &str| judged(Provider::Slack, 200, &[], &format!(r#"{{"ok":false,"error":"{error}"}}"#));
        assert!(matches!(judged(Provider::Slack, 200, &[], r#"{"ok":true,"error":"x"}"#), Outcome::Ok(_)));
        assert!(matches!(said("ratelimited"), Outcome::RateLimited { .. }));
        assert!(matches!(said("invalid_auth"), Outcome::Unauthorised(_)));
        assert!(matches!(said("internal_error"), Outcome::Retryable { may_have_landed: true, .. }));
        assert!(matches!(said("missing_scope"), Outcome::Permanent(t) if t.fault == Fault::Credential));
        let Outcome::Permanent(trouble) = said("msg_blocks_too_long") else { panic!("permanent") };
        assert_eq!(trouble.code.as_deref(), Some("msg_blocks_too_long"));
        let limited = judged(Provider::Slack, 429, &[("retry-after", "3")], "");
        assert!(matches!(limited, Outcome::RateLimited { until_ms, .. } if until_ms == NOW_MS + 3_000));
    }

    #[test]
    fn github_says_it_in_a_403() {
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1795248600")];
        let outcome = judged(Provider::GitHub, 403, &spent, r#"{"message":"API rate limit exceeded"}"#);
        assert!(matches!(outcome, Outcome::RateLimited { until_ms, .. } if until_ms == NOW_MS + 600_000));
        let body = r#"{"message":"You have exceeded a secondary rate limit. Please wait."}"#;
        let outcome = judged(Provider::GitHub, 403, &[("x-ratelimit-remaining", "4999")], body);
        assert!(matches!(outcome, Outcome::RateLimited { until_ms, .. } if until_ms == NOW_MS + 60_000));
        let body = r#"{"message":"Resource not accessible by integration"}"#;
        assert!(
            matches!(judged(Provider::GitHub, 403, &[], body), Outcome::Permanent(t) if t.fault == Fault::Credential)
        );
    }

    #[test]
    fn what_a_stranger_wrote_becomes_one_line() {
        let long = format!(r#"{{"errorMessages":["a\nb\u001b{}"]}}"#, "x".repeat(5_000));
        let Outcome::Permanent(trouble) = judged(Provider::Jira, 400, &[], &long) else { panic!("permanent") };
        assert!(trouble.detail.len() < 400 && !trouble.detail.contains(['\n', '\u{1b}']), "{}", trouble.detail);
    }
}
