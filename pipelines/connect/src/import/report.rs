//! Counts what became of each item, so that it sums up exactly.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{ImportItem, Rejected};

/// Most record types listed by name; the rest are counted together.
const TYPES_MAX: usize = 256;
/// The name under which further types are counted.
const OTHER_TYPES: &str = "(other types)";

/// What became of an item.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// The log took it.
    Accepted,
    /// The log has it already.
    Duplicate,
    /// The importer gave no event.
    Rejected(&'a Rejected),
    /// The log refused it, for this reason.
    Refused(&'a str),
}

/// The report of an import, and the state to save for resuming one. `read` is always
/// `accepted + duplicate + refused`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// Items seen: what each record says about each kind.
    pub read: u64,
    /// Items that became events.
    pub accepted: u64,
    /// Items whose event was there already.
    pub duplicate: u64,
    /// Items that gave no event, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Source records (elements, rows) that the items came from.
    pub records: u64,
    /// Items by the source's own name of their kind.
    pub types: BTreeMap<String, u64>,
    /// False when the file ended or broke off in the middle.
    pub complete: bool,
}

impl Default for ImportReport {
    fn default() -> Self {
        Self {
            read: 0,
            accepted: 0,
            duplicate: 0,
            refused: BTreeMap::new(),
            records: 0,
            types: BTreeMap::new(),
            complete: true,
        }
    }
}

impl ImportReport {
    /// Counts one item. The log's "conflict" on a derived id is a [`Verdict::Duplicate`] to an importer: the id
    /// says that it is the same record, only its wall clock's offset was written differently.
    pub fn note(&mut self, item: &ImportItem, verdict: Verdict<'_>) {
        self.read += 1;
        self.records = self.records.max(item.record);
        let named = self.types.len() < TYPES_MAX || self.types.contains_key(item.label.as_ref());
        let name = if named { item.label.as_ref() } else { OTHER_TYPES };
        add(&mut self.types, name);
        match verdict {
            Verdict::Accepted => self.accepted += 1,
            Verdict::Duplicate => self.duplicate += 1,
            Verdict::Rejected(rejected) => {
                self.complete &= !rejected.last;
                add(&mut self.refused, rejected.reason.as_str());
            }
            Verdict::Refused(reason) => add(&mut self.refused, reason),
        }
    }

    /// Whether the counts add up.
    #[must_use]
    pub fn sums_up(&self) -> bool {
        let refused: u64 = self.refused.values().sum();
        let by_type: u64 = self.types.values().sum();
        self.read == self.accepted + self.duplicate + refused && self.read == by_type
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.into(), 1);
        }
    }
}

/// Counts without a log, as if it were empty before. Remembers the ids of all events.
pub fn dry_run(items: impl Iterator<Item = ImportItem>) -> ImportReport {
    let mut report = ImportReport::default();
    let mut seen = HashSet::new();
    for item in items {
        let verdict = match &item.what {
            Ok(event) if seen.insert((event.user_id.clone(), event.event_id)) => Verdict::Accepted,
            Ok(_) => Verdict::Duplicate,
            Err(rejected) => Verdict::Rejected(rejected),
        };
        report.note(&item, verdict);
    }
    report
}
