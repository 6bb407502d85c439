//! How a connection is: what the provider says of its token and its webhook, and
//! whether it still speaks.
//!
//! What to make of it is decided by [`Health::next`], without asking anybody: a
//! connection that used to speak and is silent, suspended or gone is an episode,
//! which is told of once, and is over when all is well again.

use pipeline::event::{Severity, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Connections,
    calls::{UNHURRIED, again_at_ms},
};
use providers::{
    capability::hooks::Seen,
    client::{NotSent, ProviderError},
};

pub use providers::capability::hooks::Status;

/// The kind of note that says how a connection is.
pub const HEALTH: &str = "health";

/// How a connection is, since when, and who was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// How it is.
    pub status: Status,
    /// When somebody last looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Time>,
    /// Since when it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When it was last heard of, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_heard_at: Option<Time>,
    /// What there is to know and do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether the present episode was told of.
    #[serde(default)]
    pub alerted: bool,
}

impl Health {
    /// How it is after a look, and what somebody must be told, if so.
    pub(super) fn next(
        &self,
        seen: Seen,
        heard: Option<Time>,
        now: Time,
        silent_after_ms: u64,
    ) -> (Health, Option<String>) {
        let quiet_ms = heard.map(|heard| now.as_ms().saturating_sub(heard.as_ms()));
        let is_silent = silent_after_ms > 0 && quiet_ms.is_some_and(|quiet_ms| quiet_ms > silent_after_ms);
        let seen = match seen.status {
            Status::Ok | Status::Unknown if is_silent => {
                let hours = quiet_ms.unwrap_or_default() / 3_600_000;
                Seen::that(
                    Status::Silent,
                    format!("nothing has come for {hours} h; nexus backfill finds what was missed"),
                )
            }
            // There is nothing to ask of it, but it speaks.
            Status::Unknown if heard.is_some() => Seen { status: Status::Ok, ..seen },
            _ => seen,
        };
        let used_to_speak = heard.is_some();
        let is_episode = match seen.status {
            Status::Silent | Status::Suspended => true,
            Status::Unregistered | Status::Unauthorised => used_to_speak,
            // They come and go, and say nothing of the episode.
            Status::Failing | Status::Unreachable => self.alerted,
            Status::Ok | Status::Unknown => false,
        };
        let tells = is_episode && !self.alerted;
        let message = tells.then(|| {
            let detail = seen.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("the connection is {}{detail}", seen.status.name())
        });
        let is_same = self.status == seen.status;
        let health = Health {
            status: seen.status,
            checked_at: Some(now),
            since: self.since.filter(|_| is_same).or(Some(now)),
            last_heard_at: heard,
            detail: seen.detail,
            alerted: is_episode,
        };
        (health, message)
    }
}

impl Connections {
    /// Looks at a connection: asks the provider, and puts right what can be.
    pub(super) async fn look(&self, tenant: &str, id: &str) -> Result<Seen, ProviderError> {
        let looked = async {
            let client = self.client(tenant, id, UNHURRIED)?;
            self.look_at_hook(&client).await
        };
        Ok(match looked.await {
            Ok(seen) => seen,
            // That says nothing of the connection.
            Err(error @ (ProviderError::KillSwitchBefore(_) | ProviderError::KillSwitchUnderWay(_))) => {
                return Err(error);
            }
            Err(ProviderError::NotSent { why: NotSent::NoToken, .. }) => {
                Seen::nothing(Some("without an API token only what comes is seen"))
            }
            Err(ProviderError::NotSent { why: NotSent::Unsupported, .. }) => Seen::nothing(None),
            Err(ProviderError::Unauthorised { detail, .. }) => Seen::that(Status::Unauthorised, detail),
            Err(ProviderError::NotSent { why: NotSent::First("no_public_url"), detail, .. }) => {
                Seen::that(Status::Unregistered, detail)
            }
            Err(error) if again_at_ms(&error, 0).is_some() => Seen::that(Status::Unreachable, error.to_string()),
            Err(error) => Seen::that(Status::Failing, error.to_string()),
        })
    }

    /// Tells whoever looks after the tenant.
    pub(super) async fn alert(&self, tenant: &str, connection: &str, message: String) -> Result<(), ProviderError> {
        self.append_alert("connection.silent", Severity::Warning, tenant, connection, message).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn at(hours: u64) -> Time {
        Time::from_ms(1_795_248_000_000 + hours * HOUR)
    }

    #[test]
    fn silence_is_told_of_once_an_episode() {
        let (mut health, mut told) = (Health::default(), Vec::new());
        let mut look = |hour, heard: Option<u64>, status| {
            let seen = Seen { status, ..Seen::well() };
            let (next, message) = health.next(seen, heard.map(at), at(hour), 24 * HOUR);
            told.extend(message.map(|_| hour));
            health = next;
            health.status
        };
        assert_eq!(look(0, None, Status::Ok), Status::Ok);
        assert_eq!(look(100, None, Status::Ok), Status::Ok, "what never spoke is not silent");
        assert_eq!(look(101, Some(100), Status::Ok), Status::Ok);
        assert_eq!(look(124, Some(100), Status::Ok), Status::Ok);
        assert_eq!(look(125, Some(100), Status::Ok), Status::Silent);
        assert_eq!(look(130, Some(100), Status::Unreachable), Status::Unreachable);
        assert_eq!(look(131, Some(100), Status::Ok), Status::Silent);
        assert_eq!(look(132, Some(131), Status::Ok), Status::Ok);
        assert_eq!(look(200, Some(131), Status::Suspended), Status::Suspended);
        assert_eq!(look(201, Some(131), Status::Unauthorised), Status::Unauthorised);
        assert_eq!(told, [125, 200]);
    }

    #[test]
    fn what_comes_and_goes_is_no_episode() {
        let health = Health::default();
        for status in [Status::Failing, Status::Unreachable] {
            let (next, message) = health.next(Seen { status, ..Seen::well() }, Some(at(0)), at(1), 24 * HOUR);
            assert_eq!((message, next.alerted, next.since), (None, false, Some(at(1))));
        }
        let seen = Seen::that(Status::Unregistered, "gone");
        assert_eq!(health.next(seen.clone(), None, at(1), 24 * HOUR).1, None, "it never spoke");
        assert!(health.next(seen, Some(at(0)), at(1), 24 * HOUR).1.is_some_and(|message| message.contains("gone")));
    }
}
