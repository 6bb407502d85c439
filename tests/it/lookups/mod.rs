//! Lookups against fake providers, over loopback: what is found, what goes
//! wrong, and what is never lost.

mod calls;
mod providers;
mod role;

use std::sync::Arc;

use fakes::Fakes;
use runtime::clock::SystemClock;
use tokio::net::TcpListener;

/// The token of all calls of the tests.
pub const TOKEN: &str = "pk_hush_17_TESTTOKEN";

/// Fakes that are being asked.
pub struct Provider {
    pub fakes: Fakes,
    pub url: String,
}

impl Provider {
    pub async fn start() -> Provider {
        let fakes = Fakes::new(Arc::new(SystemClock)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(fakes::serve(listener, fakes.clone()));
        Provider { fakes, url }
    }

    /// A task that is there.
    pub fn task(&self, id: &str) {
        let body = serde_json::json!({"id": id, "name": format!("Task {id}"), "description": "@AI_Squad please", "priority": "high"});
        let list = fakes::world::CLICKUP_LIST;
        fakes::clickup::new_task(&mut self.fakes.world(), list, &body, 1_795_248_000_000).unwrap();
    }

    pub fn fault(&self, fault: serde_json::Value) {
        self.fakes.world().faults.add(serde_json::from_value(fault).unwrap());
    }

    /// How often a task was asked for.
    pub fn asked(&self, id: &str) -> usize {
        self.fakes.world().count("clickup", "GET", &format!("/api/v2/task/{id}"))
    }
}
