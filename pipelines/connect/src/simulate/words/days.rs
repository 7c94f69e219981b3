//! Sentences of moods and diaries, by how the day was.

/// The day was hard.
pub(in crate::simulate) const HARD: &[&str] = &[
    "A long day that left me flat.",
    "Everything took twice as long as it should.",
    "I was short with people and sorry for it.",
    "Too many things at once today.",
    "Tense from morning on, could feel it in my jaw.",
    "Work ate the day and the evening too.",
    "Did not get to half of my list.",
    "My head was loud all day.",
];

/// The day was ordinary.
pub(in crate::simulate) const PLAIN: &[&str] = &[
    "An ordinary day, nothing much to tell.",
    "Errands, laundry, a bit of reading.",
    "Work was fine, the weather was not.",
    "Cooked, tidied, talked to my sister on the phone.",
    "A day like most days, and that is all right.",
    "Cycled to work and back, legs tired in a good way.",
];

/// The day was good.
pub(in crate::simulate) const GOOD: &[&str] = &[
    "A light day, I laughed a lot.",
    "Slept well and it showed.",
    "Long walk in the sun, no phone.",
    "Finished something I had put off for weeks.",
    "Dinner with friends, early to bed.",
    "Felt calm for no particular reason.",
];

/// About the night before.
pub(in crate::simulate) const SLEPT_BADLY: &[&str] = &[
    "Slept badly, awake at three with thoughts going round.",
    "Short night, coffee could not replace it.",
    "Woke up more tired than I went to bed.",
];

/// About cravings of the day, when there were any: `{craving}` is what was craved, `{trigger}` what set it off.
pub(in crate::simulate) const CRAVED: &[&str] = &[
    "The urge for {craving} was there again, mostly because of this: {trigger}.",
    "Wanted {craving} more than I like to admit; {trigger} set it off.",
    "Noticed that {trigger} and {craving} go together for me.",
    "Thinking about {craving} took up more room than it should.",
    "I am learning when {craving} gets loud, today it was {trigger}.",
];

/// Plans for tomorrow.
pub(in crate::simulate) const TOMORROW: &[&str] = &[
    "Tomorrow I want to get out before noon.",
    "Trying again tomorrow.",
    "Early night planned.",
    "Will keep writing this down, it helps.",
    "Want to call a friend tomorrow instead of sitting here.",
    "One thing at a time.",
];
