//! Serves a router on a socket: bounded in connections, patient with nobody,
//! and without losing a request when it stops.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tower::ServiceExt;

/// Bytes that one connection may have in its read buffer; the head of a request
/// must fit, bodies go through it piece by piece.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// How the server treats its clients.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Open connections at the same time.
    pub connections_max: u32,
    /// Longest wait for the head of a request, also the first one's after the
    /// one before.
    pub head_timeout: Duration,
    /// After a stop: how long requests in progress may take.
    pub drain_timeout: Duration,
}

/// Serves until `stop` turns true, then finishes what is in progress.
pub async fn serve(listener: TcpListener, router: Router, settings: Settings, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(settings.connections_max as usize));
    let stopping = stop.clone();
    loop {
        // Also while all places are taken, a stop is heard.
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(stream, peer, router.clone(), settings, stopping.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, or the client is gone already: the
                // next one may do better, but not at once.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    let all_gone = places.acquire_many(settings.connections_max);
    if tokio::time::timeout(settings.drain_timeout, all_gone).await.is_err() {
        tracing::warn!("requests still in progress are cut off");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    settings: Settings,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are small and whole: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_buf_size(READ_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    // An error of the connection says that the client broke off, its right.
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}
