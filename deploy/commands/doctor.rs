//! `nexus doctor`: what would keep the hub from running, and what to do about
//! it.

use anyhow::{Result, bail};
use clap::Args;

use pipeline::ports::Clock;
use runtime::{clock::SystemClock, config::Config};
use store::Store;
use tokio::net::TcpListener;

use super::{remote::Remote, show::paint};

/// Look for what would keep the hub from running.
#[derive(Args)]
pub struct Doctor {
    /// One JSON object a finding
    #[arg(long)]
    json: bool,
}

struct Finding {
    what: &'static str,
    problem: Option<String>,
    detail: String,
}

impl Finding {
    fn good(what: &'static str, detail: impl Into<String>) -> Self {
        Finding { what, problem: None, detail: detail.into() }
    }

    fn bad(what: &'static str, problem: impl Into<String>) -> Self {
        Finding { what, problem: Some(problem.into()), detail: String::new() }
    }
}

impl Doctor {
    /// Looks, prints, and fails if something is wrong.
    pub async fn run(self, config: &Config) -> Result<()> {
        let mut findings = vec![clock(), secrets(config).await, file_limit()];
        match Remote::find(config).await? {
            Some(hub) => findings.push(running(&hub).await),
            None => {
                findings.push(address(config).await);
                findings.push(log(config).await);
            }
        }
        for finding in &findings {
            self.print(finding);
        }
        match findings.iter().filter(|finding| finding.problem.is_some()).count() {
            0 => Ok(()),
            1 => bail!("one problem"),
            problems => bail!("{problems} problems"),
        }
    }

    fn print(&self, Finding { what, problem, detail }: &Finding) {
        let ok = problem.is_none();
        let words = problem.as_ref().unwrap_or(detail);
        if self.json {
            println!("{}", serde_json::json!({ "check": what, "ok": ok, "detail": words }));
        } else {
            let mark = if ok { paint("ok ", "32") } else { paint("BAD", "31") };
            println!("{mark} {what:<10} {words}");
        }
    }
}

fn clock() -> Finding {
    // Signatures are checked against it; 2026 is when this was written.
    let now_ms = SystemClock.now_ms();
    let now = udfs::time::to_rfc3339(now_ms as i64);
    if now_ms < 1_767_225_600_000 {
        return Finding::bad("clock", format!("it is {now} here: signed requests will look stale; set the clock"));
    }
    Finding::good("clock", now)
}

/// The connections of the database count as those of the file do: a hub that was
/// seeded, or set up by its API, has no others.
async fn stored_connections(config: &Config) -> Result<usize> {
    if !Store::exists(config) {
        return Ok(0);
    }
    let store = Store::open(config).await?;
    let counted = store.verifiable_connections().await;
    store.close().await;
    Ok(usize::try_from(counted?)?)
}

async fn secrets(config: &Config) -> Finding {
    let stored = match stored_connections(config).await {
        Ok(stored) => stored,
        Err(error) => {
            return Finding::bad("secrets", format!("the database cannot be asked for connections: {error:#}"));
        }
    };
    let in_file = config.connections.iter().filter(|connection| connection.all_secrets().next().is_some()).count();
    let with_secret = in_file + stored;
    let providers: Vec<_> = config.webhooks.secrets.keys().map(String::as_str).collect();
    if with_secret == 0 && providers.is_empty() && !config.allow_unsigned {
        let advice =
            "no webhook can be verified: set WEBHOOK_SECRET_<PROVIDER>, or make a connection (POST /api/connections)";
        return Finding::bad("secrets", advice);
    }
    if config.allow_unsigned {
        return Finding::bad("secrets", "NEXUS_ALLOW_UNSIGNED is on: anybody can write events (right for demos only)");
    }
    Finding::good("secrets", format!("{with_secret} connections; for whole providers: {}", providers.join(", ")))
}

fn file_limit() -> Finding {
    let limit = runtime::process::open_files_max();
    let detail = format!("{limit} files and sockets may be open");
    if limit < 4096 {
        return Finding::bad("files", format!("{detail}: raise it (ulimit -n 65536) before agents connect"));
    }
    Finding::good("files", detail)
}

async fn running(hub: &Remote) -> Finding {
    match hub.get("/health/ready", &serde_json::json!({})).await {
        Ok(_) => Finding::good("hub", format!("ready at {}", hub.url())),
        Err(error) => Finding::bad("hub", format!("{}: {error:#}", hub.url())),
    }
}

async fn address(config: &Config) -> Finding {
    let (host, port) = (config.server.host, config.server.port);
    match TcpListener::bind((host, port)).await {
        Ok(_) => Finding::good("address", format!("{host}:{port} is free")),
        Err(error) => Finding::bad("address", format!("{host}:{port}: {error}; set PORT to another")),
    }
}

async fn log(config: &Config) -> Finding {
    let name = if config.kafka.brokers.is_empty() { "log" } else { "kafka" };
    if !log::exists(config) {
        return Finding::good(name, format!("none yet; the hub makes it in {}", config.data_dir.display()));
    }
    match log::open(config).await {
        Ok(opened) => {
            let detail = format!("{} partitions", opened.partitions());
            match opened.close().await {
                Ok(()) => Finding::good(name, detail),
                Err(error) => Finding::bad(name, error.to_string()),
            }
        }
        Err(error) => Finding::bad(name, error.to_string()),
    }
}
