//! Two rankings of the same things become one.
//!
//! Each side's scores are laid between nothing and its best, so that neither's
//! scale matters, and are added by share. What only one side found counts for
//! what that side says.

use std::{cmp::Ordering, collections::BTreeMap};

/// The things of both rankings, the best first, with scores from 0 to 1.
/// `share` is how much the first ranking counts, from 0 to 1.
pub fn fuse<Id: Ord + Clone>(first: &[(Id, f32)], second: &[(Id, f32)], share: f32) -> Vec<(Id, f32)> {
    let share = match (first.is_empty(), second.is_empty()) {
        (true, _) => 0.0,
        (_, true) => 1.0,
        _ => share.clamp(0.0, 1.0),
    };
    let mut scores = BTreeMap::<Id, f32>::new();
    for (ranking, share) in [(first, share), (second, 1.0 - share)] {
        let best = ranking.iter().map(|(_, score)| *score).fold(0.0, f32::max);
        for (id, score) in ranking {
            let part = if best > 0.0 { (score / best).clamp(0.0, 1.0) } else { 0.0 };
            *scores.entry(id.clone()).or_default() += share * part;
        }
    }
    let mut fused: Vec<_> = scores.into_iter().collect();
    // The sort is stable, so equal scores stay in the order of their ids.
    fused.sort_by(|one, other| other.1.partial_cmp(&one.1).unwrap_or(Ordering::Equal));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_both_found_is_first() {
        let fused = fuse(&[(1, 0.9), (2, 0.8)], &[(2, 7.0), (3, 6.0)], 0.5);
        assert_eq!(fused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 1, 3]);
        assert_eq!(fuse::<u8>(&[], &[(1, 2.0)], 0.9), [(1, 1.0)]);
    }

    proptest! {
        #[test]
        fn everything_is_there_once_and_in_order(
            first in prop::collection::btree_map(0..50u8, 0.0..1.0f32, 0..30),
            second in prop::collection::btree_map(0..50u8, 0.0..30.0f32, 0..30),
            share in 0.0..1.0f32,
        ) {
            let (first, second): (Vec<_>, Vec<_>) = (first.into_iter().collect(), second.into_iter().collect());
            let fused = fuse(&first, &second, share);
            let all: std::collections::BTreeSet<u8> = first.iter().chain(&second).map(|(id, _)| *id).collect();
            prop_assert_eq!(fused.len(), all.len());
            prop_assert!(fused.windows(2).all(|pair| pair[0].1 >= pair[1].1));
            prop_assert!(fused.iter().all(|(_, score)| (0.0..=1.001).contains(score)));
        }
    }
}
