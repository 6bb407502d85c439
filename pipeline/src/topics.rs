//! Every topic, in one list: its name, what it holds and how long.
//!
//! Streams have the tenant id as the record key; compacted topics have
//! `tenant/kind/id` and keep the newest record of each key. The partition of
//! both is [`partition_of`] the tenant, so that all that a tenant's windows
//! and ordering need lives in one partition of every topic.

use udfs::keys::murmur2;

/// A topic. The number is written into journals: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // each is described in `TOPICS`
pub enum Topic {
    WebhooksRaw = 1,
    Events = 2,
    AgentsInbox = 3,
    Commands = 4,
    CommandsResults = 5,
    AgentsActions = 6,
    MirrorCommands = 7,
    MirrorResults = 8,
    MemoryRequests = 9,
    MemoryResults = 10,
    LookupsRequests = 11,
    LookupsResults = 12,
    PipelineState = 13,
    Presence = 14,
    AgentsCursors = 15,
    Alerts = 16,
    Control = 17,
    DeadLetters = 18,
    Audit = 19,
}

/// How long a topic keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// A stream: every record, for so many days.
    Days(u16),
    /// A table: the newest record of each key; one without a value deletes.
    Latest,
}

/// What there is to know of one topic.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Which.
    pub topic: Topic,
    /// The name that producers and analysts use.
    pub name: &'static str,
    /// How long its records stay.
    pub keep: Keep,
    /// The JSON Schema of its values (see `event::SCHEMAS`).
    pub schema: &'static str,
    /// What it holds, for people.
    pub about: &'static str,
}

/// THE list.
pub const TOPICS: &[Spec] = &[
    spec(
        Topic::WebhooksRaw,
        "webhooks.raw",
        Keep::Days(7),
        "nexus.webhook.v1",
        "verified requests, body byte for byte",
    ),
    spec(Topic::Events, "events", Keep::Days(30), "nexus.event.v1", "every StandardEvent, enriched"),
    spec(
        Topic::AgentsInbox,
        "agents.inbox",
        Keep::Days(7),
        "nexus.inbox.v1",
        "one record per event with the agents it is for",
    ),
    spec(Topic::Commands, "commands", Keep::Days(7), "nexus.command.v1", "what people and clocks ask of the pipeline"),
    spec(
        Topic::CommandsResults,
        "commands.results",
        Keep::Days(7),
        "nexus.command-result.v1",
        "what became of a command",
    ),
    spec(Topic::AgentsActions, "agents.actions", Keep::Days(7), "nexus.action.v1", "what agents say"),
    spec(
        Topic::MirrorCommands,
        "mirror.commands",
        Keep::Days(7),
        "nexus.mirror-command.v1",
        "what is to be done at the providers",
    ),
    spec(Topic::MirrorResults, "mirror.results", Keep::Days(7), "nexus.mirror-result.v1", "what became of it"),
    spec(
        Topic::MemoryRequests,
        "memory.requests",
        Keep::Days(7),
        "nexus.memory-request.v1",
        "texts to embed, threads to summarise",
    ),
    spec(
        Topic::MemoryResults,
        "memory.results",
        Keep::Days(7),
        "nexus.memory-result.v1",
        "summaries made, texts indexed",
    ),
    spec(
        Topic::LookupsRequests,
        "lookups.requests",
        Keep::Days(7),
        "nexus.lookup-request.v1",
        "details that a webhook lacks",
    ),
    spec(Topic::LookupsResults, "lookups.results", Keep::Days(7), "nexus.lookup-result.v1", "the details found"),
    spec(Topic::PipelineState, "pipeline.state", Keep::Latest, "nexus.state.v1", "operator state"),
    spec(Topic::Presence, "presence", Keep::Latest, "nexus.presence.v1", "who is connected where"),
    spec(Topic::AgentsCursors, "agents.cursors", Keep::Latest, "nexus.cursor.v1", "what each agent has acknowledged"),
    spec(Topic::Alerts, "alerts", Keep::Days(7), "nexus.alert.v1", "what somebody should look at"),
    spec(Topic::Control, "control", Keep::Latest, "nexus.control.v1", "kill switch, mapping and flag changes"),
    spec(
        Topic::DeadLetters,
        "dead.letters",
        Keep::Days(7),
        "nexus.dead-letter.v1",
        "what could not be processed, replayable",
    ),
    spec(Topic::Audit, "audit", Keep::Days(30), "nexus.audit.v1", "acts that no other topic tells of"),
];

const fn spec(topic: Topic, name: &'static str, keep: Keep, schema: &'static str, about: &'static str) -> Spec {
    Spec { topic, name, keep, schema, about }
}

impl Topic {
    /// The line of [`TOPICS`] that describes this topic.
    pub fn spec(self) -> &'static Spec {
        // The numbers start at one and have no holes; a test holds that.
        &TOPICS[self as usize - 1]
    }

    /// The name that producers and analysts use.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Whether only the newest record of each key is kept.
    pub fn is_compacted(self) -> bool {
        self.spec().keep == Keep::Latest
    }

    /// The topic of a name.
    pub fn from_name(name: &str) -> Option<Topic> {
        TOPICS.iter().find(|spec| spec.name == name).map(|spec| spec.topic)
    }

    /// The topic of a number read from a journal.
    pub fn from_id(id: u8) -> Option<Topic> {
        TOPICS.get(usize::from(id).checked_sub(1)?).map(|spec| spec.topic)
    }
}

/// The key under which events of no known tenant are kept.
pub const UNROUTED: &str = "_unrouted";

/// The key of the records that only carry time.
pub const CLOCK: &str = "_clock";

/// The partition of a tenant: Kafka's own default for the key, so that outside
/// producers that key by tenant agree without knowing it.
pub fn partition_of(tenant: &str, partitions: u32) -> u32 {
    (murmur2(tenant.as_bytes()) & 0x7fff_ffff) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_numbers() {
        for spec in TOPICS {
            assert_eq!(spec.topic.spec().topic, spec.topic);
            assert_eq!(Topic::from_name(spec.name), Some(spec.topic));
            assert_eq!(Topic::from_id(spec.topic as u8), Some(spec.topic));
        }
        assert_eq!(Topic::from_id(0), None);
        assert_eq!(Topic::from_id(TOPICS.len() as u8 + 1), None);
    }
}
