//! Where the hub is, for commands that ask it something.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use hub::Notice;
use reqwest::{Client, Response, StatusCode};
use runtime::config::Config;

/// How long a hub may take to say that it lives. One that is dead refuses at
/// once; one that is only busy must not be taken for dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A hub that answers.
pub struct Remote {
    client: Client,
    notice: Notice,
}

impl Remote {
    /// The hub of the data directory; else the one that NEXUS_URL and
    /// NEXUS_TOKEN name; else none.
    pub async fn find(config: &Config) -> Result<Option<Remote>> {
        let client = client()?;
        if let Some(notice) = Notice::read(&config.data_dir) {
            let remote = Remote { client: client.clone(), notice };
            // A hub that was killed leaves its notice behind.
            if remote.answers().await {
                return Ok(Some(remote));
            }
        }
        let Ok(url) = std::env::var("NEXUS_URL") else { return Ok(None) };
        let token = std::env::var("NEXUS_TOKEN").unwrap_or_default();
        Ok(Some(Remote { client, notice: Notice { url: url.trim_end_matches('/').to_owned(), token } }))
    }

    async fn answers(&self) -> bool {
        let request = self.client.get(format!("{}/health/live", self.notice.url));
        request.timeout(ANSWER_TIMEOUT).send().await.is_ok_and(|answer| answer.status().is_success())
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.notice.url
    }

    /// Asks for something.
    pub async fn get(&self, path: &str, query: &impl serde::Serialize) -> Result<Response> {
        let query = form(query)?;
        let request = self.client.get(format!("{}{path}?{query}", self.notice.url)).bearer_auth(&self.notice.token);
        checked(request.send().await.with_context(|| format!("cannot reach {}", self.notice.url))?).await
    }

    /// Asks for something to be done.
    pub async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Response> {
        let request = self.client.post(format!("{}{path}", self.notice.url)).bearer_auth(&self.notice.token).json(body);
        checked(request.send().await.with_context(|| format!("cannot reach {}", self.notice.url))?).await
    }
}

/// A client that gives up on connecting, not on answers that take their time.
pub fn client() -> Result<Client> {
    // The system's own list of authorities is not read: what we call from here
    // is either ours or signed by a public one.
    Client::builder().connect_timeout(Duration::from_secs(5)).build().context("cannot make an HTTP client")
}

/// Calls `each` for every line of an answer, as it comes.
pub async fn lines(answer: Response, mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut pieces = answer.bytes_stream();
    let mut rest = Vec::new();
    while let Some(piece) = pieces.next().await {
        rest.extend_from_slice(&piece.context("the answer broke off")?);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            each(String::from_utf8_lossy(&line).trim_end())?;
        }
    }
    Ok(())
}

async fn checked(answer: Response) -> Result<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let problem: serde_json::Value = answer.json().await.unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("no reason given");
    if status == StatusCode::UNAUTHORIZED {
        bail!("{detail} (set NEXUS_TOKEN, or name the hub's data directory with NEXUS_DATA_DIR)");
    }
    bail!("{status}: {detail}")
}

/// A query string of a flat structure.
fn form(query: &impl serde::Serialize) -> Result<String> {
    let value = serde_json::to_value(query)?;
    let pairs = value.as_object().into_iter().flatten().map(|(name, value)| match value {
        serde_json::Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    Ok(pairs.collect::<Vec<_>>().join("&"))
}
