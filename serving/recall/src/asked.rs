//! What a question asks of the memories: which time, and how widely to look. Pure.

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};

use crate::period::{self, Period};
use crate::words::{any, words};

/// Candidates of each retriever for a question that wants one moment.
const NARROW: usize = 80;

/// A question, read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// The time that it names.
    pub period: Option<Period>,
    /// The local weekdays that it names, 0 = Sunday; empty for all.
    pub weekdays: Vec<u8>,
    /// Minutes that the person's clock is east of UTC.
    pub offset_min: i64,
    /// It asks when something was.
    pub wants_time: bool,
    /// It asks for all there is, or for a judgement over it, and not for one moment.
    pub broad: bool,
}

impl Asked {
    /// Reads a question asked at `now` by someone `offset_min` minutes east of UTC.
    #[must_use]
    pub fn read(question: &str, now: DateTime<Utc>, offset_min: i64) -> Self {
        let words = words(question);
        Self {
            period: period::read(&words, now, offset_min),
            weekdays: period::weekdays(&words).0,
            offset_min,
            wants_time: any(&words, TIME),
            broad: any(&words, BROAD),
        }
    }

    /// Whether it names a time or weekdays.
    #[must_use]
    pub fn names_time(&self) -> bool {
        self.period.is_some() || !self.weekdays.is_empty()
    }

    /// Whether `time` is in the time and on a weekday that it names, as far as it names any.
    #[must_use]
    pub fn holds(&self, time: DateTime<Utc>) -> bool {
        let within = |period: &Period| period.since < time && time <= period.until;
        let local = time + TimeDelta::minutes(self.offset_min);
        self.period.as_ref().is_none_or(within)
            && (self.weekdays.is_empty()
                || self.weekdays.iter().any(|day| u32::from(*day) == local.weekday().num_days_from_sunday()))
    }

    /// How many candidates each retriever gives, of at most `max`.
    #[must_use]
    pub fn depth(&self, max: usize) -> usize {
        if self.broad { max } else { NARROW.min(max) }
    }
}

const TIME: &[&str] = &["when|since", "how long", "what|which time|day|date|month|year|season|weekday"];

const BROAD: &[&str] = &[
    "all|always|ever|every|usually|often|most|overall|compare|compared|summar*|pattern|patterns|list",
    "how many|often|much|frequently",
    "what|which ~ activities|things|kinds|types|events|places|books|hobbies|people|foods|reasons|triggers|ways",
    "would|might|could|should|likely|probably",
    "why",
];

/// Whether a text tells a time: "yesterday", "last week", "in June", "2022", "three years ago".
pub(crate) fn tells_time(words: &[String]) -> bool {
    words.iter().any(|word| {
        TELLS.contains(&word.as_str())
            || (word.len() == 4
                && (word.starts_with("19") || word.starts_with("20"))
                && word.bytes().all(|byte| byte.is_ascii_digit()))
    }) || any(words, &["this week|weekend|month|year|morning|evening|afternoon|past"])
}

/// Whether a text ends with a question; what stands in brackets after it, as a picture's caption does, is passed over.
pub(crate) fn asks(text: &str) -> bool {
    let text = text.trim_end();
    let said = text.strip_suffix(']').and_then(|text| text.rsplit_once('[')).map_or(text, |(said, _)| said);
    said.trim_end().ends_with('?')
}

const TELLS: &[&str] = &[
    "yesterday",
    "today",
    "tonight",
    "tomorrow",
    "last",
    "next",
    "ago",
    "since",
    "recently",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "year",
    "years",
    "month",
    "months",
    "week",
    "weeks",
    "weekend",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_question_names_times() {
        let now = at("2026-06-10T12:00:00Z");
        // Question, a time that it means, one that it does not.
        let table = [
            ("what helped last winter?", "2026-01-20T10:00:00Z", "2026-04-20T10:00:00Z"),
            ("what did I crave since March", "2026-03-02T10:00:00Z", "2026-02-20T10:00:00Z"),
            ("which snacks on weekends", "2026-06-06T10:00:00Z", "2026-06-05T10:00:00Z"),
            ("the evening of Friday in May", "2026-05-08T20:00:00Z", "2026-05-09T20:00:00Z"),
            ("yesterday", "2026-06-09T10:00:00Z", "2026-06-08T10:00:00Z"),
            ("what did I smoke in 2019", "2019-12-31T10:00:00Z", "2020-01-01T10:00:00Z"),
            ("in the garden since 2020", "2021-12-31T10:00:00Z", "2019-12-31T10:00:00Z"),
            ("the summer of 2019", "2019-08-31T10:00:00Z", "2020-08-01T10:00:00Z"),
            ("in winter 2018", "2019-01-31T10:00:00Z", "2018-01-31T10:00:00Z"),
            ("in March 2017", "2017-03-31T10:00:00Z", "2026-03-31T10:00:00Z"),
        ];
        for (question, inside, outside) in table {
            let asked = Asked::read(question, now, 0);
            assert!(asked.names_time(), "{question}");
            assert!(asked.holds(at(inside)) && !asked.holds(at(outside)), "{question}: {asked:?}");
        }
        let asked = Asked::read("what did my sister say about cake", now, 0);
        assert!(!asked.names_time() && asked.holds(at("1999-01-01T00:00:00Z")));
        // A quarter to midnight on Friday in UTC is Saturday two hours further east.
        assert!(Asked::read("on weekends", now, 120).holds(at("2026-06-05T23:45:00Z")));
    }

    #[test]
    fn a_question_is_broad_or_narrow() {
        let now = at("2026-06-10T12:00:00Z");
        let table = [
            ("When did I last smoke?", true, false),
            ("Where did Nora buy the cake?", false, false),
            ("How many times did I resist?", false, true),
            ("What kinds of sweets do I like?", false, true),
            ("Would a walk help me?", false, true),
        ];
        for (question, wants_time, broad) in table {
            let asked = Asked::read(question, now, 0);
            assert_eq!((asked.wants_time, asked.broad), (wants_time, broad), "{question}");
            assert_eq!(asked.depth(200), if broad { 200 } else { 80 });
        }
    }

    #[test]
    fn texts_ask() {
        for (text, asking) in [
            ("How was it?", true),
            ("How was it? [shares a photo of a cake] ", true),
            ("Was it? It was.", false),
            ("]?", true),
            ("[why?]", false),
            ("", false),
        ] {
            assert_eq!(asks(text), asking, "{text}");
        }
    }

    #[test]
    fn texts_tell_times() {
        for (text, tells) in [
            ("We went there last Friday!", true),
            ("It was in 2022.", true),
            ("two years ago", true),
            ("This month has been hard", true),
            ("May I have cake?", false),
            ("It costs 3000", false),
        ] {
            assert_eq!(tells_time(&words(text)), tells, "{text}");
        }
    }
}
