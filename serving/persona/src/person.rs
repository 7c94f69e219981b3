//! What is known of a person.

use chrono::NaiveDate;
use serde::Deserialize;

/// A craving, as `sql/queries/persona_cravings.sql` gives it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Craving {
    /// Its event.
    pub event_id: String,
    /// In the person's own time.
    pub local_date: NaiveDate,
    /// 0 to 23.
    pub local_hour: i64,
    /// 0 = Sunday.
    pub local_dow: i64,
    /// What is craved.
    pub craving: Option<String>,
    /// 1 to 10.
    pub intensity: Option<i64>,
    /// What set it off, in the person's words.
    pub trigger: Option<String>,
    /// Who was there.
    pub company: Option<String>,
}

/// Since when, in how many weeks and until when a person told anything themselves: cravings, moods, lapses, journal. A
/// watch goes on by itself and does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The first day.
    pub first: NaiveDate,
    /// The last day.
    pub last: NaiveDate,
    /// Weeks with anything.
    pub weeks: i64,
}

impl Logged {
    pub(crate) fn days(self) -> i64 {
        (self.last - self.first).num_days() + 1
    }

    /// The share of weeks, from the first to the last, in which anything was told.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn coverage(self) -> f64 {
        (self.weeks as f64 / ((self.days() as f64) / 7.0).max(1.0)).min(1.0)
    }
}
