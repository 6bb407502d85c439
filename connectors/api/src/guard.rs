//! What an agent has to pass before it acts through the API.
//!
//! In: a request of an agent that changes something: by HTTP, by `/mcp`, or by a
//! tool that it asked for at its socket. Out: what the request answers, or a
//! problem with a stable code: `stopped` (409, the kill switch), `over_budget`
//! (429, a budget with a hard stop is used up). Guaranteed: nothing is begun
//! after a stop was answered, since what is under way counts with the kill switch
//! and is cut by it.
//!
//! Whether the agent is muted or over a limit is decided by the pipeline, on the
//! log's clock: see [`Commands`](crate::Commands).

use axum::http::StatusCode;
use runtime::{
    http::problem::Problem,
    kill_switch::{Cut, Halted},
};

use crate::Desk;

impl Desk {
    /// Does what an agent asks, if agents of its tenant may act and it is not
    /// held, and no longer than they may.
    pub(crate) async fn acting<T, E: From<Problem>>(
        &self,
        tenant: &str,
        agent: &str,
        act: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        // Nobody has the lease in the first moments of a process.
        self.kill_switch.leased().await;
        let now_ms = self.clock.now_ms();
        if self.kill_switch.stopped(tenant).is_none()
            && let Some(hold) = self.kill_switch.hold_of(tenant, agent, now_ms)
        {
            let seconds = hold.until.as_ms().saturating_sub(now_ms).div_ceil(1_000).max(1);
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "over_budget", hold.reason);
            return Err(problem.retry_after(seconds).into());
        }
        match self.kill_switch.run(tenant, act).await {
            Ok(done) => done,
            Err(Cut::Before(halted)) => Err(refused(&halted, "").into()),
            Err(Cut::Under(halted)) => Err(refused(&halted, "; what was asked may have been done").into()),
        }
    }
}

fn refused(halted: &Halted, so_far: &str) -> Problem {
    match halted {
        Halted::Stopped { reason } => {
            Problem::new(StatusCode::CONFLICT, "stopped", format!("agents are stopped: {reason}{so_far}"))
        }
        Halted::NoLease => Problem::unavailable(format!("{halted}{so_far}")),
    }
}
