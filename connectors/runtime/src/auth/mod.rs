//! Who asks: tokens are issued for a client's id and secret, and believed for
//! as long as the directory knows the client.

mod access;
mod authenticate;
mod bounded;
mod bucket;
mod cors;
mod failures;
mod jwt;
mod login;
mod secrets;

use std::sync::Arc;

use pipeline::{event::Role, ports::Clock};
use serde::{Deserialize, Serialize};

use crate::{directory::Directory, identity::random_hex};

pub use access::{Access, Gate, LOCAL, address_of};
pub use authenticate::{Authenticate, Authenticated};
pub use bucket::Buckets;
pub use cors::{Origins, allow, for_pages};
pub use login::{Denied, Guess, Known, Login};
pub use secrets::{Busy, Secrets};

/// How long a token counts.
pub const TOKEN_TTL_S: u64 = 3_600;
/// How long an agent's leave to use a tool counts.
pub const GRANT_TTL_S: u64 = 60;

/// Whoever a token was issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Whose: every query is scoped by it.
    pub tenant_id: String,
    /// The agent's id, or the client's.
    pub subject: String,
    /// The client.
    pub client_id: String,
    /// What it may do.
    pub role: Role,
    /// When the token ends.
    pub expires_at_ms: u64,
}

impl Principal {
    /// Whoever asks without a token, where none is asked for.
    pub fn nobody() -> Self {
        Principal {
            tenant_id: String::new(),
            subject: String::new(),
            client_id: String::new(),
            role: Role::Agent,
            expires_at_ms: 0,
        }
    }
}

/// What a token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    sub: String,
    tenant_id: String,
    client_id: String,
    role: Role,
    iat: u64,
    exp: u64,
    jti: String,
    /// To the millisecond, so that a token that is issued right after its
    /// client's others were revoked is told from them.
    iat_ms: u64,
}

/// Why a token is not believed. What is wrong with it stays with us: the
/// bearer is told only that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No token of this hub.
    #[error("the token is not one of this hub")]
    Bad,
    /// One of this hub, but over.
    #[error("the token has expired; ask for a new one")]
    Expired,
    /// One of this hub, but taken back.
    #[error("the token was revoked")]
    Revoked,
    /// Its client is not known yet: the process has only just begun.
    #[error("the hub has only just started; try again")]
    Early,
}

/// Issues tokens, and tells whose they are.
pub struct Tokens {
    key: jwt::Key,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
}

impl Tokens {
    /// With this key; clients are looked up in `directory`.
    pub fn new(secret: &[u8], directory: Arc<Directory>, clock: Arc<dyn Clock>) -> Self {
        Tokens { key: jwt::Key::new(secret), directory, clock }
    }

    /// A token for a client, which has proven itself already.
    pub fn issue(&self, tenant_id: &str, client_id: &str, subject: &str, role: Role) -> String {
        let now_ms = self.clock.now_ms();
        let claims = Claims {
            sub: subject.to_owned(),
            tenant_id: tenant_id.to_owned(),
            client_id: client_id.to_owned(),
            role,
            iat: now_ms / 1_000,
            exp: now_ms / 1_000 + TOKEN_TTL_S,
            jti: random_hex(),
            iat_ms: now_ms,
        };
        self.key.sign(&claims)
    }

    /// An agent's leave to use a tool that is not the hub's, for a minute. It is
    /// no token: it lets nobody in.
    pub fn grant(&self, tenant_id: &str, agent_id: &str, tool: &str, args: &serde_json::Value) -> String {
        let now_s = self.clock.now_ms() / 1_000;
        let hash = udfs::hash::Parts::new().add(args.to_string()).finish();
        self.key.sign(&serde_json::json!({
            "aud": "tool", "sub": agent_id, "tenantId": tenant_id, "tool": tool,
            "argsHash": udfs::hash::hex(hash), "iat": now_s, "exp": now_s + GRANT_TTL_S, "jti": random_hex(),
        }))
    }

    /// Whose a token is: of this hub, not over, and its client still there.
    pub fn verify(&self, token: &str) -> Result<Principal, Refusal> {
        let claims: Claims = self.key.verify(token).ok_or(Refusal::Bad)?;
        let now_ms = self.clock.now_ms();
        if claims.exp * 1_000 <= now_ms {
            return Err(Refusal::Expired);
        }
        let known = self.directory.is_known();
        let missing = if known { Refusal::Revoked } else { Refusal::Early };
        let (tenant, client) = self.directory.client(&claims.client_id).ok_or(missing)?;
        let counts = client.enabled && claims.iat_ms >= client.tokens_from.as_ms();
        if !counts || *tenant != claims.tenant_id || client.role != claims.role {
            return Err(Refusal::Revoked);
        }
        Ok(Principal {
            tenant_id: claims.tenant_id,
            subject: claims.sub,
            client_id: claims.client_id,
            role: claims.role,
            expires_at_ms: claims.exp * 1_000,
        })
    }

    /// Whether a principal that was let in before is still: long-lived
    /// connections ask again when the directory changes.
    pub fn still_counts(&self, principal: &Principal) -> bool {
        let client = self.directory.client(&principal.client_id);
        let issued_ms = principal.expires_at_ms.saturating_sub(TOKEN_TTL_S * 1_000);
        client.is_some_and(|(tenant, client)| {
            // The token's own milliseconds are gone by now; a second more or
            // less decides nothing for a connection that stands.
            client.enabled
                && *tenant == principal.tenant_id
                && client.role == principal.role
                && issued_ms + 999 >= client.tokens_from.as_ms()
        })
    }
}
