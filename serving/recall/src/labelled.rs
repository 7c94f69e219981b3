//! The labels of a memory: read when it is written, and kept with it.
//!
//! What a person wrote themselves (notes, journal, messages) is read by an [`Understander`]; its labels lie in the
//! attribute [`LABELS_ATTRIBUTE`] with the version that gave them, and from them come [`IMPORTANCE`] and [`EMOTIONS`],
//! which the score counts. So whoever keeps labels elsewhere takes them from the memory, and they are of the text that is
//! remembered.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::understand::{LabelKind, Understander, Understanding};
use crate::{EMOTIONS, IMPORTANCE, Memory, Result, SourceKind};

/// The attribute that holds a memory's [`Labelled`].
pub const LABELS_ATTRIBUTE: &str = "labels";

/// The kind of the one row of every labelled memory that tells its importance.
pub const IMPORTANCE_KIND: &str = "importance";

/// The scope of a label that holds for the writer and for now.
pub const OWN: &str = "own";

/// What a memory's text says, and who said so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Labelled {
    /// See [`Understander::version`].
    pub model_version: String,
    /// Every label, and last the importance.
    pub labels: Vec<OneLabel>,
}

/// A label of a memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneLabel {
    /// A [`LabelKind`]'s name, or [`IMPORTANCE_KIND`].
    pub kind: String,
    /// Its name.
    pub label: String,
    /// Its probability, or how important the memory is; 0 to 1.
    pub confidence: f32,
    /// [`OWN`] when it holds; else what is said of it: `denied`, `past`, `other`, `supposed`.
    pub scope: String,
    /// The bytes of the text that say so: from, and the first after.
    pub span: [usize; 2],
}

impl Labelled {
    fn of(read: &Understanding, text: &str) -> Self {
        let own = read.labels().map(|(kind, label)| OneLabel {
            kind: kind.as_str().to_owned(),
            label: label.label.to_owned(),
            confidence: label.confidence,
            scope: OWN.to_owned(),
            span: label.span,
        });
        let asides = read.asides.iter().map(|aside| OneLabel {
            kind: aside.kind.as_str().to_owned(),
            label: aside.label.to_owned(),
            confidence: aside.confidence,
            scope: aside.scope.as_str().to_owned(),
            span: aside.span,
        });
        let importance = OneLabel {
            kind: IMPORTANCE_KIND.to_owned(),
            label: IMPORTANCE_KIND.to_owned(),
            confidence: read.importance,
            scope: OWN.to_owned(),
            span: [0, text.len()],
        };
        let labels = own.chain(asides).chain([importance]).collect();
        Self { model_version: read.model_version.clone(), labels }
    }
}

impl Memory {
    /// Its labels, where it was read.
    #[must_use]
    pub fn labelled(&self) -> Option<Labelled> {
        serde_json::from_value(self.attributes.get(LABELS_ATTRIBUTE)?.clone()).ok()
    }
}

/// Reads memories as they are written, and questions as they are asked.
#[derive(Debug)]
pub struct Labeller {
    understander: Understander,
}

/// A question that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Read {
    /// The emotions that it shows or asks about, with confidence.
    pub(crate) mood: BTreeMap<String, f32>,
    /// Its vector: by the model that is asked for, or by [`crate::MiniLm`], where the labeller reads with it.
    pub(crate) meaning: Option<Arc<Vec<f32>>>,
}

impl Read {
    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let moods = self.mood.keys().map(|label| 64 + label.len()).sum::<usize>();
        size_of::<Self>()
            + moods
            + self.meaning.as_ref().map_or(0, |meaning| meaning.len() * size_of::<f32>())
    }
}

impl Labeller {
    /// Reads with `understander`.
    #[must_use]
    pub fn new(understander: Understander) -> Self {
        Self { understander }
    }

    /// See [`Understander::version`].
    #[must_use]
    pub fn version(&self) -> String {
        self.understander.version()
    }

    /// Whether memories of this kind are read: what the person wrote of themselves, not trend markers, and not books.
    #[must_use]
    pub fn reads(kind: SourceKind) -> bool {
        matches!(kind, SourceKind::Note | SourceKind::Journal | SourceKind::Chat)
    }

    /// Fills the attributes of those of `memories` that are read. A message keeps the importance that its conversation
    /// gave it. Returns, in their order, the vectors that came of it by the way: those of [`crate::MiniLm`] for what
    /// [`Memory::embedded`] gives, so that they are not embedded again.
    pub(crate) async fn label(&self, memories: &mut [Memory]) -> Result<Vec<Option<Vec<f32>>>> {
        let mut meanings = vec![None; memories.len()];
        let mut read: Vec<(&mut Memory, &mut Option<Vec<f32>>)> = memories
            .iter_mut()
            .zip(&mut meanings)
            .filter(|(memory, _)| Self::reads(memory.source_kind))
            .collect();
        let texts: Vec<String> = read.iter().map(|(memory, _)| memory.text.clone()).collect();
        let understood = self.understander.understand_and_embed(&texts).await?;
        for ((memory, slot), (understood, meaning)) in read.iter_mut().zip(understood) {
            **slot = meaning.filter(|_| memory.embedded() == memory.text);
            let kept = memory.source_kind == SourceKind::Chat && memory.attributes.contains_key(IMPORTANCE);
            if !kept {
                memory.attributes.insert(IMPORTANCE.to_owned(), understood.importance.into());
            }
            let felt: serde_json::Map<_, _> =
                understood.emotions.iter().map(|l| (l.label.to_owned(), l.confidence.into())).collect();
            if felt.is_empty() {
                memory.attributes.remove(EMOTIONS);
            } else {
                memory.attributes.insert(EMOTIONS.to_owned(), felt.into());
            }
            let labelled = Labelled::of(&understood, &memory.text);
            let value = serde_json::to_value(labelled).map_err(|e| crate::Error::Labels(e.to_string()))?;
            memory.attributes.insert(LABELS_ATTRIBUTE.to_owned(), value);
        }
        Ok(meanings)
    }

    /// The emotions of a question: those it shows, and those it asks about ("when was I sad?"); and its vector, where it
    /// comes of that.
    pub(crate) async fn read(&self, question: &str) -> Result<Read> {
        let read = self.understander.understand_and_embed(&[question.to_owned()]).await?;
        let (mut mood, mut vector) = (BTreeMap::new(), None);
        for (read, meaning) in read {
            vector = meaning.map(Arc::new);
            mood.extend(read.emotions.iter().map(|l| (l.label.to_owned(), l.confidence)));
            let asked = read.asides.iter().filter(|aside| aside.kind == LabelKind::Emotion && aside.asked());
            for aside in asked {
                mood.entry(aside.label.to_owned()).or_insert(aside.confidence.max(ASKED_CONFIDENCE));
            }
        }
        Ok(Read { mood, meaning: vector })
    }
}

/// What an emotion counts that a question names without feeling it.
const ASKED_CONFIDENCE: f32 = 0.5;

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use crave_schemas::UserId;

    use super::*;

    fn memory(kind: SourceKind, text: &str) -> Memory {
        Memory::new(UserId::new("u").unwrap(), kind, "s", DateTime::UNIX_EPOCH, text)
    }

    #[tokio::test]
    async fn what_a_person_wrote_is_labelled_and_nothing_else() {
        let labeller = Labeller::new(Understander::new(None).unwrap());
        let text = "I'm so stressed at work, I want chocolate. My sister is sad.";
        let mut memories = [
            memory(SourceKind::Note, text),
            memory(SourceKind::Trend, text),
            memory(SourceKind::Document, text),
            memory(SourceKind::Chat, text),
        ];
        memories[3].attributes.insert(IMPORTANCE.to_owned(), 0.25.into());
        labeller.label(&mut memories).await.unwrap();
        let labelled = memories[0].labelled().unwrap();
        assert_eq!(labelled.model_version, labeller.version());
        let scope = |name: &str| {
            let found = labelled.labels.iter().find(|one| one.label == name);
            found.map(|one| one.scope.as_str())
        };
        assert_eq!((scope("stressed"), scope("sad"), scope("sugar")), (Some(OWN), Some("other"), Some(OWN)));
        assert!(scope(IMPORTANCE_KIND).is_some() && scope("proud").is_none());
        assert!(memories[0].attributes[EMOTIONS]["stressed"].as_f64().unwrap() > 0.3);
        assert!(memories[0].attributes[IMPORTANCE].as_f64().unwrap() > 0.2);
        assert!(memories[1].attributes.is_empty() && memories[2].attributes.is_empty());
        assert_eq!(memories[3].attributes[IMPORTANCE], 0.25);
        memories[0].text = "Bought milk.".to_owned();
        labeller.label(&mut memories).await.unwrap();
        assert!(!memories[0].attributes.contains_key(EMOTIONS), "a corrected text has its own labels");
        memories[0].check().unwrap();
    }

    #[tokio::test]
    async fn a_question_has_the_mood_it_shows_or_asks_for() {
        let labeller = Labeller::new(Understander::new(None).unwrap());
        for (question, mood) in
            [("I am so anxious right now", "anxious"), ("How was it last year when I was sad?", "sad")]
        {
            let found = labeller.read(question).await.unwrap().mood;
            assert!(found.get(mood).is_some_and(|confidence| *confidence > 0.3), "{question}: {found:?}");
        }
        assert_eq!(labeller.read("what did I buy?").await.unwrap(), Read::default());
    }
}
