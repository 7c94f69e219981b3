//! Tokens served to each tenant: whoever got least is next (Sheng et al., *Fairness in Serving Large Language Models*,
//! OSDI 2024: the virtual token counter).

use std::collections::HashMap;

/// What a token of an answer counts, where one of a prompt counts 1 (as in the paper).
pub(crate) const OUTPUT_WEIGHT: u64 = 2;

/// How far below the others a tenant may begin that had no work: room for a chat's prompt, which then goes before the
/// prompts of whoever sends without end. Bounded, as Linux's CFS bounds what a sleeper is owed, so that nobody is shut out.
pub(crate) const CREDIT: u64 = 1024;

/// Virtual tokens by tenant. Holds tenants with work, and those that were served more than a newcomer would begin with.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    served: HashMap<String, u64>,
}

impl Counters {
    pub(crate) fn served(&self, tenant: &str) -> u64 {
        self.served.get(tenant).copied().unwrap_or(0)
    }

    /// A tenant gets work: what it was served counts on, unless that is further below the least served of the others than
    /// the credit, which is all that idle time earns.
    pub(crate) fn arrive(&mut self, tenant: &str, has_work: impl Fn(&str) -> bool) {
        let floor = self.floor(|other| other != tenant && has_work(other));
        let served = self.served.entry(tenant.to_owned()).or_default();
        *served = (*served).max(floor);
    }

    /// What a newcomer begins with.
    fn floor(&self, has_work: impl Fn(&str) -> bool) -> u64 {
        let working = self.served.iter().filter(|(tenant, _)| has_work(tenant));
        working.map(|(_, served)| *served).min().unwrap_or(0).saturating_sub(CREDIT)
    }

    pub(crate) fn charge(&mut self, tenant: &str, tokens: u64) {
        *self.served.entry(tenant.to_owned()).or_default() += tokens;
    }

    /// Forgets tenants without work that would begin no lower when they come again.
    pub(crate) fn keep(&mut self, has_work: impl Fn(&str) -> bool) {
        if !self.served.keys().any(|tenant| has_work(tenant)) {
            self.served.clear();
            return;
        }
        let floor = self.floor(&has_work);
        self.served.retain(|tenant, served| *served > floor || has_work(tenant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_a_small_credit() {
        let mut counters = Counters::default();
        let all = |_: &str| true;
        counters.arrive("a", all);
        counters.charge("a", 10 * CREDIT);
        counters.arrive("b", all);
        assert_eq!(counters.served("b"), 9 * CREDIT, "below the other, by the credit");
        counters.charge("b", 10);
        counters.arrive("b", all);
        assert_eq!(counters.served("b"), 9 * CREDIT + 10, "coming again earns nothing");
        counters.keep(|tenant| tenant == "a");
        counters.arrive("b", all);
        assert_eq!(counters.served("b"), 9 * CREDIT + 10, "nor does a pause");
        counters.charge("a", CREDIT);
        counters.keep(|tenant| tenant == "a");
        assert_eq!(counters.served("b"), 0, "forgotten");
        counters.keep(|_| false);
        counters.arrive("c", all);
        assert_eq!(counters.served("c"), 0);
    }
}
