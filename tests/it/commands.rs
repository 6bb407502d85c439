//! The commands as a user and a script run them.

use std::process::Output;

use serde_json::Value;

use super::process::{Process, nexus};

fn run(arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = nexus();
    command.args(arguments).envs(env.iter().copied());
    // Away from any nexus.toml of whoever runs the tests.
    command.current_dir(std::env::temp_dir());
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json_lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_demo_shows_the_whole_way_and_ends_well() {
    let output = run(&["demo", "--once", "--json"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let steps = json_lines(&output);
    let count = |step: &str| steps.iter().filter(|line| line["step"] == step).count();
    assert_eq!(steps.last().unwrap()["step"], "done");
    assert!(count("sent") >= 5 && count("event") > count("sent"), "{steps:#?}");
    for agent in ["builder", "reviewer"] {
        let is_assigned = |line: &&Value| line["agent"] == agent && line["data"]["type"] == "TASK_ASSIGNED";
        let assigned = steps.iter().find(is_assigned).unwrap();
        assert_eq!(assigned["data"]["task"]["title"], "The checkout fails on Safari");
    }
    assert_eq!(count("mirrored"), 1, "{steps:#?}");
    for side in ["clickup", "slack"] {
        let says = |line: &Value| line["text"].as_str().is_some_and(|text| text.contains("A fix is on its way."));
        let said = steps.iter().filter(|line| line["step"] == "shown" && line["side"] == side && says(line));
        assert_eq!(said.count(), 1, "the agent's answer in {side}");
    }
    assert!(steps.iter().any(|line| line["step"] == "repeat" && line["duplicate"] == true));
    assert!(steps.iter().any(|line| line["step"] == "forged" && line["refused"] == true));
}

#[test]
fn wrong_usage_is_2_and_failure_is_1() {
    for arguments in
        [&["fly"][..], &["tail"], &["run"], &["run", "--role", "pilot"], &["tail", "events", "--from", "now"]]
    {
        assert_eq!(run(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
    let missing = tempfile::tempdir().unwrap();
    let nowhere = missing.path().join("nothing").display().to_string();
    for arguments in [&["tail", "events"][..], &["tail", "nonsense"], &["send", "slack", "nonsense"], &["replay"]] {
        let output = run(arguments, &[("NEXUS_DATA_DIR", &nowhere)]);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).starts_with("nexus: "));
    }
    let doctor = run(&["doctor"], &[("NEXUS_DATA_DIR", &nowhere), ("WEBHOOK_SECRET_CLICKUP", "s"), ("PORT", "0")]);
    assert!(doctor.status.success(), "{}", text(&doctor.stdout));
    assert!(!missing.path().join("nothing").exists(), "looking makes nothing");
}

#[test]
fn a_bad_setting_is_named_and_keeps_the_hub_from_starting() {
    for (name, value, named) in [
        ("NEXUS_NO_SUCH", "1", "NEXUS_NO_SUCH"),
        ("PORT", "eighty", "PORT"),
        ("NEXUS_LOG_DURABILITY", "maybe", "durability"),
        ("NEXUS_CONFIG", "/no/such/file.toml", "/no/such/file.toml"),
    ] {
        let output = run(&["up"], &[(name, value)]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(text(&output.stderr).contains(named), "{name}: {}", text(&output.stderr));
    }
}

#[test]
fn the_settings_are_shown_without_their_secrets() {
    let env = [("WEBHOOK_SECRET_STRIPE", "whsec_hush"), ("PORT", "4321")];
    for arguments in [&["config"][..], &["config", "--json"]] {
        let shown = text(&run(arguments, &env).stdout);
        assert!(shown.contains("4321") && !shown.contains("hush"), "{shown}");
    }
    let manual = text(&run(&["config", "--defaults"], &env).stdout);
    assert!(manual.contains("# Every setting of Nexus"));
    assert!(manual.parse::<toml::Table>().is_ok());
}

#[test]
fn a_hub_is_sent_to_tailed_and_examined() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().display().to_string();
    let env = [("NEXUS_DATA_DIR", data.as_str()), ("WEBHOOK_SECRET_CLICKUP", "s"), ("PORT", "0")];
    let mut up = nexus();
    up.envs(env).arg("up");
    let hub = Process::start(up);

    let sent = run(&["send", "clickup", "taskCreated", "--count", "25", "--rate", "500"], &env);
    assert!(sent.status.success(), "{}", text(&sent.stderr));
    assert!(text(&sent.stdout).starts_with("25 accepted, 0 not"), "{}", text(&sent.stdout));
    let answers = json_lines(&run(&["send", "clickup", "taskCommentPosted", "--json"], &env));
    let id = answers[0]["data"]["id"].as_str().unwrap();

    // Follows until it has seen them all, so nothing has to be waited for.
    let events = json_lines(&run(&["tail", "events", "--follow", "--limit", "26", "--json"], &env));
    assert_eq!(events.len(), 26);
    for event in &events {
        assert_eq!((&event["topic"], &event["key"]), (&"events".into(), &"default".into()));
        assert_eq!(event["headers"]["event_id"], event["value"]["id"]);
    }
    assert!(events.iter().any(|event| event["value"]["id"] == id && event["value"]["type"] == "CommentPosted"));
    let last = json_lines(&run(&["tail", "events", "--from", "25", "--json"], &env));
    assert_eq!((last.len(), &last[0]["offset"]), (1, &25.into()));
    let raw = json_lines(&run(&["tail", "webhooks.raw", "--limit", "1", "--json"], &env));
    assert!(serde_json::from_str::<Value>(raw[0]["value"]["body"].as_str().unwrap()).is_ok());

    let wrong = run(&["send", "clickup", "taskCreated", "--secret", "other"], &env);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("400"), "{}", text(&wrong.stderr));

    let doctor = run(&["doctor", "--json"], &env);
    assert!(doctor.status.success(), "{}", text(&doctor.stdout));
    assert!(json_lines(&doctor).iter().any(|finding| finding["check"] == "hub" && finding["ok"] == true));

    // The same without the hub.
    assert!(hub.terminate().success());
    let again = json_lines(&run(&["tail", "events", "--json"], &env));
    assert_eq!(again, events);
    let doctor = json_lines(&run(&["doctor", "--json"], &env));
    assert!(doctor.iter().any(|finding| finding["check"] == "log" && finding["ok"] == true), "{doctor:#?}");
}

/// As the README has it: nothing is set, and the samples reach the agent.
#[test]
fn a_seeded_hub_takes_samples_from_whoever_may_read_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().display().to_string();
    let env = [("NEXUS_DATA_DIR", data.as_str()), ("PORT", "0"), ("NEXUS_AUTH_BCRYPT_COST", "4")];
    let seeded = json_lines(&run(&["seed", "--json"], &env)).remove(0);
    let is_well = |what: &str| {
        let doctor = run(&["doctor", "--json"], &env);
        assert!(doctor.status.success(), "{what}: {}", text(&doctor.stdout));
        assert!(json_lines(&doctor).iter().any(|finding| finding["check"] == "secrets" && finding["ok"] == true));
    };
    is_well("a seeded hub that does not run");
    let mut up = nexus();
    up.envs(env).arg("up");
    let _hub = Process::start(up);
    is_well("a seeded hub that runs");
    for (provider, event) in [("clickup", "taskCreated.with_task"), ("slack", "message"), ("github", "issues.opened")] {
        let sent = run(&["send", provider, event], &env);
        assert!(sent.status.success(), "{provider}: {}", text(&sent.stderr));
    }
    let login = &seeded["agents"][0];
    let secret = login["clientSecret"].as_str().unwrap();
    let agent = ["agent", "--client-id", login["clientId"].as_str().unwrap(), "--client-secret", secret];
    let told = json_lines(&run(&[&agent[..], &["--json", "--limit", "1"]].concat(), &env));
    assert!(told.iter().any(|said| said["event"] == "task_assigned"), "{told:#?}");
    let unknown = run(&["send", "clickup", "taskCreated", "--connection", "con_nobody"], &env);
    assert!(text(&unknown.stderr).contains("no connection"), "{}", text(&unknown.stderr));
}

#[test]
fn every_sample_can_be_named() {
    let list = text(&run(&["send", "--list"], &[]).stdout);
    assert!(list.lines().count() > 80 && list.lines().any(|line| line == "slack message"), "{list}");
}
