//! One project's pieces in memory: vectors in one byte a dimension, an index of
//! their terms, and what filters look at. Searched exactly and filter first.
//!
//! A hundred thousand pieces of 384 dimensions are about 60 MB. What is replaced
//! is only marked as gone; when half of the rows are, the project is read anew.

use std::{cmp::Reverse, collections::BinaryHeap};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use hashbrown::HashMap;
use udfs::{
    hash::from_hex,
    recall::terms::{rarity, weights},
};

use super::super::{Ask, Filter, depth};
use store::Changed;

/// A vector as it is kept: one byte a dimension, and what a step of it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    step: f32,
    codes: Vec<i8>,
}

impl Codes {
    /// The nearest of a vector.
    pub fn of(vector: &[f32]) -> Codes {
        let largest = vector.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let step = if largest > 0.0 && largest.is_finite() { largest / 127.0 } else { 1.0 };
        let codes = vector.iter().map(|value| (value / step).round().clamp(-127.0, 127.0) as i8).collect();
        Codes { step, codes }
    }

    /// As text.
    pub fn written(&self) -> String {
        let mut bytes = self.step.to_le_bytes().to_vec();
        bytes.extend(self.codes.iter().map(|code| code.to_le_bytes()[0]));
        BASE64.encode(bytes)
    }

    /// From text.
    pub fn read(text: &str) -> Option<Codes> {
        let bytes = BASE64.decode(text).ok()?;
        let (step, codes) = bytes.split_first_chunk::<4>()?;
        Some(Codes { step: f32::from_le_bytes(*step), codes: codes.iter().map(|byte| *byte as i8).collect() })
    }
}

/// The product of two rows of codes. Products fit 16 bits and are added in 32,
/// which is what processors do eight or sixteen at a time.
fn product(one: &[i8], other: &[i8]) -> i32 {
    one.iter().zip(other).map(|(one, other)| i32::from(*one) * i32::from(*other)).sum()
}

#[derive(Clone, Copy)]
struct Facets {
    at_ms: i64,
    task: u32,
    thread: u32,
    author: u32,
    kind: u8,
}

/// See the module.
#[derive(Default)]
pub struct Rows {
    dimensions: usize,
    codes: Vec<i8>,
    steps: Vec<f32>,
    ids: Vec<u128>,
    texts: Vec<u128>,
    facets: Vec<Facets>,
    gone: Vec<bool>,
    gone_count: usize,
    by_id: HashMap<u128, u32>,
    /// For each term the rows that have it, and what it weighs there.
    words: HashMap<u32, Vec<(u32, f32)>>,
    words_count: usize,
    names: HashMap<Box<str>, u32>,
}

/// No name: what has none is found by none.
const NAMELESS: u32 = 0;

/// A piece's id, and how near it is.
pub type Near = (u128, f32);

/// A score that can be ordered; among equals the lower id is the better.
#[derive(PartialEq)]
struct Scored(f32, u128, u32);

impl Eq for Scored {}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0).then_with(|| other.1.cmp(&self.1))
    }
}

/// A filter in the words of these rows.
struct Wanted {
    from_ms: i64,
    to_ms: i64,
    task: Option<u32>,
    thread: Option<u32>,
    author: Option<u32>,
    kinds: Option<u8>,
}

impl Rows {
    /// Empty, for vectors of this length.
    pub fn new(dimensions: usize) -> Rows {
        Rows { dimensions, ..Rows::default() }
    }

    /// Takes up a change.
    pub fn apply(&mut self, changed: &Changed) {
        let Some(id) = from_hex(&changed.id) else { return };
        if let Some(row) = self.by_id.remove(&id) {
            self.gone[row as usize] = true;
            self.gone_count += 1;
        }
        if changed.is_gone {
            return;
        }
        let Some(codes) = Codes::read(&changed.codes).filter(|codes| codes.codes.len() == self.dimensions) else {
            return;
        };
        let Ok(row) = u32::try_from(self.ids.len()) else { return };
        self.codes.extend_from_slice(&codes.codes);
        self.steps.push(codes.step);
        self.ids.push(id);
        self.texts.push(udfs::hash::Parts::new().add(&changed.text_id).finish());
        self.gone.push(false);
        self.by_id.insert(id, row);
        let facets = Facets {
            at_ms: changed.at_ms,
            task: self.named("task", changed.task_id.as_deref()),
            thread: self.named("thread", changed.thread_ts.as_deref()),
            author: self.named("author", changed.author.as_deref().map(str::to_lowercase).as_deref()),
            kind: changed.kind as u8,
        };
        self.facets.push(facets);
        for (term, weight) in weights(&changed.text) {
            self.words.entry(term).or_default().push((row, weight));
            self.words_count += 1;
        }
    }

    fn named(&mut self, kind: &str, name: Option<&str>) -> u32 {
        let Some(name) = name else { return NAMELESS };
        let next = self.names.len() as u32 + 1;
        *self.names.entry([kind, "/", name].concat().into()).or_insert(next)
    }

    /// Whether so much is gone that reading anew pays.
    pub fn is_worn(&self) -> bool {
        self.gone_count > 1_000 && self.gone_count * 2 > self.ids.len()
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let row = self.dimensions + 4 + 16 + 16 + size_of::<Facets>() + 1 + 28;
        self.ids.len() * row + self.words_count * 9 + self.words.len() * 48 + self.names.len() * 64
    }

    /// How many rows are there.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The pieces that are nearest and those that have the words, the best
    /// first.
    pub fn candidates(&self, ask: &Ask) -> (Vec<Near>, Vec<Near>) {
        let Some(wanted) = self.wanted(&ask.filter) else { return Default::default() };
        let depth = depth(ask.limit);
        let near = ask.vector.as_deref().map(|vector| self.nearest(vector, &wanted, depth)).unwrap_or_default();
        (near, self.matching(&ask.terms, &wanted, depth))
    }

    /// The text that a piece belongs to.
    pub fn text_of(&self, id: u128) -> Option<u128> {
        self.by_id.get(&id).map(|row| self.texts[*row as usize])
    }

    /// A filter that names what no row has finds nothing.
    fn wanted(&self, filter: &Filter) -> Option<Wanted> {
        let named = |kind: &str, name: Option<&str>| match name {
            None => Some(None),
            Some(name) => self.names.get(&*[kind, "/", name].concat()).map(|name| Some(*name)),
        };
        let kinds = filter.kinds.iter().fold(0, |kinds, kind| kinds | 1 << (*kind as u8));
        Some(Wanted {
            from_ms: filter.from.map_or(i64::MIN, |from| from.0),
            to_ms: filter.to.map_or(i64::MAX, |to| to.0),
            task: named("task", filter.task_id.as_deref())?,
            thread: named("thread", filter.thread_ts.as_deref())?,
            author: named("author", filter.author.as_deref().map(str::to_lowercase).as_deref())?,
            kinds: (kinds != 0).then_some(kinds),
        })
    }

    fn fits(&self, row: usize, wanted: &Wanted) -> bool {
        let facets = &self.facets[row];
        !self.gone[row]
            && (wanted.from_ms..=wanted.to_ms).contains(&facets.at_ms)
            && wanted.task.is_none_or(|task| task == facets.task)
            && wanted.thread.is_none_or(|thread| thread == facets.thread)
            && wanted.author.is_none_or(|author| author == facets.author)
            && wanted.kinds.is_none_or(|kinds| kinds & 1 << facets.kind != 0)
    }

    fn nearest(&self, vector: &[f32], wanted: &Wanted, depth: usize) -> Vec<Near> {
        if vector.len() != self.dimensions || self.dimensions == 0 {
            return Vec::new();
        }
        let asked = Codes::of(vector);
        let mut best = BinaryHeap::with_capacity(depth + 1);
        for (row, codes) in self.codes.chunks_exact(self.dimensions).enumerate() {
            if self.fits(row, wanted) {
                let score = product(codes, &asked.codes) as f32 * self.steps[row] * asked.step;
                keep(&mut best, Scored(score, self.ids[row], row as u32), depth);
            }
        }
        // What points away has nothing to do with it.
        drained(best).into_iter().filter(|(_, score)| *score > 0.0).collect()
    }

    fn matching(&self, terms: &[u32], wanted: &Wanted, depth: usize) -> Vec<Near> {
        // A word that is everywhere is in every row: a place for each is faster
        // than looking them up, and small beside the vectors.
        let mut scores = vec![0.0_f32; self.ids.len()];
        let mut found = Vec::new();
        let terms: std::collections::BTreeSet<u32> = terms.iter().copied().collect();
        for term in terms {
            let Some(rows) = self.words.get(&term) else { continue };
            let rarity = rarity(self.len(), rows.len().min(self.len()));
            for (row, weight) in rows.iter().filter(|(row, _)| self.fits(*row as usize, wanted)) {
                let score = &mut scores[*row as usize];
                if *score == 0.0 {
                    found.push(*row);
                }
                *score += (rarity * weight).max(f32::MIN_POSITIVE);
            }
        }
        let mut best = BinaryHeap::with_capacity(depth + 1);
        for row in found {
            keep(&mut best, Scored(scores[row as usize], self.ids[row as usize], row), depth);
        }
        drained(best)
    }
}

fn keep(best: &mut BinaryHeap<Reverse<Scored>>, scored: Scored, depth: usize) {
    if best.len() < depth {
        best.push(Reverse(scored));
    } else if best.peek().is_some_and(|worst| worst.0 < scored) {
        best.pop();
        best.push(Reverse(scored));
    }
}

fn drained(best: BinaryHeap<Reverse<Scored>>) -> Vec<Near> {
    best.into_sorted_vec().into_iter().map(|Reverse(Scored(score, id, _))| (id, score)).collect()
}

#[cfg(test)]
mod tests {
    use pipeline::event::{TextKind, Time};
    use proptest::prelude::*;
    use udfs::{
        hash::hex,
        recall::{ngrams, terms::terms},
    };

    use super::*;

    fn changed(id: u128, text: &str, author: &str, at_ms: i64) -> Changed {
        Changed {
            id: hex(id),
            change: 1,
            is_gone: false,
            text_id: format!("t{id}"),
            kind: TextKind::Message,
            task_id: None,
            thread_ts: Some(format!("{}", id % 3)),
            author: Some(author.to_owned()),
            at_ms,
            codes: Codes::of(&ngrams::embed(text)).written(),
            text: text.to_owned(),
        }
    }

    fn ask(text: &str, filter: Filter) -> Ask {
        Ask { vector: Some(ngrams::embed(text)), terms: terms(text), share: 0.5, filter, limit: 5 }
    }

    #[test]
    fn what_is_replaced_or_gone_is_not_found() {
        let mut rows = Rows::new(ngrams::DIMENSIONS);
        rows.apply(&changed(1, "the rocket is ready", "Mara", 10));
        rows.apply(&changed(2, "the invoice is late", "Jo", 20));
        let first =
            |rows: &Rows, text: &str| rows.candidates(&ask(text, Filter::default())).1.first().map(|(id, _)| *id);
        assert_eq!(first(&rows, "rocket"), Some(1));
        rows.apply(&changed(1, "the satellite is ready", "Mara", 10));
        assert_eq!((first(&rows, "rocket"), first(&rows, "satellite"), rows.len()), (None, Some(1), 2));
        rows.apply(&Changed { is_gone: true, ..changed(1, "", "Mara", 10) });
        assert_eq!((first(&rows, "satellite"), rows.len()), (None, 1));
    }

    proptest! {
        /// The best of a search are those that a look at all of them finds, and
        /// nothing that the filter excludes is among them.
        #[test]
        fn search_is_exact_and_filters_first(
            texts in prop::collection::vec(("[a-e]{1,3}( [a-e]{1,3}){0,5}", 0..3usize, 0..100i64), 1..60),
            query in "[a-e]{1,3}( [a-e]{1,3}){0,2}",
            from in 0..100i64, author in prop::option::of(0..3usize),
        ) {
            let names = ["Mara", "Jo", "Ben"];
            let mut rows = Rows::new(ngrams::DIMENSIONS);
            for (id, (text, author, at_ms)) in texts.iter().enumerate() {
                rows.apply(&changed(id as u128, text, names[*author], *at_ms));
            }
            let filter = Filter {
                from: Some(Time(from)), author: author.map(|author| names[author].to_uppercase()), ..Filter::default()
            };
            let (near, words) = rows.candidates(&ask(&query, filter));
            let fits = |id: &u128| {
                let (_, by, at_ms) = &texts[*id as usize];
                *at_ms >= from && author.is_none_or(|author| author == *by)
            };
            prop_assert!(near.iter().chain(&words).all(|(id, _)| fits(id)));
            let asked = ngrams::embed(&query);
            let score = |id: u128| -> f32 {
                ngrams::embed(&texts[id as usize].0).iter().zip(&asked).map(|(one, other)| one * other).sum()
            };
            for (id, kept) in &near {
                prop_assert!((kept - score(*id)).abs() < 0.02, "{} {}", kept, score(*id));
            }
            let fitting = (0..texts.len() as u128).filter(|id| fits(id) && score(*id) > 0.02).count();
            prop_assert!(near.len() >= fitting.min(depth(5)));
            let wanted = terms(&query);
            let with_words = (0..texts.len() as u128)
                .filter(|id| fits(id) && terms(&texts[*id as usize].0).iter().any(|term| wanted.contains(term)))
                .count();
            prop_assert_eq!(words.len(), with_words.min(depth(5)));
        }
    }
}
