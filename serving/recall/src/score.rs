//! Puts candidates in order: rank fusion of meaning and words, times the weight of time. Pure.
//!
//! The store gives candidates with raw scores (cosine, BM25); [`rank`] gives them back in order, each with the parts
//! of its score. Nothing here knows a store, a model or a clock: `as_of` is an argument.
//!
//! `relevance = Σ strength/(rrf_k + rank) / Σ 1/(rrf_k + 1)` over the retrievers in use: reciprocal rank fusion (Cormack,
//! Clarke, Büttcher, SIGIR 2009), scaled so that the first in every list has 1. `strength` is the raw score as a share
//! of the list's best. Ranks alone forget how far the second is behind the first, and then the weight of time lets
//! recent memories that hardly fit pass the one of years ago that does. `score = relevance × time`, where the weight of
//! time is SQL's [`recency_weight`].

use chrono::{DateTime, Utc};
use crave_udfs::recency_weight;
use serde::{Deserialize, Serialize};

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
}

impl Default for Weights {
    fn default() -> Self {
        Self { rrf_k: 10.0, half_life_days: 180.0, floor: 0.3, cosine_min: 0.2 }
    }
}

/// A candidate with its raw scores.
#[derive(Clone, Debug, PartialEq)]
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
}

/// The parts of a score, to be shown.
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
    /// Both ranks fused, 0 to 1.
    pub relevance: f64,
    /// The weight of its age, `floor` to 1.
    pub time: f64,
    /// Its age at `as_of`, in days.
    pub age_days: f64,
}

/// A candidate with its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored<T> {
    /// The memory, or whatever stands for it.
    pub item: T,
    /// `relevance × time`, 0 to 1.
    pub score: f64,
    /// What it is made of.
    pub parts: Parts,
}

/// Orders `candidates` as of `as_of` and keeps the best `k`. What happened after `as_of` is left out, and so is what
/// neither shares a word with the query nor comes near it in meaning.
#[must_use]
pub fn rank<T>(
    candidates: Vec<Candidate<T>>,
    as_of: DateTime<Utc>,
    weights: &Weights,
    k: usize,
) -> Vec<Scored<T>> {
    let dense_in_use = candidates.iter().any(|candidate| candidate.cosine.is_some());
    let kept: Vec<Candidate<T>> = candidates.into_iter().filter(|one| passes(one, as_of, weights)).collect();
    let near = weights.cosine_min.max(f32::EPSILON);
    let dense = places(&kept, |one| one.cosine.filter(|cosine| *cosine >= near));
    let lexical = places(&kept, |one| (one.bm25 > 0.0).then_some(one.bm25));
    let lists = if dense_in_use { 2.0 } else { 1.0 };
    let best = lists / (weights.rrf_k + 1.0);
    let worth = |place: Option<Place>| {
        place.map_or(0.0, |place| place.strength / (weights.rrf_k + f64::from(place.rank)))
    };

    let mut scored: Vec<(u128, Scored<T>)> = kept
        .into_iter()
        .zip(dense.into_iter().zip(lexical))
        .map(|(one, (dense, lexical))| {
            let relevance = ((worth(dense) + worth(lexical)) / best).min(1.0);
            let (dense_rank, lexical_rank) = (dense.map(|place| place.rank), lexical.map(|place| place.rank));
            let age_days = age_days(one.event_time, as_of);
            let time = recency_weight(age_days, weights.half_life_days, weights.floor.clamp(0.0, 1.0));
            let parts = Parts {
                dense: one.cosine,
                dense_rank,
                lexical: one.bm25,
                lexical_rank,
                relevance,
                time,
                age_days,
            };
            (one.key, Scored { item: one.item, score: relevance * time, parts })
        })
        .collect();
    scored.sort_by(|(key, a), (other, b)| {
        b.score.total_cmp(&a.score).then(a.parts.age_days.total_cmp(&b.parts.age_days)).then(key.cmp(other))
    });
    scored.truncate(k);
    scored.into_iter().map(|(_, scored)| scored).collect()
}

fn passes<T>(one: &Candidate<T>, as_of: DateTime<Utc>, weights: &Weights) -> bool {
    let near = one.cosine.is_some_and(|cosine| cosine >= weights.cosine_min.max(f32::EPSILON));
    one.event_time <= as_of && (one.bm25 > 0.0 || near)
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

/// The place of each candidate by descending `score`, which must be above 0; equal scores share the better rank, so
/// that the order in which the store lists them decides nothing.
fn places<T>(
    candidates: &[Candidate<T>],
    score: impl Fn(&Candidate<T>) -> Option<f32>,
) -> Vec<Option<Place>> {
    let mut order: Vec<(f32, usize)> =
        candidates.iter().enumerate().filter_map(|(at, one)| Some((score(one)?, at))).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = order.first().map_or(1.0, |(score, _)| f64::from(*score));
    let mut places = vec![None; candidates.len()];
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
