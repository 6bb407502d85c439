//! Windows of event time that close as it passes: which of them a time is in,
//! which rows wait for which, and when none of a window can come any more.
//!
//! Rows are kept by panes, the pieces of time that every window holds whole or
//! not at all. The watermark is the time that is over: what comes with an
//! earlier one is late.

use std::collections::BTreeMap;

/// The windows of a query: one every `slide_ms`, each `width_ms` long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// From one start to the next, aligned to the epoch.
    pub slide_ms: i64,
    /// From start to end.
    pub width_ms: i64,
}

impl Shape {
    /// The earliest window that a time is in, if it is in any.
    pub fn first_start(&self, at_ms: i64) -> i64 {
        (at_ms - self.width_ms).div_euclid(self.slide_ms) * self.slide_ms + self.slide_ms
    }

    /// The latest window that begins at a time or before.
    pub fn last_start(&self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.slide_ms) * self.slide_ms
    }

    fn pane_ms(&self) -> i64 {
        let (mut one, mut other) = (self.slide_ms, self.width_ms);
        while other != 0 {
            (one, other) = (other, one % other);
        }
        one
    }

    /// The pane of a time.
    pub fn pane(&self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.pane_ms()) * self.pane_ms()
    }
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It waits for all of its windows.
    Kept,
    /// Some of its windows are told already: it waits for the others.
    Late,
    /// All of them are told already.
    TooLate,
    /// It is in no window that is to be told.
    Nowhere,
}

/// Rows of one pane that came together.
struct Heap<T> {
    rows: Vec<T>,
    first_offset: u64,
}

/// The windows that are open, and the rows that wait for them.
pub struct Closing<T> {
    shape: Shape,
    /// The first window that is to be told at all.
    begun_ms: i64,
    /// Windows before this one are told.
    next_ms: i64,
    panes: BTreeMap<i64, Heap<T>>,
}

impl<T> Closing<T> {
    /// From a window on.
    pub fn new(shape: Shape, first_ms: i64) -> Closing<T> {
        Closing { shape, begun_ms: first_ms, next_ms: first_ms, panes: BTreeMap::new() }
    }

    /// Windows before this one are told.
    pub fn next_ms(&self) -> i64 {
        self.next_ms
    }

    /// The oldest record that an open window still wants.
    pub fn first_offset(&self) -> Option<u64> {
        self.panes.values().map(|heap| heap.first_offset).min()
    }

    /// What becomes of a row of this time.
    pub fn fate(&self, at_ms: i64) -> Fate {
        let (first, last) = (self.shape.first_start(at_ms).max(self.begun_ms), self.shape.last_start(at_ms));
        match () {
            () if first > last => Fate::Nowhere,
            () if last < self.next_ms => Fate::TooLate,
            () if first < self.next_ms => Fate::Late,
            () => Fate::Kept,
        }
    }

    /// Keeps rows of one pane.
    pub fn keep(&mut self, pane_ms: i64, offset: u64, rows: T) {
        let heap = self.panes.entry(pane_ms).or_insert_with(|| Heap { rows: Vec::new(), first_offset: offset });
        heap.first_offset = heap.first_offset.min(offset);
        heap.rows.push(rows);
    }

    /// The next window that is over and has rows.
    pub fn over(&self, watermark_ms: i64) -> Option<i64> {
        let start = self.next_with_rows()?;
        (start.saturating_add(self.shape.width_ms) <= watermark_ms).then_some(start)
    }

    /// When the next window that has rows is over.
    pub fn next_end_ms(&self) -> Option<i64> {
        self.next_with_rows().map(|start| start.saturating_add(self.shape.width_ms))
    }

    fn next_with_rows(&self) -> Option<i64> {
        let starts = self.panes.keys().map(|pane| self.shape.first_start(*pane).max(self.next_ms));
        starts.min()
    }

    /// The rows of a window.
    pub fn rows(&self, start_ms: i64) -> impl Iterator<Item = &T> {
        self.panes.range(start_ms..start_ms.saturating_add(self.shape.width_ms)).flat_map(|(_, heap)| &heap.rows)
    }

    /// A window has been told: what waited for it alone goes.
    pub fn told(&mut self, start_ms: i64) {
        self.next_ms = self.next_ms.max(start_ms.saturating_add(self.shape.slide_ms));
        let (shape, next_ms) = (self.shape, self.next_ms);
        self.panes.retain(|pane, _| shape.last_start(*pane) >= next_ms);
    }

    /// Windows that are over without rows are told by silence.
    pub fn pass(&mut self, watermark_ms: i64) {
        // The first window that is not over.
        let open = self.shape.first_start(watermark_ms);
        if open > self.next_ms {
            self.told(open.saturating_sub(self.shape.slide_ms));
        }
    }

    /// What waits.
    pub fn waiting(&self) -> impl Iterator<Item = &T> {
        self.panes.values().flat_map(|heap| &heap.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row that came before its window was over is told in each of them,
    /// once, and no window is told twice or out of turn.
    fn tell(shape: Shape, times: &[i64], lateness_ms: i64) -> (BTreeMap<i64, Vec<i64>>, u64) {
        let mut closing = Closing::new(shape, 0);
        let (mut told, mut late, mut newest, mut last) = (BTreeMap::new(), 0, i64::MIN, i64::MIN);
        for (offset, at) in times.iter().enumerate() {
            match closing.fate(*at) {
                Fate::Kept => closing.keep(shape.pane(*at), offset as u64, *at),
                Fate::Late => {
                    late += 1;
                    closing.keep(shape.pane(*at), offset as u64, *at);
                }
                Fate::TooLate => late += 1,
                Fate::Nowhere => {}
            }
            newest = newest.max(*at);
            while let Some(start) = closing.over(newest - lateness_ms) {
                assert!(start > last, "{start} after {last}");
                last = start;
                told.insert(start, closing.rows(start).copied().collect());
                closing.told(start);
            }
            closing.pass(newest - lateness_ms);
        }
        (told, late)
    }

    #[test]
    fn a_window_is_told_when_nothing_of_it_can_come() {
        let shape = Shape { slide_ms: 10, width_ms: 10 };
        assert_eq!(tell(shape, &[1, 5, 12], 0), (BTreeMap::from([(0, vec![1, 5])]), 0));
        assert_eq!(tell(shape, &[1, 12, 5, 25], 5), (BTreeMap::from([(0, vec![1, 5]), (10, vec![12])]), 0));
        assert_eq!(tell(shape, &[1, 12, 5, 25], 0), (BTreeMap::from([(0, vec![1]), (10, vec![12])]), 1));
        assert_eq!(tell(shape, &[1, 105, 40, 200], 0).1, 1, "a window without rows is over too");
    }

    #[test]
    fn random_times_are_in_the_windows_that_hold_them() {
        let mut seed = 7u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..300 {
            let shape = Shape { slide_ms: 1 + random(12) as i64, width_ms: 1 + random(30) as i64 };
            let jitter = random(15) as i64;
            let mut times: Vec<i64> = (0..60).map(|step| step * 3 + random(15) as i64 % (jitter + 1)).collect();
            times.push(10_000);
            let (told, late) = tell(shape, &times, 15);
            assert_eq!(late, 0);
            for start in (0..180).filter(|start| start % shape.slide_ms == 0) {
                let within = |at: &&i64| (start..start + shape.width_ms).contains(*at);
                let mut expected: Vec<i64> = times.iter().filter(within).copied().collect();
                expected.sort_unstable();
                let mut found = told.get(&start).cloned().unwrap_or_default();
                found.sort_unstable();
                assert_eq!(found, expected, "{shape:?} {start}");
            }
        }
    }
}
