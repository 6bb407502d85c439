//! What other limits would have done: by the API, by the command with a hub and
//! without one.

use pipeline::topics::Topic;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{House, say};
use crate::{agents::socket::Kind, api::fields, process::nexus};

fn line<'a>(report: &'a Value, rule: &str) -> &'a Value {
    report["rules"].as_array().unwrap().iter().find(|line| line["rule"] == rule).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_limits_are_tried_on_what_was() {
    let house = House::open().await;
    for tenant in ["acme", "umbra"] {
        house.limit(tenant, json!({ "messages": { "limit": 6 } })).await;
        let agent = house.agent(tenant, "ada").await;
        let mut socket = house.connect(Kind::Plain, &agent.token).await;
        for number in 0..8 {
            let answer = say(&mut socket, &format!("I have read file {number} of this project")).await;
            assert_eq!(answer["status"] == "accepted", number < 6, "{answer}");
        }
    }
    // Agents hear their answers before they are on the disk; this reads the disk.
    house.api.hub.records(Topic::AgentsInbox, 16).await;
    let ask = async |token: &str, rules: Value| {
        house.api.ask("POST", "/api/governance/dry-run", token, Some(json!({ "rules": rules }))).await
    };
    let local = house.api.local();
    let same = ask(&local, json!({})).await;
    assert_eq!(same.status, StatusCode::OK, "{}", same.text);
    let same = same.json()["data"].clone();
    assert_eq!(same["messages"], 16);
    for rule in ["messages", "identical", "nearDuplicates", "handoffs", "noProgress", "syncs"] {
        let line = line(&same, rule);
        assert_eq!(line["was"], line["would"], "the same limits do the same: {line}");
    }
    assert_eq!(line(&same, "messages")["was"]["refused"], 4);
    assert_eq!(line(&same, "messages")["was"]["subjects"], 2);

    let (_, admin) = house.api.client_of("acme", "admin").await;
    let tighter = ask(&admin, json!({ "messages": { "limit": 5 } })).await.json()["data"].clone();
    assert_eq!(tighter["messages"], 8, "an administrator sees the own tenant");
    assert_eq!(
        (&line(&tighter, "messages")["was"]["refused"], &line(&tighter, "messages")["would"]["refused"]),
        (&json!(2), &json!(3))
    );
    let wider =
        ask(&admin, json!({ "messages": { "limit": 8 }, "nearDuplicates": { "level": "mute", "count": 2 } })).await;
    let wider = wider.json()["data"].clone();
    assert_eq!(line(&wider, "messages")["would"]["refused"], 0);
    assert_eq!(line(&wider, "nearDuplicates")["would"]["refused"], 7, "{wider}");

    for (rules, field) in
        [(json!({ "messages": { "limit": 0 } }), "rules.messages.limit"), (json!({ "x": 1 }), "rules.x")]
    {
        let refused = ask(&admin, rules).await;
        assert_eq!((refused.status, fields(&refused)), (StatusCode::BAD_REQUEST, vec![field.to_owned()]));
    }

    // Without a hub the command reads the log by itself.
    let directory = house.api.hub.stop().await;
    let rules = directory.path().join("rules.toml");
    let command = |text: &str| {
        std::fs::write(&rules, text).unwrap();
        let mut command = nexus();
        command.args(["replay", "--dry-run", "--json", "--rules"]).arg(&rules);
        command.env("NEXUS_DATA_DIR", directory.path()).current_dir(std::env::temp_dir()).output().unwrap()
    };
    let output = command("[messages]\nlimit = 5\n");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["messages"], 16);
    assert_eq!(line(&report, "messages")["would"]["refused"], 6);
    let output = command("[mesages]\nlimit = 5\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("mesages"));
}
