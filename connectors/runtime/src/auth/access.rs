//! Who may ask for what, and who it is that asks.

use std::net::IpAddr;

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, StatusCode, header},
};
use pipeline::event::Role;

use super::{Principal, Refusal, Tokens};
use crate::http::problem::Problem;

/// Who may use an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a token.
    Open,
    /// Whoever has one of these roles.
    Roles(&'static [Role]),
}

impl Access {
    /// Everybody of the tenant, agents included.
    pub const ALL: Access = Access::Roles(&[Role::Agent, Role::Member, Role::Analyst, Role::Admin, Role::Platform]);
    /// People of the tenant.
    pub const PEOPLE: Access = Access::Roles(&[Role::Member, Role::Analyst, Role::Admin, Role::Platform]);
    /// Who asks in SQL.
    pub const ANALYSTS: Access = Access::Roles(&[Role::Analyst, Role::Admin, Role::Platform]);
    /// Who moves tasks: agents, and people who do more than look.
    pub const WORKERS: Access = Access::Roles(&[Role::Agent, Role::Member, Role::Admin, Role::Platform]);
    /// People who do more than look.
    pub const MEMBERS: Access = Access::Roles(&[Role::Member, Role::Admin, Role::Platform]);
    /// Who changes the tenant.
    pub const ADMINS: Access = Access::Roles(&[Role::Admin, Role::Platform]);
    /// Who works across tenants.
    pub const PLATFORM: Access = Access::Roles(&[Role::Platform]);

    /// The roles that may; none where no token is asked for.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Access::Open => &[],
            Access::Roles(roles) => roles,
        }
    }
}

/// The name under which the local administrator is known: whoever may read the
/// hub's data directory.
pub const LOCAL: &str = "local";

/// Tells who asks.
pub struct Gate {
    tokens: std::sync::Arc<Tokens>,
    local_token: String,
    local_tenant: Box<dyn Fn() -> String + Send + Sync>,
}

impl Gate {
    /// Believes `tokens`, and `local_token`, whose bearer acts as `platform`
    /// and for `local_tenant` where nothing else is said.
    pub fn new(
        tokens: std::sync::Arc<Tokens>,
        local_token: String,
        local_tenant: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        Gate { tokens, local_token, local_tenant: Box::new(local_tenant) }
    }

    /// Who it is that sent these headers.
    pub fn principal(&self, headers: &HeaderMap) -> Result<Principal, Problem> {
        let given = headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
        let token = given.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(missing)?;
        let ("bearer", token) = (token.0.to_ascii_lowercase().as_str(), token.1.trim()) else {
            return Err(missing());
        };
        if udfs::hash::same(token.as_bytes(), self.local_token.as_bytes()) {
            return Ok(Principal {
                tenant_id: (self.local_tenant)(),
                subject: LOCAL.to_owned(),
                client_id: LOCAL.to_owned(),
                role: Role::Platform,
                expires_at_ms: u64::MAX,
            });
        }
        self.tokens.verify(token).map_err(|refusal| match refusal {
            Refusal::Early => Problem::unavailable(refusal.to_string()),
            refusal => Problem::new(StatusCode::UNAUTHORIZED, "invalid_token", refusal.to_string())
                .challenge(r#"Bearer realm="nexus", error="invalid_token""#),
        })
    }

    /// Lets a principal through that has one of the roles.
    pub fn admit(access: Access, principal: &Principal) -> Result<(), Problem> {
        match access {
            Access::Roles(roles) if !roles.contains(&principal.role) => {
                let detail = format!("the role `{}` may not do this", principal.role.name());
                Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
            }
            _ => Ok(()),
        }
    }
}

fn missing() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "missing_token", "a bearer token is needed; POST /auth/token gives one")
        .challenge(r#"Bearer realm="nexus""#)
}

/// From where a request comes: from behind a proxy that is trusted, as the
/// proxy says.
pub fn address_of(extensions: &Extensions, headers: &HeaderMap, trusted_proxies: &[IpAddr]) -> Option<IpAddr> {
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<std::net::SocketAddr>>()?;
    let mut address = peer.ip().to_canonical();
    let chain: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    // From the nearest on, for as long as those who say it are trusted.
    for said in chain.iter().rev() {
        if !trusted_proxies.contains(&address) {
            break;
        }
        let Ok(before) = said.trim().parse::<IpAddr>() else { break };
        address = before.to_canonical();
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(std::net::SocketAddr::from(([10, 0, 0, 1], 1))));
        let headers = HeaderMap::from_iter([(
            "x-forwarded-for".parse().expect("a name"),
            HeaderValue::from_static("6.6.6.6, 9.9.9.9"),
        )]);
        let address =
            |trusted: &[IpAddr]| address_of(&extensions, &headers, trusted).map(|address| address.to_string());
        assert_eq!(address(&[]).as_deref(), Some("10.0.0.1"));
        assert_eq!(address(&[[10, 0, 0, 1].into()]).as_deref(), Some("9.9.9.9"));
        assert_eq!(address(&[[10, 0, 0, 1].into(), [9, 9, 9, 9].into()]).as_deref(), Some("6.6.6.6"));
        assert_eq!(address_of(&Extensions::new(), &headers, &[]), None);
    }
}
