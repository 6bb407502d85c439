//! `nexus streams`: registers `sql/streams` and the functions that they call with
//! Arroyo, and keeps them as they are written.
//!
//! A second time it changes nothing. What has become different is replaced: the
//! new text is checked first, so that nothing is stopped for a text that cannot
//! run; then the old pipeline takes a checkpoint and ends, and the new one reads
//! its topics from their beginning and writes the same rows under the same keys.

mod api;
mod files;
mod plan;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use runtime::config::Config;
use serde_json::json;

use super::show;
use api::{Api, Job};
use files::{Functions, Place, Stream};
use plan::{Step, Wanted};

/// How long a pipeline may take to stop: a checkpoint of a large state takes its time.
const STOP_TIMEOUT: Duration = Duration::from_secs(300);
/// How often it is looked at meanwhile.
const STOP_LOOK: Duration = Duration::from_millis(500);
/// The states that a job does not leave by itself.
const ENDED: &[&str] = &["Stopped", "Finished", "Failed"];

/// Register the streams and their functions with Arroyo.
#[derive(Args)]
pub struct Streams {
    /// Where Arroyo's API is
    #[arg(long, env = "ARROYO_URL", value_name = "URL", default_value = "http://127.0.0.1:5115")]
    arroyo: String,
    /// The API's key, where it wants one
    #[arg(long, env = "ARROYO_API_KEY", value_name = "KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// The brokers as Arroyo reaches them [default: the hub's own setting]
    #[arg(long, value_name = "HOST:PORT,…")]
    brokers: Option<String>,
    /// What stands in front of every topic's name [default: the hub's own setting]
    #[arg(long)]
    prefix: Option<String>,
    /// Where Arroyo's compiler finds nexus-udfs: a folder there, or `git = "…", rev = "…"`
    #[arg(long, value_name = "SOURCE")]
    udfs: Option<String>,
    /// Only this stream and what it calls; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Tasks of each operator [default: 1 for what is new, as it is for the rest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
    parallelism: Option<u64>,
    /// Seconds between checkpoints [default: Arroyo's own for what is new, as it is for the rest]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    checkpoint_seconds: Option<u64>,
    /// The folder of the streams
    #[arg(long, value_name = "FOLDER", default_value = "sql/streams", overrides_with = "streams")]
    streams: PathBuf,
    /// The folder of the functions
    #[arg(long, value_name = "FOLDER", default_value = "udfs/plugins", overrides_with = "plugins")]
    plugins: PathBuf,
    /// Check and say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Streams {
    /// Registers them.
    pub async fn run(self, config: &Config) -> Result<()> {
        let place = Place {
            brokers: self.brokers.clone().unwrap_or_else(|| config.kafka.brokers.clone()),
            prefix: self.prefix.clone().unwrap_or_else(|| config.kafka.topic_prefix.clone()),
        };
        let streams = files::streams(&self.streams, &place, &self.only)?;
        let functions = files::functions(&self.plugins, self.udfs.as_deref(), &streams, self.only.is_empty())?;
        let api = Api::new(&self.arroyo, self.api_key.as_deref())?;
        let wanted = Wanted {
            streams: &streams,
            functions: &functions,
            parallelism: self.parallelism,
            checkpoint_interval_micros: self.checkpoint_seconds.map(|seconds| seconds * 1_000_000),
        };
        let steps = plan::decide(&wanted, &api.functions().await?, &api.pipelines().await?)?;
        self.check(&api, &steps, &functions).await?;
        let mut failed = 0_usize;
        for step in &steps {
            if !self.dry_run {
                self.perform(&api, step).await.with_context(|| format!("{} {}", step.kind(), step.name()))?;
            }
            let problem = match step {
                Step::KeepPipeline { id, .. } => ailing(&api.jobs(id).await?),
                _ => None,
            };
            failed += usize::from(problem.as_ref().is_some_and(|problem| problem.is_failure));
            self.print(step, problem.as_ref());
        }
        match failed {
            0 => Ok(()),
            1 => bail!("one pipeline has failed; mend what it names, and restart it in Arroyo"),
            _ => bail!("{failed} pipelines have failed; mend what they name, and restart them in Arroyo"),
        }
    }

    /// Whether all that is new can run, before anything is changed.
    async fn check(&self, api: &Api, steps: &[Step<'_>], functions: &Functions) -> Result<()> {
        // To check a function is to compile it, which takes minutes: not for a look.
        let compiled = steps.iter().filter(|_| !self.dry_run);
        for function in compiled.filter_map(Step::new_function) {
            api.check_function(function).await.with_context(|| format!("function {}", function.name))?;
        }
        for stream in steps.iter().filter_map(Step::new_stream) {
            let called = functions.called_by(stream);
            api.check_query(stream, &called).await.with_context(|| format!("stream {}", stream.file))?;
        }
        Ok(())
    }

    async fn perform(&self, api: &Api, step: &Step<'_>) -> Result<()> {
        match step {
            Step::KeepFunction { .. } | Step::KeepPipeline { .. } => Ok(()),
            Step::AddFunction { function } => api.add_function(function).await,
            Step::ReplaceFunction { id, function } => {
                // Pipelines that run keep the one that they were built with.
                api.delete_function(id).await?;
                api.add_function(function).await
            }
            Step::AddPipeline { new } => api.add_pipeline(new).await,
            Step::ReplacePipeline { id, new } => {
                stop(api, id).await?;
                api.delete_pipeline(id).await?;
                api.add_pipeline(new).await
            }
            Step::TunePipeline { id, change, .. } => api.patch_pipeline(id, change).await,
        }
    }

    fn print(&self, step: &Step<'_>, problem: Option<&Problem>) {
        let did = step.did(self.dry_run);
        if self.json {
            let mut line = json!({ "kind": step.kind(), "name": step.name(), "did": did });
            if let Some(problem) = problem {
                line["problem"] = json!(problem.words);
            }
            println!("{line}");
            return;
        }
        let ails = problem.map(|problem| format!(", but {}", problem.words)).unwrap_or_default();
        println!("{:<8}  {:<32}  {did}{}", step.kind(), step.name(), show::paint(&ails, "33"));
    }
}

/// Why a pipeline that is as it should be does not run.
struct Problem {
    words: String,
    /// Somebody stopped what is stopped; what has failed wants mending.
    is_failure: bool,
}

fn ailing(jobs: &[Job]) -> Option<Problem> {
    let job = jobs.iter().find(|job| ENDED.contains(&job.state.as_str()))?;
    let is_failure = job.state == "Failed";
    let words = match &job.failure_reason {
        Some(reason) if is_failure => format!("it has failed: {}", reason.error),
        _ if is_failure => "it has failed".to_owned(),
        _ => format!("it is {}: start it in Arroyo", job.state.to_lowercase()),
    };
    Some(Problem { words, is_failure })
}

/// Ends a pipeline and waits until it has ended.
async fn stop(api: &Api, id: &str) -> Result<()> {
    let ended = |jobs: &[Job]| jobs.iter().all(|job| ENDED.contains(&job.state.as_str()));
    if ended(&api.jobs(id).await?) {
        return Ok(());
    }
    api.patch_pipeline(id, &json!({ "stop": "checkpoint" })).await?;
    let waited = async {
        loop {
            if ended(&api.jobs(id).await?) {
                return Ok::<(), anyhow::Error>(());
            }
            tokio::time::sleep(STOP_LOOK).await;
        }
    };
    tokio::time::timeout(STOP_TIMEOUT, waited).await.unwrap_or_else(|_| {
        bail!("the old one does not stop within {} s; force it in Arroyo, and try again", STOP_TIMEOUT.as_secs())
    })
}

/// What a pipeline is made of.
pub(super) struct NewPipeline<'a> {
    pub name: String,
    pub stream: &'a Stream,
    pub definitions: Vec<&'a str>,
    pub parallelism: u64,
    pub checkpoint_interval_micros: Option<u64>,
}
