//! Who falls silent is told of once an episode, with several gateways, and when
//! one of them dies without a word.

use std::{sync::Arc, time::Duration};

use hub::workers::Workers;
use pipeline::{flow::Settings, settings::GovernSettings, topics::Topic};
use runtime::{
    clock::SystemClock,
    supervisor::{Board, RoleContext},
};
use serde_json::Value;
use tokio::sync::watch;

use crate::agents::{World, socket::Kind};

/// The pipeline's workers over a world's log, with little patience.
fn work(world: &World) -> watch::Sender<bool> {
    let (stop, stopped) = watch::channel(false);
    let settings =
        Settings { govern: GovernSettings { silent_ms: 3_000, ..GovernSettings::default() }, ..Settings::default() };
    let workers =
        Workers { log: Arc::clone(&world.log), clock: Arc::new(SystemClock), settings, progress: Arc::default() };
    let context = RoleContext { role: "pipeline", board: Arc::new(Board::default()), stop: stopped };
    tokio::spawn(workers.run(context));
    stop
}

async fn told(world: &World, count: usize) -> Vec<(String, String)> {
    let alerts = world.values(Topic::Alerts, count).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    alerts.iter().map(|alert| (text(&alert["kind"]), text(&alert["subject"]))).collect()
}

fn episode(kinds: &[&str]) -> Vec<(String, String)> {
    kinds.iter().map(|kind| ((*kind).to_owned(), "ada".to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_alert_an_episode_however_many_gateways_there_are() {
    let world = World::new().await;
    let _working = work(&world);
    let (who, _never) = (world.agent("ada").await, world.agent("bo").await);
    let (one, two) = (world.gateway().await, world.gateway().await);
    let (first, second) = (one.connect(Kind::Plain, &who).await, two.connect(Kind::SocketIo, &who).await);
    // One of two sockets: it is still there.
    first.close().await;
    second.close().await;
    assert_eq!(told(&world, 1).await, episode(&["agent.offline"]));
    let mut back = two.connect(Kind::Plain, &who).await;
    assert_eq!(told(&world, 2).await, episode(&["agent.offline", "agent.online"]));
    // Its inbox was written all the while.
    world.tell(&["ada"], "wake_up").await;
    back.take("wake_up").await;

    // The gateway that has it dies; the others see that within their patience.
    two.kill();
    drop(back);
    assert_eq!(told(&world, 3).await, episode(&["agent.offline", "agent.online", "agent.offline"]));
    let three = world.gateway().await;
    let _again = three.connect(Kind::SocketIo, &who).await;
    assert_eq!(told(&world, 4).await, episode(&["agent.offline", "agent.online", "agent.offline", "agent.online"]));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(told(&world, 4).await.len(), 4, "nobody tells it twice, and nobody misses who was never there");
    drop(one);
}
