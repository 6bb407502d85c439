//! The audit trail: whole, and anything that is done to it is found.

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use super::{
    super::{agents::Kind, process::nexus},
    House, text,
};

fn verified(house: &House, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = nexus();
    command.args(["audit", "verify", "--json"]).args(arguments).current_dir(std::env::temp_dir());
    let output = command.env("NEXUS_DATA_DIR", house.api.hub.directory.path()).output().unwrap();
    let answer = serde_json::from_slice(&output.stdout);
    (output.status.code(), answer.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

async fn tamper(house: &House, sql: &'static str) {
    let file = house.api.hub.directory.path().join("nexus.db");
    let mut database = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    assert!(sqlx::query(sql).execute(&mut database).await.unwrap().rows_affected() > 0, "{sql}");
    database.close().await.unwrap();
}

fn faults(answer: &Value) -> Vec<(i64, String)> {
    let faults = answer["faults"].as_array().unwrap().iter();
    faults.map(|fault| (fault["number"].as_i64().unwrap(), text(&fault["fault"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_act_has_its_row_and_every_tampering_is_found() {
    let house = House::open().await;
    house.issue_of(17);
    let mut socket = house.socket(Kind::Plain).await;
    let trace = "5f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    house.webhook("github", "issues.opened", &[("traceparent", &parent)]).await;
    let told = socket.skip_to("task_assigned").await;
    let said =
        json!({"requestId": "r1", "taskId": told["task"]["id"], "text": "I am on it.", "traceId": told["traceId"]});
    socket.say("message", said).await;
    socket
        .say("tool_request", json!({"requestId": "r2", "tool": "shell", "action": "run", "args": {}, "traceId": trace}))
        .await;
    let traced = format!("/api/actions?traceId={trace}&limit=200");
    let done = |page: &Value| {
        page["data"].as_array().unwrap().iter().any(|act| act["action"] == "comment.posted" && act["outcome"] == "done")
    };
    let page = house.until("the comment", &traced, done).await;
    let rotate = format!("/api/agents/{}/rotate-secret", house.agent.1);
    house.ask("POST", &rotate, None).await;
    let agent = format!("/api/agents/{}", house.agent.1);
    house.ask("PATCH", &agent, Some(json!({ "enabled": false }))).await;
    socket.rest().await;
    house.stop("enough").await;
    house.resume().await;
    let (has, all) = (
        |page: &Value, action: &str| page["data"].as_array().unwrap().iter().any(|act| act["action"] == action),
        "/api/actions?limit=200",
    );
    let wanted = ["tool.decided", "agent.disconnected", "hub.stopped", "POST /api/agents/{id}/rotate-secret"];
    house.until("the acts", all, |page| wanted.iter().all(|action| has(page, action))).await;
    let comment = page["data"].as_array().unwrap().iter().find(|act| act["action"] == "comment.posted").unwrap();
    assert_eq!(comment["actor"], json!({"kind": "agent", "id": house.agent.1}), "{comment:#}");
    assert_eq!((&comment["agentId"], &comment["subject"]["kind"]), (&json!(house.agent.1), &json!("github")));
    assert!(comment["remoteIds"][0].is_string() && comment["contentHashes"][0].is_string(), "{comment:#}");
    assert_eq!(comment["traceUrl"], format!("/api/actions?traceId={trace}"));
    assert!(!page.to_string().contains("on it"), "nobody's words are in the trail");

    // By everything that it can be found by, a page at a time, the newest first.
    let by_agent =
        house.ask("GET", &format!("/api/actions?agentId={}&action=comment.posted", house.agent.1), None).await;
    assert_eq!(by_agent["data"].as_array().unwrap().len(), 1);
    let first = house.ask("GET", "/api/actions?limit=2", None).await;
    let next = text(&first["page"]["next"]);
    let second = house.ask("GET", &format!("/api/actions?limit=2&cursor={next}"), None).await;
    let number = |page: &Value, at: usize| page["data"][at]["number"].as_i64().unwrap();
    assert_eq!(number(&first, 1) - 1, number(&second, 0));
    let none = house.ask("GET", "/api/actions?to=2020-01-01", None).await;
    assert_eq!(none["data"], json!([]));
    let other = house.api.client_of("umbra", "admin").await.1;
    let foreign = house.api.ask("GET", &traced, &other, None).await;
    assert_eq!(foreign.json()["data"], json!([]), "another tenant's");

    let (code, whole) = verified(&house, &[]);
    assert_eq!((code, &whole["ok"]), (Some(0), &json!(true)), "{whole:#}");
    let head = whole["heads"].as_array().unwrap().iter().find(|head| head["tenantId"] == "acme").unwrap().clone();
    let expected = text(&head["hash"]);
    assert_eq!(verified(&house, &["--tenant", "acme", "--expect", &expected]).0, Some(0));
    assert_eq!(verified(&house, &["--tenant", "acme", "--expect", "0123"]).0, Some(1));

    let mut export = nexus();
    export.args(["audit", "export", "--tenant", "acme"]).env("NEXUS_DATA_DIR", house.api.hub.directory.path());
    let lines = export.current_dir(std::env::temp_dir()).output().unwrap().stdout;
    let lines: Vec<Value> =
        lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert!(lines.len() as i64 >= head["rows"].as_i64().unwrap() && lines[0]["number"] == 1, "{}", lines.len());

    tamper(&house, "UPDATE audit SET agent_id = 'agt_other' WHERE tenant_id = 'acme' AND number = 2").await;
    let (code, answer) = verified(&house, &["--tenant", "acme"]);
    assert_eq!((code, faults(&answer)), (Some(1), vec![(2, "columns".to_owned())]));
    tamper(
        &house,
        "UPDATE audit SET data = replace(data, '\"done\"', '\"refused\"') WHERE tenant_id = 'acme' AND number = 3",
    )
    .await;
    let (_, answer) = verified(&house, &["--tenant", "acme"]);
    assert_eq!(faults(&answer), [(2, "columns".to_owned()), (3, "changed".to_owned())]);
    tamper(&house, "DELETE FROM audit WHERE tenant_id = 'acme' AND number = 4").await;
    let (_, answer) = verified(&house, &["--tenant", "acme"]);
    assert!(faults(&answer).contains(&(4, "missing".to_owned())), "{answer:#}");
    tamper(&house, "DELETE FROM audit WHERE tenant_id = 'acme' AND number >= (SELECT number FROM audit_heads WHERE tenant_id = 'acme')")
        .await;
    let (_, answer) = verified(&house, &["--tenant", "acme"]);
    // Where the hub has written on meanwhile, its row stands behind a gap.
    let is_told = |(number, fault): &(i64, String)| fault == "head" || (fault == "missing" && *number > 4);
    assert!(faults(&answer).iter().any(is_told), "{answer:#}");
    let (code, answer) = verified(&house, &["--tenant", "umbra"]);
    assert_eq!((code, &answer["ok"]), (Some(0), &json!(true)), "another's chain is whole");
}
