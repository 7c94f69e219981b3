//! The shell: asks the tables and the memories, keeps what it cites.

use std::{collections::HashMap, fmt, sync::Arc};

use chrono::{DateTime, NaiveDate, Utc};
use crave_lake::{Lake, Scope, to_json_rows};
use crave_recall::{Recall, SearchOptions, SourceKind};
use crave_schemas::{Clock, UserId};
use crave_tables::Tables;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::{
    Answer, Ask, Backend, Citation, Citations, Coach, Detail, DetailRow, Error, Fact, Found, Label, Measure,
    Note, Period, Planned, Query, Rate, Reading, Result, Role, Status, Value, budget, compose,
    intent::{Intent, intent},
    measure, plan, question, screen, speak,
};

mod notes;
pub(crate) use notes::quote;
mod rows;

/// Longest question, in characters.
pub const QUESTION_CHARS_MAX: usize = 2_000;

/// Answers questions.
pub struct Insights {
    lake: Arc<Lake>,
    tables: Arc<Tables>,
    recall: Option<Recall>,
    citations: Citations,
    clock: Arc<dyn Clock>,
    backend: Option<Arc<dyn Backend>>,
}

impl fmt::Debug for Insights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Insights").field("recall", &self.recall).finish_non_exhaustive()
    }
}

/// The person as the tables know them.
struct Profile {
    labels: Vec<Label>,
    offset_min: i64,
}

impl Insights {
    /// Answers from `lake` (whose tables are `tables`) and, where it is there, `recall`.
    #[must_use]
    pub fn new(
        lake: Arc<Lake>,
        tables: Arc<Tables>,
        recall: Option<Recall>,
        citations: Citations,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { lake, tables, recall, citations, clock, backend: None }
    }

    /// The same, its answers spoken by a model.
    #[must_use]
    pub fn spoken_by(self, backend: Arc<dyn Backend>) -> Self {
        Self { backend: Some(backend), ..self }
    }

    /// The citations, for erasure.
    #[must_use]
    pub fn citations(&self) -> &Citations {
        &self.citations
    }

    /// Whether a model may speak to a person whose coach this is.
    #[must_use]
    pub fn is_spoken(&self, coach: &Coach) -> bool {
        self.speaker(coach).is_some()
    }

    fn speaker(&self, coach: &Coach) -> Option<&dyn Backend> {
        self.backend.as_deref().filter(|backend| coach.remote_allowed || !backend.is_remote())
    }

    /// Minutes that the person's clock is east of UTC: what they chose, else what their log says.
    pub(crate) async fn offset_min(&self, user: &UserId, now: DateTime<Utc>, coach: &Coach) -> Result<i64> {
        match coach.offset_min {
            Some(chosen) => Ok(chosen),
            None => Ok(self.profile(user, now).await?.offset_min),
        }
    }

    /// Refuses a persona that would leave too little of the model's context.
    ///
    /// # Errors
    /// [`Error::Persona`], with the counts.
    pub fn check_persona(&self, persona: &str) -> Result<()> {
        match &self.backend {
            Some(backend) => budget::check_persona(backend.counter(), persona, backend.context()),
            None => Ok(()),
        }
    }

    /// Answers a question of a person from their own log.
    ///
    /// # Errors
    /// [`Error::Question`] when it is empty or too long, [`Error::ContextLength`] when it is too long for the model,
    /// [`Error::Left`] when the coach's sink is dropped; else what tables and store say.
    pub async fn ask(&self, user: &UserId, question: &str, coach: &Coach) -> Result<Answer> {
        let answer = Box::pin(self.ask_within(user, question, None, coach)).await?;
        self.citations.answered(user, question, &answer, self.clock.now()).await?;
        Ok(answer)
    }

    /// The same after an `earlier` question of the same conversation, which a short follow-up ("and on weekends?")
    /// takes up; it is not kept for judgement.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn ask_within(
        &self,
        user: &UserId,
        question: &str,
        earlier: Option<&str>,
        coach: &Coach,
    ) -> Result<Answer> {
        let question = question.trim();
        if question.is_empty() || question.chars().count() > QUESTION_CHARS_MAX {
            return Err(Error::Question(QUESTION_CHARS_MAX));
        }
        if let Some(crisis) = screen(question) {
            return Ok(Answer::crisis(crisis));
        }
        let now = self.clock.now();
        let mut profile = self.profile(user, now).await?;
        profile.offset_min = coach.offset_min.unwrap_or(profile.offset_min);
        if let Intent::Log(draft) = intent(question) {
            return Ok(Answer::proposed(user, &draft, question, now, profile.offset_min));
        }
        let read = |text: &str| question::read(text, &profile.labels, now, profile.offset_min);
        let followed =
            earlier.filter(|_| question::follows(question)).map(|earlier| format!("{question} {earlier}"));
        let (question, reading) = match (read(question), &followed) {
            (Reading::Foreign, Some(whole)) => (whole.as_str(), read(whole)),
            (reading, _) => (question, reading),
        };
        match reading {
            Reading::Medical => Ok(Answer::plain(Status::OutOfScope, MEDICAL)),
            Reading::Foreign => Ok(Answer::plain(Status::OutOfScope, FOREIGN)),
            Reading::Own(_) if profile.labels.is_empty() => Ok(Answer::plain(Status::NotEnoughData, EMPTY)),
            Reading::Own(query) => self.own(user, question, &query, &profile, coach).await,
        }
    }

    async fn own(
        &self,
        user: &UserId,
        question: &str,
        query: &Query,
        profile: &Profile,
        coach: &Coach,
    ) -> Result<Answer> {
        let now = self.clock.now();
        let period = query.period.clone().unwrap_or_else(|| usual_period(query, &profile.labels, now));
        let found = self.found(user, query, &period).await?;
        let version = self.tables.get("cravings")?.version().await;
        let make = Make { user, query, period: &period, version, now };
        let mut facts = self.compute(&make, plan(query, &period, &found)).await?;
        if query.ask == Ask::Trend && !query.has_slot() {
            facts.extend(self.rates(&make).await?);
        }
        if facts.get(&Role::Total).is_some_and(|total| total.value != Value::Number(0.0)) {
            for (role, note, at) in self.notes(user, question, query, &period, &facts).await {
                let when = format!(
                    "on {}",
                    (at + chrono::TimeDelta::minutes(profile.offset_min)).format("%-d %B %Y")
                );
                let measure = Measure::Note { event_id: note.event_id.clone() };
                let label = "Your own words".to_owned();
                let planned = Planned { role, label, unit: None, measure, known: None };
                let raw = Raw { value: Value::Text(note.quote), rows_n: 1, rows: vec![note.event_id] };
                let fact = make.fact(planned, raw);
                let period = when.trim_start_matches("on ").to_owned();
                facts.insert(role, Fact { period, when, ..fact });
            }
        }
        let (status, mut sentences) = compose(query, &facts);
        let mut spoken = None;
        if let Some(backend) = self.speaker(coach).filter(|_| status == Status::Answered) {
            let mut named: Vec<(&str, &Fact)> =
                facts.iter().map(|(role, fact)| (role.as_str(), fact)).collect();
            // The same facts make the same prompt.
            named.sort_by_key(|(name, _)| *name);
            // Opened while it is told, so before it is.
            self.citations.keep(user, &named.iter().map(|(_, fact)| *fact).collect::<Vec<_>>(), now).await?;
            let told = Box::pin(speak(backend, question, &named, sentences, coach)).await?;
            (sentences, spoken) = (told.0, Some(told.1));
        }
        let mut cited: Vec<&Fact> = Vec::new();
        for id in sentences.iter().flat_map(|sentence| &sentence.citations) {
            if let Some(fact) =
                facts.values().find(|fact| fact.id == *id && !cited.iter().any(|c| c.id == *id))
            {
                cited.push(fact);
            }
        }
        if spoken.is_none() {
            self.citations.keep(user, &cited, now).await?;
        }
        let citations = cited.into_iter().map(Citation::from).collect();
        Ok(Answer { sentences, citations, spoken, ..Answer::plain(status, &[]) })
    }

    /// Opens a citation: the value as it was, and as it would be now over the same period.
    ///
    /// # Errors
    /// What tables and store say.
    pub async fn citation(&self, user: &UserId, id: Uuid) -> Result<Option<Detail>> {
        let Some(fact) = self.citations.fact(user, id).await? else { return Ok(None) };
        let rows = self.json(user, &measure::alone(&fact.measure)).await?;
        let mut now = rows.first().map(|row| Raw::read(row, 0, &fact.measure)).unwrap_or_default();
        if let (Measure::Note { .. }, Value::Text(quote), Value::Text(text)) =
            (&fact.measure, &fact.value, &now.value)
        {
            // A long note is quoted in part: it is unchanged while it still holds the quote.
            if text.contains(quote.trim_end_matches('…').trim_end()) {
                now.value = Value::Text(quote.clone());
            }
        }
        let changed = now.value != fact.value || now.rows_n != fact.rows_n || now.rows != fact.rows;
        let rows = match rows::query(&fact.rows) {
            Some(sql) => {
                self.json(user, &sql).await?.iter().filter_map(rows::row).collect::<Vec<DetailRow>>()
            }
            None => Vec::new(),
        };
        Ok(Some(Detail {
            citation: Citation::from(&fact),
            query: fact.query,
            as_of: fact.as_of,
            table_version: fact.table_version,
            value_now: now.value,
            changed,
            rows,
        }))
    }

    async fn json(&self, user: &UserId, sql: &str) -> Result<Vec<Map<String, Json>>> {
        let answer = self.lake.query(&Scope::User(user.clone()), sql, &[]).await?;
        Ok(serde_json::from_slice(&to_json_rows(&answer.batches)?)?)
    }

    /// The person's labels with their counts, and where their clock stands.
    async fn profile(&self, user: &UserId, now: DateTime<Utc>) -> Result<Profile> {
        let since = |days| measure::instant(Period::last_days(now, days).since);
        let sql = format!(
            "SELECT craving, count(*) AS n, count(*) FILTER (WHERE event_time > {}) AS year_n, \
             count(*) FILTER (WHERE event_time > {}) AS month_n, \
             CAST(extract(epoch FROM max(event_time)) AS DOUBLE) AS last_s, \
             CAST(extract(epoch FROM max(local_time)) AS DOUBLE) AS last_local_s \
             FROM cravings WHERE craving IS NOT NULL GROUP BY craving ORDER BY n DESC, craving LIMIT 100",
            since(365),
            since(30)
        );
        let rows = self.json(user, &sql).await?;
        let count =
            |row: &Map<String, Json>, name: &str| row.get(name).and_then(Json::as_u64).unwrap_or_default();
        let number =
            |row: &Map<String, Json>, name: &str| row.get(name).and_then(Json::as_f64).unwrap_or_default();
        let last = rows.iter().max_by(|a, b| number(a, "last_s").total_cmp(&number(b, "last_s")));
        let offset = last.map_or(0.0, |row| (number(row, "last_local_s") - number(row, "last_s")) / 60.0);
        let label = |row: &Map<String, Json>| {
            Some(Label {
                craving: row.get("craving")?.as_str()?.to_owned(),
                month_n: count(row, "month_n"),
                year_n: count(row, "year_n"),
                n: count(row, "n"),
            })
        };
        // A zone is at most 14 hours away, so the cast is exact.
        let offset_min = offset.round().clamp(-840.0, 840.0) as i64;
        Ok(Profile { labels: rows.iter().filter_map(label).collect(), offset_min })
    }

    /// The most frequent trigger, part of the day and weekday of the cravings in question.
    async fn found(&self, user: &UserId, query: &Query, period: &Period) -> Result<Found> {
        let (all, slot) = plan::selects(query, period);
        let top = |by: measure::Column, of: &measure::Select| {
            let (by, where_) = (by.as_str(), of.condition());
            format!(
                "(SELECT '{by}' AS what, CAST({by} AS TEXT) AS value FROM cravings WHERE {where_} AND {by} IS NOT NULL GROUP BY {by} ORDER BY count(*) DESC, {by} LIMIT 1)"
            )
        };
        let sql = [
            top(measure::Column::Trigger, &slot),
            top(measure::Column::DayPart, &all),
            top(measure::Column::LocalDow, &all),
        ]
        .join(" UNION ALL ");
        let mut found = Found::default();
        for row in self.json(user, &sql).await? {
            let Some(value) = row.get("value").and_then(Json::as_str).map(str::to_owned) else { continue };
            match row.get("what").and_then(Json::as_str) {
                Some("trigger") => found.trigger = Some(value),
                Some("day_part") => found.part = Some(value),
                Some("local_dow") => found.weekday = value.parse().ok(),
                _ => {}
            }
        }
        Ok(found)
    }

    /// The newest calendar month that the view `trends` compares with the one before: closed days from gold, the
    /// open one from `cravings`.
    async fn rates(&self, make: &Make<'_>) -> Result<Vec<(Role, Fact)>> {
        let Some(craving) = &make.query.craving else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT CAST(period_start AS TEXT) AS start FROM trends WHERE craving = {} AND grain = 'month' \
             ORDER BY period_start DESC LIMIT 1",
            measure::literal(craving)
        );
        let rows = self.json(make.user, &sql).await?;
        let Some(start) = rows.first().and_then(|row| row.get("start")?.as_str()) else {
            return Ok(Vec::new());
        };
        let Ok(first) = start.parse::<NaiveDate>() else { return Ok(Vec::new()) };
        let month = first.format("%B %Y").to_string();
        let subject = plan::capital(&make.query.subject());
        let planned = |role, column, label: &str, unit| {
            let (craving, grain, start) = (craving.clone(), "month".to_owned(), start.to_owned());
            let measure = Measure::Trend { column, craving, grain, start };
            Planned { role, label: format!("{subject} {label}"), unit: Some(unit), measure, known: None }
        };
        let planned = vec![
            planned(Role::Rate, Rate::PerWeek, "a week, by calendar month", "a week"),
            planned(Role::RateChange, Rate::ChangePct, "a week: change against the month before", "%"),
        ];
        let mut facts = Vec::with_capacity(planned.len());
        for planned in planned {
            let rows = self.json(make.user, &measure::alone(&planned.measure)).await?;
            let raw = rows.first().map(|row| Raw::read(row, 0, &planned.measure)).unwrap_or_default();
            let fact = make.fact(planned, raw);
            let role = if facts.is_empty() { Role::Rate } else { Role::RateChange };
            facts.push((role, Fact { period: month.clone(), when: format!("in {month}"), ..fact }));
        }
        Ok(facts)
    }

    /// Computes what was planned: all that is over `cravings` in one pass, the rest one by one.
    async fn compute(&self, make: &Make<'_>, planned: Vec<Planned>) -> Result<HashMap<Role, Fact>> {
        let (over_cravings, others): (Vec<_>, Vec<_>) =
            planned.into_iter().partition(|planned| planned.measure.over_cravings());
        let measures: Vec<&Measure> = over_cravings.iter().map(|planned| &planned.measure).collect();
        let rows = self.json(make.user, &measure::together(&measures)).await?;
        let mut facts = HashMap::with_capacity(over_cravings.len() + others.len());
        for (i, planned) in over_cravings.into_iter().enumerate() {
            let mut raw = rows.first().map(|row| Raw::read(row, i, &planned.measure)).unwrap_or_default();
            if let Some(known) = &planned.known {
                raw.value = plan::shown(&planned.measure, known);
            }
            facts.insert(planned.role, make.fact(planned, raw));
        }
        for planned in others {
            let raw = match self.json(make.user, &measure::alone(&planned.measure)).await {
                Ok(rows) => rows.first().map(|row| Raw::read(row, 0, &planned.measure)).unwrap_or_default(),
                // Without heart rate variability the answer is poorer, not wrong.
                Err(Error::Lake(error)) if error.kind() == crave_lake::Kind::Invalid => {
                    tracing::debug!(%error, "a fact could not be computed");
                    tracing::warn!(role = planned.role.as_str(), "a fact could not be computed");
                    continue;
                }
                Err(error) => return Err(error),
            };
            facts.insert(planned.role, make.fact(planned, raw));
        }
        Ok(facts)
    }
}

/// The last 30 days, or as much more as there is when those hold too little.
fn usual_period(query: &Query, labels: &[Label], now: DateTime<Utc>) -> Period {
    let sum = |n: fn(&Label) -> u64| -> u64 {
        labels.iter().filter(|l| query.craving.as_ref().is_none_or(|c| *c == l.craving)).map(n).sum()
    };
    // A part of the day holds only some of them.
    let enough = if query.has_slot() { 12 } else { 5 };
    if sum(|label| label.month_n) >= enough {
        Period::last_days(now, 30)
    } else if sum(|label| label.year_n) >= enough {
        Period::last_days(now, 365)
    } else {
        Period::all(now)
    }
}

/// What every fact of an answer shares.
struct Make<'a> {
    user: &'a UserId,
    query: &'a Query,
    period: &'a Period,
    version: u64,
    now: DateTime<Utc>,
}

impl Make<'_> {
    fn fact(&self, planned: Planned, raw: Raw) -> Fact {
        let name = format!(
            "{}/{}/{}/{}",
            self.user,
            self.now.timestamp_micros(),
            planned.role.as_str(),
            self.query.subject()
        );
        Fact {
            id: Uuid::new_v5(
                &Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
                planned.measure.sql().as_bytes(),
            ),
            label: planned.label,
            value: raw.value,
            unit: planned.unit.map(str::to_owned),
            subject: self.query.subject(),
            period: self.period.label.clone(),
            when: self.period.when.clone(),
            query: planned.measure.sql(),
            rows_n: raw.rows_n,
            rows: raw.rows,
            table_version: self.version,
            as_of: self.now,
            measure: planned.measure,
        }
    }
}

/// A measure's answer.
#[derive(Debug)]
struct Raw {
    value: Value,
    rows_n: u64,
    rows: Vec<String>,
}

impl Default for Raw {
    fn default() -> Self {
        Self { value: Value::Nothing, rows_n: 0, rows: Vec::new() }
    }
}

impl Raw {
    fn read(row: &Map<String, Json>, i: usize, measure: &Measure) -> Self {
        let column = |name: &str| row.get(&format!("{name}{i}")).unwrap_or(&Json::Null);
        let ids = column("r").as_array().map(Vec::as_slice).unwrap_or_default();
        Self {
            value: plan::shown(measure, column("v")),
            rows_n: column("n").as_u64().unwrap_or_default(),
            rows: ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect(),
        }
    }
}

/// Whether an answer says that the question was about something else.
pub(crate) fn is_foreign(answer: &Answer) -> bool {
    answer.sentences.first().map(|sentence| sentence.text.as_str()) == FOREIGN.first().copied()
}

const MEDICAL: &[&str] = &[
    "I can't help with doses, medicines or diagnoses: please ask a doctor or a pharmacist.",
    "I can tell what your log says, for example when your cravings come and what goes together with them.",
];
const FOREIGN: &[&str] =
    &["I can only answer questions about your own log.", "Ask, for example: why do I crave sugar at night?"];
const EMPTY: &[&str] = &["There are no cravings in your log yet, so there is nothing to answer from."];
