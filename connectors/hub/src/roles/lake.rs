//! The role `lake`: keeps the streams as Parquet files. Without the feature `sql`
//! there is nothing to run.

use std::sync::Arc;

use runtime::{
    sql::Engine,
    supervisor::{Failure, Supervisor},
};

use super::{Part, Role};
use crate::context::Context;

/// See the module.
pub(super) struct LakeRole(Option<Arc<dyn Engine>>);

impl LakeRole {
    /// With the engine of this build.
    pub async fn create(context: &Context) -> Result<LakeRole, Failure> {
        Ok(LakeRole(context.engine().await?))
    }
}

impl Part for LakeRole {
    fn run(self: Box<Self>, supervisor: &mut Supervisor) {
        if let Some(engine) = self.0 {
            supervisor.spawn(Role::Lake.name(), move |context| Arc::clone(&engine).fill(context));
        }
    }
}
