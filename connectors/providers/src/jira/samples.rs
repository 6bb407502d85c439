//! Samples of what Jira sends.

use serde_json::Value;
use udfs::signature::JIRA;

use super::Jira;
use crate::{
    capability::samples::{Envelope, Fresh, Sample, Samples, set},
    samples,
};

const SAMPLES: &[Sample] = samples! {
    "jira" "comment_created"
    "jira" "comment_deleted"
    "jira" "comment_updated"
    "jira" "issue_created"
    "jira" "issue_deleted"
    "jira" "issue_updated.assigned"
    "jira" "issue_updated.commented"
    "jira" "issue_updated"
    "jira" "issue_updated.status"
    "jira" "project_created"
    "jira" "project_deleted"
    "jira" "project_updated"
    "jira" "sprint_started"
};

impl Samples for Jira {
    fn all(&self) -> &'static [Sample] {
        SAMPLES
    }

    fn freshen(
        &self,
        _sample: &Sample,
        body: &mut Value,
        fresh: &Fresh,
        (_, connection): (Option<&str>, Option<&str>),
    ) -> Result<Envelope, String> {
        set(body, "/timestamp", fresh.now_ms);
        let headers = vec![("x-atlassian-webhook-identifier", fresh.uuid())];
        let connection = connection.ok_or("Jira's address needs a connection")?;
        Ok(Envelope { path: format!("/webhooks/jira/{connection}"), scheme: JIRA, headers })
    }
}
