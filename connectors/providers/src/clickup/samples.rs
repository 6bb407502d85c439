//! Samples of what ClickUp sends.

use serde_json::Value;
use udfs::signature::CLICKUP;

use super::ClickUp;
use crate::{
    capability::samples::{Envelope, Fresh, Sample, Samples, set},
    samples,
};

const SAMPLES: &[Sample] = samples! {
    "clickup" "automation"
    "clickup" "folderCreated"
    "clickup" "goalCreated"
    "clickup" "keyResultUpdated"
    "clickup" "listCreated"
    "clickup" "listDeleted"
    "clickup" "listUpdated"
    "clickup" "spaceUpdated"
    "clickup" "taskAssigneeUpdated"
    "clickup" "taskCommentPosted"
    "clickup" "taskCommentUpdated"
    "clickup" "taskCreated"
    "clickup" "taskCreated.with_task"
    "clickup" "taskDeleted"
    "clickup" "taskDueDateUpdated"
    "clickup" "taskMoved"
    "clickup" "taskPriorityUpdated"
    "clickup" "taskStatusUpdated"
    "clickup" "taskTagUpdated"
    "clickup" "taskTimeEstimateUpdated"
    "clickup" "taskTimeTrackedUpdated"
    "clickup" "taskUpdated.comment"
    "clickup" "taskUpdated.content"
    "clickup" "taskUpdated"
    "clickup" "taskUpdated.status"
};

impl Samples for ClickUp {
    fn all(&self) -> &'static [Sample] {
        SAMPLES
    }

    fn freshen(
        &self,
        _sample: &Sample,
        body: &mut Value,
        fresh: &Fresh,
        (workspace, _): (Option<&str>, Option<&str>),
    ) -> Result<Envelope, String> {
        if let Some(webhook) = workspace {
            set(body, "/webhook_id", webhook);
        }
        let items = body["history_items"].as_array_mut().into_iter().flatten();
        for (index, item) in items.enumerate() {
            set(item, "/id", fresh.digits(index as u64));
            set(item, "/date", fresh.now_ms.to_string());
        }
        Ok(Envelope { path: "/webhooks/clickup".to_owned(), scheme: CLICKUP, headers: Vec::new() })
    }
}
