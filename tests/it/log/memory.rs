//! The stories over the memory log.

use std::sync::Arc;

use pipeline::{ports::Log, testing::MemoryLog};

use super::{House, PARTITIONS};

struct Memory(MemoryLog);

impl House for Memory {
    async fn open(&mut self) -> Arc<dyn Log> {
        self.0.crash();
        Arc::new(self.0.clone())
    }

    fn clean(&mut self, now_ms: u64) -> bool {
        self.0.clean(now_ms);
        true
    }
}

super::tell!(Some(Memory(MemoryLog::new(PARTITIONS))));
