//! Who asks: the token of a call, as each provider takes it.

use axum::http::HeaderMap;

use super::{
    World,
    limits::{Count, Limited},
};

/// What is wrong with a token.
pub(super) enum Bad {
    /// There is none.
    Missing,
    /// It is not one of those that are good.
    Unknown,
}

/// The token of a call, if it is good.
pub(super) fn token(world: &World, provider: &str, headers: &HeaderMap) -> Result<String, Bad> {
    let header = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = ["Bearer ", "token ", "Basic "].iter().find_map(|scheme| header.strip_prefix(scheme)).unwrap_or(header);
    match world.tokens.get(provider) {
        _ if token.is_empty() => Err(Bad::Missing),
        Some(good) if !good.iter().any(|known| known == token) => Err(Bad::Unknown),
        _ => Ok(token.to_owned()),
    }
}

/// Counts a call of a token, where the provider has a limit.
pub(super) fn count(world: &mut World, provider: &str, token: &str, now_ms: u64) -> Option<Count> {
    world.limits.get_mut(provider).map(|limited: &mut Limited| limited.count(token, now_ms))
}
