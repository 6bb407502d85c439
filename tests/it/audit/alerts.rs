//! Alerts, to the administrators' channel and to webhooks.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use pipeline::{
    event::Alert,
    ports::{Headers, NewRecord},
    topics::{Topic, partition_of},
};
use serde_json::{Value, json};
use udfs::signature::{STANDARD_WEBHOOKS, verify};

use super::{ADMINS, House, now_ms, until};

pub const HOOK_SECRET: &str = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw==";

/// A webhook: refuses what it is told to, and checks every signature.
#[derive(Clone, Default)]
pub struct Hook {
    pub taken: Arc<Mutex<Vec<(String, Value)>>>,
    refuse: Arc<Mutex<u32>>,
}

async fn take(State(hook): State<Hook>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut refuse = hook.refuse.lock().unwrap();
    if *refuse > 0 {
        *refuse -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let signed = |name: &str| headers.get(name).map(|value| value.as_bytes());
    let checked = verify(&STANDARD_WEBHOOKS, &signed, &body, &[HOOK_SECRET], now_ms() as i64);
    assert!(checked.is_ok(), "{checked:?}");
    let id = headers["webhook-id"].to_str().unwrap().to_owned();
    hook.taken.lock().unwrap().push((id, serde_json::from_slice(&body).unwrap()));
    StatusCode::NO_CONTENT
}

impl Hook {
    pub async fn start() -> (Hook, String) {
        let hook = Hook::default();
        let router = Router::new().route("/hook", post(take)).with_state(hook.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (hook, url)
    }

    fn kinds(&self) -> Vec<String> {
        let taken = self.taken.lock().unwrap();
        taken.iter().map(|(_, body)| body["type"].as_str().unwrap().to_owned()).collect()
    }
}

async fn alert(house: &House, kind: &str, subject: &str, message: &str) {
    let log = house.api.hub.log();
    let alert = Alert::new(kind, "acme", subject, message, pipeline::event::Time::from_ms(now_ms()));
    let record = NewRecord {
        topic: Topic::Alerts,
        partition: partition_of("acme", log.partitions()),
        at_ms: now_ms(),
        key: "acme".into(),
        value: Some(serde_json::to_vec(&alert).unwrap().into()),
        headers: Headers::new([("type", kind.as_bytes()), ("schema", b"nexus.alert.v1")]),
    };
    log.append(vec![record]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_reach_the_channel_and_the_webhooks_once() {
    let (everybodys, url) = Hook::start().await;
    let (tenants, own_url) = Hook::start().await;
    let house = House::open_with(|config| {
        config.alerts.webhook_url = url;
        config.alerts.webhook_secret = HOOK_SECRET.to_owned();
    })
    .await;
    let hook = json!({ "id": "con-alerts", "provider": "alerts", "baseUrl": own_url, "webhookSecret": HOOK_SECRET });
    house.api.made("/api/connections?tenantId=acme", hook).await;
    // The first two attempts fail; the id is the same when it is taken.
    *tenants.refuse.lock().unwrap() = 2;
    for _ in 0..3 {
        alert(&house, "agent.muted", "agt_1", "eleven messages in a minute").await;
    }
    alert(&house, "agent.muted", "agt_2", "another agent").await;
    until("both webhooks know", || everybodys.kinds().len() == 2 && tenants.kinds().len() == 2).await;
    let taken = tenants.taken.lock().unwrap().clone();
    assert!(taken[0].0.starts_with("alt_") && taken[0].0 != taken[1].0);
    let of = |subject: &str| taken.iter().filter(|(_, body)| body["data"]["subject"] == subject).count();
    assert_eq!((of("agt_1"), of("agt_2")), (1, 1), "{taken:#?}");
    let said = || {
        let world = house.provider.fakes.world();
        let of_channel = |row: &&Value| row["channel"] == ADMINS;
        world
            .slack_messages
            .all()
            .filter(of_channel)
            .map(|row| row["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    until("the channel knows", || said().len() == 2).await;
    assert!(said().iter().any(|text| text.contains("agent.muted: eleven messages in a minute")), "{:?}", said());
    // While all is stopped, the webhook is told and Slack is not.
    house.stop("too much").await;
    until("the stop is told", || tenants.kinds().contains(&"hub.stopped".to_owned())).await;
    assert_eq!(said().len(), 2);
    house.resume().await;
    until("Slack knows afterwards", || said().len() == 4).await;
    assert!(said().iter().any(|text| text.contains("hub.stopped")), "{:?}", said());
    // Another tenant's alerts are another's.
    let umbra = house.api.client_of("umbra", "admin").await.1;
    let stopped = house.api.ask("POST", "/admin/stop-all-agents", &umbra, Some(json!({ "reason": "ours" }))).await;
    assert!(stopped.status.is_success());
    until("everybody's webhook knows", || everybodys.kinds().iter().filter(|kind| *kind == "hub.stopped").count() == 2)
        .await;
    assert_eq!(tenants.kinds().iter().filter(|kind| *kind == "hub.stopped").count(), 1);
}
