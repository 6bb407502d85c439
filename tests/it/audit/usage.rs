//! Usage by day, what it costs, and what happens when it is too much.

use pipeline::topics::Topic;
use serde_json::{Value, json};

use super::{
    super::agents::{Kind, Socket},
    House,
};
use runtime::config::Price;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_is_summed_and_budgets_hold() {
    let house = House::open_with(|config| {
        config.usage.prices.insert("gpt-5*".to_owned(), Price { input: 1.0, output: 10.0 });
    })
    .await;
    let own = format!("/api/budgets/{}", house.agent.1);
    house.ask("PATCH", &own, Some(json!({ "period": "month", "limit": 1.0, "hardStop": true }))).await;
    house.ask("PATCH", "/api/budgets/all", Some(json!({ "period": "day", "limit": 100.0 }))).await;
    let mut socket = house.socket(Kind::Plain).await;
    house.webhook("github", "issues.opened", &[]).await;
    let told = socket.skip_to("task_assigned").await;
    let trace = told["traceId"].clone();
    let used = |model: &str, input: u64, output: u64, cost: Option<f64>| {
        let mut data = json!({"model": model, "inputTokens": input, "outputTokens": output, "traceId": trace});
        if let Some(cost) = cost {
            (data["cost"], data["calls"]) = (json!(cost), json!(3));
        }
        data
    };
    socket.say("usage", used("gpt-5-mini", 100_000, 20_000, None)).await;
    socket.say("usage", used("gpt-5-mini", 100_000, 0, None)).await;
    socket.say("usage", used("own-model", 7, 8, Some(0.25))).await;
    let page = house
        .until("the sums", "/api/usage", |page| {
            page["data"].as_array().unwrap().len() == 2 && page["data"][0]["reports"] == 2
        })
        .await;
    let row = &page["data"][0];
    assert_eq!((&row["agentId"], &row["projectId"]), (&json!(house.agent.1), &json!(house.project)), "{page:#}");
    assert_eq!(
        (&row["inputTokens"], &row["outputTokens"], &row["calls"]),
        (&json!(200_000), &json!(20_000), &json!(2))
    );
    assert_eq!(
        (&row["cost"], &page["data"][1]["cost"], &page["data"][1]["calls"]),
        (&json!(0.4), &json!(0.25), &json!(3))
    );
    let filtered = house.ask("GET", &format!("/api/usage?model=own-model&projectId={}", house.project), None).await;
    assert_eq!(filtered["data"].as_array().unwrap().len(), 1);
    assert_eq!(house.ask("GET", "/api/usage?to=2020-01-01", None).await["data"], json!([]));
    let first = house.ask("GET", "/api/usage?limit=1", None).await;
    // A cursor is anybody's text: it goes into an address as such.
    let next: String = first["page"]["next"].as_str().unwrap().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let second = house.ask("GET", &format!("/api/usage?limit=1&cursor={next}"), None).await;
    assert_eq!(second["data"][0]["model"], "own-model");

    // Half is told of, the rest at once when it is reached; the agent is held.
    socket.say("usage", used("own-model", 1, 1, Some(0.5))).await;
    let told = socket.rest().await;
    let (name, stopped) = told.last().unwrap();
    assert_eq!(
        (name.as_str(), stopped["reason"].as_str().unwrap()),
        ("stopped", "the budget of this month is used up")
    );
    assert!(Socket::open(house.api.hub.address(), Kind::Plain, &house.agent.2).await.is_err());
    let alerts = house.api.hub.values(Topic::Alerts, 3).await;
    let budgets: Vec<&Value> =
        alerts.iter().filter(|alert| alert["kind"].as_str().unwrap().starts_with("budget.")).collect();
    let kinds: Vec<_> = budgets.iter().map(|alert| alert["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["budget.half", "budget.nearly", "budget.spent"], "{alerts:#?}");
    assert!(budgets.iter().all(|alert| alert["subject"] == house.agent.1), "the tenant's own is far away");
    let listed = house.ask("GET", "/api/budgets", None).await;
    let mine = listed["data"].as_array().unwrap().iter().find(|budget| budget["id"] == house.agent.1).unwrap();
    assert_eq!((&mine["spent"], &mine["hardStop"]), (&json!(1.15), &json!(true)), "{listed}");
    // More money, and it may go on.
    house.ask("PATCH", &own, Some(json!({ "period": "month", "limit": 10.0, "hardStop": true }))).await;
    let begun = std::time::Instant::now();
    while Socket::open(house.api.hub.address(), Kind::Plain, &house.agent.2).await.is_err() {
        assert!(begun.elapsed() < super::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let nobody =
        house.api.ask("PATCH", "/api/budgets/nobody", &house.admin, Some(json!({"period": "day", "limit": 1.0}))).await;
    assert_eq!(nobody.status, reqwest::StatusCode::NOT_FOUND, "{}", nobody.text);
}

/// An agent that knows the trace of what it did only later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_comes_later_is_in_the_trail() {
    let house = House::open().await;
    let mut socket = house.socket(Kind::Plain).await;
    house.webhook("github", "issues.opened", &[]).await;
    let task = socket.skip_to("task_assigned").await["task"]["id"].clone();
    socket.say("message", json!({ "requestId": "r1", "taskId": task, "text": "It is fixed." })).await;
    let action = socket.skip_to("action_result").await["actionId"].clone();
    let trace = "0123456789abcdef0123456789abcdef";
    socket.say("trace", json!({ "actionId": action, "traceId": trace })).await;
    let of_trace = format!("/api/actions?traceId={trace}");
    let page = house.until("the trace", &of_trace, |page| page["data"].as_array().unwrap().len() == 1).await;
    let act = &page["data"][0];
    assert_eq!((&act["action"], &act["subject"]["id"]), (&json!("action.traced"), &action), "{act:#}");
    assert_eq!((&act["agentId"], &act["commandId"]), (&json!(house.agent.1), &action), "{act:#}");
    // And the other way round: a tool of the hub's that failed is no success.
    socket.say("tool_request", json!({ "requestId": "r2", "tool": "task_get", "args": { "taskId": "nothing" } })).await;
    socket.skip_to("tool_result").await;
    let decided = |page: &Value| page["data"].as_array().unwrap().iter().any(|act| act["commandId"] == "r2");
    let page = house.until("the tool", "/api/actions?action=tool.decided", decided).await;
    let act = page["data"].as_array().unwrap().iter().find(|act| act["commandId"] == "r2").unwrap();
    assert_eq!(act["outcome"], "refused", "{act:#}");
}
