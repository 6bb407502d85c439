//! The commands, one a file.
//!
//! Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong
//! usage.

mod agent;
mod audit;
mod backfill;
mod config;
mod demo;
mod doctor;
mod dry_run;
mod fakes;
mod hub;
mod migrate;
mod model;
mod reembed;
mod remote;
mod replay;
mod seed;
mod send;
mod show;
mod sql;
mod streams;

mod tail;
mod token;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use runtime::{config::Config, telemetry};

/// A dataflow hub between people's tools and AI agents.
#[derive(Parser)]
#[command(name = "nexus", version, about, max_term_width = 100)]
pub struct Arguments {
    /// The configuration file [default: nexus.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything in this process (the default)
    Up,
    /// Run some roles in this process
    Run(hub::Run),
    /// Show the whole way, live, with everything embedded
    Demo(demo::Demo),
    /// Sign and post sample webhooks
    Send(send::Send),
    /// Print a topic's records as lines of JSON
    Tail(tail::Tail),
    /// Ask the streams in SQL
    Sql(sql::Sql),
    /// Connect as an agent and print what arrives
    Agent(agent::Agent),
    /// Print an access token for a client
    Token(token::Token),
    /// Send dead letters on their way once more
    Replay(replay::Replay),
    /// Find what webhooks did not tell, and feed it in
    Backfill(backfill::Backfill),
    /// Bring the database's schema up to date
    Migrate(migrate::Migrate),
    /// Fetch models that run in the hub itself
    Model(model::Model),
    /// Move the memory to another model
    Reembed(reembed::Reembed),
    /// Make a tenant to begin with
    Seed(seed::Seed),
    /// Check or export the audit trail
    Audit(audit::Audit),
    /// Register the streams of `sql/streams` with Arroyo
    Streams(streams::Streams),
    /// Print the settings in force
    Config(config::Show),
    /// Serve fake providers: ClickUp, Slack, GitHub, Jira
    Fakes(fakes::Serve),
    /// Look for what would keep the hub from running
    Doctor(doctor::Doctor),
}

/// Runs the command.
pub fn run(arguments: Arguments) -> ExitCode {
    // Only fails when it was done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = match Config::load(arguments.config.as_deref(), std::env::vars()) {
        Ok(config) => config,
        Err(error) => return failed(&error.into()),
    };
    let command = arguments.command.unwrap_or(Command::Up);
    if let Err(error) = telemetry::start(&logging(&command, &config)) {
        return failed(&anyhow::anyhow!(error));
    }
    for remark in Config::remarks(std::env::vars().map(|(name, _)| name)) {
        tracing::warn!("{remark}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let done = runtime.block_on(async {
        match command {
            Command::Up => hub::up(&config).await,
            Command::Run(run) => run.run(&config).await,
            Command::Demo(demo) => demo.run(config).await,
            Command::Send(send) => send.run(&config).await,
            Command::Tail(tail) => tail.run(&config).await,
            Command::Sql(sql) => sql.run(&config).await,
            Command::Agent(agent) => agent.run(&config).await,
            Command::Token(token) => token.run(&config).await,
            Command::Replay(replay) => replay.run(&config).await,
            Command::Backfill(backfill) => backfill.run(&config).await,
            Command::Migrate(migrate) => migrate.run(&config).await,
            Command::Model(model) => model.run(&config).await,
            Command::Reembed(reembed) => reembed.run(&config).await,
            Command::Seed(seed) => seed.run(&config).await,
            Command::Audit(audit) => audit.run(&config).await,
            Command::Streams(streams) => streams.run(&config).await,
            Command::Config(show) => show.run(&config),
            Command::Fakes(fakes) => fakes.run().await,
            Command::Doctor(doctor) => doctor.run(&config).await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// The hub talks about what it does; a command that prints its own answer only
/// about what goes wrong.
fn logging(command: &Command, config: &Config) -> runtime::config::TelemetrySettings {
    let mut telemetry = config.telemetry.clone();
    if !matches!(command, Command::Up | Command::Run(_)) && telemetry.level == "info" {
        "warn".clone_into(&mut telemetry.level);
    }
    telemetry
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // Whoever closed our output has seen enough.
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("nexus: {error:#}");
    ExitCode::FAILURE
}
