//! `deploy/arroyo/submit` as an operator runs it, at an API that answers as
//! Arroyo's does.

use std::{fs, path::Path, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    fake::{Arroyo, Fault, Pipeline, UNCOMPILABLE},
    repository, streams_of_the_repository,
};
use crate::{hub::Port, process::nexus};

const SOURCE: &str = r#"git = "https://git.example/nexus", rev = "0123abc""#;

/// An operator with folders of their own, and a cluster.
struct Operator {
    arroyo: Arroyo,
    folders: TempDir,
}

/// A function as a plugin has it.
fn plugin(name: &str, body: &str) -> String {
    format!(
        "/*\n[dependencies]\nnexus-udfs = {{ path = \"../..\" }}\n*/\n\n//! Calls one function.\n\n\
         use arroyo_udf_plugin::udf;\n\n/// Calls it.\n#[udf]\nfn {name}(text: &str) -> String {{\n    {body}\n}}\n"
    )
}

impl Operator {
    /// With the streams of the repository and three functions.
    fn new() -> Operator {
        let operator = Operator { arroyo: Arroyo::start(), folders: tempfile::tempdir().unwrap() };
        for (name, sql) in streams_of_the_repository() {
            operator.writes(&format!("streams/{name}.sql"), &sql);
        }
        for name in ["content_hash", "mentions", "normalise"] {
            operator.writes(&format!("plugins/{name}/src/lib.rs"), &plugin(name, &format!("udfs::{name}(text)")));
        }
        // What stands beside them and is none.
        operator.writes("plugins/Cargo.toml", "[workspace]\n");
        operator.writes("plugins/tests/src/lib.rs", "//! Tests the others.\n");
        operator
    }

    fn folder(&self, name: &str) -> String {
        self.folders.path().join(name).display().to_string()
    }

    fn writes(&self, file: &str, text: &str) {
        let path = self.folders.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn changes(&self, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.folders.path().join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        self.writes(file, &text.replace(from, to));
    }

    fn runs(&self, more: &[&str]) -> Output {
        let mut command = nexus();
        command.args(["streams", "--streams", &self.folder("streams"), "--plugins", &self.folder("plugins")]);
        command.args(["--arroyo", &self.arroyo.url, "--brokers", "kafka-1:9092,kafka-2:9092"]);
        if !more.contains(&"--udfs") {
            command.args(["--udfs", SOURCE]);
        }
        command.env_remove("ARROYO_URL").env_remove("ARROYO_API_KEY");
        command.args(more).current_dir(std::env::temp_dir()).output().unwrap()
    }

    /// Runs it well; what it said, a line each.
    fn submits(&self, more: &[&str]) -> Vec<(String, String)> {
        let output = self.runs(&[&["--json"], more].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines = text(&output.stdout);
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|line| (line["name"].as_str().unwrap().to_owned(), line["did"].as_str().unwrap().to_owned()))
            .collect()
    }

    /// Runs it ill; why it failed.
    fn fails(&self, more: &[&str]) -> String {
        let output = self.runs(more);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        text(&output.stderr)
    }

    fn fault(&self, at: &'static str, status: u16, is_done: bool) {
        self.arroyo.world().faults.push_back(Fault { at, status, is_done });
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.arroyo.world().pipelines.iter().map(|pipeline| pipeline.name.clone()).collect();
        names.sort();
        names
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn did(lines: &[(String, String)], what: &str) -> Vec<String> {
    lines.iter().filter(|(_, did)| did == what).map(|(name, _)| name.clone()).collect()
}

const NAMES: [&str; 7] = [
    "nexus-agent_rate",
    "nexus-dispatch_latency",
    "nexus-duplicate_messages",
    "nexus-fiftieth_messages",
    "nexus-noisy_agents",
    "nexus-normalise",
    "nexus-project_events",
];

#[test]
fn everything_is_registered_once_and_a_second_time_changes_nothing() {
    let operator = Operator::new();
    let lines = operator.submits(&[]);
    assert_eq!(did(&lines, "added").len(), 10, "{lines:?}");
    assert_eq!(operator.names(), NAMES);
    {
        let world = operator.arroyo.world();
        for function in &world.functions {
            let definition = function["definition"].as_str().unwrap();
            assert!(definition.contains(&format!("nexus-udfs = {{ {SOURCE} }}\n*/")), "{definition}");
            assert!(definition.contains("#[udf]") && !definition.contains("../.."), "{definition}");
            assert_eq!(function["prefix"], "nexus");
        }
        assert_eq!(world.functions.len(), 3, "whoever asks by hand finds those that no stream calls, too");
        for pipeline in &world.pipelines {
            assert!(!pipeline.query.contains("{{") && pipeline.query.contains("= 'kafka-1:9092,kafka-2:9092'"));
            assert_eq!((pipeline.parallelism, pipeline.checkpoint_interval_micros), (1, 10_000_000));
            let calls: &[&str] = match pipeline.name.as_str() {
                "nexus-duplicate_messages" => &["fn content_hash("],
                "nexus-normalise" => &["fn content_hash(", "fn normalise("],
                _ => &[],
            };
            let built = pipeline.definitions();
            assert!(built.len() == calls.len() && built.iter().zip(calls).all(|(built, call)| built.contains(call)));
        }
        let asked: Vec<_> = world.asked.iter().filter(|asked| asked.starts_with("POST")).collect();
        let first_change = asked.iter().position(|asked| !asked.contains("validate")).unwrap();
        assert_eq!(first_change, 3 + 7, "all is checked before anything is changed: {asked:?}");
    }
    operator.arroyo.changes();
    let lines = operator.submits(&[]);
    assert_eq!(did(&lines, "unchanged").len(), 10, "{lines:?}");
    assert_eq!(operator.arroyo.changes(), [] as [&str; 0]);
}

#[test]
fn a_prefix_stands_before_topics_groups_and_names() {
    let operator = Operator::new();
    operator.submits(&["--only", "agent_rate"]);
    operator.submits(&["--only", "agent_rate", "--prefix", "acme."]);
    assert_eq!(operator.names(), ["nexus-acme.agent_rate", "nexus-agent_rate"]);
    let world = operator.arroyo.world();
    let query = |name: &str| &world.pipelines.iter().find(|pipeline| pipeline.name == name).unwrap().query;
    for (quoted, prefixed) in [
        ("topic = 'agents.actions'", "topic = 'acme.agents.actions'"),
        ("topic = 'streams.agents.rates'", "topic = 'acme.streams.agents.rates'"),
        ("'source.group_id' = 'streams-agent-rate'", "'source.group_id' = 'acme.streams-agent-rate'"),
    ] {
        assert!(query("nexus-agent_rate").contains(quoted), "{quoted}");
        assert!(query("nexus-acme.agent_rate").contains(prefixed), "{prefixed}");
    }
    assert!(world.functions.is_empty(), "agent_rate calls none");
}

#[test]
fn the_hubs_own_settings_name_the_brokers_and_the_prefix() {
    let operator = Operator::new();
    let mut command = nexus();
    command.args(["streams", "--streams", &operator.folder("streams"), "--plugins", &operator.folder("plugins")]);
    command.args(["--only", "agent_rate"]).env("ARROYO_URL", &operator.arroyo.url).current_dir(std::env::temp_dir());
    let output = command.output().unwrap();
    assert!(text(&output.stderr).contains("which brokers?"), "{}", text(&output.stderr));
    command.env("KAFKA_BROKERS", "own:9092").env("NEXUS_KAFKA_TOPIC_PREFIX", "own.");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let world = operator.arroyo.world();
    assert!(world.pipelines[0].query.contains("bootstrap_servers = 'own:9092'"));
    assert!(world.pipelines[0].query.contains("topic = 'own.agents.actions'"));
}

#[test]
fn what_has_changed_is_replaced_and_the_rest_left_alone() {
    let operator = Operator::new();
    operator.submits(&["--parallelism", "3", "--checkpoint-seconds", "30"]);
    operator.arroyo.changes();
    let before: Vec<_> = operator.arroyo.world().pipelines.iter().map(|pipeline| pipeline.id.clone()).collect();
    operator.changes("streams/agent_rate.sql", "n > 10", "n > 20");
    let lines = operator.submits(&[]);
    assert_eq!(did(&lines, "replaced"), ["nexus-agent_rate"]);
    assert_eq!(did(&lines, "unchanged").len(), 9);
    // The old one ends before the new one begins.
    assert_eq!(operator.arroyo.changes(), ["PATCH /pipelines/ID", "DELETE /pipelines/ID", "POST /pipelines"]);
    assert_eq!(operator.names(), NAMES);
    {
        let world = operator.arroyo.world();
        let new: Vec<_> = world.pipelines.iter().filter(|pipeline| !before.contains(&pipeline.id)).collect();
        let [new] = new[..] else { panic!("{} are new", new.len()) };
        assert!(new.query.contains("n > 20"));
        assert_eq!((new.parallelism, new.checkpoint_interval_micros), (3, 30_000_000), "as the old one ran");
    }
    // Another source is another text of each function, and of what is built with it.
    let lines = operator.submits(&["--udfs", &SOURCE.replace("0123abc", "4567def")]);
    let replaced = ["content_hash", "mentions", "normalise", "nexus-duplicate_messages", "nexus-normalise"];
    assert_eq!(did(&lines, "replaced"), replaced);
    let world = operator.arroyo.world();
    assert_eq!(world.functions.len(), 3);
    assert!(world.functions.iter().all(|function| function["definition"].as_str().unwrap().contains("4567def")));
    assert!(world.pipelines.iter().flat_map(Pipeline::definitions).all(|built| built.contains("4567def")));
}

#[test]
fn a_replacement_that_was_broken_off_is_finished() {
    let operator = Operator::new();
    operator.submits(&[]);
    operator.changes("streams/agent_rate.sql", "n > 10", "n > 20");
    // The first dies between the end of the old one and the beginning of the new.
    for _ in 0..3 {
        operator.fault("POST /pipelines", 503, false);
    }
    let said = operator.fails(&[]);
    assert!(said.contains("pipeline nexus-agent_rate") && said.contains("503"), "{said}");
    assert_eq!(operator.names().len(), 6);
    let lines = operator.submits(&[]);
    assert_eq!((did(&lines, "added"), did(&lines, "unchanged").len()), (vec!["nexus-agent_rate".to_owned()], 9));
    assert_eq!(operator.names(), NAMES);
}

#[test]
fn settings_of_what_runs_are_changed_in_place() {
    let operator = Operator::new();
    operator.submits(&[]);
    operator.arroyo.changes();
    let lines = operator.submits(&["--parallelism", "4", "--only", "normalise"]);
    assert_eq!(lines.last().unwrap(), &("nexus-normalise".to_owned(), r#"changed: {"parallelism":4}"#.to_owned()));
    assert_eq!(operator.arroyo.changes(), ["PATCH /pipelines/ID"]);
    operator.submits(&["--parallelism", "4", "--checkpoint-seconds", "60", "--only", "normalise"]);
    assert_eq!(operator.arroyo.changes(), ["PATCH /pipelines/ID"]);
    operator.submits(&["--parallelism", "4", "--checkpoint-seconds", "60", "--only", "normalise"]);
    operator.submits(&[]);
    assert_eq!(operator.arroyo.changes(), [] as [&str; 0], "what is not asked for stays");
    let world = operator.arroyo.world();
    let tuned = world.pipelines.iter().find(|pipeline| pipeline.name == "nexus-normalise").unwrap();
    assert_eq!((tuned.parallelism, tuned.checkpoint_interval_micros), (4, 60_000_000));
}

#[test]
fn a_dry_run_checks_and_changes_nothing() {
    let operator = Operator::new();
    operator.submits(&["--only", "agent_rate"]);
    operator.changes("streams/agent_rate.sql", "n > 10", "n > 20");
    operator.arroyo.changes();
    let lines = operator.submits(&["--dry-run"]);
    assert_eq!(did(&lines, "would be added").len(), 3 + 6, "{lines:?}");
    assert_eq!(did(&lines, "would be replaced"), ["nexus-agent_rate"]);
    assert_eq!(operator.arroyo.changes(), [] as [&str; 0]);
    operator.changes("streams/agent_rate.sql", "bad_data", "good_data");
    let said = operator.fails(&["--dry-run"]);
    assert!(said.contains("unknown options provided in WITH clause: 'good_data'"), "{said}");
    assert_eq!(operator.arroyo.changes(), [] as [&str; 0]);
}

#[test]
fn what_cannot_run_is_told_in_arroyos_words_before_anything_is_changed() {
    let operator = Operator::new();
    operator.submits(&[]);
    operator.arroyo.changes();
    operator.changes("streams/agent_rate.sql", "n > 10", "n > 20");
    operator.changes("streams/noisy_agents.sql", "hop(INTERVAL '1 minute', INTERVAL '10 minutes')", "hops(1)");
    let said = operator.fails(&[]);
    assert!(
        said.contains("stream noisy_agents") && said.contains("line 3, column 7: Invalid function 'hops'"),
        "{said}"
    );
    assert_eq!(operator.arroyo.changes(), [] as [&str; 0], "agent_rate still runs as it did");
    operator.changes("streams/noisy_agents.sql", "hops(1)", "hop(INTERVAL '1 minute', INTERVAL '10 minutes')");
    operator.changes("plugins/mentions/src/lib.rs", "udfs::mentions(text)", &format!("{UNCOMPILABLE}(text)"));
    let said = operator.fails(&[]);
    assert!(said.contains("function mentions") && said.contains("error[E0425]: cannot find function"), "{said}");
    assert_eq!(operator.arroyo.changes(), [] as [&str; 0]);
    // A stream that calls what nobody has written.
    fs::remove_dir_all(operator.folder("plugins/content_hash")).unwrap();
    operator.writes("plugins/mentions/src/lib.rs", &plugin("mentions", "udfs::mentions(text)"));
    operator.arroyo.world().functions.clear();
    let said = operator.fails(&[]);
    assert!(said.contains("Invalid function 'content_hash'"), "{said}");
    assert_eq!(operator.names(), NAMES);
}

#[test]
fn wrong_arguments_are_named() {
    let operator = Operator::new();
    for (arguments, says) in [
        (&["--only", "nonsense"][..], "no stream \"nonsense\""),
        (&["--prefix", "a'b"], "cannot stand in a topic's name"),
        (&["--udfs", "udfs"], "from its root"),
        (&["--udfs", "git = \"https://git.example/nexus\""], "pin one"),
        (&["--streams", "/nowhere"], "/nowhere"),
        (&["--plugins", "/nowhere"], "name their folder with --plugins"),
    ] {
        let said = operator.fails(arguments);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    assert_eq!(operator.runs(&["--parallelism", "0"]).status.code(), Some(2));
    assert!(operator.arroyo.world().asked.iter().all(|asked| asked.starts_with("GET")));
}

#[test]
fn the_key_opens_the_door() {
    let operator = Operator::new();
    operator.arroyo.world().api_key = Some("k-1".to_owned());
    let said = operator.fails(&[]);
    assert!(said.contains("it wants an API key"), "{said}");
    let said = operator.fails(&["--api-key", "k-2"]);
    assert!(said.contains("does not take this API key") && !said.contains("k-2"), "{said}");
    assert_eq!(operator.submits(&["--api-key", "k-1"]).len(), 10);
}

#[test]
fn nobody_there_is_said() {
    let operator = Operator::new();
    let free = Port::hold();
    let url = format!("http://127.0.0.1:{}", free.number());
    let mut command = nexus();
    command.args(["streams", "--streams", &operator.folder("streams"), "--plugins", &operator.folder("plugins")]);
    command.args(["--arroyo", &url, "--brokers", "b:9092", "--only", "agent_rate"]);
    let output = command.current_dir(std::env::temp_dir()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(&format!("cannot reach Arroyo at {url}")) && said.contains("refused"), "{said}");
}

#[test]
fn a_passing_fault_is_outlived_and_makes_nothing_twice() {
    let operator = Operator::new();
    operator.fault("GET /udfs", 502, false);
    operator.fault("GET /pipelines", 500, false);
    operator.fault("POST /pipelines/validate_query", 500, false);
    // Done, but the answer says otherwise.
    operator.fault("POST /pipelines", 500, true);
    operator.submits(&["--only", "agent_rate"]);
    assert_eq!(operator.names(), ["nexus-agent_rate"]);
    operator.fault("POST /udfs", 500, true);
    operator.fault("POST /pipelines", 503, false);
    operator.submits(&[]);
    assert_eq!(operator.names(), NAMES);
    assert_eq!(operator.arroyo.world().functions.len(), 3);
    assert!(operator.arroyo.world().faults.is_empty(), "each came to pass");
    // One that stays is told as it is.
    for _ in 0..3 {
        operator.fault("GET /udfs", 500, false);
    }
    let said = operator.fails(&[]);
    assert!(said.contains("Arroyo answers 500 to udfs: Something went wrong"), "{said}");
}

#[test]
fn two_of_one_name_are_for_a_person_to_tell_apart() {
    let operator = Operator::new();
    operator.submits(&["--only", "agent_rate"]);
    // Somebody else makes one by hand: Arroyo allows it.
    operator.arroyo.world().pipelines[0].name = "somebody's".to_owned();
    operator.submits(&["--only", "agent_rate"]);
    operator.arroyo.world().pipelines[1].name = "nexus-agent_rate".to_owned();
    operator.arroyo.changes();
    let said = operator.fails(&[]);
    assert!(said.contains("2 pipelines named nexus-agent_rate"), "{said}");
    assert_eq!(operator.arroyo.changes(), [] as [&str; 0]);
}

#[test]
fn what_has_failed_or_was_stopped_is_told() {
    let operator = Operator::new();
    operator.submits(&[]);
    {
        let mut world = operator.arroyo.world();
        for pipeline in &mut world.pipelines {
            if pipeline.name == "nexus-normalise" {
                "Stopped".clone_into(&mut pipeline.state);
            }
        }
    }
    let output = operator.runs(&[]);
    assert!(output.status.success(), "whoever stopped it meant it");
    assert!(text(&output.stdout).contains("it is stopped: start it in Arroyo"), "{}", text(&output.stdout));
    for pipeline in &mut operator.arroyo.world().pipelines {
        if pipeline.name == "nexus-agent_rate" {
            "Failed".clone_into(&mut pipeline.state);
            pipeline.failure = Some("the topic agents.actions does not exist".to_owned());
        }
    }
    let output = operator.runs(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("it has failed: the topic agents.actions does not exist"));
    assert!(text(&output.stderr).contains("one pipeline has failed"));
    // What has failed needs no stopping to be replaced.
    operator.arroyo.changes();
    operator.changes("streams/agent_rate.sql", "n > 10", "n > 20");
    operator.submits(&["--only", "agent_rate"]);
    assert_eq!(operator.arroyo.changes(), ["DELETE /pipelines/ID", "POST /pipelines"]);
}

#[test]
fn a_cluster_with_many_other_pipelines_is_read_to_the_end() {
    let operator = Operator::new();
    operator.submits(&["--only", "agent_rate"]);
    {
        let mut world = operator.arroyo.world();
        for number in 0..250 {
            world.pipelines.insert(
                0,
                Pipeline {
                    id: format!("other_{number}"),
                    name: format!("other {number}"),
                    query: "SELECT 1".to_owned(),
                    udfs: Vec::new(),
                    parallelism: 1,
                    checkpoint_interval_micros: 10_000_000,
                    stop: "none".to_owned(),
                    state: "Running".to_owned(),
                    failure: None,
                },
            );
        }
    }
    operator.arroyo.changes();
    let lines = operator.submits(&["--only", "agent_rate"]);
    assert_eq!(did(&lines, "unchanged"), ["nexus-agent_rate"]);
    assert_eq!(operator.arroyo.changes(), [] as [&str; 0]);
}

/// The script beside the documentation: the same command with the checkout's folders.
#[test]
fn the_script_submits_what_is_in_the_checkout() {
    let operator = Operator::new();
    let mut command = std::process::Command::new(repository("deploy/arroyo/submit"));
    command.env("NEXUS", env!("CARGO_BIN_EXE_nexus")).current_dir(std::env::temp_dir());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NEXUS_") || name.starts_with("KAFKA_")) {
        command.env_remove(name);
    }
    command.args(["--arroyo", &operator.arroyo.url, "--brokers", "b:9092", "--udfs", SOURCE]);
    // The functions lie in a workspace of their own, which need not be here.
    if !repository("udfs/plugins").is_dir() {
        command.args(["--plugins", &operator.folder("plugins")]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(operator.names(), NAMES);
    assert!(Path::new(&repository("deploy/arroyo/README.md")).is_file());
}
