//! The lake's views and the named queries: each a file under `sql/`, compiled in.

use std::collections::BTreeSet;

use datafusion::prelude::SessionContext;

use crate::Error;

/// A view of the lake.
#[derive(Debug)]
struct View {
    name: &'static str,
    sql: &'static str,
    /// Tables and views that its SQL reads.
    reads: &'static [&'static str],
}

/// Views over the tables, in the order they build on each other.
const VIEWS: &[View] = &[
    View {
        name: "events_current",
        sql: include_str!("../../../sql/lake/events_current.sql"),
        reads: &["events", "corrections"],
    },
    View { name: "daily", sql: include_str!("../../../sql/lake/daily.sql"), reads: &["daily_parts"] },
    View {
        name: "daily_now",
        sql: include_str!("../../../sql/lake/daily_now.sql"),
        reads: &["daily_parts", "cravings"],
    },
    View {
        name: "craving_hrv",
        sql: include_str!("../../../sql/lake/craving_hrv.sql"),
        reads: &["cravings", "events_current"],
    },
    View {
        name: "trends",
        sql: include_str!("../../../sql/lake/trends.sql"),
        reads: &["daily", "daily_now"],
    },
    View {
        name: "note_labels_current",
        sql: include_str!("../../../sql/lake/note_labels_current.sql"),
        reads: &["note_labels"],
    },
    View {
        name: "features",
        sql: include_str!("../../../sql/lake/features.sql"),
        reads: &["cravings", "events_current"],
    },
];

/// `names`, with what the views among them read, and so on.
pub(crate) fn with_inputs(mut names: BTreeSet<String>) -> BTreeSet<String> {
    for view in VIEWS.iter().rev() {
        if names.contains(view.name) {
            names.extend(view.reads.iter().map(|name| (*name).to_owned()));
        }
    }
    names
}

/// A query that the API, the dashboard and notebooks share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// Totals of a period and of the one before, by craving.
    Summary,
    /// Weekday × hour.
    Heatmap,
    /// What set cravings off.
    Triggers,
    /// Where they came.
    Places,
    /// By hour of the day.
    Hours,
    /// By part of the day.
    DayParts,
    /// What was felt, by part of the day.
    Emotions,
    /// Strength by day.
    Intensity,
    /// Heart rate variability, sample by sample.
    Hrv,
    /// Cravings, newest first.
    Cravings,
    /// One craving.
    Craving,
    /// One craving with its payload and revision.
    CravingRevision,
    /// How much each craving still weighs.
    LongTermRecency,
    /// What tells one kind of craver from another, of each craving.
    PersonaCravings,
    /// In how many weeks the person told anything.
    PersonaLogged,
}

impl Query {
    /// Every query.
    pub const ALL: [Self; 15] = [
        Self::Summary,
        Self::Heatmap,
        Self::Triggers,
        Self::Places,
        Self::Hours,
        Self::DayParts,
        Self::Emotions,
        Self::Intensity,
        Self::Hrv,
        Self::Cravings,
        Self::Craving,
        Self::CravingRevision,
        Self::LongTermRecency,
        Self::PersonaCravings,
        Self::PersonaLogged,
    ];

    /// Its SQL; parameters are written `$name`.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Self::Summary => include_str!("../../../sql/queries/summary.sql"),
            Self::Heatmap => include_str!("../../../sql/queries/heatmap.sql"),
            Self::Triggers => include_str!("../../../sql/queries/triggers.sql"),
            Self::Places => include_str!("../../../sql/queries/places.sql"),
            Self::Hours => include_str!("../../../sql/queries/hours.sql"),
            Self::DayParts => include_str!("../../../sql/queries/day_parts.sql"),
            Self::Emotions => include_str!("../../../sql/queries/emotions.sql"),
            Self::Intensity => include_str!("../../../sql/queries/intensity.sql"),
            Self::Hrv => include_str!("../../../sql/queries/hrv.sql"),
            Self::Cravings => include_str!("../../../sql/queries/cravings.sql"),
            Self::Craving => include_str!("../../../sql/queries/craving.sql"),
            Self::CravingRevision => include_str!("../../../sql/queries/craving_revision.sql"),
            Self::LongTermRecency => include_str!("../../../sql/queries/long_term_recency.sql"),
            Self::PersonaCravings => include_str!("../../../sql/queries/persona_cravings.sql"),
            Self::PersonaLogged => include_str!("../../../sql/queries/persona_logged.sql"),
        }
    }
}

/// Registers the lake's views over the tables of `session`, which needs the functions of `crave-udfs`. A view
/// whose tables are not there (yet) is left out.
///
/// # Errors
/// When a name is taken.
pub async fn register_views(session: &SessionContext) -> Result<(), Error> {
    register(session, None).await
}

/// As [`register_views`], of `wanted` only when given.
pub(crate) async fn register(
    session: &SessionContext,
    wanted: Option<&BTreeSet<String>>,
) -> Result<(), Error> {
    for view in VIEWS.iter().filter(|view| wanted.is_none_or(|wanted| wanted.contains(view.name))) {
        match Box::pin(session.sql(view.sql)).await {
            Ok(frame) => {
                session.register_table(view.name, frame.into_view()).map_err(Error::sql)?;
            }
            Err(error) => tracing::debug!(view = view.name, %error, "view is not there yet"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_brings_what_it_reads() {
        let of = |name: &str| with_inputs(BTreeSet::from([name.to_owned()])).into_iter().collect::<Vec<_>>();
        assert_eq!(of("events"), ["events"]);
        assert_eq!(of("daily"), ["daily", "daily_parts"]);
        assert_eq!(of("craving_hrv"), ["corrections", "craving_hrv", "cravings", "events", "events_current"]);
        assert_eq!(of("trends"), ["cravings", "daily", "daily_now", "daily_parts", "trends"]);
    }
}
