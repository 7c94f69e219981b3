//! What a question asks: craving, part of the day, weekdays, period. Pure: the clock and the person's own labels are
//! arguments.

use chrono::{DateTime, Utc};

#[cfg(test)]
mod tests;

pub use crave_recall::period::Period;
use crave_recall::{
    period,
    words::{any, find, same, words},
};

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Why: all there is.
    Why,
    /// How many.
    Count,
    /// At which time.
    When,
    /// What sets it off.
    Trigger,
    /// More or less than before.
    Trend,
    /// How strong.
    Intensity,
    /// How often it was resisted.
    Resisted,
    /// What the heart did before.
    Hrv,
}

/// A part of the day in a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartOfDay {
    /// 05:00–12:00.
    Morning,
    /// 12:00–17:00.
    Afternoon,
    /// 17:00–24:00.
    Evening,
    /// 21:00–05:00.
    Night,
}

impl PartOfDay {
    /// The values of the column `day_part`.
    #[must_use]
    pub fn parts(self) -> Vec<String> {
        let parts: &[&str] = match self {
            Self::Morning => &["morning"],
            Self::Afternoon => &["afternoon"],
            Self::Evening => &["evening", "late_evening"],
            Self::Night => &["late_evening", "night"],
        };
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    /// As part of a sentence.
    #[must_use]
    pub const fn when(self) -> &'static str {
        match self {
            Self::Morning => "in the morning",
            Self::Afternoon => "in the afternoon",
            Self::Evening => "in the evening",
            Self::Night => "at night",
        }
    }

    /// Its hours, for a label.
    #[must_use]
    pub const fn hours(self) -> &'static str {
        match self {
            Self::Morning => "05:00–12:00",
            Self::Afternoon => "12:00–17:00",
            Self::Evening => "17:00–24:00",
            Self::Night => "21:00–05:00",
        }
    }
}

/// One of the person's own craving labels, with its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The label.
    pub craving: String,
    /// Cravings in the last 30 days.
    pub month_n: u64,
    /// In the last 365 days.
    pub year_n: u64,
    /// Ever.
    pub n: u64,
}

/// A question about the person's own log, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// What is asked.
    pub ask: Ask,
    /// What is craved; `None` for anything.
    pub craving: Option<String>,
    /// When in the day.
    pub part: Option<PartOfDay>,
    /// Local weekdays, 0 = Sunday; empty for all.
    pub weekdays: Vec<u8>,
    /// The weekdays as part of a sentence.
    pub weekdays_when: &'static str,
    /// Which time; `None` when the question does not say.
    pub period: Option<Period>,
}

/// What a question turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Answerable from the log.
    Own(Query),
    /// Asks for medical advice.
    Medical,
    /// Is about something else.
    Foreign,
}

/// Reads a question asked at `now` by someone `offset_min` minutes east of UTC who uses `labels`.
#[must_use]
pub fn read(question: &str, labels: &[Label], now: DateTime<Utc>, offset_min: i64) -> Reading {
    let words = words(question);
    if is_medical(&words) {
        return Reading::Medical;
    }
    let craving = craving(&words, labels);
    if craving.is_none() && !any(&words, DOMAIN) {
        return Reading::Foreign;
    }
    let (weekdays, weekdays_when) = period::weekdays(&words);
    Reading::Own(Query {
        ask: ask(&words),
        craving,
        part: part(&words),
        weekdays,
        weekdays_when,
        period: period::read(&words, now, offset_min),
    })
}

/// Whether a question leans on the one before it: short, and it begins as such do.
pub(crate) fn follows(question: &str) -> bool {
    let words = words(question);
    let begins = find(&words, "and|what|how|also|why|when|then").is_some_and(|(at, _)| at == 0);
    begins && words.len() <= 6
}

/// Advice that only a professional may give.
const MEDICAL: &[&str] = &[
    "mg|milligram|milligrams|dose|doses|dosage|dosing",
    "prescri*",
    "diagnos*",
    "medicin*|medicat*|meds|antidepress*|naltrexon*|ozempic|semaglutid*|bupropion|wellbutrin|vareniclin*|chantix|metformin|insulin|disulfiram|antabuse",
    "do i have ?a ?an diabetes|depression|adhd|anxiety|cancer|disorder|addiction|eating|alcoholism|bulimia|anorexia|insulinresistance",
    "am i an|a alcoholic|diabetic|bipolar|depressed|addict",
    "should i take|stop ?taking pills|supplements|magnesium|chromium|drugs",
    "is it safe to",
    "cure|treatment|therapy|symptom|symptoms|detox",
];

/// Words of the subject.
const DOMAIN: &[&str] = &[
    "crav*|urge|urges|trigger*|pattern|patterns|hrv|sdnn|intensity|resist*|lapse*|relapse*|habit|habits|tempt*",
    "my ?own ?last log|data|entries|notes|trend|trends|week|month|progress|heart|evenings|nights|numbers",
    "am|did i ~ getting|doing|do|improving ~ better|worse|well",
    "heart rate variability",
];

/// What people call the same craving; the first is the label of the simulator and the quick log.
const SYNONYMS: &[&[&str]] = &[
    &["sugar", "sweet", "chocolate", "candy", "dessert", "cake", "cookie", "sugary"],
    &["nicotine", "smoke", "smoking", "cigarette", "vape", "vaping", "tobacco"],
    &["alcohol", "drink", "drinking", "wine", "beer", "booze", "liquor"],
    &["caffeine", "coffee", "espresso"],
    &["comfort food", "snack", "snacking", "junk", "fast food", "carb"],
    &["cannabis", "weed", "marijuana"],
    &["gambling", "gamble", "betting"],
];

fn names(words: &[String], name: &str) -> bool {
    let parts: Vec<&str> = name.split_whitespace().collect();
    !parts.is_empty()
        && words
            .windows(parts.len())
            .any(|window| window.iter().zip(&parts).all(|(word, part)| same(word, part)))
}

/// Whether words name this craving, by its own name or another that people use.
pub(crate) fn mentions(words: &[String], craving: &str) -> bool {
    let own = crave_recall::words::words(craving).join(" ");
    let group = SYNONYMS.iter().find(|group| group.iter().any(|name| same(name, &own)));
    names(words, &own) || group.is_some_and(|group| group.iter().any(|name| names(words, name)))
}

/// The kinds of craving that words name.
pub(crate) fn named(words: &[String]) -> Vec<&'static str> {
    let named = |group: &&&[&'static str]| group.iter().any(|name| names(words, name));
    SYNONYMS.iter().filter(named).filter_map(|group| group.first().copied()).collect()
}

/// Whether a label means a kind of craving.
pub(crate) fn alike(label: &str, kind: &str) -> bool {
    mentions(&words(label), kind)
}

/// Whether words ask for advice that only a professional may give.
pub(crate) fn is_medical(words: &[String]) -> bool {
    any(words, MEDICAL)
}

/// Whether words are about a log of cravings.
pub(crate) fn is_about_log(words: &[String]) -> bool {
    any(words, DOMAIN)
}

/// The label that the question means: one of the person's own if it can be.
fn craving(words: &[String], labels: &[Label]) -> Option<String> {
    let own = |name: &str| labels.iter().find(|label| label.craving.eq_ignore_ascii_case(name));
    let mut by_length: Vec<&Label> = labels.iter().collect();
    by_length.sort_by_key(|label| std::cmp::Reverse(label.craving.len()));
    let normal = |label: &Label| crave_recall::words::words(&label.craving).join(" ");
    if let Some(label) = by_length.into_iter().find(|label| names(words, &normal(label))) {
        return Some(label.craving.clone());
    }
    let group = SYNONYMS.iter().find(|group| group.iter().any(|name| names(words, name)))?;
    let meant = group.iter().find_map(|name| own(name)).map(|label| label.craving.clone());
    meant.or_else(|| group.first().map(|name| (*name).to_owned()))
}

fn ask(words: &[String]) -> Ask {
    let table: &[(Ask, &[&str])] = &[
        (Ask::Hrv, &["hrv|sdnn|rmssd", "heart rate variability", "my heart"]),
        (Ask::Why, &["why", "what ~ reason|cause|causes|explains", "how come"]),
        (Ask::Count, &["how many|often|much|frequently", "count", "number of"]),
        (Ask::Trigger, &["trigger*", "what sets|set|brings|leads|makes|starts"]),
        (Ask::Resisted, &["resist*", "give|gave|giving in", "overcome|overcame|withstand"]),
        (
            Ask::Trend,
            &[
                "trend|trends|better|worse|improv*|progress|decreas*|increas*|more|less|fewer|changed|changing",
            ],
        ),
        (Ask::Intensity, &["intens*|strong|stronger|strongest|strength|severe|bad"]),
        (Ask::When, &["when", "what|which time|hour|day|part|weekday"]),
    ];
    table.iter().find(|(_, patterns)| any(words, patterns)).map_or(Ask::Why, |(ask, _)| *ask)
}

fn part(words: &[String]) -> Option<PartOfDay> {
    let table: &[(PartOfDay, &str)] = &[
        (PartOfDay::Night, "night|nights|midnight|nighttime|nightly|tonight|bedtime"),
        (PartOfDay::Evening, "evening|evenings|dinner"),
        (PartOfDay::Afternoon, "afternoon|afternoons"),
        (PartOfDay::Morning, "morning|mornings|breakfast"),
    ];
    table.iter().find(|(_, pattern)| find(words, pattern).is_some()).map(|(part, _)| *part)
}
