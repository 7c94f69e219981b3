//! Who runs next, and how many tokens of whom. Pure: facts in, decisions out; [`crate::Engine`] carries them out.

pub(crate) mod blocks;
pub(crate) mod fair;
#[cfg(test)]
mod flood;

use std::collections::HashMap;

use fair::Counters;

/// Bounds of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that run at once.
    pub running_max: usize,
    /// Requests of one tenant that run at once.
    pub running_tenant_max: usize,
    /// Requests that wait, of all tenants.
    pub waiting_max: usize,
    /// Requests of one tenant that wait.
    pub waiting_tenant_max: usize,
    /// Tokens in one pass. Little more than a chunk keeps passes short, so that who comes next waits little; a device that
    /// needs larger passes to be busy wants more.
    pub step_tokens_max: usize,
    /// Prompt tokens of one request in one pass: a long prompt must not hold up others' next token.
    pub chunk_tokens_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            running_max: 32,
            running_tenant_max: 2,
            waiting_max: 256,
            waiting_tenant_max: 16,
            step_tokens_max: 160,
            chunk_tokens_max: 128,
        }
    }
}

/// Whether a request's adapter can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It is in memory, or the request takes the base.
    Ready,
    /// It is being loaded.
    Loading,
}

/// A request that waits, in the order of coming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) id: u64,
    pub(crate) tenant: String,
    pub(crate) adapter: Readiness,
    /// Cache blocks that it takes at most, beyond those that it shares.
    pub(crate) blocks: usize,
    pub(crate) deadline_ms: i64,
}

/// What becomes of waiting requests; the rest go on waiting.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Admission {
    /// They run, in this order.
    pub(crate) admitted: Vec<u64>,
    /// They waited too long.
    pub(crate) expired: Vec<u64>,
}

/// Decides who of `waiting` begins, given the running requests of each tenant and the cache blocks that are free.
///
/// The tenant that was served least goes first (`counters`); within a tenant, whoever came first and whose adapter is
/// ready: a cold adapter holds up only its own requests (LR-2). A request is admitted only if all the blocks it may come
/// to need are free, so that none that runs is ever thrown out. When the next in turn does not fit, nobody smaller slips
/// past, so that it cannot starve.
pub(crate) fn admit(
    waiting: &[Waiting],
    running: &HashMap<String, usize>,
    counters: &Counters,
    free_blocks: usize,
    limits: &Limits,
    now_ms: i64,
) -> Admission {
    let mut admission = Admission::default();
    let (expired, mut open): (Vec<&Waiting>, Vec<&Waiting>) =
        waiting.iter().partition(|request| request.deadline_ms <= now_ms);
    admission.expired = expired.into_iter().map(|request| request.id).collect();
    open.retain(|request| request.adapter == Readiness::Ready);
    let mut running = running.clone();
    let mut free = free_blocks;
    while running.values().sum::<usize>() < limits.running_max {
        let may_run = |request: &&&Waiting| {
            running.get(&request.tenant).copied().unwrap_or(0) < limits.running_tenant_max
        };
        // `min_by` takes the first of equals: who came first.
        let next = open.iter().filter(may_run).min_by(|a, b| {
            // What this round has admitted counts too, by the number running: otherwise one tenant takes all places.
            let served = |tenant: &str| (counters.served(tenant), running.get(tenant).copied().unwrap_or(0));
            served(&a.tenant).cmp(&served(&b.tenant))
        });
        let Some(next) = next.copied() else { break };
        if next.blocks > free {
            break;
        }
        free -= next.blocks;
        *running.entry(next.tenant.clone()).or_default() += 1;
        open.retain(|request| request.id != next.id);
        admission.admitted.push(next.id);
    }
    admission
}

/// Tokens that each running request takes in the next pass, from how many each has ready (1 in decode, the rest of the
/// prompt in prefill), in the order of admission; 0 is to sit this pass out.
///
/// Whoever is one token from an answer goes first; what is left of the pass goes to prompts, a chunk each, those of the
/// tenants before that were `served` least (one entry a request).
pub(crate) fn plan(ready: &[usize], served: &[u64], limits: &Limits) -> Vec<usize> {
    let mut left = limits.step_tokens_max;
    let mut taken = vec![0; ready.len()];
    let mut order: Vec<usize> = (0..ready.len()).collect();
    // A stable sort: of equals whoever was admitted first.
    order.sort_by_key(|at| (ready[*at] != 1, served.get(*at)));
    for at in order {
        taken[at] = ready[at].min(limits.chunk_tokens_max).min(left);
        left -= taken[at];
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        running_max: 3,
        running_tenant_max: 2,
        waiting_max: 9,
        waiting_tenant_max: 9,
        step_tokens_max: 10,
        chunk_tokens_max: 4,
    };

    fn request(id: u64, tenant: &str, blocks: usize) -> Waiting {
        Waiting { id, tenant: tenant.to_owned(), adapter: Readiness::Ready, blocks, deadline_ms: 100 }
    }

    fn cold(id: u64, tenant: &str) -> Waiting {
        Waiting { adapter: Readiness::Loading, ..request(id, tenant, 1) }
    }

    #[test]
    fn admission() {
        let late = Waiting { deadline_ms: 50, ..request(9, "a", 1) };
        let many = |count: u64| (0..count).map(|id| request(id, "a", 1)).collect::<Vec<_>>();
        for (case, waiting, running, served, admitted, expired) in [
            (
                "in order of coming",
                vec![request(1, "a", 1), request(2, "b", 1)],
                vec![],
                vec![],
                vec![1, 2],
                vec![],
            ),
            (
                "the least served first",
                vec![request(1, "a", 1), request(2, "b", 1)],
                vec![],
                vec![("a", 5)],
                vec![2, 1],
                vec![],
            ),
            (
                "a flood leaves room",
                [many(5), vec![request(7, "b", 1)]].concat(),
                vec![],
                vec![],
                vec![0, 7, 1],
                vec![],
            ),
            ("a tenant's cap", many(3), vec![("a", 1)], vec![], vec![0], vec![]),
            ("the total's cap", vec![request(1, "a", 1)], vec![("b", 2), ("c", 1)], vec![], vec![], vec![]),
            (
                "a cold adapter holds up only its own",
                vec![cold(1, "a"), request(2, "a", 1)],
                vec![],
                vec![],
                vec![2],
                vec![],
            ),
            (
                "nobody smaller slips past",
                vec![request(1, "a", 9), request(2, "b", 1)],
                vec![],
                vec![],
                vec![],
                vec![],
            ),
            ("blocks add up", vec![request(1, "a", 5), request(2, "b", 4)], vec![], vec![], vec![1], vec![]),
            ("waited too long", vec![late, request(1, "a", 1)], vec![], vec![], vec![1], vec![9]),
        ] {
            let running = running.into_iter().map(|(tenant, count)| (tenant.to_owned(), count)).collect();
            let mut counters = Counters::default();
            served.iter().for_each(|(tenant, tokens)| counters.charge(tenant, *tokens));
            let found = admit(&waiting, &running, &counters, 8, &LIMITS, 50);
            assert_eq!(found, Admission { admitted, expired }, "{case}");
        }
    }

    #[test]
    fn passes() {
        let equal = vec![0; 12];
        for (case, ready, served, taken) in [
            ("decodes before prompts", vec![9, 1, 1], &equal, vec![4, 1, 1]),
            ("prompts share what is left", vec![9, 9, 9], &equal, vec![4, 4, 2]),
            ("who was served least goes first", vec![9, 9, 9], &vec![5, 3, 5], vec![4, 4, 2]),
            ("and the one served most last", vec![9, 9, 9], &vec![5, 3, 4], vec![2, 4, 4]),
            ("a decode before all prompts", vec![9, 1, 9, 9], &vec![0, 9, 0, 0], vec![4, 1, 4, 1]),
            ("a short rest of a prompt", vec![3, 1], &equal, vec![3, 1]),
            ("more decodes than a pass takes", vec![1; 12], &equal, [vec![1; 10], vec![0; 2]].concat()),
            ("nothing", vec![], &equal, vec![]),
        ] {
            assert_eq!(plan(&ready, served, &LIMITS), taken, "{case}");
        }
    }
}
