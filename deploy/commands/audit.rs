//! `nexus audit`: holds the audit trail against its hashes, and writes it out.
//!
//! Reads the database itself, also beside a running hub: who checks the hub's
//! books should not have to ask the hub.

use std::io::Write;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use pipeline::event::Act;
use runtime::config::Config;
use serde_json::json;
use store::Store;

/// Check or export the audit trail.
#[derive(Args)]
pub struct Audit {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Find every changed, missing or reordered row; exit code 1 if there is one
    Verify(Verify),
    /// Write the rows as lines of JSON, in their order
    Export(Export),
}

#[derive(Args)]
struct Verify {
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<String>,
    /// The tenant's chain must still hold this hash: the head of an earlier check
    #[arg(long, value_name = "HASH", requires = "tenant")]
    expect: Option<String>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Export {
    /// Only this tenant's
    #[arg(long)]
    tenant: Option<String>,
    /// Only from this time on (RFC 3339)
    #[arg(long, value_parser = time)]
    from: Option<i64>,
    /// Only before this time (RFC 3339)
    #[arg(long, value_parser = time)]
    to: Option<i64>,
}

fn time(text: &str) -> Result<i64, String> {
    let day = || udfs::time::from_rfc3339(&format!("{text}T00:00:00Z"));
    udfs::time::from_rfc3339(text).or_else(day).ok_or_else(|| "a time as 2026-11-21T08:00:00Z, or a day".to_owned())
}

impl Audit {
    /// Does it.
    pub async fn run(self, config: &Config) -> Result<()> {
        let store = Store::open(config).await?;
        let done = match self.what {
            What::Verify(verify) => verify.run(&store).await,
            What::Export(export) => export.run(&store).await,
        };
        store.close().await;
        done
    }
}

impl Verify {
    async fn run(self, store: &Store) -> Result<()> {
        let (mut faults, heads) = store.verify(self.tenant.as_deref()).await?;
        if let (Some(tenant), Some(expected)) = (&self.tenant, &self.expect)
            && !self.holds(store, tenant, expected).await?
        {
            faults.push(store::audit::chain::Fault {
                tenant_id: tenant.clone(),
                number: 0,
                fault: "head",
                detail: "no row has the hash that was expected: the trail was written anew".to_owned(),
            });
        }
        if self.json {
            let heads: Vec<_> = heads
                .iter()
                .map(|(tenant, rows, hash)| json!({ "tenantId": tenant, "rows": rows, "hash": hash }))
                .collect();
            println!("{}", json!({ "ok": faults.is_empty(), "faults": faults, "heads": heads }));
        } else {
            for fault in &faults {
                println!("{} row {}: {}: {}", fault.tenant_id, fault.number, fault.fault, fault.detail);
            }
            for (tenant, rows, hash) in &heads {
                println!("{tenant}: {rows} rows, head {hash}");
            }
        }
        match faults.len() {
            0 => Ok(()),
            count => bail!("{count} faults in the audit trail"),
        }
    }

    async fn holds(&self, store: &Store, tenant: &str, expected: &str) -> Result<bool> {
        let mut after = i64::MIN;
        loop {
            let links = store.links(tenant, after).await?;
            let Some(last) = links.last() else { return Ok(false) };
            after = last.number;
            if links.iter().any(|link| link.hash == expected) {
                return Ok(true);
            }
        }
    }
}

impl Export {
    async fn run(self, store: &Store) -> Result<()> {
        let tenants = match self.tenant {
            Some(tenant) => vec![tenant],
            None => store.trails().await?,
        };
        let mut out = std::io::stdout().lock();
        for tenant in tenants {
            let mut after = i64::MIN;
            loop {
                let links = store.links(&tenant, after).await?;
                let Some(last) = links.last() else { break };
                after = last.number;
                for link in &links {
                    let act: Act = serde_json::from_str(&link.data)?;
                    let is_wanted =
                        self.from.is_none_or(|from| act.at.0 >= from) && self.to.is_none_or(|to| act.at.0 < to);
                    if is_wanted {
                        writeln!(out, "{}", json!({ "number": link.number, "hash": link.hash, "act": act }))?;
                    }
                }
            }
        }
        Ok(())
    }
}
