//! The labels of a note, and what each kind means.

use serde::Serialize;

/// What a label tells about a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// `present`: the writer feels, resists or has just followed the urge that the note is about. `mentioned`: a
    /// craving is only talked about: denied, long past, another person's, asked about. At most one of the two.
    Craving,
    /// What is craved, in either case.
    Craved,
    /// What sets off the writer's own, present craving.
    Trigger,
    /// Who is with the writer.
    Company,
    /// Where the writer is.
    Place,
    /// What the writer feels: not what is denied, long past, or felt by others.
    Emotion,
}

impl LabelKind {
    /// All kinds, in the order of the labels.
    pub const ALL: [Self; 6] =
        [Self::Craving, Self::Craved, Self::Trigger, Self::Company, Self::Place, Self::Emotion];

    /// Its name in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Craving => "craving",
            Self::Craved => "craved",
            Self::Trigger => "trigger",
            Self::Company => "company",
            Self::Place => "place",
            Self::Emotion => "emotion",
        }
    }
}

/// How many labels there are.
pub const LABELS_N: usize = 41;

/// Every label, in the order of the heads' rows; the names are unique across kinds.
pub const LABELS: [(LabelKind, &str); LABELS_N] = {
    use LabelKind::{Company, Craved, Craving, Emotion, Place, Trigger};
    [
        (Craving, "present"),
        (Craving, "mentioned"),
        (Craved, "sugar"),
        (Craved, "alcohol"),
        (Craved, "nicotine"),
        (Craved, "caffeine"),
        (Craved, "food"),
        (Craved, "gambling"),
        (Craved, "screens"),
        (Trigger, "stress"),
        (Trigger, "boredom"),
        (Trigger, "loneliness"),
        (Trigger, "conflict"),
        (Trigger, "social"),
        (Trigger, "celebration"),
        (Trigger, "tiredness"),
        (Trigger, "hunger"),
        (Trigger, "cue"),
        (Trigger, "routine"),
        (Company, "alone"),
        (Company, "friends"),
        (Company, "family"),
        (Company, "partner"),
        (Company, "colleagues"),
        (Company, "strangers"),
        (Place, "home"),
        (Place, "work"),
        (Place, "shop"),
        (Place, "venue"),
        (Place, "transit"),
        (Place, "outdoors"),
        (Emotion, "anxious"),
        (Emotion, "sad"),
        (Emotion, "stressed"),
        (Emotion, "tired"),
        (Emotion, "frustrated"),
        (Emotion, "angry"),
        (Emotion, "bored"),
        (Emotion, "happy"),
        (Emotion, "proud"),
        (Emotion, "calm"),
    ]
};

/// Where `present` and `mentioned` stand in [`LABELS`].
pub(super) const PRESENT: usize = 0;
pub(super) const MENTIONED: usize = 1;

/// Numbers of all labels of a note, in the order of [`LABELS`].
pub type PerLabel<T> = [T; LABELS_N];

/// The place of a label in [`LABELS`].
#[must_use]
pub fn index(name: &str) -> Option<usize> {
    LABELS.iter().position(|(_, label)| *label == name)
}
