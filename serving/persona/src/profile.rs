//! What a person chooses: goals, time zone, how the coach speaks; and how familiar the coach is by now.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Most goals of a person.
pub const GOALS_MAX: usize = 20;
/// Goals shared, and days since the first, from which the coach is trusted.
const TRUSTED: (usize, i64) = (3, 30);

/// How the coach speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// Kind first.
    Warm,
    /// Short and plain.
    Direct,
    /// Matter of fact.
    Neutral,
}

/// How well coach and person know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rapport {
    /// No goal is shared yet.
    New,
    /// A goal is shared.
    Familiar,
    /// Several goals are shared, for a while.
    Trusted,
}

/// What a person chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// In the person's words.
    #[serde(default)]
    pub goals: Vec<String>,
    /// IANA name.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// `None`: the archetype's.
    #[serde(default)]
    pub tone: Option<Tone>,
    /// Whether what they write may be sent to services outside, where the operator set any: only if they say so.
    #[serde(default)]
    pub remote_processing: bool,
}

/// Rapport by the goals shared and when the first was.
#[must_use]
pub fn rapport(goals_n: usize, first_goal: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Rapport {
    let Some(first) = first_goal.filter(|_| goals_n > 0) else { return Rapport::New };
    let long = now - first >= TimeDelta::days(TRUSTED.1);
    if goals_n >= TRUSTED.0 && long { Rapport::Trusted } else { Rapport::Familiar }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rapport_grows_with_goals_and_time() {
        let start = DateTime::UNIX_EPOCH;
        let after = |days| start + TimeDelta::days(days);
        for (goals, first, now, expected) in [
            (0, None, after(90), Rapport::New),
            (0, Some(start), after(90), Rapport::New),
            (1, Some(start), after(90), Rapport::Familiar),
            (3, Some(start), after(29), Rapport::Familiar),
            (3, Some(start), after(30), Rapport::Trusted),
        ] {
            assert_eq!(rapport(goals, first, now), expected, "{goals} {now}");
        }
    }
}
