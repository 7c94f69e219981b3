//! Bounds of requests, and a token bucket a caller.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use crave_schemas::UserId;

/// Callers whose buckets are remembered; beyond it the fullest are forgotten.
const CALLERS_MAX: usize = 100_000;

/// Bounds of requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a body, unpacked.
    pub body_bytes_max: usize,
    /// Events in one request.
    pub batch_events_max: usize,
    /// Events a second and user, on average.
    pub events_per_s: f64,
    /// Events at once and user.
    pub events_burst: f64,
    /// Open feeds at once.
    pub feeds_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 16 << 20,
            batch_events_max: 10_000,
            events_per_s: 5_000.0,
            events_burst: 50_000.0,
            feeds_max: 1_000,
        }
    }
}

/// Token buckets by user.
#[derive(Debug, Default)]
pub struct RateLimit(Mutex<HashMap<UserId, Bucket>>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: DateTime<Utc>,
}

impl Bucket {
    /// Fills with the time that passed.
    fn filled(self, now: DateTime<Utc>, limits: &Limits) -> Self {
        let seconds = (now - self.at).as_seconds_f64().max(0.0);
        Self { tokens: (self.tokens + seconds * limits.events_per_s).min(limits.events_burst), at: now }
    }
}

impl RateLimit {
    /// Takes `events` from the user's bucket, or says in how many seconds they will be there.
    ///
    /// # Errors
    /// Seconds to wait.
    pub fn take(&self, user: &UserId, events: usize, limits: &Limits, now: DateTime<Utc>) -> Result<(), u64> {
        #[allow(clippy::cast_precision_loss)]
        let wanted = events as f64;
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CALLERS_MAX && !buckets.contains_key(user) {
            buckets.retain(|_, bucket| bucket.filled(now, limits).tokens < limits.events_burst);
        }
        let fresh = Bucket { tokens: limits.events_burst, at: now };
        let bucket = buckets.entry(user.clone()).or_insert(fresh);
        *bucket = bucket.filled(now, limits);
        if bucket.tokens >= wanted {
            bucket.tokens -= wanted;
            return Ok(());
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let seconds = ((wanted - bucket.tokens) / limits.events_per_s).ceil() as u64;
        Err(seconds.max(1))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_bucket_empties_and_fills() {
        let limits = Limits { events_per_s: 10.0, events_burst: 20.0, ..Limits::default() };
        let (rate, user, start) = (RateLimit::default(), UserId::new("u").unwrap(), DateTime::UNIX_EPOCH);
        assert_eq!(rate.take(&user, 20, &limits, start), Ok(()));
        assert_eq!(rate.take(&user, 5, &limits, start), Err(1));
        assert_eq!(rate.take(&user, 5, &limits, start + TimeDelta::milliseconds(500)), Ok(()));
        assert_eq!(
            rate.take(&UserId::new("v").unwrap(), 5, &limits, start),
            Ok(()),
            "others are not held back"
        );
    }
}
