//! `nexus agent`: an agent at the terminal. Connects over a plain WebSocket,
//! prints what arrives, acknowledges it, and comes back when it was cut off.

use std::{io::Write, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use runtime::config::Config;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::sleep};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{hub::stop_signal, show, token};

/// Waits before coming back: the first, and the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Connect as an agent and print what arrives.
#[derive(Args)]
pub struct Agent {
    /// The agent's client id
    #[arg(long, requires = "client_secret", required_unless_present = "token")]
    client_id: Option<String>,
    /// The agent's client secret
    #[arg(long, requires = "client_id")]
    client_secret: Option<String>,
    /// A token that is there already
    #[arg(long, env = "NEXUS_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Where the hub is [default: the one of the data directory, NEXUS_URL, this machine]
    #[arg(long)]
    url: Option<String>,
    /// Answer what is said in a task or a thread with a message
    #[arg(long)]
    echo: bool,
    /// End after so many events
    #[arg(long)]
    limit: Option<u64>,
    /// One JSON object a line (what is printed anyway where no person looks on)
    #[arg(long)]
    json: bool,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What the agent knows of its own books, from one socket to the next.
#[derive(Default)]
struct Books {
    seq: u64,
    epoch: u64,
    taken: u64,
}

/// Why a socket ended.
enum Ended {
    /// Enough was printed, or the user wants to go.
    Done,
    /// It may come back.
    Lost(String),
}

impl Agent {
    /// Prints until it is told to stop.
    pub async fn run(self, config: &Config) -> Result<()> {
        let url = token::hub_url(config, self.url.clone()).await?;
        let mut books = Books::default();
        let mut wait = BACKOFF_FIRST;
        loop {
            let lost = match self.open(&url).await {
                Ok(socket) => {
                    wait = BACKOFF_FIRST;
                    tokio::select! {
                        ended = self.listen(socket, &mut books) => match ended? {
                            Ended::Done => return Ok(()),
                            Ended::Lost(reason) => reason,
                        },
                        () = stop_signal() => return Ok(()),
                    }
                }
                Err(Refused::Final(error)) => return Err(error),
                Err(Refused::Later(error)) => error.to_string(),
            };
            eprintln!("nexus agent: {lost}; trying again in {wait:?}");
            tokio::select! {
                () = sleep(wait) => {}
                () = stop_signal() => return Ok(()),
            }
            wait = (wait * 2).min(BACKOFF_MAX);
        }
    }

    async fn open(&self, url: &str) -> Result<Socket, Refused> {
        let later = |error: anyhow::Error| Refused::Later(error);
        let token = match (&self.client_id, &self.client_secret) {
            (Some(id), Some(secret)) => {
                token::issue(url, id, secret)
                    .await
                    .map_err(|error| {
                        // A wrong secret does not get right by asking again.
                        let is_final = error.to_string().starts_with("401") || error.to_string().starts_with("400");
                        if is_final { Refused::Final(error) } else { Refused::Later(error) }
                    })?
                    .access_token
            }
            _ => self.token.clone().unwrap_or_default(),
        };
        let address = format!("{}/agents/ws", url.replacen("http", "ws", 1));
        let mut request = address.into_client_request().map_err(|error| Refused::Final(error.into()))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| Refused::Final(error.into()))?;
        request.headers_mut().insert("authorization", bearer);
        match connect_async(request).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(answer)) => {
                let body = answer.body().as_deref().unwrap_or_default();
                let problem: Value = serde_json::from_slice(body).unwrap_or_default();
                let error = anyhow!("{}: {}", answer.status(), problem["detail"].as_str().unwrap_or("no reason given"));
                // An expired token is renewed by asking again, if we can ask.
                let is_final = answer.status().is_client_error() && self.client_id.is_none();
                Err(if is_final { Refused::Final(error) } else { later(error) })
            }
            Err(error) => Err(later(anyhow!("cannot reach {url}: {error}"))),
        }
    }

    async fn listen(&self, mut socket: Socket, books: &mut Books) -> Result<Ended> {
        loop {
            let text = match socket.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => {
                    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    match reason.as_str() {
                        "revoked" => bail!("the hub cut the socket: the client was revoked"),
                        _ => return Ok(Ended::Lost(format!("the hub closed the socket ({reason})"))),
                    }
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Ok(Ended::Lost(format!("the socket broke: {error}"))),
                None => return Ok(Ended::Lost("the socket ended".to_owned())),
            };
            let message: Value = serde_json::from_str(&text).context("the hub sent what is no JSON")?;
            let (name, data) = (message["event"].as_str().unwrap_or_default(), &message["data"]);
            print(&message, self.json || !show::is_terminal())?;
            for answer in self.answers(name, data, books) {
                let answer = json!({"event": answer.0, "data": answer.1}).to_string();
                if let Err(error) = socket.send(Message::text(answer)).await {
                    return Ok(Ended::Lost(format!("the socket broke: {error}")));
                }
            }
            if data["eventId"].is_string() {
                books.taken += 1;
                if self.limit.is_some_and(|limit| books.taken >= limit) {
                    let _ = socket.close(None).await;
                    // What was said last is on its way until the hub closes, too.
                    while let Some(Ok(_)) = socket.next().await {}
                    return Ok(Ended::Done);
                }
            }
        }
    }

    /// What an agent says to what it is told.
    fn answers(&self, name: &str, data: &Value, books: &mut Books) -> Vec<(&'static str, Value)> {
        if name == "hello" {
            let epoch = data["epoch"].as_u64().unwrap_or_default();
            let mut ready = json!({"ack": true, "protocol": "nexus.v1", "capabilities": ["terminal"]});
            if books.seq > 0 && books.epoch == epoch {
                ready["resumeFrom"] = json!({"seq": books.seq, "epoch": epoch});
            }
            books.epoch = epoch;
            return vec![("agent_ready", ready)];
        }
        let Some(id) = data["eventId"].as_str() else { return Vec::new() };
        books.seq = data["seq"].as_u64().unwrap_or(books.seq);
        let mut answers = Vec::new();
        if self.echo && matches!(name, "task_assigned" | "context_update" | "wake_up") {
            answers.extend(echo(id, data).map(|message| ("message", message)));
        }
        answers.push(("ack", json!({ "id": id })));
        answers
    }
}

/// Why there is no socket.
enum Refused {
    /// And there will be none.
    Final(anyhow::Error),
    /// There may be one later.
    Later(anyhow::Error),
}

/// A message where the event came from, if it came from somewhere.
fn echo(id: &str, data: &Value) -> Option<Value> {
    let said = data["message"]["text"].as_str().or(data["message"].as_str()).or(data["task"]["title"].as_str());
    let mut message = json!({"requestId": id, "text": format!("I heard: {}", said.unwrap_or("something"))});
    match (&data["task"]["id"], &data["thread"]) {
        (Value::String(task), _) => message["taskId"] = json!(task),
        (_, thread @ Value::Object(_)) => message["thread"] = thread.clone(),
        _ => return None,
    }
    if let Some(trace) = data["traceId"].as_str() {
        message["traceId"] = json!(trace);
    }
    Some(message)
}

fn print(message: &Value, json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match json {
        true => writeln!(out, "{message}")?,
        false => {
            let (name, data) = (message["event"].as_str().unwrap_or_default(), &message["data"]);
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let said = text(&data["message"]["text"]).or(text(&data["message"])).or(text(&data["task"]["title"]));
            let said = said.or(text(&data["reason"])).unwrap_or_default();
            let seq = data["seq"].as_u64().map(|seq| format!("#{seq}")).unwrap_or_default();
            writeln!(out, "{name:<16} {seq:<8} {said}")?;
        }
    }
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_goes_where_it_came_from() {
        let thread = json!({"channelId": "C1", "threadTs": "1.2"});
        let told = json!({"message": {"text": "hi"}, "thread": thread, "traceId": "t"});
        let echoed = echo("evt_1", &told).expect("an echo");
        assert_eq!((&echoed["thread"], &echoed["text"]), (&thread, &json!("I heard: hi")));
        let of_task =
            echo("evt_1", &json!({"task": {"id": "task_1", "title": "t"}, "thread": thread})).expect("an echo");
        assert_eq!((&of_task["taskId"], of_task.get("thread")), (&json!("task_1"), None));
        assert_eq!(echo("evt_1", &json!({"message": "to nobody"})), None);
    }
}
