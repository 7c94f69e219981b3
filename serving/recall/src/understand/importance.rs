//! How much a note is worth remembering: intensity, detail, questions, self-reference. Pure.

use super::label::{LABELS, LabelKind, PRESENT, PerLabel};
use super::scope::clauses;

const INTENSE: &[&str] = &[
    "so",
    "really",
    "very",
    "extremely",
    "badly",
    "desperate",
    "desperately",
    "unbearable",
    "dying",
    "kill",
    "can't",
    "couldn't",
    "must",
    "never",
    "always",
    "worst",
    "best",
    "finally",
    "first",
    "terrified",
    "furious",
    "screaming",
];
const SELF: &[&str] = &["i", "i'm", "i've", "i'd", "i'll", "me", "my", "myself", "mine", "im"];

/// What each part counts; together 1.
const WEIGHTS: [(Part, f32); 4] =
    [(Part::Intensity, 0.4), (Part::Detail, 0.3), (Part::Own, 0.2), (Part::Question, 0.1)];

#[derive(Clone, Copy)]
enum Part {
    Intensity,
    Detail,
    Own,
    Question,
}

/// From 0 to 1. Intensity is the greatest of a rating ("8/10"), strong words and what is felt; detail grows with the
/// number of words up to 40 and with numbers told; self-reference is a word for oneself.
#[allow(clippy::cast_precision_loss)]
pub(super) fn importance(text: &str, probabilities: &PerLabel<f32>) -> f32 {
    let clauses = clauses(text);
    let words: Vec<&str> = clauses.iter().flat_map(|clause| clause.split(' ')).collect();
    if words.is_empty() {
        return 0.0;
    }
    let strong = words.iter().filter(|word| INTENSE.contains(word)).count() + text.matches('!').count();
    let felt = LABELS.iter().zip(probabilities).filter(|((kind, _), _)| *kind == LabelKind::Emotion);
    let felt = felt.map(|(_, p)| *p).fold(0.0, f32::max);
    let craved = probabilities.get(PRESENT).copied().unwrap_or_default();
    let rated = rating(text).unwrap_or(0.0);
    let intensity = (0.5 * felt.max(craved) + 0.2 * strong as f32).max(rated).min(1.0);
    let numbers = words.iter().filter(|word| word.chars().any(|c| c.is_ascii_digit())).count();
    let detail = ((words.len() as f32 / 40.0) + 0.1 * numbers as f32).min(1.0);
    let own = f32::from(u8::from(words.iter().any(|word| SELF.contains(word))));
    let question = f32::from(u8::from(text.contains('?')));
    let part = |part| match part {
        Part::Intensity => intensity,
        Part::Detail => detail,
        Part::Own => own,
        Part::Question => question,
    };
    WEIGHTS.iter().map(|(which, weight)| weight * part(*which)).sum()
}

/// "8/10", "8 out of 10": as a share.
fn rating(text: &str) -> Option<f32> {
    let text = text.replace(" out of 10", "/10");
    let (head, _) = text.split_once("/10")?;
    let digits: String = head.chars().rev().take_while(char::is_ascii_digit).take(2).collect();
    let value: f32 = digits.chars().rev().collect::<String>().parse().ok()?;
    (0.0..=10.0).contains(&value).then_some(value / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_said_and_felt_is_more_important() {
        let mut felt = [0.0; crate::understand::LABELS_N];
        let of = |text: &str, p: &PerLabel<f32>| importance(text, p);
        assert!(of("", &felt).abs() < 1e-6);
        let flat = of("bought milk", &felt);
        assert!(of("I bought milk and then cried in the car for an hour", &felt) > flat);
        felt[PRESENT] = 0.9;
        assert!(of("bought milk", &felt) > flat);
        assert!((rating("a solid 8 out of 10").unwrap() - 0.8).abs() < 1e-6);
        assert_eq!((rating("open 24/10"), rating("none")), (None, None));
        let all = of(&"I must have it right now!!! ".repeat(20), &[1.0; crate::understand::LABELS_N]);
        assert!((0.8..=1.0).contains(&all));
    }
}
