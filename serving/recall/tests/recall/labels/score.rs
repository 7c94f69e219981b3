//! Precision, recall and F1 by label and kind, and how well confidences are calibrated.

use std::fmt::Write as _;

use crave_recall::understand::{LABELS, LABELS_N, LabelKind, PerLabel, Understanding};

use super::data::Note;

/// True positives, false positives and false negatives by label.
pub(super) struct Scores(PerLabel<[u32; 3]>);

impl Scores {
    pub(super) fn of(predicted: &[PerLabel<bool>], notes: &[Note]) -> Self {
        let mut counts = [[0; 3]; LABELS_N];
        for (predicted, note) in predicted.iter().zip(notes) {
            for (at, slot) in counts.iter_mut().enumerate() {
                match (predicted[at], note.holds[at]) {
                    (true, true) => slot[0] += 1,
                    (true, false) => slot[1] += 1,
                    (false, true) => slot[2] += 1,
                    (false, false) => {}
                }
            }
        }
        Self(counts)
    }

    fn f1(&self, at: usize) -> f64 {
        let [tp, fp, fneg] = self.0[at].map(f64::from);
        if tp == 0.0 { 0.0 } else { 2.0 * tp / (2.0 * tp + fp + fneg) }
    }

    fn mean(&self, of: impl Fn(LabelKind) -> bool) -> f64 {
        let all: Vec<f64> = (0..LABELS_N).filter(|at| of(LABELS[*at].0)).map(|at| self.f1(at)).collect();
        all.iter().sum::<f64>() / all.len() as f64
    }

    /// The mean of all labels' F1.
    pub(super) fn macro_f1(&self) -> f64 {
        self.mean(|_| true)
    }
}

/// By kind of label and over all.
pub(super) fn table(readers: &[(&str, &Scores)]) -> String {
    let mut text = format!("{:>14}", "macro-F1");
    for (name, _) in readers {
        write!(text, "{name:>14}").unwrap();
    }
    let mut row = |name: &str, of: &dyn Fn(LabelKind) -> bool| {
        write!(text, "\n{name:>14}").unwrap();
        for (_, scores) in readers {
            write!(text, "{:>14.3}", scores.mean(of)).unwrap();
        }
    };
    for kind in LabelKind::ALL {
        row(kind.as_str(), &|of| of == kind);
    }
    row("all", &|_| true);
    text
}

/// Of all label decisions with a confidence in a tenth, how many hold.
pub(super) fn calibration(read: &[Understanding], notes: &[Note]) -> String {
    let mut bins = [(0_u32, 0.0_f64, 0_u32); 10];
    for (read, note) in read.iter().zip(notes) {
        for (p, holds) in read.confidence.iter().zip(note.holds) {
            let bin = &mut bins[((p * 10.0) as usize).min(9)];
            *bin = (bin.0 + 1, bin.1 + f64::from(*p), bin.2 + u32::from(holds));
        }
    }
    let mut text = "confidence     n  said  held".to_owned();
    for (at, (n, said, held)) in bins.into_iter().enumerate() {
        let n_or_one = f64::from(n.max(1));
        let (said, held) = (said / n_or_one, f64::from(held) / n_or_one);
        write!(text, "\n0.{at} to {:.1} {n:>6} {said:>5.2} {held:>5.2}", (at + 1) as f64 / 10.0).unwrap();
    }
    text
}
