//! The mirror's other half as a model: claims, calls, confirms, in order within
//! a lane; what it knows but did not write down is lost in a crash.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pipeline::event::{
    MirrorCommand, MirrorPart, MirrorPlace, MirrorRemoval, MirrorResult, MirrorStage, MirrorText, MirrorWork, Time,
};
use udfs::{hash::hex, markup::Document};

use super::{
    dice::Dice,
    providers::{Post, US_IN_CLICKUP, US_IN_SLACK, World},
};

/// A part has so many characters here, so that some messages have several.
const PART_CHARS: usize = 60;
/// A call that timed out may still land so long.
const LANDS_WITHIN_MS: u64 = 5_000;

pub struct Connector {
    /// Durable: how far each command is.
    stages: HashMap<String, MirrorStage>,
    restarted_ms: u64,
    /// Lost in a crash.
    calls: BTreeMap<String, Call>,
    /// In flight at the provider, whatever becomes of us.
    landing: Vec<(u64, MirrorCommand)>,
    /// Calls that were made.
    pub count: u64,
}

enum Call {
    /// Is made at a time.
    Due(u64),
    /// Was made; the answer comes at a time.
    Answer(u64, Box<MirrorResult>),
    /// Nobody knows; is looked up at a time.
    LookUp(u64),
}

impl Connector {
    pub fn new() -> Self {
        Connector { stages: HashMap::new(), restarted_ms: 0, calls: BTreeMap::new(), landing: Vec::new(), count: 0 }
    }

    pub fn crash(&mut self, now_ms: u64) {
        self.restarted_ms = now_ms;
        self.calls.clear();
    }

    pub fn is_idle(&self, commands: &[MirrorCommand]) -> bool {
        let is_over =
            |command: &MirrorCommand| self.stages.get(&command.id).is_some_and(|stage| *stage != MirrorStage::Claimed);
        self.landing.is_empty() && commands.iter().all(is_over)
    }

    /// What it writes to `mirror.results`.
    pub fn step(
        &mut self,
        commands: &[MirrorCommand],
        world: &mut World,
        can_look_up: bool,
        faults: u64,
        dice: &mut Dice,
    ) -> Vec<MirrorResult> {
        let now_ms = world.now_ms;
        let (landed, landing) = std::mem::take(&mut self.landing).into_iter().partition(|(at_ms, _)| *at_ms <= now_ms);
        self.landing = landing;
        for (_, command) in landed {
            perform(&command, world);
        }
        let mut results = Vec::new();
        let mut lanes = BTreeSet::new();
        for command in commands {
            let stage = self.stages.get(&command.id).copied();
            if stage.is_some_and(|stage| stage != MirrorStage::Claimed) || !lanes.insert(command.lane.clone()) {
                continue;
            }
            if stage.is_none() {
                let mut claimed = MirrorResult::of(command, MirrorStage::Claimed, Time::from_ms(now_ms));
                claimed.hashes = parts_of(&command.work).iter().map(|text| hash_of(text)).collect();
                self.stages.insert(command.id.clone(), MirrorStage::Claimed);
                self.calls.insert(command.id.clone(), Call::Due(now_ms + dice.below(1_000)));
                results.push(claimed);
                continue;
            }
            // A claim that nobody works on is one from before a crash.
            let look_up = Call::LookUp(self.restarted_ms + 2 * LANDS_WITHIN_MS);
            let call = self.calls.remove(&command.id).unwrap_or(look_up);
            let next = self.go_on(command, call, world, can_look_up, faults, dice);
            match next {
                Ok(call) => {
                    self.calls.insert(command.id.clone(), call);
                }
                Err(result) => {
                    self.stages.insert(command.id.clone(), result.stage);
                    results.push(*result);
                }
            }
        }
        results
    }

    fn go_on(
        &mut self,
        command: &MirrorCommand,
        call: Call,
        world: &mut World,
        can_look_up: bool,
        faults: u64,
        dice: &mut Dice,
    ) -> Result<Call, Box<MirrorResult>> {
        let now_ms = world.now_ms;
        match call {
            Call::Due(at_ms) | Call::Answer(at_ms, _) | Call::LookUp(at_ms) if at_ms > now_ms => Ok(call),
            Call::Answer(_, result) => Err(result),
            Call::Due(_) => {
                self.count += 1;
                if dice.percent(faults) {
                    // Refused without having done anything: again later.
                    return Ok(Call::Due(now_ms + 500 + dice.below(2_000)));
                }
                if dice.percent(faults) {
                    if dice.percent(60) {
                        let lands_ms = now_ms + dice.below(LANDS_WITHIN_MS);
                        self.landing.push((lands_ms, command.clone()));
                    }
                    return Ok(Call::LookUp(now_ms + 2 * LANDS_WITHIN_MS));
                }
                let result = perform(command, world);
                Ok(Call::Answer(now_ms + dice.below(3_000), Box::new(result)))
            }
            Call::LookUp(_) => match found(command, world, can_look_up) {
                Some(result) => Err(Box::new(result)),
                None if can_look_up || !is_post(command) => Ok(Call::Due(now_ms)),
                None => Err(Box::new(MirrorResult::of(command, MirrorStage::Uncertain, Time::from_ms(now_ms)))),
            },
        }
    }
}

fn is_post(command: &MirrorCommand) -> bool {
    matches!(command.work, MirrorWork::Post { .. })
}

/// What a lookup by our mark finds.
fn found(command: &MirrorCommand, world: &World, can_look_up: bool) -> Option<MirrorResult> {
    let (place, count) = match &command.work {
        MirrorWork::Post { place, .. } => (place, parts_of(&command.work).len()),
        _ => return None,
    };
    let is_it = |post: &Post| post.mark.as_ref().is_some_and(|(id, _)| *id == command.id);
    let ids: Vec<String> = match place {
        MirrorPlace::Slack { .. } => {
            world.slack.iter().filter(|(_, post)| is_it(post)).map(|(ts, _)| ts.clone()).collect()
        }
        _ => world.clickup.iter().filter(|(_, post)| is_it(post)).map(|(id, _)| id.to_string()).collect(),
    };
    (can_look_up && ids.len() >= count).then(|| {
        let mut result = MirrorResult::of(command, MirrorStage::Done, Time::from_ms(world.now_ms));
        result.parts = ids.into_iter().map(|id| MirrorPart { id, hash: None }).collect();
        if let MirrorPlace::Slack { thread_ts: None, .. } = place {
            result.thread_ts = result.parts.first().map(|part| part.id.clone());
        }
        result
    })
}

fn words(text: &MirrorText) -> String {
    if text.plain { text.markdown.clone() } else { Document::from_markdown(&text.markdown).to_plain() }
}

/// The parts of what is to be said, as they stand there.
pub fn parts_of(work: &MirrorWork) -> Vec<String> {
    let (place, text, author) = match work {
        MirrorWork::Post { place, text, author } | MirrorWork::Edit { place, text, author, .. } => {
            (place, text, author)
        }
        _ => return Vec::new(),
    };
    let by = author.as_ref().and_then(|author| author.name.as_deref().or(author.external_id.as_deref()));
    let said = match (place, by) {
        (MirrorPlace::Clickup { .. }, Some(by)) => format!("{by}: {}", words(text)),
        _ => words(text),
    };
    let mut parts: Vec<String> = vec![String::new()];
    for word in said.split_whitespace() {
        match parts.last_mut() {
            Some(part) if part.is_empty() => part.push_str(word),
            Some(part) if part.len() + word.len() < PART_CHARS => {
                part.push(' ');
                part.push_str(word);
            }
            _ => parts.push(word.to_owned()),
        }
    }
    parts
}

fn hash_of(text: &str) -> String {
    hex(Document::from_plain(text).content_hash())
}

/// Does it, whole, and says what stands there then.
fn perform(command: &MirrorCommand, world: &mut World) -> MirrorResult {
    let mut result = MirrorResult::of(command, MirrorStage::Done, Time::from_ms(world.now_ms));
    let texts = parts_of(&command.work);
    let refused = || MirrorResult {
        code: Some("not_found".to_owned()),
        ..MirrorResult::of(command, MirrorStage::Failed, Time::from_ms(0))
    };
    match &command.work {
        MirrorWork::Post { place, .. } => {
            for (index, text) in texts.iter().enumerate() {
                result.parts.push(say(place, text, &command.id, index + 1, world));
            }
            if let MirrorPlace::Slack { thread_ts: None, .. } = place {
                result.thread_ts = result.parts.first().map(|part| part.id.clone());
            }
        }
        MirrorWork::Edit { place, parts, .. } => {
            for (index, part) in parts.iter().enumerate() {
                match texts.get(index) {
                    Some(text) if write(place, &part.id, text, false, world) => {
                        result.parts.push(MirrorPart { id: part.id.clone(), hash: Some(hash_of(text)) });
                    }
                    Some(_) => return refused(),
                    // Nothing is left for it.
                    None => remove(place, &part.id, world),
                }
            }
            let marked = |post: &Post, part: usize| post.mark == Some((command.id.clone(), part));
            for (index, text) in texts.iter().enumerate().skip(parts.len()) {
                // Done before a crash, perhaps.
                let there = match place {
                    MirrorPlace::Slack { .. } => {
                        world.slack.iter().find(|(_, post)| marked(post, index + 1)).map(|(ts, _)| ts.clone())
                    }
                    _ => world.clickup.iter().find(|(_, post)| marked(post, index + 1)).map(|(id, _)| id.to_string()),
                };
                result.parts.push(match there {
                    Some(id) => MirrorPart { id, hash: Some(hash_of(text)) },
                    None => say(place, text, &command.id, index + 1, world),
                });
            }
        }
        MirrorWork::Retract { place, parts, how, .. } => {
            for part in parts {
                match how {
                    MirrorRemoval::Delete => remove(place, &part.id, world),
                    MirrorRemoval::Tombstone if write(place, &part.id, "This message was deleted.", true, world) => {}
                    MirrorRemoval::Tombstone => return refused(),
                }
            }
            result.parts.clone_from(parts);
        }
        MirrorWork::SetStatus { place: MirrorPlace::Clickup { task_id }, status, .. } => {
            world.clickup_status(task_id, status.as_deref().unwrap_or("custom"), US_IN_CLICKUP);
            result.status.clone_from(status);
        }
        _ => {}
    }
    result
}

fn say(place: &MirrorPlace, text: &str, mark: &str, part: usize, world: &mut World) -> MirrorPart {
    let mark = Some((mark.to_owned(), part));
    let post = |author: &str, under: &str| Post {
        author: author.to_owned(),
        text: text.to_owned(),
        mark: mark.clone(),
        under: under.to_owned(),
        tomb: false,
    };
    let id = match place {
        MirrorPlace::Slack { thread_ts, .. } => {
            world.slack_post(post(US_IN_SLACK, thread_ts.as_deref().unwrap_or_default()))
        }
        MirrorPlace::Clickup { task_id } => world.clickup_post(post(US_IN_CLICKUP, task_id)).to_string(),
        other => panic!("nobody is at {other:?}"),
    };
    MirrorPart { id, hash: Some(hash_of(text)) }
}

fn write(place: &MirrorPlace, id: &str, text: &str, tomb: bool, world: &mut World) -> bool {
    match place {
        MirrorPlace::Slack { .. } => world.slack_edit(id, text, tomb),
        _ => world.clickup_edit(id.parse().expect("a number"), text, tomb, US_IN_CLICKUP),
    }
}

fn remove(place: &MirrorPlace, id: &str, world: &mut World) {
    match place {
        MirrorPlace::Slack { .. } => world.slack_delete(id),
        _ => world.clickup_delete(id.parse().expect("a number"), false),
    };
}
