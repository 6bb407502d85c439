//! What the providers' own documentation and recordings say that they answer,
//! given to the clients by the fakes. `NEXUS_FIXTURES` names a folder of such
//! answers, which are no part of this repository; without it only the samples
//! that stand here are read.

use std::path::PathBuf;

use pipeline::event::{MirrorPart, MirrorStage, MirrorWork, TaskState};
use serde_json::{Value, json};

use super::{CHANNEL, Office, edit, place, post, text};

/// An answer: which call gets it, its status, what becomes of the command, and
/// the id that is taken from it.
struct Answer {
    /// The fixture's file, or none for a sample of our own.
    file: &'static str,
    body: Value,
    path: &'static str,
    status: u16,
    expected: Expected,
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    /// It is done; what the answer has here is the id.
    Done(&'static str),
    /// It failed for good, with this code.
    Failed(&'static str),
}

use Expected::{Done, Failed};

fn samples() -> Vec<(&'static str, Answer)> {
    let sample = |path, status, body, expected| Answer { file: "", body, path, status, expected };
    vec![
        ("post slack", sample("chat.postMessage", 200, json!({"ok": true, "ts": "1700000001.000200"}), Done("/ts"))),
        (
            "post slack",
            sample("chat.postMessage", 200, json!({"ok": false, "error": "is_archived"}), Failed("refused")),
        ),
        (
            "post slack",
            sample("chat.postMessage", 200, json!({"ok": false, "error": "token_revoked"}), Failed("unauthorised")),
        ),
        (
            "edit slack",
            sample("chat.update", 200, json!({"ok": false, "error": "message_not_found"}), Failed("not_found")),
        ),
        ("post clickup", sample("/comment", 200, json!({"id": 9001, "hist_id": "1", "date": 1}), Done("/id"))),
        (
            "post clickup",
            sample("/comment", 404, json!({"err": "Task not found", "ECODE": "ITEM_013"}), Failed("not_found")),
        ),
        ("post github", sample("/comments", 201, json!({"id": 77, "body": "x"}), Done("/id"))),
        ("post github", sample("/comments", 410, json!({"message": "This issue was deleted"}), Failed("not_found"))),
        ("post jira", sample("/comment", 201, json!({"id": "10400"}), Done("/id"))),
        (
            "post jira",
            sample("/comment", 400, json!({"errorMessages": ["Comment body is not valid!"]}), Failed("refused")),
        ),
    ]
}

/// THE list of the files that are answers to calls of ours.
const FILES: &[(&str, &str, &str, u16, Expected)] = &[
    ("post slack", "slack/api.chat.postMessage.ok.json", "chat.postMessage", 200, Done("/ts")),
    ("post slack", "slack/api.chat.postMessage.error.json", "chat.postMessage", 200, Failed("refused")),
    ("post slack", "slack/api.auth.test.error.json", "chat.postMessage", 200, Failed("unauthorised")),
    ("edit slack", "slack/api.chat.update.ok.json", "chat.update", 200, Done("/ts")),
    ("whisper slack", "slack/api.chat.postEphemeral.error.json", "chat.postEphemeral", 200, Failed("refused")),
    ("channel slack", "slack/api.conversations.create.ok.json", "conversations.create", 200, Done("/channel/id")),
    // The name is taken: the next one is not, says the fake.
    ("channel slack", "slack/api.conversations.create.error.json", "conversations.create", 200, Done("")),
    ("post clickup", "clickup/api.post_list_list_id_comment.json", "/comment", 200, Done("/id")),
    ("post clickup", "clickup/api.post_view_view_id_comment.json", "/comment", 200, Done("/id")),
    ("post clickup", "clickup/api_recorded.DELETEList.Error_401.json", "/comment", 401, Failed("unauthorised")),
    ("status clickup", "clickup/api.put_task_task_id.json", "/task/t1", 200, Done("/status/status")),
    ("post github", "github/issue_comment.created.0.json#/comment", "/comments", 201, Done("/id")),
    ("post github", "github/issue_comment.edited.7.json#/comment", "/comments", 201, Done("/id")),
    ("post jira", "jira/api.comment_create.201.json", "/comment", 201, Done("/id")),
    ("post jira", "jira/api.issue_create.400.json", "/comment", 400, Failed("refused")),
    ("post jira", "jira/error.401.json", "/comment", 401, Failed("unauthorised")),
];

fn fixtures() -> Vec<(&'static str, Answer)> {
    let Some(folder) = std::env::var_os("NEXUS_FIXTURES").map(PathBuf::from) else {
        println!("NEXUS_FIXTURES is not set: only our own samples were read");
        return Vec::new();
    };
    let read = |&(work, file, path, status, expected): &(&'static str, &'static str, _, _, _)| {
        let (name, place) = file.split_once('#').unwrap_or((file, ""));
        let bytes = std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        (work, Answer { file, body: json.pointer(place).unwrap().clone(), path, status, expected })
    };
    FILES.iter().map(read).collect()
}

fn work(name: &str) -> MirrorWork {
    let (what, provider) = name.split_once(' ').unwrap();
    match what {
        "post" => post(provider, "Once."),
        "edit" => edit(provider, vec![MirrorPart { id: "1401383885.000061".to_owned(), hash: None }], "Once more."),
        "whisper" => MirrorWork::Whisper {
            channel_id: CHANNEL.to_owned(),
            thread_ts: None,
            user_id: "U0ADA".to_owned(),
            text: text("psst"),
        },
        "channel" => MirrorWork::CreateChannel {
            name: "Endeavour".to_owned(),
            provider: "clickup".to_owned(),
            external_id: "901".to_owned(),
            workgroup_id: "wg_1".to_owned(),
        },
        _ => MirrorWork::SetStatus {
            place: place(provider),
            status: Some("in progress".to_owned()),
            state: TaskState::InProgress,
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_providers_answer_is_understood() {
    let mut office = Office::open().await;
    for (name, answer) in samples().into_iter().chain(fixtures()) {
        let what = format!("{name} {} {}", answer.file, answer.body);
        let (provider, method) =
            (name.split_once(' ').unwrap().1, if name == "status clickup" { "PUT" } else { "POST" });
        office.provider.fault(json!({
            "provider": provider, "method": method, "path": answer.path, "times": 1, "status": answer.status,
            "body": answer.body,
        }));
        let end = office.does(work(name)).await;
        match answer.expected {
            Done(at) => {
                assert_eq!(end.stage, MirrorStage::Done, "{what}: {end:?}");
                let told = answer.body.pointer(at).map(|id| id.as_str().map_or(id.to_string(), str::to_owned));
                let known = end.parts.first().map(|part| part.id.clone()).or(end.channel_id).or(end.status);
                match name {
                    "edit slack" => assert_eq!(known.as_deref(), Some("1401383885.000061"), "{what}"),
                    _ if at.is_empty() => assert!(known.is_some(), "{what}"),
                    _ => assert_eq!(known, told, "{what}"),
                }
            }
            Failed(code) => assert_eq!((end.stage, end.code.as_deref()), (MirrorStage::Failed, Some(code)), "{what}"),
        }
    }
    office.stop().await;
}
