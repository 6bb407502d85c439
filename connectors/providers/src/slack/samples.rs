//! Samples of what Slack sends.

use serde_json::Value;
use udfs::signature::SLACK;

use super::Slack;
use crate::{
    capability::samples::{Envelope, Fresh, Sample, Samples, set},
    samples,
};

const SAMPLES: &[Sample] = samples! {
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
};

impl Samples for Slack {
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
        if let Some(team) = workspace {
            set(body, "/team_id", team);
        }
        set(body, "/event_id", format!("Ev{}", fresh.id[..12].to_uppercase()));
        set(body, "/event_time", fresh.now_ms / 1000);
        // A tenth of the second is the number's, so that no two share one.
        let ts = format!("{}.{:06}", fresh.now_ms / 1000, fresh.number % 1_000_000);
        for place in ["/event/ts", "/event/event_ts"] {
            set(body, place, ts.clone());
        }
        Ok(Envelope { path: "/webhooks/slack".to_owned(), scheme: SLACK, headers: Vec::new() })
    }
}
