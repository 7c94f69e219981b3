//! Tokens served to each tenant: whoever got least is next (Sheng et al., *Fairness in Serving Large Language Models*,
//! OSDI 2024: the virtual token counter).

use std::collections::HashMap;

/// What a token of an answer counts, where one of a prompt counts 1 (as in the paper).
pub(crate) const OUTPUT_WEIGHT: u64 = 2;

/// Virtual tokens by tenant. Holds only tenants with work.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    served: HashMap<String, u64>,
}

impl Counters {
    pub(crate) fn served(&self, tenant: &str) -> u64 {
        self.served.get(tenant).copied().unwrap_or(0)
    }

    /// A tenant without work gets some: it starts level with the least served of the others, so that idle time is no
    /// credit that would let it shut the others out.
    pub(crate) fn arrive(&mut self, tenant: &str) {
        if !self.served.contains_key(tenant) {
            let least = self.served.values().copied().min().unwrap_or(0);
            self.served.insert(tenant.to_owned(), least);
        }
    }

    pub(crate) fn charge(&mut self, tenant: &str, tokens: u64) {
        *self.served.entry(tenant.to_owned()).or_default() += tokens;
    }

    /// Forgets the tenants without work.
    pub(crate) fn keep(&mut self, has_work: impl Fn(&str) -> bool) {
        self.served.retain(|tenant, _| has_work(tenant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_no_credit() {
        let mut counters = Counters::default();
        counters.arrive("a");
        counters.charge("a", 100);
        counters.arrive("b");
        assert_eq!((counters.served("a"), counters.served("b")), (100, 100));
        counters.charge("b", 10);
        counters.arrive("a");
        assert_eq!(counters.served("a"), 100, "one with work keeps its count");
        counters.keep(|_| false);
        counters.arrive("c");
        assert_eq!(counters.served("c"), 0);
    }
}
