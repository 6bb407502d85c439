//! What an answer means, as far as it is the same for all providers: by its
//! status, with what the body says as the detail. What a provider says in its own
//! way is in its folder (`api.rs`).

use bytes::Bytes;
use serde_json::Value;

use super::{
    error::{Cause, NotSent, ProviderError, Rejection},
    rate::Rate,
};

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

/// A pause for those who ask for one without saying how long.
pub const DEFAULT_PAUSE_MS: u64 = 1_000;

/// Reads an answer by its status. `pause_ms` is the pause of a provider that asks
/// for one without saying how long.
pub fn by_status(answer: Answer, pause_ms: u64, now_ms: u64) -> Result<Answer, ProviderError> {
    let status = answer.status;
    let said = || ErrorBody::read(&answer.body);
    match status {
        200..300 => Ok(answer),
        300..=399 => Err(ProviderError::not_sent(
            NotSent::Misconfigured,
            format!("answered with a redirect ({status}), which is not followed: correct the API's address"),
        )),
        429 => Err(said().limited(&answer, pause_ms, now_ms)),
        401 => Err(ProviderError::Unauthorised { is_known: false, detail: said().detail(status) }),
        403 => Err(ProviderError::Unauthorised { is_known: true, detail: said().detail(status) }),
        408 | 425 | 500.. => Err(said().failed(&answer, status >= 500)),
        404 | 410 => Err(ProviderError::Gone { detail: said().detail(status) }),
        _ => Err(said().rejected(status)),
    }
}

/// What a provider says in an error's body.
pub struct ErrorBody {
    /// Slack's `ok`.
    pub is_ok: bool,
    /// The provider's own code (`channel_not_found`, `OAUTH_025`).
    pub code: Option<String>,
    /// In words.
    pub words: Option<String>,
}

/// Characters of a provider's words that are passed on.
const WORDS_CHARS_MAX: usize = 300;
const CODE_CHARS_MAX: usize = 64;

impl ErrorBody {
    /// Reads a body, whatever it is.
    pub fn read(body: &[u8]) -> ErrorBody {
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |place: &str| json.pointer(place).and_then(Value::as_str).filter(|text| !text.is_empty());
        let words = text("/err").or_else(|| text("/message")).or_else(|| text("/errorMessages/0"));
        let words = words.or_else(|| text("/error_description"));
        let code = text("/ECODE").or_else(|| text("/error"));
        ErrorBody {
            is_ok: json["ok"] == true,
            code: code.map(|code| clean(code, CODE_CHARS_MAX)),
            words: words.map(|words| clean(words, WORDS_CHARS_MAX)),
        }
    }

    /// One line for people.
    pub fn detail(&self, status: u16) -> String {
        match (&self.words, &self.code) {
            (Some(words), Some(code)) => format!("answered {status}: {words} ({code})"),
            (Some(said), None) | (None, Some(said)) => format!("answered {status}: {said}"),
            (None, None) => format!("answered {status}"),
        }
    }

    /// Too many calls.
    pub fn limited(&self, answer: &Answer, pause_ms: u64, now_ms: u64) -> ProviderError {
        let at_ms = answer.rate.pause_until_ms().unwrap_or_else(|| now_ms.saturating_add(pause_ms));
        let cause = Cause::Limit { is_scoped: false };
        ProviderError::RetryAt { cause, at_ms: Some(at_ms), detail: self.detail(answer.status) }
    }

    /// The provider is unwell.
    pub fn failed(&self, answer: &Answer, may_have_landed: bool) -> ProviderError {
        let (cause, at_ms, detail) = (Cause::Failure, answer.rate.pause_until_ms(), self.detail(answer.status));
        match may_have_landed {
            true => ProviderError::MayHaveLanded { cause, at_ms, detail },
            false => ProviderError::RetryAt { cause, at_ms, detail },
        }
    }

    /// It asks for what is not possible.
    pub fn rejected(&self, status: u16) -> ProviderError {
        let code = Rejection::Refused(self.code.clone());
        ProviderError::Rejected { code, status: Some(status), detail: self.detail(status) }
    }
}

/// One line of bounded length, whatever a stranger wrote.
fn clean(text: &str, chars_max: usize) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).take(chars_max).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::provider::Provider;

    pub(crate) const NOW_MS: u64 = 1_795_248_000_000;

    pub(crate) fn judged(
        provider: &dyn Provider,
        status: u16,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, ProviderError> {
        let get = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let rate = Rate::read(get, NOW_MS);
        let answer = Answer { status, rate, next: None, body: Bytes::copy_from_slice(body.as_bytes()) };
        provider.api().judge(answer, NOW_MS)
    }

    #[test]
    fn what_a_stranger_wrote_becomes_one_line() {
        let long = format!(r#"{{"errorMessages":["a\nb\u001b{}"]}}"#, "x".repeat(5_000));
        let Err(ProviderError::Rejected { detail, .. }) = judged(&crate::jira::Jira, 400, &[], &long) else {
            panic!("rejected")
        };
        assert!(detail.len() < 400 && !detail.contains(['\n', '\u{1b}']), "{detail}");
    }
}
