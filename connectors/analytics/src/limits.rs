//! What one query may take.

use std::{num::NonZeroUsize, time::Duration};

use datafusion::error::DataFusionError;
use runtime::{config::SqlSettings, sql::Refused};

/// The limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time, from the first word to the last row.
    pub timeout: Duration,
    /// Rows of an answer.
    pub rows_max: usize,
    /// Bytes of an answer.
    pub bytes_max: usize,
    /// Bytes of memory while it runs.
    pub memory_bytes_max: usize,
    /// Threads that work on it.
    pub threads: NonZeroUsize,
}

const MB: usize = 1 << 20;

impl Limits {
    /// As the settings say.
    pub fn new(settings: &SqlSettings) -> Limits {
        Limits {
            timeout: Duration::from_millis(settings.timeout_ms),
            rows_max: settings.rows_max,
            bytes_max: settings.answer_mb_max.saturating_mul(MB),
            memory_bytes_max: settings.memory_mb_max.saturating_mul(MB),
            threads: NonZeroUsize::new(settings.threads).unwrap_or(NonZeroUsize::MIN),
        }
    }

    /// Too slow.
    pub fn slow(&self) -> Refused {
        Refused::Slow { timeout_ms: self.timeout.as_millis() as u64 }
    }

    /// Whether an answer of so many rows and bytes is still within.
    pub fn hold(&self, rows: usize, bytes: usize) -> Result<(), Refused> {
        if rows > self.rows_max {
            return Err(Refused::Rows { rows_max: self.rows_max });
        }
        if bytes > self.bytes_max {
            return Err(Refused::Bytes { mb_max: self.bytes_max / MB });
        }
        Ok(())
    }

    /// Whether so many bytes may be kept while it runs.
    pub fn hold_memory(&self, bytes: usize) -> Result<(), Refused> {
        if bytes > self.memory_bytes_max {
            return Err(Refused::Memory { mb_max: self.memory_bytes_max / MB });
        }
        Ok(())
    }

    /// An error of the engine, for whoever asked.
    pub fn refusal(&self, error: &DataFusionError) -> Refused {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Refused::Memory { mb_max: self.memory_bytes_max / MB },
            DataFusionError::External(cause) => match cause.downcast_ref::<pipeline::ports::LogError>() {
                Some(error) => Refused::Failed(error.to_string()),
                None => Refused::Invalid(cause.to_string()),
            },
            DataFusionError::ObjectStore(error) => Refused::Failed(error.to_string()),
            DataFusionError::ParquetError(error) => Refused::Failed(error.to_string()),
            DataFusionError::IoError(error) => Refused::Failed(error.to_string()),
            root => Refused::Invalid(root.strip_backtrace()),
        }
    }
}
