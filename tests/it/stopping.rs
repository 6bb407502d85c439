//! SIGTERM: nothing new is taken, what is in hand is finished, nothing is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::process::{Process, nexus};

fn up(directory: &std::path::Path) -> std::process::Command {
    let mut command = nexus();
    command.env("NEXUS_DATA_DIR", directory).env("PORT", "0").env("WEBHOOK_SECRET_GENERIC", "s").arg("up");
    command
}

fn send(url: &str, count: &str) -> std::process::Output {
    let mut command = nexus();
    command.args(["send", "generic", "order.shipped", "--url", url, "--secret", "s", "--count", count, "--json"]);
    command.output().unwrap()
}

#[test]
fn a_stop_under_load_loses_nothing_that_was_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let hub = Process::start(up(directory.path()));
    let (url, ended) = (hub.url.clone(), Arc::new(AtomicBool::new(false)));
    let load = std::thread::spawn(move || String::from_utf8(send(&url, "20000").stdout).unwrap());
    std::thread::sleep(Duration::from_millis(700));
    let begun = Instant::now();
    let status = hub.terminate();
    ended.store(true, Relaxed);
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    let accepted = load.join().unwrap().lines().count();
    assert!(accepted > 0, "some were accepted before the stop");

    let hub = Process::start(up(directory.path()));
    let tail = |topic: &str| {
        let mut command = nexus();
        command.env("NEXUS_DATA_DIR", directory.path()).args(["tail", topic, "--json"]);
        String::from_utf8(command.output().unwrap().stdout).unwrap().lines().count()
    };
    let begun = Instant::now();
    while tail("events") < accepted {
        assert!(begun.elapsed() < super::hub::PATIENCE, "{} of {accepted} events", tail("events"));
    }
    assert!(hub.terminate().success());
    assert!(tail("webhooks.raw") >= accepted, "readable without a hub, too");
}

#[test]
fn two_hubs_do_not_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Process::start(up(directory.path()));
    let second = up(directory.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let reason = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(reason.contains("another"), "{reason}");
}
