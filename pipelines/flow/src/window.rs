//! Which windows an instant is in, and which panes a window is made of.
//!
//! All instants are nanoseconds since 1970, UTC; windows are half-open and aligned to 1970.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The shape of a window in `GROUP BY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// `tumble(width)`: each instant is in one window.
    Tumble {
        /// Length of a window.
        width_ns: i64,
    },
    /// `hop(slide, width)`: a window of `width` begins every `slide`.
    Hop {
        /// Distance between the starts of two windows; divides the width.
        slide_ns: i64,
        /// Length of a window.
        width_ns: i64,
    },
    /// `session(gap)`: rows less than `gap` apart are in one window, which ends a gap after the last one. Taken by
    /// itself an instant is in the window that ends a gap after it.
    Session {
        /// The silence that ends a window.
        gap_ns: i64,
    },
}

/// As it stands in SQL, times in the largest unit that gives a whole number.
impl fmt::Display for WindowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tumble { width_ns } => write!(f, "tumble({})", length(*width_ns)),
            Self::Hop { slide_ns, width_ns } => {
                write!(f, "hop({}, {})", length(*slide_ns), length(*width_ns))
            }
            Self::Session { gap_ns } => write!(f, "session({})", length(*gap_ns)),
        }
    }
}

fn length(ns: i64) -> String {
    let units = [("day", 86_400_000_000_000), ("hour", 3_600_000_000_000), ("minute", 60_000_000_000)];
    let units = units.into_iter().chain([("second", 1_000_000_000)]);
    match units.into_iter().find(|(_, unit)| ns % unit == 0) {
        Some((name, unit)) => {
            let count = ns / unit;
            format!("{count} {name}{}", if count == 1 { "" } else { "s" })
        }
        None => format!("{ns} ns"),
    }
}

impl WindowKind {
    /// Distance between two window ends, and the length of one pane.
    #[must_use]
    pub const fn slide_ns(self) -> i64 {
        match self {
            Self::Tumble { width_ns } => width_ns,
            Self::Hop { slide_ns, .. } => slide_ns,
            Self::Session { gap_ns } => gap_ns,
        }
    }

    /// Length of a window.
    #[must_use]
    pub const fn width_ns(self) -> i64 {
        match self {
            Self::Tumble { width_ns } | Self::Hop { width_ns, .. } => width_ns,
            Self::Session { gap_ns } => gap_ns,
        }
    }

    /// Start of the pane that holds an instant.
    #[must_use]
    pub const fn pane_start(self, instant_ns: i64) -> i64 {
        let slide = self.slide_ns();
        instant_ns - instant_ns.rem_euclid(slide)
    }

    /// Every window (start, end) that holds an instant, the earliest first.
    pub fn windows(self, instant_ns: i64) -> impl Iterator<Item = (i64, i64)> {
        let (slide, width) = (self.slide_ns(), self.width_ns());
        let pane = match self {
            Self::Session { .. } => instant_ns,
            _ => self.pane_start(instant_ns),
        };
        (0..width / slide).map(move |i| {
            let end = pane + slide * (i + 1);
            (end - width, end)
        })
    }

    /// The windows of an instant that are closed at a watermark.
    pub fn closed_windows(self, instant_ns: i64, watermark_ns: i64) -> impl Iterator<Item = (i64, i64)> {
        self.windows(instant_ns).take_while(move |&(_, end)| end <= watermark_ns)
    }

    /// The end of the last window that a pane is part of: once the watermark reaches it, the pane is done.
    #[must_use]
    pub const fn pane_done_at(self, pane_start_ns: i64) -> i64 {
        pane_start_ns.saturating_add(self.width_ns())
    }

    /// The first window end after a watermark that a pane takes part in.
    #[must_use]
    pub fn next_end(self, watermark_ns: i64, first_pane_ns: i64) -> i64 {
        let first = first_pane_ns.saturating_add(self.slide_ns());
        if watermark_ns < first {
            first
        } else {
            self.pane_start(watermark_ns).saturating_add(self.slide_ns())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000_000_000;

    #[test]
    fn windows_are_named_as_in_the_sql() {
        let (hour, day) = (60 * MINUTE, 24 * 60 * MINUTE);
        assert_eq!(WindowKind::Hop { slide_ns: day, width_ns: 30 * day }.to_string(), "hop(1 day, 30 days)");
        assert_eq!(WindowKind::Tumble { width_ns: 36 * hour }.to_string(), "tumble(36 hours)");
        assert_eq!(WindowKind::Session { gap_ns: 1_500_000_000 }.to_string(), "session(1500000000 ns)");
    }

    #[test]
    fn hops_around_an_instant() {
        let hop = WindowKind::Hop { slide_ns: 15 * MINUTE, width_ns: 60 * MINUTE };
        let at = hop.windows(20 * MINUTE).collect::<Vec<_>>();
        assert_eq!(at.first(), Some(&(-30 * MINUTE, 30 * MINUTE)));
        assert_eq!(at.last(), Some(&(15 * MINUTE, 75 * MINUTE)));
        assert_eq!(hop.closed_windows(20 * MINUTE, 45 * MINUTE).count(), 2);
        assert_eq!(hop.next_end(i64::MIN, 0), 15 * MINUTE);
        assert_eq!(hop.next_end(15 * MINUTE, 0), 30 * MINUTE);
        assert_eq!(hop.next_end(14 * MINUTE, -60 * MINUTE), 15 * MINUTE);
    }

    proptest! {
        #[test]
        fn windows_are_exactly_those_that_hold_the_instant(t in -1_000_000i64..1_000_000, slide in 1i64..50, n in 1i64..40) {
            let kind = WindowKind::Hop { slide_ns: slide, width_ns: slide * n };
            let found = kind.windows(t).collect::<Vec<_>>();
            let first = kind.pane_start(t) - slide * (n + 2);
            let expected = (0..3 * n + 6)
                .map(|i| first + i * slide)
                .map(|start| (start, start + slide * n))
                .filter(|&(start, end)| start <= t && t < end)
                .collect::<Vec<_>>();
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(found.last().unwrap().1, kind.pane_done_at(kind.pane_start(t)));
        }

        #[test]
        fn the_next_end_is_after_the_watermark(w in -1000i64..1000, p in -50i64..50, slide in 1i64..50) {
            let kind = WindowKind::Hop { slide_ns: slide, width_ns: slide * 3 };
            let pane = p * slide;
            let end = kind.next_end(w, pane);
            prop_assert!(end > w && end >= pane + slide && end.rem_euclid(slide) == 0);
            prop_assert!(end - slide <= w || end == pane + slide);
        }
    }
}
