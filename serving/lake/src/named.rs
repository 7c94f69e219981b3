//! The lake's views and the named queries: each a file under `sql/`, compiled in.

use datafusion::prelude::SessionContext;

use crate::Error;

/// Views over the tables, in the order they build on each other. A view whose tables are not there yet is
/// left out.
const VIEWS: &[(&str, &str)] = &[("events_current", include_str!("../../../sql/lake/events_current.sql"))];

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
    /// Strength by day.
    Intensity,
    /// Heart rate variability, sample by sample.
    Hrv,
    /// Cravings, newest first.
    Cravings,
    /// One craving.
    Craving,
}

impl Query {
    /// Every query.
    pub const ALL: [Self; 10] = [
        Self::Summary,
        Self::Heatmap,
        Self::Triggers,
        Self::Places,
        Self::Hours,
        Self::DayParts,
        Self::Intensity,
        Self::Hrv,
        Self::Cravings,
        Self::Craving,
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
            Self::Intensity => include_str!("../../../sql/queries/intensity.sql"),
            Self::Hrv => include_str!("../../../sql/queries/hrv.sql"),
            Self::Cravings => include_str!("../../../sql/queries/cravings.sql"),
            Self::Craving => include_str!("../../../sql/queries/craving.sql"),
        }
    }
}

pub(crate) async fn register_views(session: &SessionContext) -> Result<(), Error> {
    for (name, sql) in VIEWS {
        match session.sql(sql).await {
            Ok(frame) => {
                session.register_table(*name, frame.into_view()).map_err(Error::sql)?;
            }
            Err(error) => tracing::debug!(view = name, %error, "view is not there yet"),
        }
    }
    Ok(())
}
