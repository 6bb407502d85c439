//! Scales the agents' own deployments to nothing, and back: for agents that go
//! on thinking, and spending, without a socket.
//!
//! Deployments with the label `nexus.dev/agent=true` in the hub's namespace; for
//! one tenant those that have `nexus.dev/tenant=ID` as well. The API server's
//! address is the cluster's own and therefore private: this client speaks to it
//! and to nothing else, by the certificate authority and the token that every
//! pod finds in its file system. What the account must be allowed to do stands
//! in `deploy/kubernetes/scale-agents.yaml`.

use std::{path::PathBuf, time::Duration};

use pipeline::event::{EVERYBODY, Scaled};
use reqwest::{Certificate, Client, Method, StatusCode, Url, header, redirect};
use serde_json::{Value, json};

use crate::config::KubernetesSettings;

/// How long one exchange may take; there is one for each deployment.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Deployments that are asked for at once, and all together.
const PAGE: usize = 500;
const DEPLOYMENTS_MAX: usize = 10_000;
/// A page of deployments with all that their authors wrote into them.
const BODY_BYTES_MAX: usize = 32 << 20;
/// Deployments that are scaled at the same time.
const AT_ONCE: usize = 8;

/// Why something could not be scaled.
#[derive(Debug, thiserror::Error)]
pub enum NotScaled {
    /// The hub does not run in a cluster, and no API server was named.
    #[error("there is no Kubernetes around; set kubernetes.api_url, or run the hub in the cluster")]
    Absent,
    /// A file of the service account cannot be read.
    #[error("cannot read {path}: {error}")]
    Account {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A setting is wrong.
    #[error("{0}")]
    Setting(String),
    /// The server was not reached, or its answer is none.
    #[error("the Kubernetes API does not answer: {0}")]
    Unreached(String),
    /// The server refused.
    #[error("the Kubernetes API says {status}: {message}")]
    Refused {
        /// Its status.
        status: u16,
        /// Its words.
        message: String,
    },
}

/// A way to the API server.
pub struct Kubernetes {
    base: Url,
    account: PathBuf,
    namespace: String,
    client: Client,
}

impl Kubernetes {
    /// The way that the settings describe.
    pub fn open(settings: &KubernetesSettings) -> Result<Kubernetes, NotScaled> {
        let url = match (&*settings.api_url, &*settings.host) {
            ("", "") => return Err(NotScaled::Absent),
            ("", host) if host.contains(':') => format!("https://[{host}]:{}", settings.port),
            ("", host) => format!("https://{host}:{}", settings.port),
            (url, _) => url.to_owned(),
        };
        let base: Url = url.parse().map_err(|error| NotScaled::Setting(format!("kubernetes.api_url: {error}")))?;
        let account = settings.account_dir.clone();
        let namespace = match &*settings.namespace {
            "" => read(&account.join("namespace"))?.trim().to_owned(),
            namespace => namespace.to_owned(),
        };
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .retry(reqwest::retry::never())
            .timeout(TIMEOUT);
        if base.scheme() == "https" {
            let authority = read(&account.join("ca.crt"))?;
            let authority = Certificate::from_pem_bundle(authority.as_bytes());
            // Only who the cluster itself vouches for is its API server.
            client = client.tls_certs_only(authority.map_err(unreached)?);
        }
        Ok(Kubernetes { base, account, namespace, client: client.build().map_err(unreached)? })
    }

    /// The agents' deployments of a scope that have replicas.
    pub async fn running(&self, scope: &str) -> Result<Vec<Scaled>, NotScaled> {
        let mut selector = "nexus.dev/agent=true".to_owned();
        if scope != EVERYBODY {
            selector.push_str(&format!(",nexus.dev/tenant={scope}"));
        }
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let mut url = self.url(&[])?;
            url.query_pairs_mut().append_pair("labelSelector", &selector).append_pair("limit", &PAGE.to_string());
            if !next.is_empty() {
                url.query_pairs_mut().append_pair("continue", &next);
            }
            let page = self.ask(Method::GET, url, None).await?;
            for item in page["items"].as_array().into_iter().flatten() {
                let name = item["metadata"]["name"].as_str().unwrap_or_default();
                // One is what a deployment has that says nothing.
                let replicas = item["spec"]["replicas"].as_u64().unwrap_or(1);
                let replicas = u32::try_from(replicas).unwrap_or(u32::MAX);
                if !name.is_empty() && replicas > 0 {
                    found.push(Scaled { name: name.to_owned(), replicas });
                }
            }
            page["metadata"]["continue"].as_str().unwrap_or_default().clone_into(&mut next);
            if next.is_empty() || found.len() >= DEPLOYMENTS_MAX {
                return Ok(found);
            }
        }
    }

    /// Gives deployments these numbers of replicas; the first that fails says
    /// why, after all were tried.
    pub async fn scale(&self, wanted: &[Scaled]) -> Result<(), NotScaled> {
        let mut failed = None;
        for some in wanted.chunks(AT_ONCE) {
            let scaling = some.iter().map(|one| self.scale_one(one));
            for done in futures_util::future::join_all(scaling).await {
                failed = failed.or(done.err());
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn scale_one(&self, wanted: &Scaled) -> Result<(), NotScaled> {
        let url = self.url(&[&wanted.name, "scale"])?;
        match self.ask(Method::PATCH, url, Some(json!({ "spec": { "replicas": wanted.replicas } }))).await {
            // Somebody took it away meanwhile: there is nothing to scale.
            Err(NotScaled::Refused { status: 404, .. }) => Ok(()),
            done => done.map(drop),
        }
    }

    fn url(&self, parts: &[&str]) -> Result<Url, NotScaled> {
        let mut url = self.base.clone();
        let bad = |()| NotScaled::Setting("kubernetes.api_url cannot have a path".to_owned());
        url.path_segments_mut()
            .map_err(bad)?
            .pop_if_empty()
            .extend(["apis", "apps", "v1", "namespaces", &self.namespace, "deployments"])
            .extend(parts);
        Ok(url)
    }

    async fn ask(&self, method: Method, url: Url, body: Option<Value>) -> Result<Value, NotScaled> {
        // Read each time: the cluster replaces it every hour.
        let token = read(&self.account.join("token"))?;
        let mut request = self.client.request(method, url).bearer_auth(token.trim());
        if let Some(body) = body {
            let kind = header::HeaderValue::from_static("application/merge-patch+json");
            request = request.header(header::CONTENT_TYPE, kind).body(body.to_string());
        }
        let mut answer = request.send().await.map_err(unreached)?;
        let (status, mut bytes) = (answer.status(), Vec::new());
        while let Some(piece) = answer.chunk().await.map_err(unreached)? {
            if bytes.len() + piece.len() > BODY_BYTES_MAX {
                return Err(NotScaled::Unreached(format!("an answer of more than {BODY_BYTES_MAX} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        let json: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status != StatusCode::OK {
            let message = json["message"].as_str().unwrap_or("no reason").chars().take(300).collect();
            return Err(NotScaled::Refused { status: status.as_u16(), message });
        }
        Ok(json)
    }
}

fn read(path: &std::path::Path) -> Result<String, NotScaled> {
    std::fs::read_to_string(path).map_err(|error| NotScaled::Account { path: path.to_path_buf(), error })
}

fn unreached(error: reqwest::Error) -> NotScaled {
    use std::error::Error;
    let error = error.without_url();
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    NotScaled::Unreached(format!("{error}{cause}"))
}
