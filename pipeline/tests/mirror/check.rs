//! What must hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use super::providers::{Post, US_IN_CLICKUP, US_IN_SLACK, World};

/// Words are `m12v3w4`: the message, its version and their place, so that each
/// word of each version is one of its kind.
pub fn message_of(word: &str) -> Option<u64> {
    let (message, rest) = word.strip_prefix('m')?.split_once('v')?;
    let (version, place) = rest.split_once('w')?;
    version.parse::<u64>().ok()?;
    place.parse::<u64>().ok()?;
    message.parse().ok()
}

pub fn words_of(text: &str) -> impl Iterator<Item = (u64, &str)> {
    text.split_whitespace().filter_map(|word| Some((message_of(word)?, word)))
}

type Words = BTreeMap<String, usize>;

fn count<'a>(posts: impl Iterator<Item = &'a Post>, loose: &BTreeSet<u64>) -> Words {
    let mut words = Words::new();
    for post in posts.filter(|post| !post.tomb) {
        for (_, word) in words_of(&post.text).filter(|(message, _)| !loose.contains(message)) {
            *words.entry(word.to_owned()).or_default() += 1;
        }
    }
    words
}

/// Both sides of a task agree: what people wrote on one side stands once on the
/// other, and what agents said once on both. `loose`: messages of which
/// somebody deleted our copy.
pub fn sides_agree(world: &World, task: &str, agents: &Words, loose: &BTreeSet<u64>) -> Result<(), String> {
    let mut roots = world.slack.iter().filter(|(_, post)| {
        post.author == US_IN_SLACK && post.under.is_empty() && post.text.contains(&format!("Task {task}"))
    });
    let Some((root, _)) = roots.next() else { return Err(format!("{task} has no thread")) };
    if roots.next().is_some() {
        return Err(format!("{task} has two threads"));
    }
    let thread = || world.slack.values().filter(|post| post.under == *root);
    let comments = || world.clickup.values().filter(|post| post.under == task);
    let by_people_in_slack = count(thread().filter(|post| post.author != US_IN_SLACK), loose);
    let by_people_in_clickup = count(comments().filter(|post| post.mark.is_none()), loose);
    let ours_in_slack = count(thread().filter(|post| post.author == US_IN_SLACK), loose);
    let ours_in_clickup = count(comments().filter(|post| post.author == US_IN_CLICKUP && post.mark.is_some()), loose);
    let agents: Words = agents
        .iter()
        .filter(|(word, _)| message_of(word).is_some_and(|message| !loose.contains(&message)))
        .map(|(word, times)| (word.clone(), *times))
        .collect();
    for (side, ours, theirs) in
        [("Slack", ours_in_slack, by_people_in_clickup), ("ClickUp", ours_in_clickup, by_people_in_slack)]
    {
        let mut wanted = theirs;
        wanted.extend(agents.clone());
        if ours != wanted {
            let missing: Vec<_> = wanted.iter().filter(|(word, times)| ours.get(*word) != Some(times)).collect();
            let extra: Vec<_> = ours.iter().filter(|(word, times)| wanted.get(*word) != Some(times)).collect();
            return Err(format!("{task} in {side}: missing {missing:?}, instead there {extra:?}"));
        }
    }
    Ok(())
}
