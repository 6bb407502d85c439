//! Random faults and crashes: whatever happens, each message stands there once,
//! in the order of its lane, and the number of calls is bounded.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use pipeline::event::MirrorStage;
use serde_json::json;

use super::{Office, PROVIDERS, edit, post};

/// A number from a seed, and the next seed.
fn draw(seed: &mut u64, below: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed % below
}

async fn life(first: u64) {
    let mut seed = first.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut office = Office::open().await;
    office.stop().await;
    office.start_with(|config| config.retries.attempts_max = 20);
    for provider in PROVIDERS {
        // Fewer errors than would make it count as down.
        for fault in [
            json!({"status": 500, "lands": true}),
            json!({"status": 502}),
            json!({"hang": true, "lands": true}),
            json!({"hang": true}),
            json!({"status": 429, "headers": [["retry-after", "0.1"]]}),
            json!({"latencyMs": 200}),
        ] {
            let mut fault = fault;
            (fault["provider"], fault["times"]) = (json!(provider), json!(draw(&mut seed, 3)));
            if draw(&mut seed, 2) == 0 {
                fault["method"] = json!("POST");
            }
            office.provider.fault(fault);
        }
    }
    let mut asked = Vec::new();
    for number in 0..3 {
        for provider in PROVIDERS {
            for lane in 0..2 {
                let (lane, words) = (format!("{provider}/{lane}"), format!("lane {lane} number {number}"));
                asked.push(office.ask(&lane, post(provider, &words)).await);
            }
        }
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(50 + draw(&mut seed, 900))).await;
        office.crash().await;
        office.start();
    }
    for id in &asked {
        let end = office.end(id).await;
        assert_eq!((end.stage, end.parts.len()), (MirrorStage::Done, 1), "seed {first}: {end:?}");
    }
    for provider in PROVIDERS {
        let said = office.said(provider);
        assert_eq!(said.len(), 6, "seed {first}: {provider}: {said:#?}");
        for lane in 0..2 {
            let name = format!("lane {lane}");
            let of_lane: Vec<_> = said.iter().filter(|said| said.contains(&name)).collect();
            assert!(
                of_lane.iter().enumerate().all(|(number, said)| said.contains(&format!("number {number}"))),
                "seed {first}: {provider}: {of_lane:#?}"
            );
        }
    }
    let calls = office.provider.fakes.world().calls.len();
    assert!(calls < 400, "seed {first}: {calls} calls for 24 messages");
    // What stands there can be changed by its id.
    let last = office.end(&asked[0]).await;
    let edited = office.does(edit("slack", last.parts, "changed")).await;
    assert_eq!(edited.stage, MirrorStage::Done, "seed {first}");
    office.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_is_once_whatever_happens() {
    // All at the same time: each waits much more than it computes.
    stream::iter(1..=6).for_each_concurrent(None, life).await;
}
