//! THE list of roles. `nexus up` runs all of them in one process, `nexus run
//! --role …` those that are named.
//!
//! A role is a file with a type: `create` makes it of what the process shares
//! ([`Context`]), `serve` offers its routes, `run` spawns its tasks under the
//! supervisor. Guaranteed: a role starts what its file says and nothing else.

mod api;
mod gateway;
mod ingest;
mod lake;
mod lookups;
mod memory;
mod mirror;
pub mod pipeline;

use runtime::{
    sql::Later,
    supervisor::{Failure, Supervisor},
};

use crate::{context::Context, endpoints::Endpoints};

/// A part of the hub that can run in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Takes webhooks and writes them down.
    Ingest,
    /// Works on the partitions that its consumer group gives it.
    Pipeline,
    /// Keeps the agents' sockets.
    Gateway,
    /// Fetches at the providers what webhooks lack.
    Lookups,
    /// Writes at the providers what the pipeline decides.
    Mirror,
    /// Learns what is said, and sums it up.
    Memory,
    /// Keeps the streams as files.
    Lake,
    /// Answers people and programs.
    Api,
}

/// All roles: name, role, what it does.
pub const ROLES: &[(&str, Role, &str)] = &[
    ("ingest", Role::Ingest, "takes webhooks: /webhooks/*, /api/webhooks/*"),
    ("pipeline", Role::Pipeline, "one worker a partition: webhooks become events, events find their agents"),
    ("gateway", Role::Gateway, "the agents' sockets: /agents/ws, /socket.io/"),
    ("lookups", Role::Lookups, "asks the providers for what webhooks lack"),
    ("mirror", Role::Mirror, "writes at the providers: messages, comments, states; tells of alerts"),
    ("memory", Role::Memory, "learns what is said, and sums threads up"),
    ("lake", Role::Lake, "keeps the streams as Parquet files; with the feature `sql`"),
    ("api", Role::Api, "answers people and programs: the API, MCP, SQL, connections"),
];

impl Role {
    /// The role of a name.
    pub fn from_name(name: &str) -> Option<Role> {
        ROLES.iter().find(|(known, ..)| *known == name).map(|(_, role, _)| *role)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        ROLES.iter().find(|(_, role, _)| *role == self).map_or("", |(name, ..)| name)
    }

    /// All of them.
    pub fn all() -> Vec<Role> {
        ROLES.iter().map(|(_, role, _)| *role).collect()
    }

    /// Makes the role, and what it needs. Boxed: what opens a store is deep, and
    /// whoever starts a hub need not be.
    pub(crate) fn create(self, context: &Context) -> Later<'_, Result<Box<dyn Part>, Failure>> {
        Box::pin(async move {
            Ok::<Box<dyn Part>, Failure>(match self {
                Role::Ingest => Box::new(ingest::IngestRole::create(context)),
                Role::Pipeline => Box::new(pipeline::PipelineRole::create(context)),
                Role::Gateway => Box::new(gateway::GatewayRole::create(context)?),
                Role::Lookups => Box::new(lookups::LookupsRole::create(context)?),
                Role::Mirror => Box::new(mirror::MirrorRole::create(context)?),
                Role::Memory => Box::new(memory::MemoryRole::create(context).await?),
                Role::Lake => Box::new(lake::LakeRole::create(context).await?),
                Role::Api => Box::new(api::ApiRole::create(context).await?),
            })
        })
    }
}

/// A role that was created.
pub(crate) trait Part: Send + Sync {
    /// Offers what it serves.
    fn serve(&self, _endpoints: &mut Endpoints) {}

    /// Spawns its tasks.
    fn run(self: Box<Self>, supervisor: &mut Supervisor);
}
