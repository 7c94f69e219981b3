//! The habits that are planted, and what an observer should find of them.

use serde::{Deserialize, Serialize};

/// A planted habit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Archetype {
    /// Sugar between nine and midnight, most of all after stressful work.
    NightSugar,
    /// Nicotine at work, where its stress peaks.
    StressNicotine,
    /// Alcohol on Friday and Saturday evenings, in company.
    WeekendAlcohol,
    /// Comfort food when it is dark and cold.
    WinterSpike,
    /// Alcohol, ever less often and less strongly, ever more often resisted.
    Recovery,
    /// A little of everything at any time: no pattern to find.
    Mixed,
}

impl Archetype {
    /// All of them, in the order in which people get them.
    pub const ALL: [Self; 6] = [
        Self::NightSugar,
        Self::StressNicotine,
        Self::WeekendAlcohol,
        Self::WinterSpike,
        Self::Recovery,
        Self::Mixed,
    ];

    /// The name in ids and in the truth.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NightSugar => "night-sugar",
            Self::StressNicotine => "stress-nicotine",
            Self::WeekendAlcohol => "weekend-alcohol",
            Self::WinterSpike => "winter-spike",
            Self::Recovery => "recovery",
            Self::Mixed => "mixed",
        }
    }

    /// What is craved most; `None` for the mix.
    #[must_use]
    pub fn craving(self) -> Option<&'static str> {
        match self {
            Self::NightSugar => Some("sugar"),
            Self::StressNicotine => Some("nicotine"),
            Self::WeekendAlcohol | Self::Recovery => Some("alcohol"),
            Self::WinterSpike => Some("comfort food"),
            Self::Mixed => None,
        }
    }

    /// What sets it off most often; `None` for the mix.
    #[must_use]
    pub fn trigger(self) -> Option<&'static str> {
        match self {
            Self::NightSugar => Some("stress after work"),
            Self::StressNicotine => Some("work stress"),
            Self::WeekendAlcohol => Some("friends"),
            Self::WinterSpike => Some("dark evening"),
            Self::Recovery => Some("after dinner"),
            Self::Mixed => None,
        }
    }

    /// The local hours in which most of it happens.
    #[must_use]
    pub fn peak_hours(self) -> &'static [u8] {
        match self {
            Self::NightSugar => &[21, 22, 23],
            Self::StressNicotine => &[10, 11, 15, 16],
            Self::WeekendAlcohol => &[19, 20, 21, 22],
            Self::WinterSpike => &[16, 17, 18, 19],
            Self::Recovery => &[18, 19, 20, 21],
            Self::Mixed => &[],
        }
    }

    /// The weekdays on which most of it happens, Monday = 1; empty when they do not matter.
    #[must_use]
    pub fn peak_weekdays(self) -> &'static [u8] {
        match self {
            Self::StressNicotine => &[1, 2, 3, 4, 5],
            Self::WeekendAlcohol => &[5, 6],
            _ => &[],
        }
    }

    /// The months in which most of it happens; empty when they do not matter.
    #[must_use]
    pub fn peak_months(self) -> &'static [u8] {
        match self {
            Self::WinterSpike => &[12, 1, 2],
            _ => &[],
        }
    }

    /// Whether it falls over the time simulated.
    #[must_use]
    pub fn falls(self) -> bool {
        self == Self::Recovery
    }
}
