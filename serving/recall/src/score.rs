//! Puts candidates in order: how well each fits, times how much its age, weight and mood count. Pure.
//!
//! The store gives candidates with raw scores (cosine, BM25); [`rank`] gives them back in order, each with the parts
//! of its score. Nothing here knows a store, a model or a clock: the instant is an argument.
//!
//! `relevance` is 1 for the best candidate. With [`Stage::Rerank`] it is `exp(s − s_best)`, the odds against the best
//! under the linear model of `rerank`; without it, reciprocal rank fusion (Cormack, Clarke, Büttcher, SIGIR 2009)
//! of the lists in use, where each rank is weighed with the raw score as a share of the list's best, because ranks
//! alone forget how far the second is behind the first.
//!
//! `score = relevance · (1 − (1 − time)(1 − relevance)) · importance · emotion`: age discounts what fits in part, and leaves
//! alone what fits best, so that the one right memory of years ago stays first. The weight of time is SQL's
//! [`recency_weight`]. Last, near repeats of better hits move down (maximal marginal relevance, Carbonell and
//! Goldstein, SIGIR 1998, on this score and not on the raw one).

use chrono::{DateTime, Utc};
use crave_udfs::{FULL_WEIGHT_DAYS, recency_weight};
use serde::{Deserialize, Serialize};

use crate::asked::Asked;
use crate::stage::{Stage, Stages};

mod diversity;
mod rerank;
#[cfg(test)]
mod tests;

/// How the parts of a score are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Weights {
    /// The constant of reciprocal rank fusion. Small, so that the first of a list stands out: with the usual 60 the
    /// twentieth has three quarters of the first's worth, and the weight of time would decide everything.
    pub rrf_k: f64,
    /// After [`crave_udfs::FULL_WEIGHT_DAYS`] the weight halves every so many days.
    pub half_life_days: f64,
    /// The least weight of a memory however old, 0 to 1: years-old memories stay findable.
    pub floor: f64,
    /// A candidate that shares no word with the query needs at least this cosine, and a cosine above 0. With MiniLM
    /// notes that answer a question have 0.2 to 0.6, and notes that have nothing to do with it stay under 0.16.
    pub cosine_min: f32,
    /// The same for one older than [`crave_udfs::FULL_WEIGHT_DAYS`], unless the question names a time.
    pub cosine_min_old: f32,
    /// Old memories on disk are left alone when a newer one has this cosine, or covers [`Self::coverage_sure`] of the
    /// question's words, unless the question names a time.
    pub cosine_sure: f32,
    /// The share of the question's words, weighed by their rarity, 0 to 1.
    pub coverage_sure: f64,
    /// How much the weight of a memory (0 to 1, ½ when unknown) moves the score, up or down.
    pub importance: f64,
    /// How much a like mood (cosine of the emotions, 0 to 1) lifts the score.
    pub emotion: f64,
    /// What a full repeat of a better hit costs, as a share of the best score.
    pub repeat: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            rrf_k: 10.0,
            half_life_days: 180.0,
            floor: 0.3,
            cosine_min: 0.2,
            cosine_min_old: 0.25,
            cosine_sure: 0.7,
            coverage_sure: 0.85,
            importance: 0.2,
            emotion: 0.2,
            repeat: 0.2,
        }
    }
}

/// A candidate with its raw scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate<T> {
    /// The memory, or whatever stands for it.
    pub item: T,
    /// Breaks ties, so that equal scores have one order.
    pub key: u128,
    /// When it happened.
    pub event_time: DateTime<Utc>,
    /// Cosine to the query, −1 to 1; `None` where one of the two has no embedding.
    pub cosine: Option<f32>,
    /// BM25 of the query's words, from 0.
    pub bm25: f32,
    /// Bit `i` is set when the `i`-th of [`Search::idf`]'s words occurs in it.
    pub words: u64,
    /// The sequence in which it stands, and where: the next one there has the next number.
    pub place: Option<(u64, u32)>,
    /// Whether the one person whom the question names spoke it.
    pub by_named: bool,
    /// It is a question itself.
    pub asks: bool,
    /// It tells a time.
    pub tells_time: bool,
    /// Its different words, without stop words.
    pub words_n: usize,
    /// How much it mattered to the person, 0 to 1.
    pub importance: Option<f32>,
    /// How alike its emotions and those of the question are, 0 to 1.
    pub emotion: Option<f32>,
    /// Its unit vector of meaning.
    pub meaning: Option<Vec<f32>>,
}

/// The parts of a score, to be shown: why a memory was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Cosine to the query.
    pub dense: Option<f32>,
    /// Rank by cosine, from 1; `None` when it is not in that list.
    pub dense_rank: Option<u32>,
    /// BM25 score.
    pub lexical: f32,
    /// Rank by BM25, from 1; `None` when no word matches.
    pub lexical_rank: Option<u32>,
    /// Best cosine of what stands just before and after it.
    pub neighbours: Option<f32>,
    /// Share of the query's words, weighed by [`Search::told`], that it and its neighbours have, 0 to 1.
    pub coverage: f64,
    /// The one person whom the question names spoke it.
    pub by_named: bool,
    /// It is in the time that the question names; `None` when it names none.
    pub in_period: Option<bool>,
    /// How well it fits, 0 to 1, 1 for the best.
    pub relevance: f64,
    /// The weight of its age, `floor` to 1.
    pub time: f64,
    /// The factor of its weight to the person.
    pub importance: f64,
    /// The factor of its mood.
    pub emotion: f64,
    /// How far it repeats a better hit, 0 to 1.
    pub repeats: f64,
    /// Its age at `as_of`, in days.
    pub age_days: f64,
}

/// A candidate with its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored<T> {
    /// The memory, or whatever stands for it.
    pub item: T,
    /// From above 0; hits come in the order of what is left of it after what they repeat.
    pub score: f64,
    /// What it is made of.
    pub parts: Parts,
}

/// What candidates are measured against.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// The question.
    pub asked: &'a Asked,
    /// How rare each of the query's words is among the person's memories (idf), at most 64.
    pub idf: &'a [f32],
    /// What each of them counts for [`Parts::coverage`]: a word that no memory has says little.
    pub told: &'a [f32],
    /// "Now".
    pub as_of: DateTime<Utc>,
    /// How the parts are weighed.
    pub weights: &'a Weights,
    /// What is used.
    pub stages: Stages,
}

/// Orders `candidates` and keeps the best `k`. What happened after `as_of` is left out, and so is what neither shares
/// a word with the query nor comes near it in meaning, itself or through its neighbours.
#[must_use]
pub fn rank<T>(candidates: Vec<Candidate<T>>, search: &Search<'_>, k: usize) -> Vec<Scored<T>> {
    let Search { asked, as_of, weights, stages, .. } = *search;
    let known: Vec<Candidate<T>> = candidates.into_iter().filter(|one| one.event_time <= as_of).collect();
    let around = rerank::around(&known, search);
    let kept: Vec<(Candidate<T>, rerank::Around)> =
        known.into_iter().zip(around).filter(|(one, around)| passes(one, around, search)).collect();
    let near = weights.cosine_min.max(f32::EPSILON);
    let dense = places(kept.iter().map(|(one, _)| one.cosine.filter(|cosine| *cosine >= near)));
    let lexical = places(kept.iter().map(|(one, _)| Some(one.bm25).filter(|bm25| *bm25 > 0.0)));
    let relevance = if stages.has(Stage::Rerank) {
        rerank::relevance(&kept, search)
    } else {
        fused(&dense, &lexical, weights.rrf_k)
    };

    let mut scored: Vec<(Candidate<T>, Parts, f64)> = kept
        .into_iter()
        .zip(dense.into_iter().zip(lexical))
        .zip(relevance)
        .map(|(((one, around), (dense, lexical)), relevance)| {
            let age_days = age_days(one.event_time, as_of);
            let recency = recency_weight(age_days, weights.half_life_days, weights.floor.clamp(0.0, 1.0));
            let time = if stages.has(Stage::Recency) { recency } else { 1.0 };
            let importance = match one.importance.filter(|_| stages.has(Stage::Importance)) {
                Some(weight) => 1.0 + weights.importance * (f64::from(weight.clamp(0.0, 1.0)) - 0.5),
                None => 1.0,
            };
            let emotion = match one.emotion.filter(|_| stages.has(Stage::Emotion)) {
                Some(alike) => 1.0 + weights.emotion * f64::from(alike.clamp(0.0, 1.0)),
                None => 1.0,
            };
            let parts = Parts {
                dense: one.cosine,
                dense_rank: dense.map(|place| place.rank),
                lexical: one.bm25,
                lexical_rank: lexical.map(|place| place.rank),
                neighbours: around.cosine,
                coverage: around.told,
                by_named: one.by_named,
                in_period: asked.names_time().then(|| asked.holds(one.event_time)),
                relevance,
                time,
                importance,
                emotion,
                repeats: 0.0,
                age_days,
            };
            let score = relevance * (1.0 - (1.0 - time) * (1.0 - relevance)) * importance * emotion;
            (one, parts, score)
        })
        .collect();
    scored.sort_by(|(one, a, score), (two, b, other)| {
        other.total_cmp(score).then(a.age_days.total_cmp(&b.age_days)).then(one.key.cmp(&two.key))
    });
    if stages.has(Stage::Diversity) {
        diversity::spread(&mut scored, weights.repeat, k);
    }
    scored.truncate(k);
    scored.into_iter().map(|(one, parts, score)| Scored { item: one.item, score, parts }).collect()
}

/// Whether a memory with these raw scores answers so well that older ones need not be looked for.
pub(crate) fn suffices(cosine: Option<f32>, words: u64, idf: &[f32], weights: &Weights) -> bool {
    cosine.is_some_and(|cosine| cosine >= weights.cosine_sure)
        || rerank::coverage(words, idf) >= weights.coverage_sure
}

/// Near enough, on raw scores and not on ranks: the best of what does not fit is no answer.
fn passes<T>(one: &Candidate<T>, around: &rerank::Around, search: &Search<'_>) -> bool {
    let Search { asked, as_of, weights, stages, .. } = *search;
    let old = age_days(one.event_time, as_of) > FULL_WEIGHT_DAYS && !asked.names_time();
    let least = if old && stages.has(Stage::Gate) { weights.cosine_min_old } else { weights.cosine_min };
    let least = least.max(f32::EPSILON);
    let near = |cosine: Option<f32>| cosine.is_some_and(|cosine| cosine >= least);
    one.bm25 > 0.0 || around.coverage > 0.0 || near(one.cosine) || near(around.cosine)
}

/// Reciprocal rank fusion, scaled so that the best has 1.
fn fused(dense: &[Option<Place>], lexical: &[Option<Place>], rrf_k: f64) -> Vec<f64> {
    let worth =
        |place: &Option<Place>| place.map_or(0.0, |place| place.strength / (rrf_k + f64::from(place.rank)));
    let sums: Vec<f64> = dense.iter().zip(lexical).map(|(one, other)| worth(one) + worth(other)).collect();
    let best = sums.iter().copied().fold(0.0, f64::max);
    sums.into_iter().map(|sum| if best > 0.0 { sum / best } else { 0.0 }).collect()
}

fn age_days(event_time: DateTime<Utc>, as_of: DateTime<Utc>) -> f64 {
    (as_of - event_time).as_seconds_f64() / 86_400.0
}

/// Where a candidate stands in one retriever's list.
#[derive(Clone, Copy)]
struct Place {
    rank: u32,
    /// Its score as a share of the list's best, above 0 and at most 1.
    strength: f64,
}

/// The place of each by descending score, which must be above 0; equal scores share the better rank, so that the
/// order in which the store lists them decides nothing.
fn places(scores: impl ExactSizeIterator<Item = Option<f32>>) -> Vec<Option<Place>> {
    let mut places = vec![None; scores.len()];
    let mut order: Vec<(f32, usize)> =
        scores.enumerate().filter_map(|(at, score)| Some((score?, at))).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = order.first().map_or(1.0, |(score, _)| f64::from(*score));
    let (mut rank, mut previous) = (0, f32::NAN);
    for (position, (score, at)) in (1_u32..).zip(order) {
        if score.total_cmp(&previous).is_ne() {
            rank = position;
        }
        previous = score;
        if let Some(slot) = places.get_mut(at) {
            *slot = Some(Place { rank, strength: f64::from(score) / best });
        }
    }
    places
}
