//! Decides which adapters leave memory so that another fits.
//!
//! Pure. The one that was idle longest for what its reload costs goes first: a big adapter on a slow disk stays
//! longer than a small one that is back in a millisecond.

/// An adapter in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Resident {
    pub(crate) bytes: u64,
    /// Since its last request.
    pub(crate) idle_ms: u64,
    /// What its last load took.
    pub(crate) reload_ms: u64,
    /// Pinned, or a request holds it.
    pub(crate) held: bool,
}

/// Numbers of those in `residents` to drop so that `needed` bytes fit beside the rest under `max`; the error is the
/// bytes that can be had at most.
pub(crate) fn choose(residents: &[Resident], needed: u64, max: u64) -> Result<Vec<usize>, u64> {
    let held: u64 = residents.iter().filter(|resident| resident.held).map(|resident| resident.bytes).sum();
    let available = max.saturating_sub(held);
    if needed > available {
        return Err(available);
    }
    let mut used: u64 = residents.iter().map(|resident| resident.bytes).sum();
    let mut idle: Vec<usize> = (0..residents.len()).filter(|at| !residents[*at].held).collect();
    idle.sort_by(|a, b| priority(&residents[*b]).total_cmp(&priority(&residents[*a])));
    let mut chosen = Vec::new();
    for at in idle {
        if used + needed <= max {
            break;
        }
        used -= residents[at].bytes;
        chosen.push(at);
    }
    Ok(chosen)
}

/// Bytes freed, times the time unused, for each millisecond that a reload would take.
fn priority(resident: &Resident) -> f64 {
    (resident.idle_ms + 1) as f64 * resident.bytes as f64 / (resident.reload_ms + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident(bytes: u64, idle_ms: u64, reload_ms: u64, held: bool) -> Resident {
        Resident { bytes, idle_ms, reload_ms, held }
    }

    #[test]
    fn table() {
        let same = [resident(10, 5, 1, false), resident(10, 9, 1, false), resident(10, 7, 1, false)];
        let costly = [resident(10, 9, 99, false), resident(10, 5, 1, false)];
        let held = [resident(10, 9, 1, true), resident(10, 5, 1, false)];
        for (case, residents, needed, max, expected) in [
            ("what fits drops nothing", &same[..], 10, 40, Ok(vec![])),
            ("the longest idle goes first", &same[..], 10, 30, Ok(vec![1])),
            ("as many as it takes", &same[..], 20, 30, Ok(vec![1, 2])),
            ("a costly reload stays", &costly[..], 10, 20, Ok(vec![1])),
            ("one in use stays", &held[..], 10, 20, Ok(vec![1])),
            ("what cannot fit drops nothing", &held[..], 11, 20, Err(10)),
            ("nor does what is larger than all", &same[..], 31, 30, Err(30)),
        ] {
            assert_eq!(choose(residents, needed, max), expected, "{case}");
        }
    }
}
