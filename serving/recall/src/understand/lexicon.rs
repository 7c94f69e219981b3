//! Words that speak for labels, and where in a text they stand.

use std::collections::HashMap;

use super::label::{LABELS_N, index};

/// The lists, compiled in.
pub(super) const LISTS: &str = include_str!("lexicon.txt");

/// Entries by their first word.
#[derive(Debug)]
pub(super) struct Lexicon {
    exact: HashMap<&'static str, Vec<Entry>>,
    /// Entries whose first word ends with `*`.
    stems: Vec<(&'static str, Entry)>,
}

/// The words after the first, and the label they speak for.
#[derive(Clone, Debug)]
struct Entry {
    rest: Vec<&'static str>,
    label: usize,
}

/// A word or phrase found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) label: usize,
    /// Number of its first word in the clause.
    pub(super) at: usize,
}

impl Lexicon {
    pub(super) fn new() -> Self {
        let (mut exact, mut stems) = (HashMap::<_, Vec<Entry>>::new(), Vec::new());
        let lines = LISTS.lines().filter(|line| !line.starts_with('#'));
        for (name, list) in lines.filter_map(|line| line.split_once(':')) {
            let Some(label) = index(name) else { continue };
            for entry in list.split(',') {
                let mut words = entry.split_whitespace();
                let Some(first) = words.next() else { continue };
                let entry = Entry { rest: words.collect(), label };
                match first.strip_suffix('*') {
                    Some(stem) => stems.push((stem, entry)),
                    None => exact.entry(first).or_default().push(entry),
                }
            }
        }
        Self { exact, stems }
    }

    /// Every entry in the words of a clause.
    pub(super) fn hits(&self, words: &[&str]) -> Vec<Hit> {
        let mut hits = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let after = words.get(at + 1..).unwrap_or_default();
            let exact = self.exact.get(word).into_iter().flatten();
            let stems = self.stems.iter().filter(|(stem, _)| word.starts_with(stem)).map(|(_, entry)| entry);
            let found = exact.chain(stems).filter(|entry| entry.follows(after));
            hits.extend(found.map(|entry| Hit { label: entry.label, at }));
        }
        hits
    }

    /// Which labels any word of `text` speaks for, whatever is said of it: the plain keyword list that the heads
    /// are compared with.
    pub(super) fn spotted(&self, clauses: &[Vec<&str>]) -> [bool; LABELS_N] {
        let mut spotted = [false; LABELS_N];
        for hit in clauses.iter().flat_map(|words| self.hits(words)) {
            if let Some(slot) = spotted.get_mut(hit.label) {
                *slot = true;
            }
        }
        spotted
    }
}

impl Entry {
    fn follows(&self, after: &[&str]) -> bool {
        self.rest.iter().enumerate().all(|(i, wanted)| {
            after.get(i).is_some_and(|word| match wanted.strip_suffix('*') {
                Some(stem) => word.starts_with(stem),
                None => word == wanted,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stems_and_phrases_are_found() {
        let lexicon = Lexicon::new();
        let labels = |text: &str| {
            let words: Vec<&str> = text.split(' ').collect();
            let hits = lexicon.hits(&words).into_iter();
            hits.map(|hit| (crate::understand::LABELS[hit.label].1, hit.at)).collect::<Vec<_>>()
        };
        assert!(labels("the wine list").contains(&("alcohol", 1)));
        assert!(labels("i am stressed").contains(&("stressed", 2)));
        assert!(labels("an ice cream").contains(&("sugar", 1)));
        assert!(!labels("ice cold").iter().any(|(label, _)| *label == "sugar"));
        assert!(labels("zebra").is_empty());
    }

    #[test]
    fn every_list_names_a_label_and_every_label_has_a_list() {
        let names: Vec<&str> = LISTS
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_once(':').unwrap().0)
            .collect();
        for (_, label) in crate::understand::LABELS {
            assert!(names.contains(&label), "{label}");
        }
        assert_eq!(names.len(), LABELS_N);
    }
}
