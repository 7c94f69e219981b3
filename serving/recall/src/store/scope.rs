//! What narrows a search within one person's memories.

use chrono::{DateTime, Utc};

use crate::{Memory, SourceKind};

/// Kinds and times.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scope {
    /// Only these kinds; empty for all.
    pub(crate) kinds: Vec<SourceKind>,
    /// Not before this.
    pub(crate) from: Option<DateTime<Utc>>,
    /// Not at or after this.
    pub(crate) until: Option<DateTime<Utc>>,
    /// Not after this: what had not happened then is unknown.
    pub(crate) as_of: Option<DateTime<Utc>>,
}

/// Bounds of the event time in microseconds, as stores compare them: exact until the year 2255, where microseconds
/// pass 2⁵³.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Times {
    pub(super) gte: Option<f64>,
    pub(super) lt: Option<f64>,
    pub(super) lte: Option<f64>,
}

impl Scope {
    /// Whether a memory is in it: for those that were fetched by id.
    pub(crate) fn holds(&self, memory: &Memory) -> bool {
        let time = memory.event_time;
        (self.kinds.is_empty() || self.kinds.contains(&memory.source_kind))
            && self.from.is_none_or(|from| time >= from)
            && self.until.is_none_or(|until| time < until)
            && self.as_of.is_none_or(|as_of| time <= as_of)
    }

    /// The same of a memory's kind and time in microseconds since 1970.
    pub(crate) fn covers(&self, kind: SourceKind, time: i64) -> bool {
        let micros = |time: DateTime<Utc>| time.timestamp_micros();
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && self.from.is_none_or(|from| time >= micros(from))
            && self.until.is_none_or(|until| time < micros(until))
            && self.as_of.is_none_or(|as_of| time <= micros(as_of))
    }

    /// Whether nothing of the times from `oldest` to `newest`, in microseconds since 1970, can be in it.
    pub(crate) fn misses(&self, oldest: i64, newest: i64) -> bool {
        let micros = |time: DateTime<Utc>| time.timestamp_micros();
        self.from.is_some_and(|from| newest < micros(from))
            || self.until.is_some_and(|until| oldest >= micros(until))
            || self.as_of.is_some_and(|as_of| oldest > micros(as_of))
    }

    /// What it leaves out only because it had not happened yet; `None` where that can be nothing.
    pub(crate) fn later(&self) -> Option<Self> {
        let next = DateTime::from_timestamp_micros(self.as_of?.timestamp_micros().checked_add(1)?)?;
        let from = self.from.map_or(next, |from| from.max(next));
        let is_open = self.until.is_none_or(|until| from < until);
        is_open.then(|| Self { kinds: self.kinds.clone(), from: Some(from), until: self.until, as_of: None })
    }

    /// `None` where no time is given.
    pub(super) fn times(&self) -> Option<Times> {
        #[allow(clippy::cast_precision_loss, reason = "until 2255 there is none")]
        let micros = |time: DateTime<Utc>| time.timestamp_micros() as f64;
        let times =
            Times { gte: self.from.map(micros), lt: self.until.map(micros), lte: self.as_of.map(micros) };
        (times != Times { gte: None, lt: None, lte: None }).then_some(times)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn what_is_later_is_all_that_a_later_now_adds() {
        let at = |micros: i64| DateTime::from_timestamp_micros(micros).unwrap();
        let scope = Scope { as_of: Some(at(10) + TimeDelta::nanoseconds(500)), ..Scope::default() };
        let later = scope.later().unwrap();
        for micros in 0..20 {
            let (before, after) =
                (scope.covers(SourceKind::Note, micros), later.covers(SourceKind::Note, micros));
            assert_eq!((before, after), (micros <= 10, micros > 10), "{micros}");
        }
        let until = |micros| Scope { until: Some(at(micros)), ..scope.clone() }.later();
        assert!(until(11).is_none() && until(12).is_some());
        assert_eq!(Scope { from: Some(at(15)), ..scope.clone() }.later().unwrap().from, Some(at(15)));
        assert_eq!(Scope::default().later(), None);
    }
}
