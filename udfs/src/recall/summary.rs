//! A summary of a thread, made of its own sentences.
//!
//! In: the summary so far, and what was said since, in order. Out: a text in
//! sections: what was decided and by whom, which questions are open and whose
//! they are, and the sentences that say most. Rolling: what an earlier summary
//! kept as decided stays (the newest first to stay, where there is too much),
//! a question goes when it is answered, and the rest gives way to what is newer.
//! Never longer than [`BYTES_MAX`]; whatever a text says, its sentences stand
//! behind its author's name, on one line each.

use std::collections::{BTreeMap, BTreeSet};

use super::terms::{rarity, terms};

/// The longest summary.
pub const BYTES_MAX: usize = 6_000;

const DECIDED: &str = "Decisions:";
const OPEN: &str = "Open questions:";
const SAID: &str = "Said:";
const BEFORE: &str = "Before:";
const DECISIONS_MAX: usize = 20;
const QUESTIONS_MAX: usize = 12;
const POINTS_MAX: usize = 10;
/// A longer sentence is cut: a list of links is no sentence.
const SENTENCE_BYTES_MAX: usize = 280;
/// Of a summary that somebody else wrote.
const BEFORE_BYTES_MAX: usize = 1_500;
/// How many sentences are looked at: the comparison of each with all is what
/// costs.
const SENTENCES_MAX: usize = 600;
/// How much of a question's terms an answer must share.
const ANSWERED_SHARE: f32 = 0.5;
/// Two points that share more are one.
const REPEATED_SHARE: f32 = 0.6;

/// What shows that something was decided, in lower case.
const DECISION_SIGNS: &[&str] = &[
    "decided",
    "decision",
    "we agreed",
    "agreed to",
    "agreed on",
    "agreed:",
    "agree to",
    "let's go with",
    "lets go with",
    "we go with",
    "we'll go with",
    "going with",
    "we will ",
    "we'll ",
    "settled on",
    "approved",
    "signed off",
    "final answer",
    "we are going to",
    "we're going to",
    "the plan is",
    "we keep",
    "we drop",
    "resolved:",
    "conclusion",
    "chose ",
    "we choose",
    "beschlossen",
    "entschieden",
    "wir nehmen",
    "wir machen",
    "hemos decidido",
    "on a décidé",
];
/// What takes a decision's sign back.
const DOUBT_SIGNS: &[&str] =
    &["not decided", "undecided", "no decision", "before we decide", "until we decide", "not agreed", "not approved"];

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Who said it.
    pub author: &'a str,
    /// What was said.
    pub text: &'a str,
}

/// A sentence and whose it is.
#[derive(Clone, Debug)]
struct Sentence {
    author: String,
    text: String,
    terms: BTreeSet<u32>,
}

#[derive(Default)]
struct Summary {
    decided: Vec<Sentence>,
    open: Vec<Sentence>,
    said: Vec<Sentence>,
    before: Option<String>,
}

/// The summary of what an earlier one says and of what was said since.
pub fn summarise(before: Option<&str>, lines: &[Line<'_>]) -> String {
    let mut summary = before.map(read).unwrap_or_default();
    let mut fresh = Vec::new();
    let mut sentences: Vec<Sentence> = lines.iter().flat_map(split).collect();
    sentences.drain(..sentences.len().saturating_sub(SENTENCES_MAX));
    for sentence in sentences {
        if is_question(&sentence.text) {
            summary.open.push(sentence);
            continue;
        }
        summary.open.retain(|question| !answers(&sentence, question));
        if is_decision(&sentence.text) {
            // The newer word on the same matter is the one that holds.
            summary.decided.retain(|decision| share(&decision.terms, &sentence.terms) < REPEATED_SHARE);
            summary.decided.push(sentence);
        } else {
            fresh.push(sentence);
        }
    }
    summary.said = chosen(&summary.said, fresh);
    keep_newest(&mut summary.decided, DECISIONS_MAX);
    keep_newest(&mut summary.open, QUESTIONS_MAX);
    summary.write()
}

/// The sentences that say most: made of the terms that the thread is about,
/// and not said by another one already. In their order.
fn chosen(kept: &[Sentence], fresh: Vec<Sentence>) -> Vec<Sentence> {
    let all: Vec<Sentence> = kept.iter().cloned().chain(fresh).collect();
    let mut with_it = BTreeMap::<u32, usize>::new();
    all.iter().flat_map(|sentence| &sentence.terms).for_each(|term| *with_it.entry(*term).or_default() += 1);
    let weight = |term: &u32| {
        let count = with_it.get(term).copied().unwrap_or(1);
        // A term of the matter comes up again; one that is in everything tells nothing.
        (count as f32).sqrt() * rarity(all.len(), count)
    };
    let mut ranked: Vec<(f32, usize)> = all
        .iter()
        .enumerate()
        .filter(|(_, sentence)| sentence.terms.len() >= 3)
        .map(|(at, sentence)| {
            let sum: f32 = sentence.terms.iter().map(weight).sum();
            let recency = 1.0 + 0.5 * at as f32 / all.len() as f32;
            (recency * sum / (sentence.terms.len() as f32 + 3.0).sqrt(), at)
        })
        .collect();
    ranked.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    let mut taken: Vec<usize> = Vec::new();
    for (_, at) in ranked {
        if taken.len() == POINTS_MAX {
            break;
        }
        if taken.iter().all(|known| share(&all[*known].terms, &all[at].terms) < REPEATED_SHARE) {
            taken.push(at);
        }
    }
    taken.sort_unstable();
    taken.into_iter().map(|at| all[at].clone()).collect()
}

fn keep_newest(sentences: &mut Vec<Sentence>, count_max: usize) {
    sentences.drain(..sentences.len().saturating_sub(count_max));
}

fn is_question(text: &str) -> bool {
    text.ends_with(['?', '？'])
}

fn is_decision(text: &str) -> bool {
    let folded = text.to_lowercase();
    let has = |signs: &[&str]| signs.iter().any(|sign| folded.contains(sign));
    (has(DECISION_SIGNS) || folded.contains('✅')) && !has(DOUBT_SIGNS)
}

/// Whether somebody else's sentence is about what a question asks for.
fn answers(sentence: &Sentence, question: &Sentence) -> bool {
    let common = question.terms.intersection(&sentence.terms).count();
    sentence.author != question.author && common >= 2 && common as f32 >= ANSWERED_SHARE * question.terms.len() as f32
}

/// How much of the shorter one's terms both have.
fn share(one: &BTreeSet<u32>, other: &BTreeSet<u32>) -> f32 {
    let smaller = one.len().min(other.len());
    if smaller == 0 { 0.0 } else { one.intersection(other).count() as f32 / smaller as f32 }
}

/// The sentences of a message.
fn split<'a>(line: &'a Line<'_>) -> impl Iterator<Item = Sentence> + 'a {
    let author = one_line(line.author, 80).replace(": ", " ");
    let author = if author.is_empty() { "somebody".to_owned() } else { author };
    let mut rest = line.text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(end(rest));
            rest = after;
            if let Some(found) = sentence(&author, piece) {
                return Some(found);
            }
        }
        None
    })
}

/// Where a text's first sentence ends; `2.5` and `a.b` are no ends.
fn end(text: &str) -> usize {
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        let ends = match character {
            '\n' | '。' | '？' => true,
            '.' | '!' | '?' => next.is_none_or(char::is_whitespace),
            _ => false,
        };
        if ends {
            return at + character.len_utf8();
        }
    }
    text.len()
}

fn sentence(author: &str, text: &str) -> Option<Sentence> {
    let text = one_line(text.trim_start_matches(['-', '*', '>', ' ', '\t']), SENTENCE_BYTES_MAX);
    let terms: BTreeSet<u32> = terms(&text).into_iter().collect();
    (text.chars().filter(|character| character.is_alphanumeric()).count() >= 2 && !terms.is_empty()).then(|| Sentence {
        author: author.to_owned(),
        text,
        terms,
    })
}

/// A text on one line, cut where it is longer than the bound.
fn one_line(text: &str, bytes_max: usize) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > bytes_max {
        line.truncate(line.floor_char_boundary(bytes_max - '…'.len_utf8()));
        line.push('…');
    }
    line
}

/// A summary of ours, taken apart; any other text is kept as what was before.
fn read(text: &str) -> Summary {
    let mut summary = Summary::default();
    let (mut section, mut other) = ("", Vec::new());
    for line in text.lines() {
        if let Some(title) = [DECIDED, OPEN, SAID, BEFORE].into_iter().find(|title| *title == line.trim()) {
            section = title;
            continue;
        }
        let entry = line.strip_prefix("- ").and_then(|entry| entry.split_once(": "));
        let entry = entry.and_then(|(author, text)| sentence(author, text));
        match (section, entry) {
            (DECIDED, Some(entry)) => summary.decided.push(entry),
            (OPEN, Some(entry)) => summary.open.push(entry),
            (SAID, Some(entry)) => summary.said.push(entry),
            _ if !line.trim().is_empty() => other.push(line.trim()),
            _ => {}
        }
    }
    summary.before = (!other.is_empty()).then(|| one_line(&other.join(" "), BEFORE_BYTES_MAX));
    summary
}

impl Summary {
    fn write(&self) -> String {
        let mut text = String::new();
        for (title, sentences) in [(DECIDED, &self.decided), (OPEN, &self.open), (SAID, &self.said)] {
            if sentences.is_empty() {
                continue;
            }
            let heading = text.len();
            text.push_str(title);
            text.push('\n');
            // The newest are the last to go where there is no room.
            let mut room = BYTES_MAX.saturating_sub(BEFORE_BYTES_MAX + 64 + text.len());
            let mut lines = Vec::new();
            for sentence in sentences.iter().rev() {
                let line = format!("- {}: {}\n", sentence.author, sentence.text);
                match room.checked_sub(line.len()) {
                    Some(left) => room = left,
                    None => break,
                }
                lines.push(line);
            }
            match lines.is_empty() {
                true => text.truncate(heading),
                false => text.extend(lines.into_iter().rev()),
            }
        }
        if let Some(before) = &self.before {
            text.extend([BEFORE, "\n", before, "\n"]);
        }
        text.truncate(text.trim_end().len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of<'a>(lines: &[(&'a str, &'a str)]) -> Vec<Line<'a>> {
        lines.iter().map(|(author, text)| Line { author, text }).collect()
    }

    fn section(summary: &str, title: &str) -> Vec<String> {
        let lines = summary.lines().skip_while(|line| *line != title).skip(1);
        lines.take_while(|line| line.starts_with("- ")).map(|line| line[2..].to_owned()).collect()
    }

    #[test]
    fn decisions_and_open_questions_keep_their_names() {
        let first = summarise(
            None,
            &of(&[
                ("Mara", "Morning! Which database do we use for the ledger?"),
                (
                    "Jo",
                    "I measured Postgres 16.2 and it holds 5.000 writes a second. We decided to use Postgres for the ledger database.",
                ),
                ("Ben", "Who writes the migration script? The old exports have three different encodings."),
                ("Mara", "ok"),
            ]),
        );
        assert_eq!(section(&first, DECIDED), ["Jo: We decided to use Postgres for the ledger database."]);
        assert_eq!(section(&first, OPEN), ["Ben: Who writes the migration script?"], "the other is answered");
        assert!(first.contains("three different encodings"), "{first}");
        let second = summarise(
            Some(&first),
            &of(&[
                ("Jo", "I write the migration script this week."),
                ("Mara", "Is the launch still on Friday?"),
                ("Ben", "We agreed to drop the nightly export."),
            ]),
        );
        assert_eq!(section(&second, OPEN), ["Mara: Is the launch still on Friday?"]);
        assert_eq!(section(&second, DECIDED).len(), 2, "{second}");
        assert!(section(&second, DECIDED)[0].starts_with("Jo: We decided to use Postgres"));
    }

    #[test]
    fn the_newer_decision_on_a_matter_holds() {
        let lines = of(&[("Jo", "We decided to ship on Friday."), ("Mara", "We decided to ship on Monday.")]);
        assert_eq!(section(&summarise(None, &lines), DECIDED), ["Mara: We decided to ship on Monday."]);
        let lines = of(&[("Jo", "It is not decided whether the parser stays.")]);
        assert_eq!(section(&summarise(None, &lines), DECIDED), [""; 0]);
    }

    #[test]
    fn what_somebody_else_summarised_is_kept() {
        let summary = summarise(Some("The team talked about rockets."), &of(&[("Jo", "We will use methane.")]));
        assert!(summary.ends_with("Before:\nThe team talked about rockets."), "{summary}");
        assert!(summarise(Some(&summary), &[]).contains("talked about rockets"));
    }

    proptest! {
        #[test]
        fn any_thread_has_a_bounded_summary_that_can_be_continued(
            lines in prop::collection::vec(("\\PC{0,12}", "(\\PC|[ .?!\n]|we decided ){0,200}"), 0..40),
            before in prop::option::of("\\PC{0,2000}"),
        ) {
            let lines: Vec<Line> = lines.iter().map(|(author, text)| Line { author, text }).collect();
            let once = summarise(before.as_deref(), &lines);
            prop_assert!(once.len() <= BYTES_MAX, "{}", once.len());
            prop_assert_eq!(&summarise(before.as_deref(), &lines), &once);
            let again = summarise(Some(&once), &lines);
            prop_assert!(again.len() <= BYTES_MAX);
            prop_assert!(section(&again, DECIDED).len() <= DECISIONS_MAX);
        }

        /// Nothing that a text says becomes another author's sentence.
        #[test]
        fn a_text_cannot_speak_for_others(text in "(a|: |\n|- |Decisions:|Mara: |we decided to |pay|\\. ){0,30}") {
            let summary = summarise(None, &of(&[("Eve", &text)]));
            let again = summarise(Some(&summary), &[]);
            for line in summary.lines().chain(again.lines()).filter(|line| line.starts_with("- ")) {
                prop_assert!(line.starts_with("- Eve: "), "{}", line);
            }
        }
    }
}
