//! CONNECT: which namespace, and whose token.

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::Opening;
use crate::{
    admission::admit,
    gateway::Gateway,
    seat::{Identity, Transport},
    session::Reason,
    socket,
    wire::{Heard, Wire},
};
use runtime::identity::random_hex;

/// Refusals of one connection; then it is closed.
const TRIES_MAX: usize = 3;

#[derive(Default, Deserialize)]
struct Auth<'a> {
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
}

/// What a CONNECT asks for.
#[derive(Debug, PartialEq, Eq)]
struct Connect<'a> {
    namespace: &'a str,
    auth: &'a str,
}

/// Serves a connection: finds out whose it is, then serves it as that agent's.
pub(super) async fn serve(gateway: Arc<Gateway>, mut wire: Wire, token: Option<String>, opening: Opening) {
    let patience = gateway.settings.connect_timeout;
    // Its state is larger than that of a socket that is idle later, and gone by
    // then.
    let connecting = Box::pin(timeout(patience, connected(&gateway, &mut wire, token))).await;
    drop(opening);
    match connecting {
        Ok(Ok(identity)) => socket::serve(gateway, identity, Transport::SocketIo, wire).await,
        Ok(Err(reason)) => Box::pin(wire.end(reason)).await,
        Err(_) => Box::pin(wire.end(Reason::Gone)).await,
    }
}

async fn connected(gateway: &Gateway, wire: &mut Wire, token: Option<String>) -> Result<Arc<Identity>, Reason> {
    let mut tries = 0;
    loop {
        let text = match wire.hear().await {
            Heard::Text(text) => text,
            Heard::Alive => continue,
            Heard::Binary => return Err(Reason::Protocol),
            Heard::Ended(reason) => return Err(reason),
        };
        if text.starts_with('3') {
            continue;
        }
        let Some(connect) = connect(&text) else { return Err(Reason::Protocol) };
        let refused = if connect.namespace == "/agents" {
            let auth: Auth<'_> = serde_json::from_str(connect.auth).unwrap_or_default();
            let given = auth.token.as_deref().or(token.as_deref());
            match admit(gateway, given.map(|given| given.strip_prefix("Bearer ").unwrap_or(given))) {
                Ok(identity) => {
                    let sid = json!({"sid": random_hex()}).to_string();
                    say(gateway, wire, &["40/agents,", &sid]).await?;
                    return Ok(identity);
                }
                Err(refused) => {
                    let mut data = json!({"code": refused.code});
                    if let Some(retry_after_ms) = refused.retry_after_ms {
                        data["retryAfterMs"] = retry_after_ms.into();
                    }
                    json!({"message": refused.detail, "data": data})
                }
            }
        } else {
            json!({"message": "Invalid namespace"})
        };
        let namespace = if connect.namespace == "/" { String::new() } else { format!("{},", connect.namespace) };
        say(gateway, wire, &["44", &namespace, &refused.to_string()]).await?;
        tries += 1;
        if tries == TRIES_MAX {
            return Err(Reason::Gone);
        }
    }
}

async fn say(gateway: &Gateway, wire: &mut Wire, pieces: &[&str]) -> Result<(), Reason> {
    let mut bytes = Vec::new();
    wire.encoder(&mut bytes).message(pieces);
    wire.write(bytes, None, gateway.settings.progress_timeout).await
}

/// `40`, then a namespace and what comes with it; each may be missing.
fn connect(packet: &str) -> Option<Connect<'_>> {
    let rest = packet.strip_prefix("40")?;
    if !rest.starts_with('/') {
        return Some(Connect { namespace: "/", auth: rest });
    }
    let (namespace, auth) = rest.split_once(',').unwrap_or((rest, ""));
    // Older clients put a query behind it.
    let namespace = namespace.split('?').next().unwrap_or(namespace);
    (namespace.len() <= 128).then_some(Connect { namespace, auth })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_names_its_namespace() {
        for (packet, namespace, auth) in [
            ("40", "/", ""),
            ("40{\"token\":\"t\"}", "/", "{\"token\":\"t\"}"),
            ("40/agents,", "/agents", ""),
            ("40/agents", "/agents", ""),
            ("40/agents,{\"token\":\"t\"}", "/agents", "{\"token\":\"t\"}"),
            ("40/agents?token=t,{}", "/agents", "{}"),
        ] {
            assert_eq!(connect(packet), Some(Connect { namespace, auth }), "{packet}");
        }
        assert_eq!(connect("42/agents,[]"), None);
        assert_eq!(connect("2"), None);
    }
}
