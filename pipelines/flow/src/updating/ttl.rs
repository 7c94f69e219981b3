//! Which slots of state were not touched for the time to live.

use std::sync::Arc;

use crave_schemas::Clock;

/// State is looked through this many times within its time to live.
const LOOKS: i64 = 16;

/// When each slot was last touched.
#[derive(Debug)]
pub(super) struct Ttl {
    clock: Arc<dyn Clock>,
    ttl_ns: i64,
    looked_ns: i64,
    touched_ns: Vec<i64>,
}

impl Ttl {
    pub(super) fn new(clock: Arc<dyn Clock>, ttl_ns: i64) -> Self {
        let looked_ns = now(&*clock);
        Self { clock, ttl_ns, looked_ns, touched_ns: Vec::new() }
    }

    /// Notes that these slots are in use now.
    pub(super) fn touch(&mut self, slots: &[u32]) {
        let now = now(&*self.clock);
        for &slot in slots {
            let slot = slot as usize;
            if slot >= self.touched_ns.len() {
                self.touched_ns.resize(slot + 1, now);
            }
            self.touched_ns[slot] = now;
        }
    }

    /// Whether it is time to look, and if so the instant before which a touch is too old.
    pub(super) fn due(&mut self) -> Option<i64> {
        let now = now(&*self.clock);
        if now - self.looked_ns < self.ttl_ns / LOOKS {
            return None;
        }
        self.looked_ns = now;
        Some(now.saturating_sub(self.ttl_ns))
    }

    /// Whether a slot was last touched before an instant.
    pub(super) fn older(&self, slot: u32, than_ns: i64) -> bool {
        self.touched_ns.get(slot as usize).is_some_and(|&touched| touched <= than_ns)
    }
}

fn now(clock: &dyn Clock) -> i64 {
    clock.now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}
