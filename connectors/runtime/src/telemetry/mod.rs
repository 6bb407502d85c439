//! What the hub says of itself: log lines, metrics and traces.

pub mod metrics;
pub mod traces;

use std::io::IsTerminal;

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::config::{Format, TelemetrySettings};

/// Starts writing log lines to standard error. Only the first call counts.
pub fn start(settings: &TelemetrySettings) -> Result<(), String> {
    let filter = filter(&settings.level)?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).with_target(false);
    let _ = match settings.format {
        Format::Text => registry.with(lines).try_init(),
        Format::Json => registry.with(lines.json()).try_init(),
    };
    Ok(())
}

/// `info`, or levels by module: `warn,runtime=debug`. A filter with regular
/// expressions would read more, for a second of every build.
fn filter(level: &str) -> Result<Targets, String> {
    let bad = |part: &str| {
        format!("telemetry.level: {part:?} is neither a level (error, warn, info, debug, trace, off) nor module=level")
    };
    for part in level.split(',') {
        let named = part.rsplit_once('=').map_or(part, |(_, level)| level).trim();
        // The library takes no word at all for `error`.
        if named.is_empty() || named.parse::<LevelFilter>().is_err() {
            return Err(bad(part));
        }
    }
    level.parse().map_err(|_| bad(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_named() {
        for good in ["info", "warn,runtime=debug", "off", "TRACE"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "info,runtime", "runtime=loud", ""] {
            assert!(filter(bad).is_err_and(|error| error.contains("telemetry.level")), "{bad}");
        }
    }
}
