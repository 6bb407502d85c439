//! Whose a token is: what its owner is called in the provider's events.

use serde_json::Value;

use crate::{client::ProviderClient, provider::Asking};

/// Tells whose a token is.
pub trait Identity: Send + Sync {
    /// The names of the token's owner, as the provider's events have them.
    fn ask<'a>(&'a self, client: &'a ProviderClient) -> Asking<'a, Vec<String>>;
}

/// The texts and numbers at these places of an answer.
pub fn ids_at(answer: &Value, places: &[&str]) -> Vec<String> {
    places.iter().filter_map(|place| crate::client::word_at(answer, place)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the providers' documentation and recordings answer, where the machine
    /// has it beside the repository.
    pub(crate) fn recorded(file: &str) -> Option<Value> {
        let Some(folder) = std::env::var_os("NEXUS_FIXTURES").map(std::path::PathBuf::from) else {
            println!("NEXUS_FIXTURES is not set: nothing recorded was read");
            return None;
        };
        let bytes = std::fs::read(folder.join(file)).expect("the fixture can be read");
        Some(serde_json::from_slice(&bytes).expect("the fixture is JSON"))
    }
}
