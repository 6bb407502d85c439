//! Sample webhooks, made fresh: what `nexus send` and the demo post, and what
//! the tests send through the front door.
//!
//! The bodies are files under `tests/fixtures`, in the providers' own shapes
//! with invented contents. Each sending gets ids and times of its own, and the
//! provider's signature.

use serde_json::{Value, json};
use udfs::{
    hash::{Parts, hex},
    signature::{self, CLICKUP, GITHUB, JIRA, NEXUS, SLACK, STANDARD_WEBHOOKS, STRIPE, Scheme},
};

use runtime::identity::random_hex;

/// A sample.
#[derive(Debug)]
pub struct Sample {
    /// Whose.
    pub provider: &'static str,
    /// Of what: the provider's own name.
    pub event: &'static str,
    /// Its body, as a file has it.
    pub body: &'static str,
}

macro_rules! samples {
    ($($provider:literal $event:literal)*) => {
        &[$(Sample {
            provider: $provider,
            event: $event,
            body: include_str!(concat!("../../../tests/fixtures/", $provider, "/", $event, ".json")),
        }),*]
    };
}

/// THE list of samples.
pub const SAMPLES: &[Sample] = samples! {
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
    "slack" "app_mention"
    "slack" "app_rate_limited"
    "slack" "channel_archive"
    "slack" "channel_created"
    "slack" "channel_rename"
    "slack" "message.bot_message"
    "slack" "message.channel_join"
    "slack" "message.file_share"
    "slack" "message"
    "slack" "message.me_message"
    "slack" "message.message_changed"
    "slack" "message.message_changed.unfurled"
    "slack" "message.message_deleted"
    "slack" "message.thread"
    "slack" "message.thread_broadcast"
    "slack" "reaction_added"
    "slack" "team_access_granted"
    "slack" "user_profile_changed"
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
    "stripe" "balance.available"
    "stripe" "charge.failed"
    "stripe" "invoice.paid"
    "generic" "order.shipped"
    "cloudevents" "structured"
};

/// The sample of a provider's event.
pub fn find(provider: &str, event: &str) -> Option<&'static Sample> {
    SAMPLES.iter().find(|sample| sample.provider == provider && sample.event == event)
}

/// Who sends a sample, and to whom.
#[derive(Debug)]
pub struct Sender {
    /// What is sent.
    pub sample: &'static Sample,
    /// What it is signed with; unsigned without.
    pub secret: Option<String>,
    /// The connection whose address it is sent to, where it is a part of that.
    pub connection: Option<String>,
    /// The workspace that it claims to come from.
    pub external_id: Option<String>,
}

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to.
    pub path: String,
    /// Its headers, the signature's included.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Sender {
    /// A request of its own: another number, other ids.
    pub fn request(&self, number: u64, now_ms: u64) -> Result<Request, String> {
        let mut body: Value = serde_json::from_str(self.sample.body).map_err(|error| error.to_string())?;
        let fresh = Fresh::new(number, now_ms);
        let external_id = self.external_id.as_deref();
        let (path, scheme, mut headers) = match self.sample.provider {
            "clickup" => {
                fresh.clickup(&mut body, external_id);
                ("/webhooks/clickup".to_owned(), CLICKUP, Vec::new())
            }
            "slack" => {
                fresh.slack(&mut body, external_id);
                ("/webhooks/slack".to_owned(), SLACK, Vec::new())
            }
            "github" => {
                if let Some(repository) = external_id.filter(|id| id.contains('/')) {
                    set(&mut body, "/repository/full_name", json!(repository));
                }
                let event = self.sample.event.split('.').next().unwrap_or_default().to_owned();
                let headers = vec![("x-github-event", event), ("x-github-delivery", fresh.uuid())];
                ("/webhooks/github".to_owned(), GITHUB, headers)
            }
            "jira" => {
                set(&mut body, "/timestamp", json!(now_ms));
                let headers = vec![("x-atlassian-webhook-identifier", fresh.uuid())];
                let connection = self.connection.as_deref().ok_or("Jira's address needs a connection")?;
                (format!("/webhooks/jira/{connection}"), JIRA, headers)
            }
            "stripe" => {
                set(&mut body, "/id", json!(format!("evt_{}", fresh.id)));
                (self.generic_path(), STRIPE, Vec::new())
            }
            "standard-webhooks" => (self.generic_path(), STANDARD_WEBHOOKS, Vec::new()),
            _ => {
                set(&mut body, "/id", json!(fresh.id));
                (self.generic_path(), NEXUS, Vec::new())
            }
        };
        let body = body.to_string().into_bytes();
        headers.push(("content-type", self.content_type().to_owned()));
        headers.extend(self.signature(&scheme, &fresh, now_ms / 1000, &body)?);
        Ok(Request { path, headers, body })
    }

    fn signature(
        &self,
        scheme: &Scheme,
        fresh: &Fresh,
        now_s: u64,
        body: &[u8],
    ) -> Result<Vec<(&'static str, String)>, String> {
        let Some(secret) = &self.secret else { return Ok(Vec::new()) };
        signature::sign(scheme, secret, &fresh.id, now_s, body).map_err(|refused| refused.to_string())
    }

    fn generic_path(&self) -> String {
        match &self.connection {
            Some(connection) => format!("/api/webhooks/{}/{connection}", self.sample.provider),
            None => format!("/api/webhooks/{}", self.sample.provider),
        }
    }

    fn content_type(&self) -> &'static str {
        if self.sample.provider == "cloudevents" { "application/cloudevents+json" } else { "application/json" }
    }
}

/// Ids and times of one sending.
struct Fresh {
    id: String,
    number: u128,
    now_ms: u64,
}

impl Fresh {
    fn new(number: u64, now_ms: u64) -> Self {
        let name = Parts::new().add(random_hex()).number(number).finish();
        Fresh { id: hex(name), number: name, now_ms }
    }

    /// 19 digits, as ClickUp's history has them.
    fn digits(&self, more: u64) -> String {
        let number = (self.number as u64).wrapping_add(more) % 9_000_000_000_000_000_000;
        (number + 1_000_000_000_000_000_000).to_string()
    }

    fn uuid(&self) -> String {
        let id = &self.id;
        format!("{}-{}-4{}-8{}-{}", &id[..8], &id[8..12], &id[13..16], &id[17..20], &id[20..])
    }

    fn clickup(&self, body: &mut Value, webhook: Option<&str>) {
        if let Some(webhook) = webhook {
            set(body, "/webhook_id", json!(webhook));
        }
        let items = body["history_items"].as_array_mut().into_iter().flatten();
        for (index, item) in items.enumerate() {
            set(item, "/id", json!(self.digits(index as u64)));
            set(item, "/date", json!(self.now_ms.to_string()));
        }
    }

    fn slack(&self, body: &mut Value, team: Option<&str>) {
        if let Some(team) = team {
            set(body, "/team_id", json!(team));
        }
        set(body, "/event_id", json!(format!("Ev{}", self.id[..12].to_uppercase())));
        set(body, "/event_time", json!(self.now_ms / 1000));
        // A tenth of the second is the number's, so that no two share one.
        let ts = format!("{}.{:06}", self.now_ms / 1000, self.number % 1_000_000);
        for place in ["/event/ts", "/event/event_ts"] {
            set(body, place, json!(ts));
        }
    }
}

/// Replaces a value that is there; what a sample does not have, it does not get.
fn set(body: &mut Value, place: &str, value: Value) {
    if let Some(old) = body.pointer_mut(place) {
        *old = value;
    }
}
