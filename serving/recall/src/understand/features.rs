//! A passage as numbers: which words speak for which label and what is said of them, and what the model knows of it.

use std::ops::Range;

use super::label::{LABELS, LABELS_N, LabelKind};
use super::lexicon::Lexicon;
use super::scope::{Scope, Standing, clauses};
use crate::STATES_N;

/// Words in a passage: about 110 tokens, of the 256 that the model reads.
const PASSAGE_WORDS_MAX: usize = 80;
/// Passages of one text that are looked at; text within the limits has fewer.
const PASSAGES_MAX: usize = 256;
/// Numbers beside those of the labels; see [`said`].
const FLAGS_N: usize = 10;
/// How many numbers the words of a passage make.
pub const WORDS_N: usize = 2 * LABELS_N + FLAGS_N;
/// How many numbers words and the model's states make together.
pub const ALL_N: usize = WORDS_N + 2 * STATES_N;
/// How much a state counts beside a word: the decay of the heads' weights is the same for both. Chosen by
/// cross-validation on the training notes.
const STATE_SCALE: f32 = 2.0;

/// What the words of a passage say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    /// [`WORDS_N`] numbers.
    pub(super) numbers: Vec<f32>,
    /// The clauses that tell of the writer and of now; empty when there are none.
    pub(super) live: String,
    /// The labels that its words speak for without holding, and why not.
    pub(super) dead: Vec<(usize, Standing)>,
    /// Its unit vector of meaning, where a model read it.
    pub(super) meaning: Option<Vec<f32>>,
}

/// A piece of a text that is read at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Passage {
    /// Its words, with one space between them.
    pub(super) text: String,
    /// The bytes of the text that it was made from.
    pub(super) bytes: Range<usize>,
}

/// Cuts a text into passages: whole sentences, up to [`PASSAGE_WORDS_MAX`] words together.
pub(super) fn passages(text: &str) -> Vec<Passage> {
    let (mut passages, mut words_n): (Vec<Passage>, usize) = (Vec::new(), 0);
    for sentence in text.split_inclusive(['.', '!', '?', '\n', '…']) {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        for part in words.chunks(PASSAGE_WORDS_MAX) {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let (from, to) = (place(text, first), place(text, last) + last.len());
            match passages.last_mut() {
                Some(passage) if words_n + part.len() <= PASSAGE_WORDS_MAX => {
                    passage.text = format!("{} {}", passage.text, part.join(" "));
                    passage.bytes.end = to;
                    words_n += part.len();
                }
                _ => {
                    passages.push(Passage { text: part.join(" "), bytes: from..to });
                    words_n = part.len();
                }
            }
        }
        if passages.len() >= PASSAGES_MAX {
            break;
        }
    }
    passages
}

/// Where a slice of `text` begins in it.
fn place(text: &str, slice: &str) -> usize {
    slice.as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

/// Per label whether a word speaks for it, and whether one does of which the clause says that it does not hold; then
/// whether the passage denies, tells of the past, of others, of others only, of the writer, supposes, asks, exclaims,
/// quotes, and how long it is.
pub(super) fn said(passage: &str, lexicon: &Lexicon) -> Said {
    let mut numbers = vec![0.0_f32; WORDS_N];
    let clauses = clauses(passage);
    let (mut live, mut dead) = (Vec::new(), Vec::new());
    let (mut others, mut words_n) = (0_usize, 0_usize);
    let (mut denies, mut past, mut own, mut supposed) = (false, false, false, false);
    for clause in &clauses {
        let words: Vec<&str> = clause.split(' ').collect();
        let scope = Scope::of(&words);
        for hit in lexicon.hits(&words) {
            let Some((kind, _)) = LABELS.get(hit.label) else { continue };
            let personal = matches!(kind, LabelKind::Craving | LabelKind::Craved | LabelKind::Emotion);
            let standing = scope.standing(hit.at, personal);
            if let Some(slot) = numbers.get_mut(2 * hit.label + usize::from(standing.is_some())) {
                *slot = 1.0;
            }
            dead.extend(standing.map(|standing| (hit.label, standing)));
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
    // What another clause says without doubt is said.
    dead.retain(|(label, _)| numbers.get(2 * label).is_none_or(|live| *live == 0.0));
    Said { numbers, live: live.join(", "), dead, meaning: None }
}

/// Words and states together, of the passage and of what is live in it; `live` is `None` where nothing tells of the writer
/// and of now.
pub(super) fn joined(words: &[f32], whole: &[f32], live: Option<&[f32]>) -> Vec<f32> {
    let mut all = Vec::with_capacity(ALL_N);
    all.extend_from_slice(words);
    all.extend(whole.iter().chain(live.unwrap_or_default()).map(|state| state * STATE_SCALE));
    all.resize(ALL_N, 0.0);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_read_in_passages_of_whole_sentences() {
        let texts = |text: &str| passages(text).into_iter().map(|p| p.text).collect::<Vec<_>>();
        assert_eq!(texts("One. Two."), ["One. Two."]);
        assert!(passages("  \n ").is_empty());
        let long = "I walked to the  séa and back. ".repeat(40);
        let cut = passages(&long);
        assert!(
            cut.len() > 3 && cut.iter().all(|p| p.text.ends_with("back.") && p.text.split(' ').count() <= 80)
        );
        for passage in &cut {
            let words: Vec<&str> = long[passage.bytes.clone()].split_whitespace().collect();
            assert_eq!(words.join(" "), passage.text);
        }
        assert!(texts(&"word ".repeat(1000)).iter().all(|p| p.split(' ').count() <= 80));
    }

    #[test]
    fn words_that_are_denied_speak_apart() {
        let lexicon = Lexicon::new();
        let stressed = crate::understand::index("stressed").unwrap();
        let numbers = |text: &str| said(text, &lexicon).numbers[2 * stressed..2 * stressed + 2].to_vec();
        assert_eq!(numbers("I'm stressed."), [1.0, 0.0]);
        assert_eq!(numbers("I'm not stressed."), [0.0, 1.0]);
        assert_eq!(numbers("She is stressed, I am fine."), [0.0, 1.0]);
        let other = said("She is sad. I ate.", &lexicon);
        assert_eq!(other.live, "i ate");
        let sad = crate::understand::index("sad").unwrap();
        assert!(other.dead.contains(&(sad, Standing::Other)));
        assert!(said("She is sad. I am sad.", &lexicon).dead.iter().all(|(label, _)| *label != sad));
    }
}
