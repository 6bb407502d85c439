//! Makes StandardEvents of verified requests: the first stage.

use super::{Draft, Turn};
use crate::{event::Webhook, ports::Record};

/// The stage's name.
pub const NAME: &str = "normalize";

/// Why a record cannot be normalised, for a person.
#[derive(Debug)]
pub struct Rejected {
    /// One sentence.
    pub reason: String,
}

/// Reads the value of a record of `webhooks.raw`.
pub fn read(record: &Record) -> Result<Webhook<'_>, Rejected> {
    let value = record.value.as_deref().unwrap_or_default();
    serde_json::from_slice(value).map_err(|error| Rejected { reason: error.to_string() })
}

/// The events that a request tells of. None where another event tells it.
pub fn on(_webhook: &Webhook<'_>, _turn: &Turn<'_>) -> Result<Vec<Draft>, Rejected> {
    Ok(Vec::new())
}
