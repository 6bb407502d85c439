//! What the benchmarks share: spreads of measurements, and what a process uses.

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use pipeline::testing::MemoryLog;
use runtime::{
    clock::SystemClock,
    kill_switch::{KillSwitch, follow::Follower},
    supervisor::RoleContext,
};
use tokio::sync::watch;

/// What made-up texts are made of.
pub const WORDS: &[&str] = &[
    "valve",
    "pump",
    "ledger",
    "invoice",
    "queue",
    "login",
    "forklift",
    "harbour",
    "methane",
    "stage",
    "budget",
    "auditor",
    "printer",
    "label",
    "courier",
    "parcel",
    "thermostat",
    "sensor",
    "deploy",
    "rollback",
    "schema",
    "column",
    "cursor",
    "window",
    "webhook",
    "socket",
    "agent",
    "summary",
    "thread",
    "channel",
];

/// The spread of measurements in microseconds.
pub struct Spread {
    /// How many there were.
    pub count: usize,
    /// Half were below this.
    pub p50_us: u32,
    /// All but one in a hundred were below this.
    pub p99_us: u32,
    /// All but one in a thousand were below this.
    pub p999_us: u32,
    /// The greatest.
    pub max_us: u32,
}

impl Spread {
    /// Of these; they are sorted.
    pub fn of(values: &mut [u32]) -> Self {
        values.sort_unstable();
        let at = |part: f64| {
            let index = (values.len() as f64 * part) as usize;
            values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        Spread { count: values.len(), p50_us: at(0.5), p99_us: at(0.99), p999_us: at(0.999), max_us: at(1.0) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |us: u32| f64::from(us) / 1000.0;
        write!(
            f,
            "p50 {:.3}  p99 {:.3}  p99.9 {:.3}  max {:.3} ms  (n {})",
            ms(self.p50_us),
            ms(self.p99_us),
            ms(self.p999_us),
            ms(self.max_us),
            self.count
        )
    }
}

/// Processor time that a process has used, in milliseconds (Linux).
pub fn cpu_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold spaces; user and system time are the
    // 12th and 13th fields behind it, in hundredths of a second.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10
}

/// Memory that a process holds, in MB (Linux).
pub fn rss_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// A kill switch that is followed as in a hub, over a log in which nobody stops
/// anything. One for all who ask: it has a thread of its own, so that it lives
/// longer than any of their runtimes.
pub fn kill_switch() -> Arc<KillSwitch> {
    static FOLLOWED: LazyLock<Arc<KillSwitch>> = LazyLock::new(|| {
        let kill_switch = KillSwitch::new();
        let (log, clock) = (Arc::new(MemoryLog::new(1)), Arc::new(SystemClock));
        let follower = Follower { kill_switch: Arc::clone(&kill_switch), log, clock, roles: Vec::new() };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let (_stop, stopped) = watch::channel(false);
            let context = RoleContext { role: "kill_switch", board: Arc::default(), stop: stopped };
            runtime.block_on(follower.run(context)).expect("it is followed");
        });
        while kill_switch.halted("").is_some() {
            std::thread::sleep(Duration::from_millis(1));
        }
        kill_switch
    });
    Arc::clone(&FOLLOWED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let mut values: Vec<u32> = (1..=1000).rev().collect();
        let spread = Spread::of(&mut values);
        assert_eq!((spread.p50_us, spread.p99_us, spread.max_us), (501, 991, 1000));
        assert_eq!(Spread::of(&mut []).max_us, 0);
    }
}
