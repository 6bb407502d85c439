//! SIGTERM: nothing new is taken, what is in hand is finished, nothing is lost.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use super::process::{Process, nexus};

fn up(directory: &std::path::Path) -> Command {
    let mut command = nexus();
    command.env("NEXUS_DATA_DIR", directory).env("PORT", "0").env("WEBHOOK_SECRET_GENERIC", "s").arg("up");
    command
}

fn send(url: &str, count: &str) -> Command {
    let mut command = nexus();
    command.args(["send", "generic", "order.shipped", "--url", url, "--secret", "s", "--count", count, "--json"]);
    command
}

#[test]
fn a_stop_under_load_loses_nothing_that_was_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let hub = Process::start(up(directory.path()));
    let mut load = send(&hub.url, "20000").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut answers = BufReader::new(load.stdout.take().unwrap()).lines();
    let before = answers.by_ref().take(500).count();
    assert_eq!(before, 500, "some were accepted before the stop");
    let rest = std::thread::spawn(move || answers.map_while(Result::ok).count());
    // A hub that cannot finish in the time that it has says so by its status.
    let status = hub.terminate();
    assert!(status.success(), "{status}");
    let accepted = before + rest.join().unwrap();
    load.wait().unwrap();

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
