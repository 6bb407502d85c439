//! Where agents connect: plain WebSocket, and Socket.IO by polling or WebSocket.

use std::sync::Arc;

use axum::{
    Router,
    routing::{any, get},
};

use super::{engine, gateway::Gateway, plain};

impl Gateway {
    /// Its routes.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/agents/ws", get(plain::open))
            .route("/socket.io/", any(engine::serve))
            .route("/socket.io", any(engine::serve))
            .with_state(Arc::clone(self))
    }
}
