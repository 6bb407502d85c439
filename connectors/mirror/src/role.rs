//! The role: one scheduler for the commands of all partitions.

use std::sync::Arc;

use pipeline::{
    ports::{Log, LogError},
    topics::Topic,
};
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    commands::CommandConsumer,
    scheduler::{Bench, Order, Scheduler},
};
use runtime::{
    consumer,
    supervisor::{Failure, RoleContext},
};

/// The consumer group of all mirrors.
pub const GROUP: &str = "nexus-mirror";

/// What the role needs.
#[derive(Clone)]
pub struct Mirror {
    /// Where commands come from and results go.
    pub log: Arc<dyn Log>,
    /// What they are done with.
    pub bench: Arc<Bench>,
}

impl Mirror {
    /// Works until told to stop, or until the log fails.
    pub async fn run(self, mut context: RoleContext) -> Result<(), Failure> {
        // Before its connections are known, every command would be refused.
        tokio::select! {
            () = self.bench.directory.until_known() => {}
            () = context.told_to_stop() => return Ok(()),
        }
        let (orders, ordered) = mpsc::unbounded_channel();
        let load = context.board.load_of(GROUP, Topic::MirrorCommands);
        // The calls are made where the scheduler is.
        let mut scheduling = JoinSet::new();
        scheduling.spawn(Scheduler::new(Arc::clone(&self.bench), load).run(ordered));
        let commands = CommandConsumer { mirror: self.clone(), orders: orders.clone() };
        let mut stop = context.stop.clone();
        let scheduler = async {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                _ = scheduling.join_next() => return,
            }
            // Nothing is begun any more; sessions wait for what is under way.
            let _ = orders.send(Order::Stop);
            while scheduling.join_next().await.is_some() {}
            std::future::pending().await
        };
        tokio::select! {
            ended = consumer::run(Arc::clone(&self.log), commands, context) => ended,
            () = scheduler => Err(LogError::Unavailable { detail: "the scheduler of the mirror died".to_owned() }.into()),
        }
    }
}
