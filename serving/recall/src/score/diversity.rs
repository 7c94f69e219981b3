//! Maximal marginal relevance over scored candidates.

use super::{Candidate, Parts};

/// Two texts with this cosine say different things; from here to 1 the second repeats more and more of the first.
const ALIKE: f32 = 0.8;

/// Hits that are spread: each is compared with all that is left.
const SPREAD_MAX: usize = 50;

/// Puts the first `k` so that each is the best by its score less what it repeats of those before it; a full repeat
/// costs `cost` of the best score. `scored` is in the order of its scores.
pub(super) fn spread<T>(scored: &mut [(Candidate<T>, Parts, f64)], cost: f64, k: usize) {
    let best = scored.first().map_or(0.0, |(_, _, score)| *score);
    for at in 1..k.min(scored.len()).min(SPREAD_MAX) {
        let (chosen, rest) = scored.split_at_mut(at);
        let Some((last, _, _)) = chosen.last() else { return };
        let mut first = (f64::NEG_INFINITY, 0);
        for (place, (one, parts, score)) in rest.iter_mut().enumerate() {
            parts.repeats = parts.repeats.max(repeats(one, last));
            let left = *score - cost * best * parts.repeats;
            if left > first.0 {
                first = (left, place);
            }
        }
        if let Some(passed) = rest.get_mut(..=first.1) {
            passed.rotate_right(1);
        }
    }
}

fn repeats<T>(one: &Candidate<T>, other: &Candidate<T>) -> f64 {
    let (Some(a), Some(b)) = (&one.meaning, &other.meaning) else { return 0.0 };
    let cosine: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
    f64::from(((cosine - ALIKE) / (1.0 - ALIKE)).clamp(0.0, 1.0))
}
