//! Labelled notes: `labels | text`, one a line.

use crave_recall::understand::{LABELS, LABELS_N, PerLabel, Understanding, index};

pub(super) const TRAINING: &str = include_str!("../../../data/notes-training.txt");
pub(super) const EVALUATION: &str = include_str!("../../../data/notes-evaluation.txt");

pub(super) struct Note {
    pub(super) text: &'static str,
    pub(super) holds: PerLabel<bool>,
}

pub(super) fn notes(file: &'static str) -> Vec<Note> {
    let lines = file.lines().filter(|line| !line.starts_with('#'));
    let note = |line: &'static str| {
        let (labels, text) = line.split_once('|').unwrap_or_else(|| panic!("no labels: {line}"));
        let mut holds = [false; LABELS_N];
        for label in labels.split_whitespace() {
            holds[index(label).unwrap_or_else(|| panic!("{label} is no label: {line}"))] = true;
        }
        Note { text: text.trim(), holds }
    };
    lines.map(note).collect()
}

/// Which labels hold for a note that was read.
pub(super) fn holds(understood: &Understanding) -> PerLabel<bool> {
    let mut holds = [false; LABELS_N];
    for (kind, label) in understood.labels() {
        let at = LABELS.iter().position(|known| *known == (kind, label.label)).unwrap();
        holds[at] = true;
    }
    holds
}
