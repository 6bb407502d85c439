//! A command in hand, and how far it is.

use std::sync::Arc;

use pipeline::{
    event::{MirrorCommand, MirrorPart, MirrorResult, MirrorWork},
    ports::Record,
};
use runtime::consumer::EarlyOutputs;
use tokio::sync::oneshot;

use super::lanes::{Gate, Placed};

/// Jobs of one connection that run at the same time, where its provider does
/// not limit what is said in one place.
const CONNECTION_JOBS_MAX: usize = 8;

/// A command in hand.
pub(super) struct Job {
    pub command: Arc<MirrorCommand>,
    /// As it was read, to be put away whole.
    pub record: Record,
    pub tenant: Arc<str>,
    pub lane: Arc<str>,
    pub gate: Gate,
    pub not_before_ms: u64,
    pub state: Progress,
    /// What is written before it ends.
    pub early: EarlyOutputs,
    /// Whoever waits for its end; while it is under way, the scheduler has it.
    pub ended: Option<oneshot::Sender<Box<Ended>>>,
    /// How many partitions the log has.
    pub partitions: u32,
}

/// How a job ended.
pub(super) struct Ended {
    pub command: Arc<MirrorCommand>,
    pub record: Record,
    pub result: MirrorResult,
    /// Why it goes to the dead letters, if it does.
    pub grave: Option<String>,
    pub attempts: u32,
}

/// How far a job is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Since when it is claimed.
    pub claimed_ms: Option<u64>,
    /// Since when something may have landed of which nobody knows.
    pub unsure_ms: Option<u64>,
    /// Failures that count.
    pub attempts: u32,
    /// What stands there now, in order.
    pub standing: Vec<Standing>,
    /// The limit of a part, if it is not the usual one.
    pub limit: Option<u32>,
    /// The standing parts have been taken over from the command.
    pub is_begun: bool,
}

/// A part that stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub id: String,
    pub hash: Option<String>,
    /// It says what it is to say.
    pub is_right: bool,
}

impl Progress {
    /// For a result.
    pub fn parts(&self) -> Vec<MirrorPart> {
        self.standing.iter().map(|part| MirrorPart { id: part.id.clone(), hash: part.hash.clone() }).collect()
    }
}

impl Placed for Job {
    fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }
    fn lane(&self) -> &Arc<str> {
        &self.lane
    }
    fn gate(&self) -> &Gate {
        &self.gate
    }
    fn not_before_ms(&self) -> u64 {
        self.not_before_ms
    }
}

impl Job {
    /// A job of a command that was read.
    pub fn new(
        command: MirrorCommand,
        record: Record,
        claimed_ms: Option<u64>,
        early: EarlyOutputs,
        ended: oneshot::Sender<Box<Ended>>,
        partitions: u32,
    ) -> Job {
        let scope = scope_of(&command.work).map(Arc::from);
        let jobs_max = if scope.is_some() { 1 } else { CONNECTION_JOBS_MAX };
        let gate = Gate { connection: command.connection_id.as_str().into(), scope, jobs_max };
        let state = Progress { claimed_ms, unsure_ms: claimed_ms, ..Progress::default() };
        let (tenant, lane) = (command.tenant_id.as_str().into(), command.lane.as_str().into());
        let (command, ended) = (Arc::new(command), Some(ended));
        Job { command, record, tenant, lane, gate, not_before_ms: 0, state, early, ended, partitions }
    }

    /// Whether nobody waits for its end any more: its session is gone.
    pub fn is_orphaned(&self) -> bool {
        self.ended.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

/// What the provider limits what is said by (Slack's channel), if it does.
fn scope_of(work: &MirrorWork) -> Option<&str> {
    match work {
        MirrorWork::Post { place, .. } | MirrorWork::Edit { place, .. } | MirrorWork::Retract { place, .. } => {
            providers::of(place.provider()).write()?.scope(place)
        }
        MirrorWork::Whisper { channel_id, .. } => Some(channel_id),
        MirrorWork::SetStatus { .. } | MirrorWork::CreateChannel { .. } => None,
    }
}
