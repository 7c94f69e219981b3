//! A rate limit: requests start evenly spaced.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Gives out starting times.
pub(super) struct Pace {
    between: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(requests_per_min: u32) -> Self {
        Self { between: Duration::from_secs(60) / requests_per_min.max(1), next: Mutex::new(None) }
    }

    /// Waits for the next free starting time.
    pub(super) async fn turn(&self) {
        let at = self.count();
        tokio::time::sleep_until(at).await;
    }

    /// Takes a starting time without waiting for it.
    pub(super) fn count(&self) -> Instant {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.map_or(now, |next| next.max(now));
        *next = Some(at + self.between);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn starts_are_evenly_spaced() {
        let pace = Pace::new(6_000);
        let begin = Instant::now();
        for _ in 0..6 {
            pace.turn().await;
        }
        assert!(begin.elapsed() >= Duration::from_millis(50), "{:?}", begin.elapsed());
        assert!(pace.count() - begin >= Duration::from_millis(60));
    }
}
