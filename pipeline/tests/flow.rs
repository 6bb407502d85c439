//! Stories: each folder of `tests/flow` holds what comes in (`in.jsonl`: values
//! of `webhooks.raw`, or `{"topic", "key", "value"}`; `{"include": FILE}` puts
//! the lines of another file in) and what comes out (`out.jsonl`: the events,
//! the dead letters, then what agents, askers and lookups are told). Adding a folder adds a test; with `UPDATE_FLOW=1` the
//! answers that are missing or different are written, to be reviewed.

mod support;

use std::{fs, path::Path};

use pipeline::topics::Topic;
use serde_json::{Value, json};
use support::{repository, run, written};

#[test]
fn every_story_ends_as_told() {
    let folders = fs::read_dir(repository("tests/flow")).expect("stories are there");
    let mut folders: Vec<_> = folders.map(|entry| entry.expect("a readable folder").path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(folders.len() >= 44, "only {} stories are there", folders.len());
    let wrong: Vec<_> = folders.iter().filter_map(|folder| tell(folder).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn tell(folder: &Path) -> Result<(), String> {
    let requests = lines(&folder.join("in.jsonl")).ok_or_else(|| format!("{} has no in.jsonl", folder.display()))?;
    let (outputs, _) = run(&requests);
    let mut events = written(&outputs, Topic::Events);
    events.extend(written(&outputs, Topic::DeadLetters).into_iter().map(|mut letter| {
        // What was put away is the request, which the story has already.
        letter["original"]["value"] = Value::Null;
        letter
    }));
    for topic in [Topic::AgentsInbox, Topic::CommandsResults, Topic::LookupsRequests] {
        events.extend(written(&outputs, topic).into_iter().map(|mut value| {
            // The event itself stands above already.
            value.as_object_mut().expect("an object").remove("event");
            json!({ "topic": topic.name(), "value": value })
        }));
    }
    let answer = folder.join("out.jsonl");
    let expected = lines(&answer);
    if expected.as_ref() == Some(&events) {
        return Ok(());
    }
    if std::env::var_os("UPDATE_FLOW").is_some() {
        let text: String = events.iter().map(|event| format!("{event}\n")).collect();
        return fs::write(&answer, text).map_err(|error| format!("{}: {error}", answer.display()));
    }
    let expected = expected.ok_or_else(|| format!("{} is missing", answer.display()))?;
    let at = (0..).find(|at| expected.get(*at) != events.get(*at)).unwrap_or_default();
    let told = |events: &[Value]| events.get(at).map_or_else(|| "nothing".to_owned(), Value::to_string);
    Err(format!("{}: event {at} should be\n  {}\nand is\n  {}", folder.display(), told(&expected), told(&events)))
}

fn lines(path: &Path) -> Option<Vec<Value>> {
    let text = fs::read_to_string(path).ok()?;
    let line = |line| serde_json::from_str::<Value>(line).expect("a line of JSON");
    let included = |line: Value| match line.get("include").and_then(Value::as_str) {
        Some(file) => lines(&path.with_file_name("").join(file)).expect("the file to include"),
        None => vec![line],
    };
    Some(text.lines().map(line).flat_map(included).collect())
}
