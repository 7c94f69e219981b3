//! Cravings to an archetype, or "unknown" with the reason. Pure.

use chrono::NaiveDate;
use serde::Serialize;

use crate::{
    Archetype, Craving, Logged,
    archetype::Sign,
    stats::{binomial_tail, difference, normal, share_at_least},
};

/// Fewest cravings of the kind, with the sign told or not.
const CRAVINGS_MIN: u32 = 30;
/// Least share of weeks in which the person told anything.
const COVERAGE_MIN: f64 = 0.7;
/// Longest silence before the data no longer speaks of now, in days.
const SILENCE_MAX_DAYS: i64 = 28;
/// Least share of what an archetype craves among all cravings.
const CRAVED_MIN: f64 = 0.5;
/// Chance of any false sign for one person, over all archetypes and signs (Bonferroni).
const FALSE_MAX: f64 = 0.01;
/// Least confidence of an answer other than "unknown".
const CONFIDENCE_MIN: f64 = 0.9;
/// Rows named as evidence of a sign.
const EVIDENCE_MAX: usize = 20;

/// Why nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// Too few cravings.
    FewCravings,
    /// Too many weeks without a word.
    Gaps,
    /// Nothing told of late.
    Silence,
    /// No archetype's signs stand out.
    NoPattern,
}

/// A sign and what was seen of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// Its name.
    pub sign: String,
    /// Cravings that tell.
    pub n: u32,
    /// Of them with the sign; of a fall, the later half.
    pub with_sign: u32,
    /// The share, or the points of the fall.
    pub value: f64,
    /// How likely chance alone would show as much.
    pub p_chance: f64,
    /// How likely the true value is at least what the archetype asks.
    pub confidence: f64,
    /// The newest cravings with the sign, by id.
    pub rows: Vec<String>,
}

/// An archetype that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Which.
    pub archetype: String,
    /// Its signs.
    pub signs: Vec<Seen>,
    /// The product over the signs.
    pub confidence: f64,
    /// Whether every sign is beyond chance and the confidence is enough.
    pub holds: bool,
}

/// What the data says.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// The archetype, or why there is none.
    pub found: Result<Candidate, Unknown>,
    /// The likeliest archetypes that do not hold, best first.
    pub others: Vec<Candidate>,
}

/// Classifies a person as of a day. `logged` is `None` for who never told anything.
#[must_use]
pub fn classify(
    archetypes: &[Archetype],
    cravings: &[Craving],
    logged: Option<Logged>,
    as_of: NaiveDate,
) -> Classified {
    let unknown = |why, others| Classified { found: Err(why), others };
    let Some(logged) = logged.filter(|_| cravings.len() >= CRAVINGS_MIN as usize) else {
        return unknown(Unknown::FewCravings, Vec::new());
    };
    if (as_of - logged.last).num_days() > SILENCE_MAX_DAYS {
        return unknown(Unknown::Silence, Vec::new());
    }
    if logged.coverage() < COVERAGE_MIN {
        return unknown(Unknown::Gaps, Vec::new());
    }
    let comparisons: usize = archetypes.iter().map(|archetype| archetype.signs.len()).sum();
    #[allow(clippy::cast_precision_loss)]
    let p_max = FALSE_MAX / comparisons.max(1) as f64;
    let fits = archetypes.iter().filter(|archetype| logged.days() >= archetype.days_min);
    let mut candidates: Vec<Candidate> =
        fits.filter_map(|archetype| candidate(archetype, cravings, p_max)).collect();
    candidates.sort_by(|a, b| {
        b.holds
            .cmp(&a.holds)
            .then(b.signs.len().cmp(&a.signs.len()))
            .then(b.confidence.total_cmp(&a.confidence))
    });
    match candidates.first() {
        Some(best) if best.holds => {
            let found = candidates.remove(0);
            Classified { found: Ok(found), others: candidates }
        }
        _ => unknown(Unknown::NoPattern, candidates),
    }
}

/// `None` when the person mostly craves something else, or too little is told.
#[allow(clippy::cast_precision_loss)]
fn candidate(archetype: &Archetype, cravings: &[Craving], p_max: f64) -> Option<Candidate> {
    let of_kind = |craving: &&Craving| {
        let what = craving.craving.as_deref().unwrap_or_default();
        archetype.craved.iter().any(|craved| craved == what)
    };
    let mut own: Vec<&Craving> = cravings.iter().filter(of_kind).collect();
    if own.len() < CRAVINGS_MIN as usize || (own.len() as f64) < CRAVED_MIN * cravings.len() as f64 {
        return None;
    }
    own.sort_by(|a, b| {
        (a.local_date, a.local_hour, &a.event_id).cmp(&(b.local_date, b.local_hour, &b.event_id))
    });
    let signs: Vec<Seen> = archetype.signs.iter().filter_map(|sign| look(sign, &own)).collect();
    if signs.len() < archetype.signs.len() {
        return None;
    }
    let confidence = signs.iter().map(|seen| seen.confidence).product();
    let beyond_chance = signs.iter().all(|seen| seen.p_chance <= p_max);
    let holds = beyond_chance && confidence >= CONFIDENCE_MIN;
    Some(Candidate { archetype: archetype.id.clone(), signs, confidence, holds })
}

/// Looks for a sign among cravings in order of time; `None` when fewer than [`CRAVINGS_MIN`] tell.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn look(sign: &Sign, cravings: &[&Craving]) -> Option<Seen> {
    let newest = |rows: Vec<&&Craving>| -> Vec<String> {
        rows.into_iter().rev().take(EVIDENCE_MAX).map(|craving| craving.event_id.clone()).collect()
    };
    if let Some(points) = sign.falls {
        let felt: Vec<&&Craving> = cravings.iter().filter(|craving| craving.intensity.is_some()).collect();
        if felt.len() < CRAVINGS_MIN as usize {
            return None;
        }
        let (early, late) = felt.split_at(felt.len() / 2);
        let felt_of = |half: &[&&Craving]| -> Vec<f64> {
            half.iter().filter_map(|craving| craving.intensity).map(|i| i as f64).collect()
        };
        let (value, error) = difference(&felt_of(early), &felt_of(late))?;
        return Some(Seen {
            sign: sign.name.clone(),
            n: felt.len() as u32,
            with_sign: late.len() as u32,
            value,
            p_chance: normal(-value / error),
            confidence: normal((value - points) / error),
            rows: newest(late.to_vec()),
        });
    }
    let told: Vec<(&&Craving, bool)> =
        cravings.iter().filter_map(|craving| Some((craving, sign.of(craving)?))).collect();
    let with: Vec<&&Craving> = told.iter().filter(|(_, has)| *has).map(|(craving, _)| *craving).collect();
    let (n, k) = (told.len() as u32, with.len() as u32);
    (n >= CRAVINGS_MIN).then(|| Seen {
        sign: sign.name.clone(),
        n,
        with_sign: k,
        value: f64::from(k) / f64::from(n),
        p_chance: binomial_tail(n, k, sign.chance),
        confidence: share_at_least(n, k, sign.share),
        rows: newest(with),
    })
}
