//! The closed sets an event names: its kind and where it came from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! names {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The value with this name on the wire.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

names! {
    /// What an event tells.
    Kind {
        /// An urge, with its strength and circumstances.
        Craving = "craving",
        /// The person gave in: used, ate or drank it.
        Lapse = "lapse",
        /// How the person feels.
        Mood = "mood",
        /// Free text of a diary.
        Journal = "journal",
        /// Circumstances as tags: alcohol, coffee, hungry, …
        Context = "context",
        /// A coarse place.
        Location = "location",
        /// Heart rate variability as SDNN, in ms. Not comparable with RMSSD.
        HrvSdnnMs = "hrv_sdnn_ms",
        /// Heart rate variability as RMSSD, in ms. Not comparable with SDNN.
        HrvRmssdMs = "hrv_rmssd_ms",
        /// Heart rate, beats a minute.
        HeartRateBpm = "heart_rate_bpm",
        /// Resting heart rate, beats a minute.
        RestingHeartRateBpm = "resting_heart_rate_bpm",
        /// Steps in a span of time.
        Steps = "steps",
        /// Distance walked or run in a span of time, in metres.
        DistanceM = "distance_m",
        /// Sleep, by stage.
        Sleep = "sleep",
        /// A workout.
        Workout = "workout",
        /// A day's activity rings.
        ActivitySummary = "activity_summary",
        /// Mindful minutes.
        Mindful = "mindful",
        /// Replaces the body of an earlier event of the same user.
        Correct = "correct",
        /// Takes an earlier event of the same user back.
        Retract = "retract",
    }
}

names! {
    /// What kind of program sent the event.
    Source {
        /// A watch.
        Watch = "watch",
        /// A phone.
        Phone = "phone",
        /// An importer, from a file.
        Import = "import",
        /// Any other client.
        Api = "api",
    }
}
