//! A passage as numbers: which words speak for which label and what is said of them, and two embeddings.

use super::label::{LABELS, LABELS_N, LabelKind};
use super::lexicon::Lexicon;
use super::scope::{Scope, clauses};
use crate::DIMENSION;

/// Words in a passage: about 110 tokens, of the 256 that the model reads.
const PASSAGE_WORDS_MAX: usize = 80;
/// Passages of one text that are looked at; text within the limits has fewer.
const PASSAGES_MAX: usize = 256;
/// Numbers beside those of the labels; see [`said`].
const FLAGS_N: usize = 10;
/// How many numbers the words of a passage make.
pub const WORDS_N: usize = 2 * LABELS_N + FLAGS_N;
/// How many numbers words and embeddings make together.
pub const ALL_N: usize = WORDS_N + 2 * DIMENSION;

/// What the words of a passage say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    /// [`WORDS_N`] numbers.
    pub(super) numbers: Vec<f32>,
    /// The clauses that tell of the writer and of now; empty when there are none.
    pub(super) live: String,
}

/// Cuts a text into passages: whole sentences, up to [`PASSAGE_WORDS_MAX`] words together.
pub(super) fn passages(text: &str) -> Vec<String> {
    let (mut passages, mut words) = (Vec::new(), 0);
    for sentence in text.split_inclusive(['.', '!', '?', '\n', '…']) {
        let long: Vec<&str> = sentence.split_whitespace().collect();
        for part in long.chunks(PASSAGE_WORDS_MAX) {
            match passages.last_mut() {
                Some(last) if words + part.len() <= PASSAGE_WORDS_MAX => {
                    *last = format!("{last} {}", part.join(" "));
                    words += part.len();
                }
                _ => {
                    passages.push(part.join(" "));
                    words = part.len();
                }
            }
        }
        if passages.len() >= PASSAGES_MAX {
            break;
        }
    }
    passages
}

/// Per label whether a word speaks for it, and whether one does of which the clause says that it does not hold; then
/// whether the passage denies, tells of the past, of others, of others only, of the writer, supposes, asks, exclaims,
/// quotes, and how long it is.
pub(super) fn said(passage: &str, lexicon: &Lexicon) -> Said {
    let mut numbers = vec![0.0_f32; WORDS_N];
    let clauses = clauses(passage);
    let (mut live, mut others, mut words_n) = (Vec::new(), 0_usize, 0_usize);
    let (mut denies, mut past, mut own, mut supposed) = (false, false, false, false);
    for clause in &clauses {
        let words: Vec<&str> = clause.split(' ').collect();
        let scope = Scope::of(&words);
        for hit in lexicon.hits(&words) {
            let Some((kind, _)) = LABELS.get(hit.label) else { continue };
            let personal = matches!(kind, LabelKind::Craving | LabelKind::Craved | LabelKind::Emotion);
            let dead = scope.denies(hit.at) || scope.past || (personal && (scope.other || scope.supposed));
            if let Some(slot) = numbers.get_mut(2 * hit.label + usize::from(dead)) {
                *slot = 1.0;
            }
        }
        if !(scope.past || scope.other || scope.has_denial()) {
            live.push(clause.as_str());
        }
        words_n += words.len();
        others += usize::from(scope.other);
        denies |= scope.has_denial();
        past |= scope.past;
        own |= scope.own;
        supposed |= scope.supposed;
    }
    #[allow(clippy::cast_precision_loss)]
    let length = (words_n as f32).ln_1p() / 4.0;
    let flag = |holds: bool| f32::from(u8::from(holds));
    let flags: [f32; FLAGS_N] = [
        flag(denies),
        flag(past),
        flag(others > 0),
        flag(others > 0 && others == clauses.len()),
        flag(own),
        flag(supposed),
        flag(passage.contains('?')),
        flag(passage.contains('!')),
        flag(passage.contains(['"', '“', '”'])),
        length,
    ];
    for (slot, value) in numbers.iter_mut().skip(2 * LABELS_N).zip(flags) {
        *slot = value;
    }
    Said { numbers, live: live.join(", ") }
}

/// Words and embeddings together; `live` is `None` where nothing tells of the writer and of now.
pub(super) fn joined(words: &[f32], whole: &[f32], live: Option<&[f32]>) -> Vec<f32> {
    let mut all = Vec::with_capacity(ALL_N);
    all.extend_from_slice(words);
    all.extend_from_slice(whole);
    match live {
        Some(live) => all.extend_from_slice(live),
        None => all.resize(ALL_N, 0.0),
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_read_in_passages_of_whole_sentences() {
        assert_eq!(passages("One. Two."), ["One. Two."]);
        assert!(passages("  \n ").is_empty());
        let long = "I walked to the sea and back. ".repeat(40);
        let cut = passages(&long);
        assert!(cut.len() > 3 && cut.iter().all(|p| p.ends_with("back.") && p.split(' ').count() <= 80));
        assert!(passages(&"word ".repeat(1000)).iter().all(|p| p.split(' ').count() <= 80));
    }

    #[test]
    fn words_that_are_denied_speak_apart() {
        let lexicon = Lexicon::new();
        let stressed = crate::understand::index("stressed").unwrap();
        let numbers = |text: &str| said(text, &lexicon).numbers[2 * stressed..2 * stressed + 2].to_vec();
        assert_eq!(numbers("I'm stressed."), [1.0, 0.0]);
        assert_eq!(numbers("I'm not stressed."), [0.0, 1.0]);
        assert_eq!(numbers("She is stressed, I am fine."), [0.0, 1.0]);
        assert_eq!(said("She is sad. I ate.", &lexicon).live, "i ate");
    }
}
