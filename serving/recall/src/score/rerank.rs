//! A linear model over what a candidate and its neighbours show, and where its weights come from.
//!
//! The weights are those of a listwise softmax (Cao et al., *Learning to Rank*, ICML 2007) fitted on five of the ten
//! conversations of LoCoMo (Maharana et al., ACL 2024), rounded to one digit or two. The other five did not enter the fit,
//! but their scores were looked at while the signals were chosen, so figures on them are somewhat too good. Swapping the
//! halves moves no weight by more than half.

use std::collections::HashMap;

use super::{Candidate, Search, Stage};

/// What stands just before and after a candidate says of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Around {
    /// The better cosine of the two.
    pub(super) cosine: Option<f32>,
    /// BM25 of the one before.
    pub(super) bm25_before: f32,
    /// Share of the query's words, weighed by rarity, in the candidate and the two, 0 to 1.
    pub(super) coverage: f64,
    /// The same, weighed by [`Search::told`].
    pub(super) told: f64,
}

/// What surrounds each candidate. Without [`Stage::Neighbours`] each stands alone.
pub(super) fn around<T>(candidates: &[Candidate<T>], search: &Search<'_>) -> Vec<Around> {
    let neighbours = search.stages.has(Stage::Neighbours);
    let by_place: HashMap<(u64, u32), &Candidate<T>> =
        candidates.iter().filter_map(|one| Some((one.place?, one))).collect();
    let at = |sequence: u64, position: Option<u32>| {
        neighbours.then(|| by_place.get(&(sequence, position?)).copied()).flatten()
    };
    let one = |one: &Candidate<T>| {
        let (before, after) = one.place.map_or((None, None), |(sequence, position)| {
            (at(sequence, position.checked_sub(1)), at(sequence, position.checked_add(1)))
        });
        let words = [before, after].into_iter().flatten().fold(one.words, |words, other| words | other.words);
        let cosine = [before, after].into_iter().flatten().filter_map(|other| other.cosine);
        Around {
            cosine: cosine.max_by(f32::total_cmp),
            bm25_before: before.map_or(0.0, |before| before.bm25),
            coverage: coverage(words, search.idf),
            told: coverage(words, search.told),
        }
    };
    candidates.iter().map(one).collect()
}

/// The share of words with these weights that the bits name, 0 to 1.
pub(super) fn coverage(words: u64, idf: &[f32]) -> f64 {
    let total: f64 = idf.iter().map(|idf| f64::from(*idf)).sum();
    let covered = idf.iter().enumerate().filter(|(at, _)| words & (1_u64 << (at & 63)) != 0);
    let covered: f64 = covered.map(|(_, idf)| f64::from(*idf)).sum();
    if total > 0.0 { covered / total } else { 0.0 }
}

/// The model's weights, each in units of its signal.
struct Model {
    /// Cosine to the query, −1 to 1.
    cosine: f64,
    /// Best cosine of the neighbours.
    neighbours: f64,
    /// BM25 as a share of the best.
    bm25: f64,
    /// BM25 of the one before, as a share of the best.
    bm25_before: f64,
    /// [`Around::coverage`].
    coverage: f64,
    /// Spoken by the one person named.
    by_named: f64,
    /// A question itself: it seldom answers one.
    asks: f64,
    /// ln(1 + different words): short turns say little.
    length: f64,
    /// Tells a time, where one is asked for.
    tells_time: f64,
    /// In the time that is named. Not fitted: LoCoMo names few.
    in_period: f64,
}

const MODEL: Model = Model {
    cosine: 3.2,
    neighbours: 5.5,
    bm25: 1.6,
    bm25_before: 1.0,
    coverage: 3.7,
    by_named: 1.2,
    asks: -0.7,
    length: 1.2,
    tells_time: 2.4,
    in_period: 1.5,
};

/// The odds of each candidate against the best, 0 to 1.
pub(super) fn relevance<T>(candidates: &[(Candidate<T>, Around)], search: &Search<'_>) -> Vec<f64> {
    let most = candidates.iter().map(|(one, _)| one.bm25).fold(0.0, f32::max).max(f32::EPSILON);
    let sums: Vec<f64> =
        candidates.iter().map(|(one, around)| sum(one, around, f64::from(most), search)).collect();
    let best = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    sums.into_iter().map(|sum| (sum - best).exp()).collect()
}

#[allow(clippy::cast_precision_loss, reason = "a text has far fewer than 2⁵³ words")]
fn sum<T>(one: &Candidate<T>, around: &Around, most: f64, search: &Search<'_>) -> f64 {
    let (asked, stages) = (search.asked, search.stages);
    let yes = |holds: bool| f64::from(u8::from(holds));
    let cosine = |cosine: Option<f32>| cosine.map_or(0.0, f64::from);
    let in_period = asked.names_time() && asked.holds(one.event_time);
    MODEL.cosine * cosine(one.cosine)
        + MODEL.neighbours * cosine(around.cosine)
        + MODEL.bm25 * f64::from(one.bm25) / most
        + MODEL.bm25_before * f64::from(around.bm25_before) / most
        + MODEL.coverage * around.coverage
        + MODEL.by_named * yes(one.by_named && stages.has(Stage::People))
        + MODEL.asks * yes(one.asks)
        + MODEL.length * (one.words_n as f64).ln_1p()
        + MODEL.tells_time * yes(asked.wants_time && one.tells_time)
        + MODEL.in_period * yes(in_period && stages.has(Stage::Period))
}
