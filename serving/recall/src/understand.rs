//! Understands a note: whether a craving is there or only talked about, of what, set off by what, with whom, where,
//! and what the person feels.
//!
//! In: texts. Out: an [`Understanding`] each: labels that hold, each with its probability, and how important the note
//! is. A text is read in passages of whole sentences; a label holds where any passage says so. Each passage becomes
//! numbers (words that speak for a label, told apart by what their clause says of them: denied, long past, somebody
//! else's; and, with a model, its states at three depths of the passage and of those of its clauses that tell of the
//! writer and of now); a small trained head a label turns them into a probability that holds as often as it says.
//! Without a model the same is done with the words alone.
//!
//! The heads are trained and measured by `tests/recall/labels.rs`, on `data/notes-training.txt` and
//! `data/notes-evaluation.txt`.

mod features;
mod heads;
mod importance;
mod label;
mod lexicon;
mod scope;

use serde::Serialize;

pub use features::{ALL_N, WORDS_N};
pub use heads::Heads;
pub use label::{LABELS, LABELS_N, LabelKind, PerLabel, index};
pub use scope::Standing;

use self::features::{Passage, Said};
use self::label::{MENTIONED, PRESENT};
use crate::{DIMENSION, Error, LIMITS, MiniLm, Result};

/// A label with its probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Label {
    /// Its name.
    pub label: &'static str,
    /// From 0 to 1.
    pub confidence: f32,
    /// The bytes of the text that say so most clearly, whole sentences: from, and the first after.
    pub span: [usize; 2],
}

/// A label that a text speaks of and that does not hold for the writer, now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Aside {
    /// Its kind.
    pub kind: LabelKind,
    /// Its name.
    pub label: &'static str,
    /// What is said of it.
    pub scope: Standing,
    /// That it does not hold, 0 to 1.
    pub confidence: f32,
    /// The bytes of the text that say so, whole sentences: from, and the first after.
    pub span: [usize; 2],
}

impl Aside {
    /// Whether the writer may mean it all the same: they ask about it, or tell of another time.
    #[must_use]
    pub fn asked(&self) -> bool {
        matches!(self.scope, Standing::Past | Standing::Supposed)
    }
}

/// What a note says. Each list is in falling order of confidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Understanding {
    /// `present`, `mentioned` or `none`.
    pub craving: Label,
    /// What is craved or talked about.
    pub craved: Vec<Label>,
    /// What sets the craving off.
    pub trigger: Vec<Label>,
    /// Who is with the writer.
    pub company: Vec<Label>,
    /// Where the writer is.
    pub place: Vec<Label>,
    /// What the writer feels.
    pub emotions: Vec<Label>,
    /// What is spoken of and denied, long past, another's, or only supposed.
    pub asides: Vec<Aside>,
    /// How much it is worth remembering, from 0 to 1.
    pub importance: f32,
    /// The probability of every label, whether it holds or not.
    #[serde(serialize_with = "by_name")]
    pub confidence: PerLabel<f32>,
    /// Which heads and which model said so.
    pub model_version: String,
}

impl Understanding {
    /// The labels that hold, of every kind; `none` is not among them.
    pub fn labels(&self) -> impl Iterator<Item = (LabelKind, Label)> {
        let kinds = [
            (LabelKind::Craved, &self.craved),
            (LabelKind::Trigger, &self.trigger),
            (LabelKind::Company, &self.company),
            (LabelKind::Place, &self.place),
            (LabelKind::Emotion, &self.emotions),
        ];
        let craving = Some((LabelKind::Craving, self.craving)).filter(|(_, label)| label.label != NONE);
        let lists =
            kinds.into_iter().flat_map(|(kind, labels)| labels.iter().map(move |label| (kind, *label)));
        craving.into_iter().chain(lists)
    }
}

/// The craving of a note that has none.
const NONE: &str = "none";

fn by_name<S: serde::Serializer>(values: &PerLabel<f32>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(LABELS.iter().map(|(_, label)| *label).zip(values))
}

/// Reads notes.
#[derive(Debug)]
pub struct Understander {
    model: Option<MiniLm>,
    heads: Heads,
    lexicon: lexicon::Lexicon,
}

impl Understander {
    /// Reads with `model`, or with words alone.
    ///
    /// # Errors
    /// See [`Heads::trained`].
    pub fn new(model: Option<MiniLm>) -> Result<Self> {
        Ok(Self::with(model, Heads::trained()?))
    }

    /// As [`Self::new`], with other heads.
    #[must_use]
    pub fn with(model: Option<MiniLm>, heads: Heads) -> Self {
        Self { model, heads, lexicon: lexicon::Lexicon::new() }
    }

    /// Which heads and which model read: rows made by another version are to be made again.
    #[must_use]
    pub fn version(&self) -> String {
        let reader = self.model.as_ref().map_or("words", MiniLm::name);
        format!("{}/{reader}", self.heads.version())
    }

    /// Understands `texts`, in their order.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a text beyond the bytes of [`LIMITS`], [`Error::Embed`] when the model fails.
    pub async fn understand(&self, texts: &[String]) -> Result<Vec<Understanding>> {
        Ok(self.understand_and_embed(texts).await?.into_iter().map(|(understood, _)| understood).collect())
    }

    /// The same, with what comes of it by the way: the vector that [`MiniLm::embed`] gives a text, where there is a model
    /// and the text is one passage, word for word.
    ///
    /// # Errors
    /// As [`Self::understand`].
    pub(crate) async fn understand_and_embed(
        &self,
        texts: &[String],
    ) -> Result<Vec<(Understanding, Option<Vec<f32>>)>> {
        if let Some(text) = texts.iter().find(|text| text.len() > LIMITS.text_bytes_max) {
            let (len, max) = (text.len(), LIMITS.text_bytes_max);
            return Err(Error::invalid("text", format!("has {len} bytes; at most {max} are read at a time")));
        }
        let passages: Vec<Vec<Passage>> = texts.iter().map(|text| features::passages(text)).collect();
        let flat: Vec<&str> = passages.iter().flatten().map(|passage| passage.text.as_str()).collect();
        let mut read = self.read(&flat).await?.into_iter();
        let version = self.version();
        let understood = texts.iter().zip(&passages).map(|(text, passages)| {
            let mut read: Vec<(&Passage, Said)> = passages.iter().zip(read.by_ref()).collect();
            let meaning = match read.as_mut_slice() {
                [(passage, said)] if passage.text == *text => said.meaning.take(),
                _ => None,
            };
            (self.decide(text, &read, &version), meaning)
        });
        Ok(understood.collect())
    }

    /// The numbers of each text, read as one passage: [`ALL_N`] with a model, else [`WORDS_N`]. Heads are trained on
    /// them.
    ///
    /// # Errors
    /// [`Error::Embed`] when the model fails.
    pub async fn numbers(&self, passages: &[&str]) -> Result<Vec<Vec<f32>>> {
        Ok(self.read(passages).await?.into_iter().map(|said| said.numbers).collect())
    }

    /// What each passage says, with the numbers of all there is to read with.
    async fn read(&self, passages: &[&str]) -> Result<Vec<Said>> {
        let mut said: Vec<Said> =
            passages.iter().map(|passage| features::said(passage, &self.lexicon)).collect();
        let Some(model) = &self.model else { return Ok(said) };
        let lives = || said.iter().map(|said| said.live.as_str()).filter(|live| !live.is_empty());
        let texts: Vec<String> = passages.iter().copied().chain(lives()).map(str::to_owned).collect();
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(LIMITS.upsert_memories_max) {
            vectors.extend(model.states(batch.to_vec()).await?);
        }
        let mut live = vectors.split_off(passages.len()).into_iter();
        for (said, whole) in said.iter_mut().zip(&vectors) {
            let live = if said.live.is_empty() { None } else { live.next() };
            said.numbers = features::joined(&said.numbers, whole, live.as_deref());
            // The last of the states.
            said.meaning = whole.rchunks(DIMENSION).next().map(<[f32]>::to_vec);
        }
        Ok(said)
    }

    /// Which labels any word of a text speaks for, whatever is said of it: the plain keyword list that the heads are
    /// compared with.
    #[must_use]
    pub fn spotted(&self, text: &str) -> PerLabel<bool> {
        let clauses = scope::clauses(text);
        let words: Vec<Vec<&str>> = clauses.iter().map(|clause| clause.split(' ').collect()).collect();
        self.lexicon.spotted(&words)
    }

    fn decide(&self, text: &str, passages: &[(&Passage, Said)], version: &str) -> Understanding {
        let mut confidence = [0.0_f32; LABELS_N];
        let mut spans = [[0, text.len()]; LABELS_N];
        for (passage, said) in passages {
            let probabilities = self.heads.probabilities(&said.numbers);
            for ((best, span), p) in confidence.iter_mut().zip(&mut spans).zip(probabilities) {
                if p > *best {
                    (*best, *span) = (p, [passage.bytes.start, passage.bytes.end]);
                }
            }
        }
        let width = passages.first().map_or(WORDS_N, |(_, said)| said.numbers.len());
        let holds = held(&confidence, self.heads.thresholds(width));
        let all = || LABELS.iter().zip(confidence).zip(spans).zip(holds);
        let of = |wanted: LabelKind| {
            let held = all().filter(|((((kind, _), _), _), holds)| *kind == wanted && *holds);
            let mut labels: Vec<Label> =
                held.map(|((((_, label), confidence), span), _)| Label { label, confidence, span }).collect();
            labels.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
            labels
        };
        let craving = of(LabelKind::Craving).into_iter().next().unwrap_or_else(|| {
            let some = confidence.iter().take(2).copied().fold(0.0, f32::max);
            Label { label: NONE, confidence: 1.0 - some, span: [0, text.len()] }
        });
        Understanding {
            craving,
            craved: of(LabelKind::Craved),
            trigger: of(LabelKind::Trigger),
            company: of(LabelKind::Company),
            place: of(LabelKind::Place),
            emotions: of(LabelKind::Emotion),
            asides: asides(passages, &confidence, &holds),
            importance: importance::importance(text, &confidence),
            confidence,
            model_version: version.to_owned(),
        }
    }
}

/// What the passages speak of and what does not hold, each label once, as it is said first. That a craving is talked
/// about is no aside, for it says nothing against one.
fn asides(passages: &[(&Passage, Said)], confidence: &PerLabel<f32>, holds: &PerLabel<bool>) -> Vec<Aside> {
    let mut seen = *holds;
    let mut asides = Vec::new();
    for (passage, said) in passages {
        for (at, scope) in &said.dead {
            let (Some((kind, label)), Some(seen), Some(p)) =
                (LABELS.get(*at), seen.get_mut(*at), confidence.get(*at))
            else {
                continue;
            };
            if !std::mem::replace(seen, true) && *at != MENTIONED {
                let span = [passage.bytes.start, passage.bytes.end];
                asides.push(Aside { kind: *kind, label, scope: *scope, confidence: 1.0 - p, span });
            }
        }
    }
    asides
}

/// Which labels hold: those at or above their threshold, but of `present` and `mentioned` only the further above,
/// something craved only with either, and a trigger only with a craving that is present.
#[must_use]
pub fn held(probabilities: &PerLabel<f32>, thresholds: &PerLabel<f32>) -> PerLabel<bool> {
    let ratio = |at: usize| {
        let pair = probabilities.get(at).zip(thresholds.get(at));
        pair.map_or(0.0, |(p, threshold)| p / threshold.max(f32::MIN_POSITIVE))
    };
    let (present, mentioned) = (ratio(PRESENT), ratio(MENTIONED));
    let craving =
        (present.max(mentioned) >= 1.0).then_some(if present >= mentioned { PRESENT } else { MENTIONED });
    let mut holds = [false; LABELS_N];
    for (at, (slot, (kind, _))) in holds.iter_mut().zip(LABELS).enumerate() {
        *slot = match kind {
            LabelKind::Craving => craving == Some(at),
            LabelKind::Craved => craving.is_some() && ratio(at) >= 1.0,
            LabelKind::Trigger => craving == Some(PRESENT) && ratio(at) >= 1.0,
            _ => ratio(at) >= 1.0,
        };
    }
    holds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_present_and_mentioned_one_holds_and_a_trigger_needs_a_craving() {
        let thresholds = [0.5; LABELS_N];
        let mut p = [0.0; LABELS_N];
        let (sugar, stress, sad) = (index("sugar").unwrap(), index("stress").unwrap(), index("sad").unwrap());
        (p[sugar], p[stress], p[sad]) = (0.9, 0.9, 0.9);
        let names = |p: &PerLabel<f32>| {
            let holds = held(p, &thresholds);
            LABELS.iter().zip(holds).filter(|(_, h)| *h).map(|((_, l), _)| *l).collect::<Vec<_>>()
        };
        assert_eq!(names(&p), ["sad"]);
        p[MENTIONED] = 0.6;
        assert_eq!(names(&p), ["mentioned", "sugar", "sad"]);
        p[PRESENT] = 0.7;
        assert_eq!(names(&p), ["present", "sugar", "stress", "sad"]);
    }

    #[tokio::test]
    async fn notes_are_understood_by_words_alone() {
        let reader = Understander::new(None).unwrap();
        let texts = ["I'm so stressed at work, I want chocolate.".to_owned(), String::new()];
        let understood = reader.understand(&texts).await.unwrap();
        let first = &understood[0];
        assert_eq!((first.craving.label, first.craved[0].label), ("present", "sugar"));
        assert!(first.emotions.iter().any(|l| l.label == "stressed"), "{first:?}");
        assert!(first.model_version.ends_with("/words"));
        let json = serde_json::to_value(first).unwrap();
        assert_eq!(json["confidence"].as_object().unwrap().len(), LABELS_N);
        assert_eq!((understood[1].craving.label, understood[1].labels().count()), ("none", 0));
        let aside = "I had tea. My sister is so sad, I am not anxious.".to_owned();
        let read = reader.understand(std::slice::from_ref(&aside)).await.unwrap().remove(0);
        let scopes: Vec<_> = read.asides.iter().map(|aside| (aside.label, aside.scope)).collect();
        assert!(scopes.contains(&("sad", Standing::Other)), "{scopes:?}");
        assert!(scopes.contains(&("anxious", Standing::Denied)), "{scopes:?}");
        assert!(read.asides.iter().all(|one| aside.get(one.span[0]..one.span[1]).is_some()));
        let long = vec!["x".repeat(LIMITS.text_bytes_max + 1)];
        assert!(matches!(reader.understand(&long).await, Err(Error::Invalid { .. })));
    }
}
