//! A person's persona from the lake, and what they say of it themselves.

use chrono::{DateTime, Datelike as _, NaiveDate, TimeDelta, Utc};
use crave_lake::{Lake, Query, Scope, to_json_rows};
use crave_schemas::UserId;
use datafusion::common::ScalarValue;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Archetype, Candidate, Craving, Error, Logged, Seen, Tone, Unknown, archetypes, classify};

/// How far back the data speaks of now: a year, so that seasons are seen.
const PERIOD_DAYS: i64 = 366;
/// What is said when nothing can be.
const UNKNOWN: &str = "unknown";

/// Who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The person's data.
    Data,
    /// The person.
    You,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The signs that were seen, each with the cravings that show it.
    Signs(Vec<Seen>),
    /// Why nothing is said.
    Unknown(Unknown),
}

/// Who a person is as a craver.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Persona {
    /// The archetype's id, or `unknown`.
    pub archetype: String,
    /// Its name for people.
    pub name: String,
    /// What it means.
    pub definition: String,
    /// How the coach speaks by default.
    pub coach_tone: Tone,
    /// The adapter that speaks for it; `None` when unknown.
    pub adapter: Option<String>,
    /// The probability that every sign is as strong as the definition asks; 1 of what the person says themselves,
    /// `None` when unknown.
    pub confidence: Option<f64>,
    /// Who said so.
    pub source: Source,
    /// Why, by the data.
    pub evidence: Evidence,
    /// What else was looked at and does not hold.
    pub others: Vec<Candidate>,
    /// Each calendar month by itself, oldest first: how it drifts.
    pub by_month: Vec<Month>,
    /// As of when.
    pub as_of: DateTime<Utc>,
}

/// A month by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Month {
    /// Such as `2026-03`.
    pub month: String,
    /// Cravings in it.
    pub n: usize,
    /// The archetype's id, or `unknown`.
    pub archetype: String,
}

/// What a person says they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Corrected {
    /// This archetype.
    Is(String),
    /// None of them.
    None,
}

/// Reads and classifies a person's last year.
///
/// # Errors
/// When the tables cannot be read.
pub async fn read(lake: &Lake, user: &UserId, as_of: DateTime<Utc>) -> Result<Persona, Error> {
    let time = |at: DateTime<Utc>| {
        ScalarValue::TimestampMicrosecond(Some(at.timestamp_micros()), Some("UTC".into()))
    };
    let parameters = [("since", time(as_of - TimeDelta::days(PERIOD_DAYS))), ("until", time(as_of))];
    let cravings: Vec<Craving> = rows(lake, user, Query::PersonaCravings, &parameters).await?;
    let logged: Vec<Told> = rows(lake, user, Query::PersonaLogged, &parameters).await?;
    let logged = logged.into_iter().next().and_then(|told| {
        Some(Logged {
            first: told.first_time?.date_naive(),
            last: told.last_time?.date_naive(),
            weeks: told.weeks,
        })
    });
    let archetypes = archetypes()?;
    let day = as_of.date_naive();
    let classified = classify(&archetypes, &cravings, logged, day);
    let (evidence, archetype, confidence) = match classified.found {
        Ok(found) => {
            let archetype = archetypes.iter().find(|archetype| archetype.id == found.archetype);
            (Evidence::Signs(found.signs), archetype, Some(found.confidence))
        }
        Err(why) => (Evidence::Unknown(why), None, None),
    };
    let by_month = by_month(&archetypes, &cravings, logged);
    let blank = Persona {
        archetype: UNKNOWN.into(),
        name: "Unknown".into(),
        definition: "Too little is known to say, and that is fine.".into(),
        coach_tone: Tone::Neutral,
        adapter: None,
        confidence,
        source: Source::Data,
        evidence,
        others: classified.others,
        by_month,
        as_of,
    };
    Ok(match archetype {
        Some(archetype) => named(blank, archetype),
        None => blank,
    })
}

/// The persona as the person corrected it: their word wins, the data's evidence stays beside it.
#[must_use]
pub fn corrected(persona: Persona, archetypes: &[Archetype], correction: &Corrected) -> Persona {
    let said = match correction {
        Corrected::Is(id) => archetypes.iter().find(|archetype| archetype.id == *id),
        Corrected::None => None,
    };
    let source = Source::You;
    match said {
        Some(archetype) => named(Persona { confidence: Some(1.0), source, ..persona }, archetype),
        None => Persona {
            archetype: UNKNOWN.into(),
            name: "Unknown".into(),
            definition: "None of the archetypes, as you said.".into(),
            coach_tone: Tone::Neutral,
            adapter: None,
            confidence: None,
            source,
            ..persona
        },
    }
}

fn named(persona: Persona, archetype: &Archetype) -> Persona {
    Persona {
        archetype: archetype.id.clone(),
        name: archetype.name.clone(),
        definition: archetype.definition.clone(),
        coach_tone: archetype.coach_tone,
        adapter: Some(archetype.adapter.clone()),
        ..persona
    }
}

/// A month is covered where the whole period is; it ends with its last day, so that no silence is counted in it.
fn by_month(archetypes: &[Archetype], cravings: &[Craving], logged: Option<Logged>) -> Vec<Month> {
    let mut months: Vec<(i32, u32)> =
        cravings.iter().map(|c| (c.local_date.year(), c.local_date.month())).collect();
    months.sort_unstable();
    months.dedup();
    let month = |(year, month): (i32, u32)| {
        let of = |day: NaiveDate| (day.year(), day.month()) == (year, month);
        let within: Vec<Craving> = cravings.iter().filter(|c| of(c.local_date)).cloned().collect();
        let days = || within.iter().map(|c| c.local_date);
        let (first, last) = (days().min()?, days().max()?);
        let mut weeks: Vec<_> = days().map(|day| (day - first).num_days() / 7).collect();
        weeks.sort_unstable();
        weeks.dedup();
        let logged = logged.map(|_| Logged { first, last, weeks: i64::try_from(weeks.len()).unwrap_or(0) });
        let found = classify(archetypes, &within, logged, last).found;
        let archetype = found.map_or_else(|_| UNKNOWN.into(), |found| found.archetype);
        Some(Month { month: format!("{year}-{month:02}"), n: within.len(), archetype })
    };
    months.into_iter().filter_map(month).collect()
}

#[derive(Deserialize)]
struct Told {
    first_time: Option<DateTime<Utc>>,
    last_time: Option<DateTime<Utc>>,
    weeks: i64,
}

async fn rows<T: DeserializeOwned>(
    lake: &Lake,
    user: &UserId,
    query: Query,
    parameters: &[(&str, ScalarValue)],
) -> Result<Vec<T>, Error> {
    let answer = lake.query(&Scope::User(user.clone()), query.sql(), parameters).await?;
    Ok(serde_json::from_slice(&to_json_rows(&answer.batches)?)?)
}
