//! What a call is made with. It never shows itself: not in debug output, and
//! not in what a provider repeats of it in its errors.

use reqwest::header::{AUTHORIZATION, HeaderValue};
use udfs::hash::{Parts, hex};

use super::error::{ProviderError, Rejection};

/// A token, in the form in which its provider takes it.
#[derive(Clone)]
pub struct Credential {
    header: HeaderValue,
    /// As they might be repeated to us.
    spellings: Vec<String>,
    name: String,
}

/// Shorter ones would make holes in innocent texts.
const SECRET_CHARS_MIN: usize = 4;

impl Credential {
    /// The token alone, as ClickUp takes it; `None` when no header can carry it.
    pub fn plain(token: &str) -> Option<Credential> {
        Self::new(token, &[token])
    }

    /// `Bearer` and the token: Slack, GitHub, OAuth.
    pub fn bearer(token: &str) -> Option<Credential> {
        Self::new(&format!("Bearer {token}"), &[token])
    }

    /// A name and a token, as Jira takes them.
    pub fn basic(user: &str, token: &str) -> Option<Credential> {
        let encoded = udfs::hash::base64(format!("{user}:{token}").as_bytes());
        Self::new(&format!("Basic {encoded}"), &[token, &encoded])
    }

    fn new(header: &str, spellings: &[&str]) -> Option<Credential> {
        let name = hex(Parts::new().add("credential").add(header).finish());
        let mut header = HeaderValue::from_str(header).ok()?;
        header.set_sensitive(true);
        let spellings = spellings.iter().filter(|text| text.len() >= SECRET_CHARS_MIN);
        Some(Credential { header, spellings: spellings.map(|text| (*text).to_owned()).collect(), name })
    }

    /// Names it without telling it: what it may spend is counted under this.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn header(&self) -> (reqwest::header::HeaderName, HeaderValue) {
        (AUTHORIZATION, self.header.clone())
    }

    /// An error without it.
    pub(super) fn scrub_error(&self, error: ProviderError) -> ProviderError {
        let error = error.map_detail(|detail| self.scrub(detail));
        match error {
            ProviderError::Rejected { code: Rejection::Refused(Some(code)), status, detail } => {
                ProviderError::Rejected { code: Rejection::Refused(Some(self.scrub(&code))), status, detail }
            }
            error => error,
        }
    }

    /// A text without it.
    pub(super) fn scrub(&self, text: &str) -> String {
        self.spellings.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "********"))
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Credential(********)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_does_not_show_itself() {
        let token = "pk_hush_hush";
        for credential in [Credential::plain(token), Credential::bearer(token), Credential::basic("ada", token)] {
            let credential = credential.expect("a header can carry it");
            assert!(!format!("{credential:?} {:?} {}", credential.header(), credential.name()).contains("hush"));
            assert_eq!(credential.scrub("bad token pk_hush_hush!"), "bad token ********!");
        }
        let encoded = udfs::hash::base64(b"ada:pk_hush_hush");
        let basic = Credential::basic("ada", token).expect("a header can carry it");
        assert_eq!(basic.scrub(&encoded), "********");
        assert!(Credential::plain("two\nlines").is_none());
    }
}
