//! What can be counted of one person's cravings, each as the SQL that computes it. Pure.
//!
//! Every text in the SQL is written by [`literal`], so that a label cannot end its quotes; and the session sees the
//! person's own rows only, whatever the SQL says (TN-1). The SQL of a fact can be read and run as it stands.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Event ids kept with a fact, at most.
pub(crate) const ROWS_MAX: usize = 200;

/// Which cravings. Empty lists mean all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Select {
    /// What is craved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub craving: Option<String>,
    /// Parts of the local day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// Local weekdays, 0 = Sunday.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<u8>,
    /// Those outside `parts` and `weekdays` instead.
    #[serde(default)]
    pub elsewhen: bool,
    /// What set it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// Whether it was said to be resisted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resisted: Option<bool>,
    /// Only those that say whether they were resisted.
    #[serde(default)]
    pub answered: bool,
    /// After this.
    pub since: DateTime<Utc>,
    /// Up to and with this.
    pub until: DateTime<Utc>,
}

impl Select {
    /// The condition in SQL.
    #[must_use]
    pub fn condition(&self) -> String {
        let mut all =
            vec![format!("event_time > {} AND event_time <= {}", instant(self.since), instant(self.until))];
        if let Some(craving) = &self.craving {
            all.push(format!("craving = {}", literal(craving)));
        }
        let mut slot = Vec::new();
        if !self.parts.is_empty() {
            let parts: Vec<_> = self.parts.iter().map(|part| literal(part)).collect();
            slot.push(format!("day_part IN ({})", parts.join(", ")));
        }
        if !self.weekdays.is_empty() {
            let days: Vec<_> = self.weekdays.iter().map(ToString::to_string).collect();
            slot.push(format!("local_dow IN ({})", days.join(", ")));
        }
        if !slot.is_empty() {
            let slot = slot.join(" AND ");
            all.push(if self.elsewhen { format!("NOT ({slot})") } else { slot });
        }
        if let Some(trigger) = &self.trigger {
            all.push(format!("trigger = {}", literal(trigger)));
        }
        match self.resisted {
            Some(true) => all.push("resisted".into()),
            Some(false) => all.push("NOT resisted".into()),
            None if self.answered => all.push("resisted IS NOT NULL".into()),
            None => {}
        }
        all.join(" AND ")
    }
}

/// A column by which cravings are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Column {
    /// What set it off.
    Trigger,
    /// Part of the local day.
    DayPart,
    /// Local weekday.
    LocalDow,
    /// Where.
    Place,
}

impl Column {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Trigger, Self::DayPart, Self::LocalDow, Self::Place];

    /// Its name in SQL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::DayPart => "day_part",
            Self::LocalDow => "local_dow",
            Self::Place => "place",
        }
    }
}

/// A column of the view `trends`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// Cravings a week.
    PerWeek,
    /// Against the period before, in percent.
    ChangePct,
}

impl Rate {
    const fn as_str(self) -> &'static str {
        match self {
            Self::PerWeek => "per_week",
            Self::ChangePct => "change_pct",
        }
    }
}

/// How a fact is computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Measure {
    /// How many.
    Count {
        /// Which.
        of: Select,
    },
    /// How many of them in percent of those.
    Share {
        /// These.
        of: Select,
        /// Of those.
        among: Select,
    },
    /// Mean intensity.
    Intensity {
        /// Of which.
        of: Select,
    },
    /// How many more or fewer, in percent.
    Change {
        /// Now.
        of: Select,
        /// Before.
        before: Select,
    },
    /// The most frequent value of a column.
    Top {
        /// The column.
        by: Column,
        /// Of which.
        of: Select,
    },
    /// Mean of the last SDNN within six hours before each craving.
    SdnnBefore {
        /// Of which.
        of: Select,
    },
    /// Mean of all SDNN readings.
    SdnnUsual {
        /// After this.
        since: DateTime<Utc>,
        /// Up to and with this.
        until: DateTime<Utc>,
    },
    /// A column of the view `trends`: a calendar month, season or half-year.
    Trend {
        /// `per_week` or `change_pct`.
        column: Rate,
        /// What is craved.
        craving: String,
        /// `month`, `season`, `half_year`.
        grain: String,
        /// The first day, `2026-11-01`.
        start: String,
    },
    /// The person's own words.
    Note {
        /// The event they belong to.
        event_id: String,
    },
}

impl Measure {
    /// Decimals that are shown.
    #[must_use]
    pub fn decimals(&self) -> i32 {
        match self {
            Self::Count { .. } | Self::Share { .. } | Self::Change { .. } => 0,
            Self::Trend { column: Rate::ChangePct, .. } => 0,
            _ => 1,
        }
    }

    /// Whether it rests on the table `cravings` alone, which many can share one pass over (the value of
    /// [`Measure::Top`] is known before).
    #[must_use]
    pub fn over_cravings(&self) -> bool {
        !matches!(
            self,
            Self::SdnnBefore { .. } | Self::SdnnUsual { .. } | Self::Trend { .. } | Self::Note { .. }
        )
    }

    /// The aggregate, for measures over `cravings`.
    fn aggregate(&self) -> String {
        let count = |of: &Select| format!("count(*) FILTER (WHERE {})", of.condition());
        match self {
            Self::Count { of } => count(of),
            Self::Share { of, among } => format!("100.0 * {} / nullif({}, 0)", count(of), count(among)),
            Self::Intensity { of } => format!("avg(intensity) FILTER (WHERE {})", of.condition()),
            Self::Change { of, before } => {
                let before = count(before);
                format!("100.0 * ({} - {before}) / nullif({before}, 0)", count(of))
            }
            _ => "NULL".to_owned(),
        }
    }

    /// Which rows the value rests on, as a condition over `cravings`.
    fn rests_on(&self) -> String {
        match self {
            Self::Count { of }
            | Self::Intensity { of }
            | Self::Top { of, .. }
            | Self::SdnnBefore { of }
            | Self::Share { of, .. } => of.condition(),
            Self::Change { of, before } => format!("({}) OR ({})", of.condition(), before.condition()),
            Self::SdnnUsual { .. } | Self::Trend { .. } | Self::Note { .. } => "false".to_owned(),
        }
    }

    /// The first and the last instant it looks at.
    fn span(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        Some(match self {
            Self::Count { of } | Self::Intensity { of } | Self::Top { of, .. } | Self::SdnnBefore { of } => {
                (of.since, of.until)
            }
            Self::Share { of: one, among: two } | Self::Change { of: one, before: two } => {
                (one.since.min(two.since), one.until.max(two.until))
            }
            Self::SdnnUsual { since, until } => (*since, *until),
            Self::Trend { .. } | Self::Note { .. } => return None,
        })
    }

    /// The SQL of its value alone, to be shown and run by the person.
    #[must_use]
    pub fn sql(&self) -> String {
        match self {
            Self::Top { by, of } => format!(
                "SELECT {by} AS value FROM cravings WHERE {where_} AND {by} IS NOT NULL GROUP BY {by} ORDER BY count(*) DESC, {by} LIMIT 1",
                by = by.as_str(),
                where_ = of.condition()
            ),
            Self::SdnnBefore { of } => format!(
                "SELECT avg(sdnn_ms) AS value FROM craving_hrv WHERE sdnn_ms IS NOT NULL AND event_id IN (SELECT event_id FROM cravings WHERE {})",
                of.condition()
            ),
            Self::SdnnUsual { since, until } => format!(
                "SELECT avg({SDNN}) AS value FROM events_current WHERE {}",
                sdnn_condition(*since, *until)
            ),
            Self::Trend { column, craving, grain, start } => format!(
                "SELECT {} AS value FROM trends WHERE {}",
                column.as_str(),
                trend_condition(craving, grain, start)
            ),
            Self::Note { event_id } => format!(
                "SELECT coalesce(extract_json_string(payload, '$.note'), extract_json_string(payload, '$.text')) AS value FROM events_current WHERE event_id = {}",
                literal(event_id)
            ),
            _ => format!("SELECT {} AS value FROM cravings", self.aggregate()),
        }
    }
}

const SDNN: &str = "CAST(get_first_json_object(payload, '$.value') AS DOUBLE)";

fn sdnn_condition(since: DateTime<Utc>, until: DateTime<Utc>) -> String {
    format!("kind = 'hrv_sdnn_ms' AND event_time > {} AND event_time <= {}", instant(since), instant(until))
}

fn trend_condition(craving: &str, grain: &str, start: &str) -> String {
    format!(
        "craving = {} AND grain = {} AND period_start = {}",
        literal(craving),
        literal(grain),
        literal(start)
    )
}

/// One query for all of `measures`: for the i-th, `v{i}` is its value, `n{i}` the number of its rows, `r{i}` their ids.
/// Those over other tables get their own: see [`alone`].
#[must_use]
pub(crate) fn together(measures: &[&Measure]) -> String {
    let mut columns = Vec::with_capacity(measures.len() * 3);
    for (i, measure) in measures.iter().enumerate() {
        let rows = measure.rests_on();
        columns.push(format!("CAST({} AS DOUBLE) AS v{i}", measure.aggregate()));
        columns.push(format!("count(*) FILTER (WHERE {rows}) AS n{i}"));
        columns.push(format!("{} AS r{i}", ids(&format!(" FILTER (WHERE {rows})"))));
    }
    let spans = || measures.iter().filter_map(|measure| measure.span());
    let since = spans().map(|(since, _)| since).min().unwrap_or_default();
    let until = spans().map(|(_, until)| until).max().unwrap_or_default();
    format!(
        "SELECT {} FROM cravings WHERE event_time > {} AND event_time <= {}",
        columns.join(", "),
        instant(since),
        instant(until)
    )
}

/// The query of one measure with the same columns as [`together`], for `i` = 0.
#[must_use]
pub(crate) fn alone(measure: &Measure) -> String {
    let ids = ids("");
    match measure {
        Measure::SdnnBefore { of } => format!(
            "SELECT avg(sdnn_ms) AS v0, count(*) AS n0, {ids} AS r0 FROM craving_hrv WHERE sdnn_ms IS NOT NULL AND event_id IN (SELECT event_id FROM cravings WHERE {})",
            of.condition()
        ),
        Measure::SdnnUsual { since, until } => format!(
            "SELECT avg({SDNN}) AS v0, count(*) AS n0, {ids} AS r0 FROM events_current WHERE {}",
            sdnn_condition(*since, *until)
        ),
        Measure::Note { event_id } => format!(
            "SELECT coalesce(extract_json_string(payload, '$.note'), extract_json_string(payload, '$.text')) AS v0, 1 AS n0, make_array(event_id) AS r0 FROM events_current WHERE event_id = {}",
            literal(event_id)
        ),
        // The choice rests on all that it was made among.
        Measure::Top { of, .. } => format!(
            "SELECT max(t.value) AS v0, count(*) AS n0, {ids} AS r0 FROM cravings CROSS JOIN ({}) t WHERE {}",
            measure.sql(),
            of.condition()
        ),
        Measure::Trend { column, craving, grain, start } => format!(
            "SELECT max(t.value) AS v0, count(*) AS n0, {ids} AS r0 FROM cravings c CROSS JOIN \
             (SELECT {} AS value, period_start, period_end FROM trends WHERE {}) t \
             WHERE c.craving = {} AND CAST(c.local_date AS DATE) >= t.period_start AND CAST(c.local_date AS DATE) < t.period_end",
            column.as_str(),
            trend_condition(craving, grain, start),
            literal(craving)
        ),
        _ => together(&[measure]),
    }
}

fn ids(filter: &str) -> String {
    format!("array_slice(array_agg(event_id ORDER BY event_time DESC, event_id){filter}, 1, {ROWS_MAX})")
}

/// A text in SQL.
#[must_use]
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// An instant in SQL.
#[must_use]
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    format!("'{}'", at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn select() -> Select {
        Select {
            craving: Some("o'sugar".into()),
            parts: vec!["night".into()],
            weekdays: vec![0, 6],
            elsewhen: true,
            trigger: None,
            resisted: None,
            answered: false,
            since: DateTime::UNIX_EPOCH,
            until: DateTime::UNIX_EPOCH + TimeDelta::days(1),
        }
    }

    #[test]
    fn a_condition_says_all() {
        assert_eq!(
            select().condition(),
            "event_time > '1970-01-01T00:00:00.000000Z' AND event_time <= '1970-01-02T00:00:00.000000Z' \
             AND craving = 'o''sugar' AND NOT (day_part IN ('night') AND local_dow IN (0, 6))"
        );
    }

    #[test]
    fn a_measure_survives_its_json() {
        let measure = Measure::Share { of: select(), among: Select { parts: Vec::new(), ..select() } };
        let json = serde_json::to_string(&measure).unwrap();
        assert_eq!(serde_json::from_str::<Measure>(&json).unwrap(), measure);
    }

    proptest::proptest! {
        #[test]
        fn no_label_ends_its_quotes(text in "\\PC{0,40}") {
            let quoted = literal(&text);
            let inner = &quoted[1..quoted.len() - 1];
            proptest::prop_assert_eq!(inner.replace("''", ""), text.replace('\'', ""));
        }
    }
}
