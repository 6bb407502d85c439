//! The demo's agents: each signs in, opens a socket, acknowledges what it is
//! told and keeps books of it. The first of them answers: it takes up every task
//! that it is assigned.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use hub::seeding::SeededAgent;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_tungstenite::{connect_async, tungstenite::Message, tungstenite::client::IntoClientRequest};

use crate::commands::token;

/// What the first agent says to a task, in Markdown.
pub const ANSWER: &str = "Reproduced: the pay button loses its **focus** there. A fix is on its way.";

/// Which tasks there are at the (fake) provider: of samples nobody has to hear.
pub type Known = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What an agent was told.
pub struct Told {
    /// Which agent.
    pub agent: String,
    /// The event's name.
    pub name: String,
    /// Its data.
    pub data: Value,
}

/// Agents at their sockets.
pub struct Agents {
    told: mpsc::Receiver<Result<Told>>,
    _sockets: JoinSet<()>,
}

impl Agents {
    /// Connects all of them; they take events when this returns.
    pub async fn connect(url: &str, agents: &[SeededAgent], known: Known) -> Result<Agents> {
        let (to, told) = mpsc::channel(64);
        let mut sockets = JoinSet::new();
        for (number, agent) in agents.iter().enumerate() {
            let secret = agent.login.client_secret.clone().context("the agent has no secret")?;
            let token = token::issue(url, &agent.login.client_id, &secret).await?.access_token;
            let mut request = format!("{}/agents/ws", url.replacen("http", "ws", 1)).into_client_request()?;
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
            let (mut socket, _) = connect_async(request).await.context("an agent cannot connect")?;
            let ready = json!({"event": "agent_ready", "data": {"ack": true, "protocol": "nexus.v1", "capabilities": ["demo"]}});
            socket.send(Message::text(ready.to_string())).await?;
            let (to, agent, known) = (to.clone(), agent.name.to_owned(), Arc::clone(&known));
            sockets.spawn(async move {
                let mut seq = 0;
                while let Some(Ok(message)) = socket.next().await {
                    let Message::Text(text) = message else { continue };
                    let told = take(&agent, &text, &mut seq);
                    if let Ok(Some(Told { data, name, .. })) = &told {
                        let ack = json!({"event": "ack", "data": {"id": data["eventId"]}});
                        let _ = socket.send(Message::text(ack.to_string())).await;
                        let task = data["task"]["externalId"].as_str().unwrap_or_default();
                        if number == 0 && name == "task_assigned" && known(task) {
                            let data = json!({"taskId": task, "status": "IN_PROGRESS", "message": ANSWER});
                            let taken = json!({"event": "status_update", "data": data});
                            let _ = socket.send(Message::text(taken.to_string())).await;
                        }
                    }
                    let Some(told) = told.transpose() else { continue };
                    if to.send(told).await.is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Agents { told, _sockets: sockets })
    }

    /// What an agent is told next.
    pub async fn next(&mut self) -> Result<Told> {
        self.told.recv().await.unwrap_or_else(|| Err(anyhow!("the agents' sockets have ended")))
    }
}

/// One frame; a gap or a repeat ends the demo, since there must be none.
fn take(agent: &str, text: &str, seq: &mut u64) -> Result<Option<Told>> {
    let mut frame: Value = serde_json::from_str(text)?;
    let name = frame["event"].as_str().unwrap_or_default().to_owned();
    let data = frame["data"].take();
    let Some(next) = data["seq"].as_u64().filter(|_| data["eventId"].is_string()) else { return Ok(None) };
    if next != *seq + 1 {
        bail!("{agent} was told {next} after {seq}");
    }
    *seq = next;
    Ok(Some(Told { agent: agent.to_owned(), name, data }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_failure_and_hello_is_no_event() {
        let event = |seq: u64| json!({"event": "wake_up", "data": {"eventId": "evt_1", "seq": seq}}).to_string();
        let mut seq = 0;
        let hello = json!({"event": "hello", "data": {"seq": 7}}).to_string();
        assert!(take("a", &hello, &mut seq).expect("a frame").is_none());
        assert!(take("a", &event(1), &mut seq).expect("a frame").is_some());
        assert!(take("a", &event(3), &mut seq).is_err());
    }
}
