//! Every stream of the repository: inside the dialect, on the product's topics and
//! with the fields that they have, and told of in the documentation.

use std::collections::BTreeSet;

use pipeline::{
    event::{
        Actor, ActorKind, Addressee, AgentAction, AgentMessage, EventType, InboxEntry, Message, ProjectRef, RawRef,
        Source, StandardEvent, TaskRef, Time, Trust, Webhook, schema,
    },
    topics::Topic,
};
use serde_json::{Value, json};

use super::{
    dialect::{self, Table, Token},
    repository, streams_of_the_repository,
};

/// The functions of `udfs` that streams may call.
pub const OURS: &[&str] = &["content_hash", "normalise"];

fn ours() -> BTreeSet<String> {
    OURS.iter().map(|name| (*name).to_owned()).collect()
}

/// A value of a topic as the product writes it, with all that a stream may read.
fn sample(topic: Topic) -> Value {
    let at = Time(1_795_248_000_123);
    let event = StandardEvent {
        id: "evt_1".into(),
        kind: EventType::MessagePosted,
        tenant_id: "acme".into(),
        occurred_at: at,
        received_at: at,
        trace_id: "0".repeat(32),
        source: Source {
            provider: "slack".into(),
            connection_id: Some("con_1".into()),
            delivery_id: Some("Ev1".into()),
            event: "message".into(),
        },
        actor: Some(Actor {
            kind: ActorKind::Human,
            trust: Trust::Member,
            external_id: Some("U1".into()),
            agent_id: None,
            name: None,
            email: None,
        }),
        subject: None,
        project: Some(ProjectRef { id: Some("prj_1".into()), ..ProjectRef::default() }),
        task: Some(TaskRef { id: Some("tsk_1".into()), ..TaskRef::default() }),
        message: Some(Message { text: "hello".into(), thread_seq: Some(50), ..Message::default() }),
        mentions: Vec::new(),
        changes: Vec::new(),
        unrouted: false,
        incomplete: false,
        echo: false,
        reconciled: None,
        raw: RawRef { topic: "webhooks.raw".into(), partition: 0, offset: 1 },
    };
    match topic {
        Topic::Events => json!(event),
        Topic::AgentsInbox => json!(InboxEntry {
            id: "evt_1".into(),
            tenant_id: "acme".into(),
            trace_id: None,
            name: "context_update".into(),
            to: vec![Addressee { agent_id: "agt_1".into(), seq: 1, prev_seq: 0, name: None }],
            at,
            event: Some(event),
            data: None,
        }),
        Topic::AgentsActions => json!(AgentAction {
            id: "act_1".into(),
            tenant_id: "acme".into(),
            agent_id: "agt_1".into(),
            name: "message".into(),
            data: json!(AgentMessage {
                request_id: None,
                task_id: Some("tsk_1".into()),
                thread: None,
                text: "hello".into(),
                trace_id: None,
            }),
            at,
            trace_id: None,
            correlation_id: None,
        }),
        Topic::WebhooksRaw => json!(Webhook {
            tenant_id: "acme".into(),
            provider: "slack".into(),
            connection_id: Some("con_1".into()),
            delivery_id: Some("Ev1".into()),
            sender_id: None,
            received_at: at,
            content_type: Some("application/json".into()),
            headers: [("x-github-event".into(), "push".into())].into(),
            nonce: None,
            reconciled: None,
            body: Some("{}".into()),
            body_base64: None,
        }),
        other => panic!("no stream reads {}", other.name()),
    }
}

fn topic_of(table: &Table) -> &str {
    table.option("topic").strip_prefix("{{ prefix }}").expect("every topic stands behind the prefix")
}

fn fits(kind: &str, value: &Value) -> bool {
    match kind {
        "TEXT" => value.is_string(),
        "TIMESTAMP" => value.as_str().and_then(udfs::time::from_rfc3339).is_some(),
        "BIGINT" | "INT" => value.is_i64() || value.is_u64(),
        "JSON" => value.is_object() || value.is_array(),
        other => panic!("no source has the type {other}"),
    }
}

#[test]
fn every_stream_stays_inside_the_dialect() {
    let mut groups = BTreeSet::new();
    let mut called = BTreeSet::new();
    for (name, sql) in streams_of_the_repository() {
        assert_eq!(dialect::problems(&sql, &ours()), [] as [&str; 0], "{name}");
        let stream = dialect::read(&sql);
        for table in &stream.tables {
            assert_eq!(table.option("bootstrap_servers"), "{{ brokers }}", "{name}");
            let is_source = table.option("type") == "source";
            if is_source {
                // Two pipelines in one group would take each other's partitions.
                let group = table.option("source.group_id");
                assert!(
                    group.starts_with("{{ prefix }}streams-") && groups.insert(group.to_owned()),
                    "{name}: {group}"
                );
            }
        }
        called.extend(stream.calls.into_iter().map(|call| call.function).filter(|call| OURS.contains(&call.as_str())));
    }
    assert_eq!(called, ours(), "each is called by some stream");
    // The functions lie in a workspace of their own, which need not be here.
    let plugins = repository("udfs/plugins");
    for name in OURS.iter().filter(|_| plugins.is_dir()) {
        let text = std::fs::read_to_string(plugins.join(name).join("src/lib.rs")).unwrap_or_default();
        assert!(text.contains(&format!("#[udf]\nfn {name}(text: &str) -> String")), "there is no function {name}");
    }
}

#[test]
fn every_column_is_a_field_of_its_topic() {
    for (name, sql) in streams_of_the_repository() {
        let stream = dialect::read(&sql);
        for table in stream.tables.iter().filter(|table| table.option("type") == "source") {
            let topic = Topic::from_name(topic_of(table)).unwrap_or_else(|| panic!("{name} reads {}", topic_of(table)));
            let sample = sample(topic);
            let schema = json!(schema(topic.spec().schema).unwrap());
            let required = schema["required"].as_array().unwrap();
            for column in table.columns.iter().filter(|column| column.metadata.is_none()) {
                let value = sample.get(&column.name).unwrap_or_else(|| panic!("{name}: no field {}", column.name));
                assert!(fits(&column.kind, value), "{name}: {} is {value}, not {}", column.name, column.kind);
                let is_always_there = required.contains(&json!(column.name));
                assert_eq!(column.is_required, is_always_there, "{name}: whether {} is always there", column.name);
            }
            // What is read inside of a field is there, too.
            for call in stream.calls.iter().filter(|call| call.function.starts_with("json_get_")) {
                let Some(Token::Word(column)) = call.arguments.first() else { panic!("{name}: {:?}", call.arguments) };
                if topic == Topic::WebhooksRaw || table.column(column).is_none() {
                    continue;
                }
                let path = call.arguments.iter().filter_map(|token| match token {
                    Token::Text(field) => Some(field),
                    _ => None,
                });
                let value = path.fold(&sample[column.as_str()], |value, field| &value[field.as_str()]);
                let is_right = if call.function == "json_get_int" { value.is_u64() } else { value.is_string() };
                assert!(is_right, "{name}: {:?} is {value}", call.arguments);
            }
        }
    }
}

#[test]
fn what_is_written_is_ours_to_write_and_told_of() {
    let readme = std::fs::read_to_string(repository("sql/streams/README.md")).unwrap();
    for (name, sql) in streams_of_the_repository() {
        let head: Vec<_> = sql.lines().map_while(|line| line.strip_prefix("--")).map(str::trim).collect();
        assert!(head.first().is_some_and(|line| line.len() > 20), "{name} does not begin with what it answers");
        let said = |what: &str| {
            let line = head.iter().find_map(|line| line.strip_prefix(what));
            let line = line.unwrap_or_else(|| panic!("{name} does not say {what}"));
            line.trim().split(", ").map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let stream = dialect::read(&sql);
        let topics = |kind: &str| {
            let those = stream.tables.iter().filter(|table| table.option("type") == kind);
            those.map(|table| topic_of(table).to_owned()).collect::<BTreeSet<_>>()
        };
        assert_eq!(said("Reads:"), topics("source"), "{name}");
        assert_eq!(said("Writes:"), topics("sink"), "{name}");
        assert!(!said("Key:").is_empty());
        let calls: BTreeSet<_> = stream
            .calls
            .iter()
            .map(|call| call.function.clone())
            .filter(|call| OURS.contains(&call.as_str()))
            .collect();
        if !calls.is_empty() {
            assert_eq!(said("Calls:"), calls, "{name}");
        }
        assert!(readme.contains(&format!("`{name}.sql`")), "the README does not name {name}.sql");
        for topic in topics("sink") {
            // The hub's own topics are written by the hub alone.
            assert!(topic.starts_with("streams.") && Topic::from_name(&topic).is_none(), "{name} writes {topic}");
            assert!(readme.contains(&format!("`{topic}`")), "the README does not name {topic}");
        }
    }
}
