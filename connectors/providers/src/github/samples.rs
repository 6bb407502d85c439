//! Samples of what GitHub sends.

use serde_json::Value;
use udfs::signature::GITHUB;

use super::GitHub;
use crate::{
    capability::samples::{Envelope, Fresh, Sample, Samples, set},
    samples,
};

const SAMPLES: &[Sample] = samples! {
    "github" "check_run.completed"
    "github" "discussion_comment.created"
    "github" "installation.created"
    "github" "issue_comment.created"
    "github" "issue_comment.deleted"
    "github" "issue_comment.edited"
    "github" "issues.assigned"
    "github" "issues.closed"
    "github" "issues.deleted"
    "github" "issues.edited"
    "github" "issues.labeled"
    "github" "issues.opened"
    "github" "issues.reopened"
    "github" "issues.transferred"
    "github" "ping"
    "github" "pull_request.closed"
    "github" "pull_request.opened"
    "github" "pull_request.review_requested"
    "github" "pull_request.synchronize"
    "github" "pull_request_review.submitted"
    "github" "pull_request_review_comment.created"
    "github" "push.deleted"
    "github" "push"
    "github" "release.published"
    "github" "repository.archived"
    "github" "security_advisory.published"
    "github" "workflow_run.requested"
};

impl Samples for GitHub {
    fn all(&self) -> &'static [Sample] {
        SAMPLES
    }

    fn freshen(
        &self,
        sample: &Sample,
        body: &mut Value,
        fresh: &Fresh,
        (workspace, _): (Option<&str>, Option<&str>),
    ) -> Result<Envelope, String> {
        if let Some(repository) = workspace.filter(|id| id.contains('/')) {
            set(body, "/repository/full_name", repository);
        }
        let event = sample.event.split('.').next().unwrap_or_default().to_owned();
        let headers = vec![("x-github-event", event), ("x-github-delivery", fresh.uuid())];
        Ok(Envelope { path: "/webhooks/github".to_owned(), scheme: GITHUB, headers })
    }
}
