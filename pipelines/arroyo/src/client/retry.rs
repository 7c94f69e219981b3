//! Whether a call is made again, and after what pause.

use std::time::Duration;

use crate::{Error, Kind};

/// Tries of a call, at most.
const TRIES_MAX: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// The pause before the next try after `tried` of them; `None` when trying again is useless, or could do twice what
/// must be done once: a call that is not `repeatable` is made again only when the first never left this machine.
pub(super) fn again(error: &Error, repeatable: bool, tried: u32) -> Option<Duration> {
    let passing = matches!(error.kind(), Kind::Unavailable | Kind::Overloaded);
    let never_sent = matches!(error, Error::Unreachable { sent: false, .. });
    // Arroyo answers 500 to faults of its own that another try meets again.
    let lasting = matches!(error, Error::Refused { status: 500 | 501, .. });
    (passing && !lasting && (repeatable || never_sent) && tried < TRIES_MAX)
        .then(|| PAUSE * 2_u32.pow(tried - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_decides() {
        let refused = |status| Error::Refused { what: String::new(), status, said: String::new() };
        let table = [
            (refused(503), true, 1, Some(200)),
            (refused(502), true, 4, Some(1600)),
            (refused(503), true, 5, None),
            (refused(503), false, 1, None),
            (refused(429), true, 2, Some(400)),
            (refused(500), true, 1, None),
            (refused(400), true, 1, None),
            (refused(404), true, 1, None),
            (Error::Answer { what: String::new(), why: String::new() }, true, 1, None),
        ];
        for (error, repeatable, tried, pause_ms) in table {
            assert_eq!(
                again(&error, repeatable, tried),
                pause_ms.map(Duration::from_millis),
                "{error} {tried}"
            );
        }
    }
}
