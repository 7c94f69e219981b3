//! Which of the steps that leave something durable behind fail, and when the node dies: as the seed says.
//!
//! A step fails by its place and by how often that place was passed in this life, not by what ran before it: where tasks
//! race, the same seed still fails the same steps.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;

use crate::support::Dice;

/// How a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fails {
    /// Nothing has happened.
    Before,
    /// It has happened, and is told as a failure.
    After,
}

/// What may go wrong in one life of a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// One in so many steps fails; 0: none.
    pub(super) one_in: u64,
    /// The node dies at its N-th step.
    pub(super) dies_at: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    passed: BTreeMap<String, u64>,
    steps: u64,
    dead: bool,
    /// By place: failures, deaths; of all lives.
    struck: BTreeMap<String, (u64, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    state: Mutex<State>,
    died: Notify,
}

impl Faults {
    /// A new life.
    pub(super) fn begin(&self, plan: Plan) {
        let mut state = self.state.lock().unwrap();
        let struck = std::mem::take(&mut state.struck);
        *state = State { plan, struck, ..State::default() };
    }

    /// A step is about to be taken. Once dead, nothing works any more.
    pub(super) fn pass(&self, place: &str) -> Option<Fails> {
        let mut state = self.state.lock().unwrap();
        if state.dead {
            return Some(Fails::Before);
        }
        state.steps += 1;
        let nth = state.passed.entry(place.to_owned()).or_default();
        *nth += 1;
        let nth = *nth;
        let mut dice = Dice::new(place.bytes().fold(state.plan.seed ^ nth, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }));
        state.dead = state.plan.dies_at == Some(state.steps);
        let fails = state.plan.one_in > 0 && dice.below(state.plan.one_in) == 0;
        if !state.dead && !fails {
            return None;
        }
        let dead = state.dead;
        let struck = state.struck.entry(place.to_owned()).or_default();
        if dead {
            struck.1 += 1;
            self.died.notify_one();
        } else {
            struck.0 += 1;
        }
        Some(if dice.below(2) == 0 { Fails::Before } else { Fails::After })
    }

    /// Returns when the node dies.
    pub(super) async fn death(&self) {
        while !self.state.lock().unwrap().dead {
            self.died.notified().await;
        }
    }

    /// Failures and deaths so far, by place.
    pub(super) fn struck(&self) -> BTreeMap<String, (u64, u64)> {
        self.state.lock().unwrap().struck.clone()
    }

    /// Lets these faults decide about the failpoints of the process.
    pub(super) fn install(self: &Arc<Self>) {
        let faults = Arc::clone(self);
        crave_flow::strike_failpoints(Some(Arc::new(move |name| faults.pass(name).is_some())));
    }
}
