//! Random names.

use udfs::hash::hex;

/// 32 hex digits that nobody can guess.
pub fn random_hex() -> String {
    let mut bytes = [0; 16];
    // Fails where the system has no randomness; nothing of ours is safe there.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    hex(u128::from_le_bytes(bytes))
}
