//! The commands of a partition: each becomes a job of the scheduler, and its end
//! what is written of it.

use std::{future::ready, time::Duration};

use pipeline::{
    event::MirrorCommand,
    ports::{LogError, NewRecord, Record},
    topics::Topic,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    claims::{Claims, Known, command, stage, written},
    job::{Ended, Job},
    role::{GROUP, Mirror},
    scheduler::Order,
};
use runtime::consumer::{Commits, Consumer, ConsumerSettings, InHand, Parsed, Processed, Processing, dead_letter};

/// Commands of one partition between the oldest that has not ended and the
/// newest that was read. An offset each, but a crash reads all of them again.
const OPEN_MAX: usize = 200_000;
/// How long calls under way may go on after a stop. What became of the others is
/// looked for at the next start.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Hands commands to the scheduler.
pub(super) struct CommandConsumer {
    pub mirror: Mirror,
    pub orders: mpsc::UnboundedSender<Order>,
}

impl Consumer for CommandConsumer {
    /// A command, and its record, to be put away whole.
    type Request = (MirrorCommand, Record);
    type Partition = Claims;

    fn settings(&self) -> ConsumerSettings {
        let settings = &self.mirror.bench.settings;
        ConsumerSettings {
            group: GROUP,
            topic: Topic::MirrorCommands,
            name: "mirror",
            open_max: OPEN_MAX,
            in_hand_max: settings.in_hand_max,
            in_hand_of_tenant_max: settings.in_hand_of_tenant_max,
            batch_max: 1,
            commits: Commits::WhenAnswered,
            stop_grace: STOP_GRACE,
        }
    }

    fn now_ms(&self) -> u64 {
        self.mirror.bench.now().as_ms()
    }

    async fn open(&self, partition: u32) -> Result<Claims, LogError> {
        let log = &*self.mirror.log;
        let lags = log.lag(GROUP, &[Topic::MirrorCommands]).await?;
        let lag = lags.iter().find(|lag| lag.partition == partition);
        let from = lag.and_then(|lag| lag.group_offset).unwrap_or_default();
        Claims::read(log, partition, from).await
    }

    fn parse(&self, record: &Record) -> Parsed<(MirrorCommand, Record)> {
        match command(record) {
            Ok(command) => Parsed::Request((command, record.clone())),
            Err(reason) => Parsed::Dead(reason),
        }
    }

    /// In the log's order: the scheduler puts jobs of a lane behind each other.
    fn process(
        &self,
        claims: &mut Claims,
        batch: Vec<InHand<(MirrorCommand, Record)>>,
    ) -> Processing<(MirrorCommand, Record)> {
        let mut jobs = Vec::new();
        for InHand { request: (command, record), offset, early } in batch {
            let claimed_ms = match claims.take(offset) {
                Some(Known::Ended) => continue,
                Some(Known::Claimed(at_ms)) => Some(at_ms),
                None => None,
            };
            let (ended, end) = oneshot::channel();
            let partitions = self.mirror.log.partitions();
            let mut job = Job::new(command, record, claimed_ms, early, ended, partitions);
            if claimed_ms.is_some() {
                // What was under way then may land from now on.
                job.state.unsure_ms = Some(self.now_ms());
            }
            // Fails when the role is stopping, which ends the session, too.
            let _ = self.orders.send(Order::Do(Box::new(job)));
            jobs.push(end);
        }
        if jobs.is_empty() {
            return Box::pin(ready(Processed::Answered(Vec::new())));
        }
        let mirror = self.mirror.clone();
        Box::pin(async move {
            let mut outputs = Vec::new();
            for end in jobs {
                match end.await {
                    Ok(ended) => outputs.extend(mirror.written(*ended)),
                    Err(_) => return Processed::Abandoned,
                }
            }
            Processed::Answered(outputs)
        })
    }
}

impl Mirror {
    /// What is written of a command that has ended.
    fn written(&self, ended: Ended) -> Vec<NewRecord> {
        let Ended { command, record, result, grave, attempts } = ended;
        let how = result.code.as_deref().unwrap_or(stage(result.stage));
        self.bench.counts.ends.with_label_values(&[command.work.provider(), how]).inc();
        let mut outputs = Vec::new();
        if let Some(reason) = grave {
            let trace = command.trace_id.as_deref();
            tracing::warn!(
                tenant = command.tenant_id,
                command = command.id,
                trace,
                reason,
                attempts,
                "a command of the mirror could not be done"
            );
            outputs = dead_letter(&*self.log, self.bench.now().as_ms(), &record, "mirror", &reason);
        }
        outputs.push(written(&result, record.position.offset, record.position.partition, Some(&record)));
        outputs
    }
}
