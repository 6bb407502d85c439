//! The binary as a process: to be killed, stopped and started again.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::hub::PATIENCE;

/// The binary under test.
pub fn nexus() -> Command {
    unset(Command::new(env!("CARGO_BIN_EXE_nexus")))
}

/// A command that knows nothing of this process's settings.
pub fn unset(mut command: Command) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("NEXUS_") || name.starts_with("KAFKA_")) {
        command.env_remove(name);
    }
    command.env("NEXUS_PG_PORT", "0");
    command
}

/// Lines of its log that are kept for a test that fails.
const LINES_KEPT: usize = 60;

/// A running `nexus up`.
pub struct Process {
    child: Child,
    pub url: String,
    said: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts it and waits until it is ready.
    pub fn start(mut command: Command) -> Process {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let url = loop {
            let Some(Ok(line)) = lines.next() else { panic!("the hub ended: {}", said.join("\n")) };
            if let Some((_, rest)) = line.split_once("url=") {
                break rest.split_whitespace().next().unwrap().to_owned();
            }
            said.push(line);
        };
        // Whatever it says later must not fill the pipe.
        let said = Arc::new(Mutex::new(VecDeque::from(said)));
        let heard = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = heard.lock().unwrap();
                if said.len() == LINES_KEPT {
                    said.pop_front();
                }
                said.push_back(line);
            }
        });
        Process { child, url, said }
    }

    /// The most memory that it ever had, in megabytes.
    pub fn memory_peak_mb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
    }

    /// The processor time that it took so far: unlike the time on the wall, it
    /// hardly depends on what else the machine does.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Behind the name, which may contain anything; in hundredths of a second.
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> ExitStatus {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the hub does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("the last that process {} said:", self.child.id());
            said.iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}
