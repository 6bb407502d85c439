//! Queries that can be ended: whatever makes many rows of few lets go of its
//! thread now and then, because a query whose time is over ends there.
//!
//! The engine itself counts only what its sources give. Of one batch of each of
//! two sources a join may make millions of rows; whoever asked is answered in
//! time, but the thread would be lost to all others for as long.

use std::sync::Arc;

use datafusion::{
    common::{
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode},
    },
    error::Result,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ExecutionPlan, coop::CooperativeExec, unnest::UnnestExec},
};

/// Has joins, and what unfolds lists, count what they give.
#[derive(Debug)]
pub struct Yielding;

impl PhysicalOptimizerRule for Yielding {
    fn name(&self) -> &str {
        "yielding"
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let counted = plan.transform_up(|node| {
            let makes_more = node.children().len() > 1 || node.is::<UnnestExec>();
            Ok(match makes_more {
                true => Transformed::yes(Arc::new(CooperativeExec::new(node))),
                false => Transformed::no(node),
            })
        });
        Ok(counted?.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}
