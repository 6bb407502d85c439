//! How a connection is: what the provider says of its token and its webhook, and
//! whether it still speaks.
//!
//! What to make of it is decided by [`Health::next`], without asking anybody: a
//! connection that used to speak and is silent, suspended or gone is an episode,
//! which is told of once, and is over when all is well again.

use pipeline::event::{Severity, Time};
use reqwest::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Connections,
    hooks::Wish,
    way::{Halt, UNHURRIED, Way, rows_at, word_at},
};
use providers::client::Provider;

/// The kind of note that says how a connection is.
pub const HEALTH: &str = "health";

/// How a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// All is well.
    Ok,
    /// The provider's last webhooks did not reach us.
    Failing,
    /// The provider had stopped its webhooks, or somebody taken them away there;
    /// they were switched on again, and what was missed is looked for.
    Suspended,
    /// There is no webhook of ours at the provider.
    Unregistered,
    /// The provider does not take the token.
    Unauthorised,
    /// The provider cannot be asked now.
    Unreachable,
    /// All seems well, but nothing has come for a long time.
    Silent,
}

impl Status {
    /// Its name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Status::Unknown => "unknown",
            Status::Ok => "ok",
            Status::Failing => "failing",
            Status::Suspended => "suspended",
            Status::Unregistered => "unregistered",
            Status::Unauthorised => "unauthorised",
            Status::Unreachable => "unreachable",
            Status::Silent => "silent",
        }
    }
}

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

/// What a look at the provider has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub status: Status,
    pub detail: Option<String>,
}

impl Seen {
    fn well() -> Seen {
        Seen { status: Status::Ok, detail: None }
    }

    fn nothing(detail: Option<&str>) -> Seen {
        Seen { status: Status::Unknown, detail: detail.map(str::to_owned) }
    }

    fn that(status: Status, detail: impl Into<String>) -> Seen {
        Seen { status, detail: Some(detail.into()) }
    }
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
    pub(super) async fn look(&self, tenant: &str, id: &str) -> Result<Seen, Halt> {
        let looked = async {
            let way = Way::open(self, tenant, id, UNHURRIED)?;
            match way.provider {
                Provider::Slack => slack(&way).await,
                Provider::ClickUp => self.look_at_clickup(&way).await,
                Provider::GitHub => self.look_at_github(&way).await,
                Provider::Jira | Provider::Other => Ok(Seen::nothing(None)),
            }
        };
        Ok(match looked.await {
            Ok(seen) => seen,
            // That says nothing of the connection.
            Err(halt @ Halt::Stopped(_)) => return Err(halt),
            Err(Halt::NoToken) => Seen::nothing(Some("without an API token only what comes is seen")),
            Err(Halt::Unsupported(_)) => Seen::nothing(None),
            Err(Halt::Unauthorised(detail)) => Seen::that(Status::Unauthorised, detail),
            Err(Halt::First("no_public_url", detail)) => Seen::that(Status::Unregistered, detail),
            Err(halt @ (Halt::Later { .. } | Halt::Unwell(_) | Halt::Own(_))) => {
                Seen::that(Status::Unreachable, halt.to_string())
            }
            Err(halt) => Seen::that(Status::Failing, halt.to_string()),
        })
    }

    async fn look_at_clickup(&self, way: &Way<'_>) -> Result<Seen, Halt> {
        let external_id = way.link.external_id.as_str();
        let own = self.own_hook(way.tenant, way.id).await?;
        if external_id.is_empty() {
            self.renew(way).await?;
            return Ok(Seen { detail: Some("the webhook was registered".to_owned()), ..Seen::well() });
        }
        let teams = way.get(&["team"], &[]).await?;
        for team in rows_at(&teams, "/teams")?.iter().filter_map(|team| word_at(team, "/id")) {
            let known = way.get(&["team", &team, "webhook"], &[]).await?;
            let Some(webhook) = rows_at(&known, "/webhooks")?.iter().find(|row| row["id"] == external_id) else {
                continue;
            };
            let (status, failures) = (word_at(webhook, "/health/status"), webhook["health"]["fail_count"].as_u64());
            let failures = failures.unwrap_or_default();
            let (seen, words) = match status.as_deref() {
                None | Some("active") => return Ok(Seen::well()),
                Some("suspended") => (Status::Suspended, "ClickUp had suspended the webhook"),
                Some(_) => (Status::Failing, "ClickUp counts the webhook as failing"),
            };
            let body = json!({ "endpoint": webhook["endpoint"], "events": webhook["events"], "status": "active" });
            way.ask(Method::PUT, &["webhook", external_id], &[], Some(&body)).await?;
            return Ok(Seen::that(seen, format!("{words} after {failures} failures; it is active again")));
        }
        match own {
            Some(_) => {
                self.renew(way).await?;
                Ok(Seen::that(Status::Suspended, "the webhook was deleted at ClickUp; it is registered again"))
            }
            None => {
                Ok(Seen::that(Status::Unregistered, "ClickUp has no webhook of this id; POST …/register makes one"))
            }
        }
    }

    async fn look_at_github(&self, way: &Way<'_>) -> Result<Seen, Halt> {
        let Some((owner, name)) = way.link.external_id.split_once('/') else {
            // An app's installation: its webhook is the app's affair.
            way.get(&["user"], &[]).await?;
            return Ok(Seen::well());
        };
        let own = self.own_hook(way.tenant, way.id).await?;
        let endpoint = self.public_url().map(|url| format!("{url}/webhooks/github")).unwrap_or_default();
        let Some(hook) = self.github_hook(way, (owner, name), own.as_ref(), &endpoint).await? else {
            let row = self.store.connections().get(way.tenant, way.id).await?.row;
            if own.is_none() && !self.wants_hook(&row) {
                return Ok(Seen::that(
                    Status::Unregistered,
                    "the repository has no hook of ours; POST …/register makes one",
                ));
            }
            self.renew(way).await?;
            return Ok(match own {
                Some(_) => Seen::that(Status::Suspended, "the hook was deleted at GitHub; it is registered again"),
                None => Seen { detail: Some("the hook was registered".to_owned()), ..Seen::well() },
            });
        };
        let id = word_at(&hook, "/id").ok_or_else(|| Halt::nonsense("the hook has no id"))?;
        if hook["active"] == false {
            let one = ["repos", owner, name, "hooks", &*id];
            way.ask(Method::PATCH, &one, &[], Some(&json!({ "active": true }))).await?;
            return Ok(Seen::that(Status::Suspended, "the hook had been switched off; it is active again"));
        }
        let deliveries = ["repos", owner, name, "hooks", &*id, "deliveries"];
        let last = way.get(&deliveries, &[("per_page", "1")]).await?;
        let status = rows_at(&last, "")?.first().and_then(|last| last["status_code"].as_u64());
        Ok(match status {
            Some(status) if !(200..300).contains(&status) => {
                Seen::that(Status::Failing, format!("GitHub's last delivery was answered {status}"))
            }
            _ => Seen::well(),
        })
    }

    /// Makes the webhook that is missing.
    async fn renew(&self, way: &Way<'_>) -> Result<(), Halt> {
        self.register(way.tenant, way.id, &Wish::default()).await.map(drop)
    }

    /// Tells whoever looks after the tenant.
    pub(super) async fn alert(&self, tenant: &str, connection: &str, message: String) -> Result<(), Halt> {
        self.append_alert("connection.silent", Severity::Warning, tenant, connection, message).await
    }
}

async fn slack(way: &Way<'_>) -> Result<Seen, Halt> {
    let us = way.get(&["auth.test"], &[]).await?;
    let team = word_at(&us, "/team_id").unwrap_or_default();
    let named = way.link.external_id.as_str();
    match named.is_empty() || named == team || team.is_empty() {
        true => Ok(Seen::well()),
        false => Ok(Seen::that(Status::Failing, format!("the token belongs to the team {team}"))),
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
            let seen = Seen { status, detail: None };
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
            let (next, message) = health.next(Seen { status, detail: None }, Some(at(0)), at(1), 24 * HOUR);
            assert_eq!((message, next.alerted, next.since), (None, false, Some(at(1))));
        }
        let seen = Seen::that(Status::Unregistered, "gone");
        assert_eq!(health.next(seen.clone(), None, at(1), 24 * HOUR).1, None, "it never spoke");
        assert!(health.next(seen, Some(at(0)), at(1), 24 * HOUR).1.is_some_and(|message| message.contains("gone")));
    }
}
