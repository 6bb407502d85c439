//! `nexus up` and `nexus run`: a hub, until it is told to stop.

use anyhow::{Result, anyhow};
use clap::Args;
use hub::{
    Hub,
    roles::{ROLES, Role},
};
use runtime::config::Config;
use tokio::signal::unix::{SignalKind, signal};

/// Run some roles in this process.
#[derive(Args)]
pub struct Run {
    /// The roles, divided by commas
    #[arg(long, value_delimiter = ',', required = true, value_parser = role, help = format!("The roles: {}", known()))]
    role: Vec<Role>,
}

fn role(name: &str) -> Result<Role, String> {
    Role::from_name(name).ok_or_else(|| format!("the roles are: {}", known()))
}

fn known() -> String {
    ROLES.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

impl Run {
    /// Runs the roles.
    pub async fn run(self, config: &Config) -> Result<()> {
        if self.role.contains(&Role::Lake) && super::sql::ENGINE.is_none() {
            return Err(anyhow!("this binary was built without the lake; build it with `--features sql`"));
        }
        serve(config, &self.role).await
    }
}

/// Runs all roles.
pub async fn up(config: &Config) -> Result<()> {
    serve(config, &Role::all()).await
}

async fn serve(config: &Config, roles: &[Role]) -> Result<()> {
    if config.allow_unsigned {
        tracing::warn!("NEXUS_ALLOW_UNSIGNED is on: anybody who reaches this address can write events");
    }
    runtime::process::raise_open_files();
    let begun = std::time::Instant::now();
    let hub = Hub::start_with(config, roles, super::sql::ENGINE).await.map_err(|error| anyhow!(error))?;
    let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
    let say_when_ready = async {
        hub.ready().await;
        tracing::info!(url = %hub.url(), roles = %names.join(","), took = ?begun.elapsed(), "ready");
        std::future::pending::<()>().await;
    };
    // Told to stop before it is ready, it stops too.
    let lost = tokio::select! {
        () = stop_signal() => None,
        lost = hub.lost() => Some(lost),
        () = say_when_ready => None,
    };
    match lost {
        // What a log could not sync is in doubt from then on: only a restart
        // from what the disk holds is safe.
        Some(error) => Err(anyhow!("{error}; restart the hub")),
        None => {
            tracing::info!("stopping: what is in hand is finished first");
            hub.stop().await.map_err(|error| anyhow!(error))?;
            tracing::info!("stopped");
            Ok(())
        }
    }
}

/// Waits for SIGTERM or SIGINT.
pub async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
