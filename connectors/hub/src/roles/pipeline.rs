//! The role `pipeline`: a thread for every partition that this member of the
//! consumer group is given, and one clock for all of them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use pipeline::{
    event::{Command, Time},
    flow::{INPUTS, Settings},
    ports::{Clock, Headers, Log, NewRecord, Session},
    settings::{DeduplicateSettings, GovernSettings},
    topics::{CLOCK, Topic},
    worker::{Progress, drive},
};
use tokio::time::{MissedTickBehavior, interval};

use runtime::{
    config::Config,
    sessions::{Owned, PIPELINE_GROUP, Sessions, Stop},
    supervisor::{Failure, RoleContext, Supervisor},
};

use super::{Part, Role};
use crate::context::Context;

/// How often time is written into every partition.
const TICK: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct PipelineRole(Workers);

impl PipelineRole {
    /// Workers of the configuration.
    pub fn create(context: &Context) -> PipelineRole {
        PipelineRole(Workers {
            log: Arc::clone(&context.log),
            clock: Arc::clone(&context.clock),
            settings: settings(&context.config),
            progress: Arc::clone(&context.progress),
        })
    }
}

impl Part for PipelineRole {
    fn run(self: Box<Self>, supervisor: &mut Supervisor) {
        supervisor.spawn(Role::Pipeline.name(), move |context| self.0.clone().run(context));
    }
}

/// What the workers need.
#[derive(Clone)]
pub struct Workers {
    /// The log they work on.
    pub log: Arc<dyn Log>,
    /// The wall clock, for ticks.
    pub clock: Arc<dyn Clock>,
    /// What the operators are set to.
    pub settings: Settings,
    /// What they have done so far, all together.
    pub progress: Arc<Progress>,
}

impl Workers {
    /// Works until told to stop, or until the log fails.
    pub async fn run(self, context: RoleContext) -> Result<(), Failure> {
        let sessions = Sessions::join(&*self.log, PIPELINE_GROUP, INPUTS, "worker").await?;
        let owned = sessions.owned();
        let workers = self.clone();
        let work = async move |session: &mut dyn Session, stop: &Stop| {
            let Workers { log, settings, progress, .. } = &workers;
            drive(session, log.identity(), log.partitions(), settings, progress, stop).await
        };
        let ticking = async {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                self.tick(&owned);
            }
        };
        context.running();
        tokio::select! {
            ended = sessions.run(context.stop.clone(), work) => Ok(ended?),
            () = ticking => Ok(()),
        }
    }

    /// Writes the time into every partition that is worked on here. Nobody
    /// waits for it: if the log is busy, records bring the time along anyway.
    fn tick(&self, owned: &Owned) {
        let now_ms = self.clock.now_ms();
        let command = Command::Tick { at: Time::from_ms(now_ms) };
        let Ok(value) = serde_json::to_vec(&command) else { return };
        let value = Bytes::from(value);
        let headers = Headers::new([("type", b"tick".as_slice()), ("schema", b"nexus.command.v1".as_slice())]);
        let record = |partition| NewRecord {
            topic: Topic::Commands,
            partition,
            at_ms: now_ms,
            key: Bytes::from_static(CLOCK.as_bytes()),
            value: Some(value.clone()),
            headers: headers.clone(),
        };
        let records: Vec<_> = owned.all().into_iter().map(record).collect();
        if !records.is_empty() {
            drop(tokio::spawn(self.log.append(records)));
        }
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        deduplicate: DeduplicateSettings {
            window_ms: config.pipeline.deduplicate_hours.saturating_mul(3_600_000),
            events_max: config.pipeline.deduplicate_events_max,
        },
        govern: GovernSettings {
            limits: config.governance.0.clone(),
            silent_ms: config.agents.silent_ms,
            presence_ttl_ms: ::gateway::PRESENCE_TTL_MS,
            ..GovernSettings::default()
        },
        ..Settings::default()
    }
}
