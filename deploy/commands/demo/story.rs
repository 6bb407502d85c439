//! The demo's first half: a task in (fake) ClickUp becomes a thread in (fake)
//! Slack, an agent answers, people talk on both sides, and each side has all of
//! it, once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use fakes::World;
use serde_json::{Value, json};
use udfs::markup::{Ids, slack_to_plain};

use super::{
    Demo, Outcome, PATIENCE,
    agents::ANSWER,
    house::House,
    sides::{Entry, Side, Sides},
};
use crate::commands::show::{paint, plain};

/// How often the fakes are looked at: what a person takes for at once.
const LOOK_EVERY: Duration = Duration::from_millis(10);

const TITLE: &str = "The checkout fails on Safari";
const IN_SLACK: &str = "It began on Monday, with the new button.";
const IN_CLICKUP: &str = "Three customers have written to us.";

/// What has been shown so far.
pub struct Story<'a> {
    demo: &'a Demo,
    house: &'a House,
    sides: Sides,
    shown: BTreeMap<String, String>,
    assigned: usize,
    begun: Instant,
}

/// One thing there: its name, and how it is shown.
struct Seen {
    key: String,
    side: Side,
    kind: &'static str,
    who: String,
    text: String,
}

impl<'a> Story<'a> {
    /// Nothing has happened yet.
    pub fn new(demo: &'a Demo, house: &'a House) -> Story<'a> {
        let sides = Sides::new("ClickUp", "Slack");
        Story { demo, house, sides, shown: BTreeMap::new(), assigned: 0, begun: Instant::now() }
    }

    /// Tells it; what does not arrive ends the demo.
    pub async fn tell(&mut self, outcome: &mut Outcome) -> Result<()> {
        let alias = self.house.seeded.alias;
        if !self.demo.json {
            println!();
            self.sides.head();
        }
        self.begun = Instant::now();
        let task = json!({ "name": TITLE, "description": format!("{alias} please find out why") });
        let task = self.house.does("clickup/tasks", &task).await?;
        let task = task["id"].as_str().context("the fake ClickUp made no task")?.to_owned();
        let root = self.until(outcome, "the thread in Slack", |world| slack(world, TITLE)).await?;
        let thread = root["ts"].as_str().context("the thread has no ts")?.to_owned();
        let agents = self.house.seeded.agents.len();
        self.until_assigned(outcome, agents).await?;
        let channel = self.house.seeded.project.slack_channel_id;
        let reply = json!({ "text": IN_SLACK, "user": "U0BO", "threadTs": thread });
        self.house.does(&format!("slack/channels/{channel}/messages"), &reply).await?;
        self.until(outcome, "the reply at ClickUp", |world| clickup(world, IN_SLACK)).await?;
        let answer = plain_answer();
        self.until(outcome, "the agent's answer at ClickUp", |world| clickup(world, &answer)).await?;
        self.house.does(&format!("clickup/tasks/{task}/comments"), &json!({ "text": IN_CLICKUP })).await?;
        self.until(outcome, "the agent's answer in Slack", |world| slack(world, &answer)).await?;
        self.until(outcome, "the comment in Slack", |world| slack(world, IN_CLICKUP)).await?;
        let moved = |world: &World| {
            (world.clickup_tasks.get(&task)?["status"]["status"] == "in progress").then_some(Value::Null)
        };
        self.until(outcome, "the status at ClickUp", moved).await?;
        self.check()
    }

    /// Each word stands on each side once.
    fn check(&self) -> Result<()> {
        let answer = plain_answer();
        let world = self.house.world.world();
        for words in [IN_SLACK, IN_CLICKUP, &answer] {
            for (place, count) in [
                ("Slack", world.slack_messages.all().filter(|row| says_in_slack(row, words)).count()),
                ("ClickUp", world.clickup_comments.all().filter(|row| says_at_clickup(row, words)).count()),
            ] {
                if count != 1 {
                    bail!("“{words}” stands {count} times in {place}");
                }
            }
        }
        let calls = world.calls.iter().filter(|made| made.method != "GET").count();
        drop(world);
        let took = self.begun.elapsed();
        let words = format!(
            "{} both sides say the same, each word once, after {took:.1?} (Slack takes one message a second and channel)\n",
            paint("✓", "32")
        );
        self.demo.say("mirrored", json!({ "calls": calls, "tookMs": took.as_millis() as u64 }), &words);
        Ok(())
    }

    /// Shows what happens until something is there.
    async fn until(
        &mut self,
        outcome: &mut Outcome,
        what: &str,
        look: impl Fn(&World) -> Option<Value>,
    ) -> Result<Value> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.show_new();
            let found = look(&self.house.world.world());
            if let Some(found) = found {
                return Ok(found);
            }
            self.hear(outcome).await?;
        }
        bail!("{what} did not come within {PATIENCE:?}")
    }

    async fn until_assigned(&mut self, outcome: &mut Outcome, agents: usize) -> Result<()> {
        let begun = Instant::now();
        while self.assigned < agents {
            if begun.elapsed() > PATIENCE {
                bail!("{} of {agents} agents were assigned within {PATIENCE:?}", self.assigned);
            }
            self.hear(outcome).await?;
        }
        Ok(())
    }

    /// What the hub tells and publishes meanwhile.
    async fn hear(&mut self, outcome: &mut Outcome) -> Result<()> {
        tokio::select! {
            line = outcome.events.recv() => {
                let record: Value = serde_json::from_str(&line.context("the log ended")??)?;
                if self.demo.json {
                    self.demo.show_event(&record["value"], self.begun);
                }
            }
            told = outcome.agents.next() => {
                let told = told?;
                self.assigned += usize::from(told.name == "task_assigned");
                if self.demo.json || told.name == "task_assigned" {
                    self.demo.show_told(&told, self.begun);
                }
            }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        Ok(())
    }

    /// Shows what is there and was not, or was otherwise.
    fn show_new(&mut self) {
        let seen = look(&self.house.world.world());
        for seen in seen {
            if self.shown.get(&seen.key) == Some(&seen.text) {
                continue;
            }
            let took = self.begun.elapsed();
            let side = if seen.side == Side::Left { "clickup" } else { "slack" };
            let text = plain_lines(&seen.text);
            if self.demo.json {
                let fields = json!({
                    "side": side, "kind": seen.kind, "author": seen.who, "text": text,
                    "tookUs": took.as_micros() as u64,
                });
                self.demo.say("shown", fields, "");
            } else {
                let note = format!("{took:.0?}");
                self.sides.show(&Entry { side: seen.side, who: &plain(&seen.who), text: &text, note: &note });
            }
            self.shown.insert(seen.key, seen.text);
        }
    }
}

/// What stands at both.
fn look(world: &World) -> Vec<Seen> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut seen = Vec::new();
    for task in world.clickup_tasks.all() {
        let key = format!("task {}", task["id"]);
        let words = format!("{}\n{}", text(&task["name"]), text(&task["description"]));
        let who = format!("{} makes a task", text(&task["creator"]["username"]));
        seen.push(Seen { key, side: Side::Left, kind: "task", who, text: words });
        if task["status"]["status"] != "to do" {
            let key = format!("status {}", task["id"]);
            let words = format!("→ {}", text(&task["status"]["status"]));
            seen.push(Seen { key, side: Side::Left, kind: "status", who: "the task".to_owned(), text: words });
        }
    }
    for comment in world.clickup_comments.all() {
        let (key, who) = (format!("comment {}", comment["id"]), text(&comment["user"]["username"]));
        seen.push(Seen { key, side: Side::Left, kind: "comment", who, text: text(&comment["comment_text"]) });
    }
    for message in world.slack_messages.all() {
        let user = message["user"].as_str().and_then(|id| world.slack_users.get(id));
        let name = user.map_or("nexus", |user| user["real_name"].as_str().unwrap_or("nexus"));
        let who = message["username"].as_str().unwrap_or(name).to_owned();
        let words = slack_to_plain(message["text"].as_str().unwrap_or_default(), &Ids);
        seen.push(Seen {
            key: format!("message {}", message["ts"]),
            side: Side::Right,
            kind: "message",
            who,
            text: words,
        });
    }
    seen
}

/// The agent's words without their markup.
fn plain_answer() -> String {
    ANSWER.replace('*', "")
}

fn says_in_slack(row: &Value, words: &str) -> bool {
    slack_to_plain(row["text"].as_str().unwrap_or_default(), &Ids).contains(words)
}

fn says_at_clickup(row: &Value, words: &str) -> bool {
    row["comment_text"].as_str().is_some_and(|text| text.contains(words))
}

fn slack(world: &World, words: &str) -> Option<Value> {
    world.slack_messages.all().find(|row| says_in_slack(row, words)).cloned()
}

fn clickup(world: &World, words: &str) -> Option<Value> {
    world.clickup_comments.all().find(|row| says_at_clickup(row, words)).cloned()
}

/// Strangers' text, line by line, without what keeps a name in it from calling
/// anybody in Slack.
fn plain_lines(text: &str) -> String {
    let text = text.replace(['\u{200b}', '\u{2060}'], "");
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}
