//! Server-sent events: how they are framed, how a silent line is kept alive, and
//! how many of one tenant may listen.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::sync::mpsc;

use super::problem::Problem;

/// After so long without an event something is sent, so that no proxy takes the
/// line for dead.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Where whoever comes back goes on (`Last-Event-ID`).
    pub id: Option<String>,
    /// What kind; `message` unless said.
    pub name: Option<&'static str>,
    /// What it says.
    pub data: String,
}

impl Event {
    /// As it goes over the line.
    pub fn framed(&self) -> String {
        let mut frame = String::with_capacity(self.data.len() + 48);
        if let Some(id) = &self.id {
            frame += &format!("id: {id}\n");
        }
        if let Some(name) = self.name {
            frame += &format!("event: {name}\n");
        }
        for line in self.data.split(['\n', '\r']) {
            frame += &format!("data: {line}\n");
        }
        frame.push('\n');
        frame
    }
}

/// Who listens, by tenant.
pub struct Listeners {
    count: Mutex<HashMap<String, usize>>,
    of_tenant_max: usize,
}

/// A place among them, until it is dropped.
pub struct Place {
    listeners: Arc<Listeners>,
    tenant: String,
}

impl Listeners {
    /// So many of one tenant.
    pub fn new(of_tenant_max: usize) -> Arc<Listeners> {
        Arc::new(Listeners { count: Mutex::default(), of_tenant_max })
    }

    /// A place, if there is one.
    pub fn take(self: &Arc<Self>, tenant: &str) -> Result<Place, Problem> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = count.entry(tenant.to_owned()).or_default();
        if *taken >= self.of_tenant_max {
            let detail = format!("{} listen already, which is as many as may", *taken);
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_listeners", detail).retry_after(5));
        }
        *taken += 1;
        Ok(Place { listeners: Arc::clone(self), tenant: tenant.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.listeners.count.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = count.get_mut(&self.tenant) {
            *taken -= 1;
            if *taken == 0 {
                count.remove(&self.tenant);
            }
        }
    }
}

/// The events as an answer, for as long as there are any and somebody listens.
pub fn respond(events: mpsc::Receiver<Event>, place: Place) -> Response {
    let frames = stream::unfold((events, place), |(mut events, place)| async move {
        let frame = match tokio::time::timeout(PING_INTERVAL, events.recv()).await {
            Ok(event) => event?.framed(),
            Err(_) => ":ping\n\n".to_owned(),
        };
        Some((Ok::<_, std::convert::Infallible>(frame), (events, place)))
    });
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (head, Body::from_stream(frames)).into_response()
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[test]
    fn an_event_is_framed_line_by_line() {
        let event = Event { id: Some("7".into()), name: Some("error"), data: "one\ntwo".into() };
        assert_eq!(event.framed(), "id: 7\nevent: error\ndata: one\ndata: two\n\n");
        assert_eq!(Event { data: "x".into(), ..Event::default() }.framed(), "data: x\n\n");
    }

    #[test]
    fn there_are_as_many_places_as_there_are() {
        let listeners = Listeners::new(2);
        let first = listeners.take("acme").map_err(|problem| problem.code());
        let second = listeners.take("acme").map_err(|problem| problem.code());
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(listeners.take("acme").err().map(|problem| problem.code()), Some("too_many_listeners"));
        assert!(listeners.take("umbra").is_ok(), "another's are its own");
        drop(first);
        assert!(listeners.take("acme").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_line_is_kept_alive() {
        let (to, events) = mpsc::channel(4);
        let place = Listeners::new(1).take("acme").expect("a place");
        let mut body = respond(events, place).into_body().into_data_stream();
        let mut next =
            async || String::from_utf8(body.next().await.expect("more").expect("bytes").to_vec()).expect("text");
        assert_eq!(next().await, ":ping\n\n");
        to.send(Event { data: "x".into(), ..Event::default() }).await.expect("heard");
        assert_eq!(next().await, "data: x\n\n");
        drop(to);
        assert!(body.next().await.is_none());
    }
}
