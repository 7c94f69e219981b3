//! Which conversation a client means that sends its whole history each time. Pure.
//!
//! Every question of a person has a chain hash over all that the client told up to it: user, label, questions and the
//! answers as the client shows them (RFC 6962's idea of a hash over a hash; SHA-256, each field with its length). A
//! turn is kept under the hash of its question, so the next request finds it wherever it stands, in one look-up:
//!
//! | the client tells | it is |
//! |---|---|
//! | all turns of a conversation and a new question | continued |
//! | a question that was asked at this very place | regenerated: a branch from the turn before |
//! | an earlier question in other words, or an answer that we did not give | edited: a branch from the turn before |
//! | nothing that is known | a new conversation |
//!
//! User and label are the chain's root: nobody reaches another's turn, whatever ids and words they send. What a client
//! tells as our answer is only compared, never kept.

use crave_schemas::UserId;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The person.
    Person,
    /// We, says the client.
    Assistant,
    /// The client's own instructions: no part of what makes a conversation, for they hold today's date and the like.
    System,
}

/// A message as a client tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who said it.
    pub speaker: Speaker,
    /// What.
    pub text: String,
}

impl Told {
    /// The text of a client's own instruction.
    pub(super) fn as_system(&self) -> Option<&str> {
        (self.speaker == Speaker::System).then_some(self.text.as_str())
    }
}

/// The chain hash of a question, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Chain(pub(super) String);

impl Chain {
    fn root(user: &UserId, label: &str) -> Self {
        Self::of(["crave chat", user.as_str(), label])
    }

    /// Blanks do not count: clients trim them.
    fn then(&self, who: &str, text: &str) -> Self {
        Self::of([self.0.as_str(), who, plain(text).as_str()])
    }

    fn of(fields: [&str; 3]) -> Self {
        let mut hash = Sha256::new();
        for field in fields {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        Self(hex::encode(hash.finalize()))
    }
}

/// What a client says was asked and answered before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Earlier {
    pub(super) message: String,
    /// As the client shows it; `None` where it shows none.
    pub(super) answer: Option<String>,
}

/// A client's history, turn by turn, and its newest question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) earlier: Vec<Earlier>,
    pub(super) message: String,
    /// Of each question, the newest last.
    pub(super) asked: Vec<Chain>,
}

impl History {
    /// Reads messages; `None` when the last word is not the person's.
    pub(super) fn read(user: &UserId, label: &str, messages: &[Told]) -> Option<Self> {
        let mut turns: Vec<Earlier> = Vec::new();
        for told in messages {
            match (told.speaker, turns.last_mut()) {
                (Speaker::Person, _) => turns.push(Earlier { message: told.text.clone(), answer: None }),
                (Speaker::Assistant, Some(turn)) => {
                    let answer = turn.answer.get_or_insert_default();
                    if !answer.is_empty() {
                        answer.push('\n');
                    }
                    answer.push_str(&told.text);
                }
                // A greeting before any question.
                (Speaker::Assistant, None) | (Speaker::System, _) => {}
            }
        }
        let mut before = Chain::root(user, label);
        let mut asked = Vec::with_capacity(turns.len());
        for turn in &turns {
            let chain = before.then("user", &turn.message);
            before = chain.then("assistant", turn.answer.as_deref().unwrap_or_default());
            asked.push(chain);
        }
        let newest = turns.pop().filter(|turn| turn.answer.is_none())?;
        Some(Self { earlier: turns, message: newest.message, asked })
    }
}

/// A turn that is kept under one of the history's hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) asked: Chain,
    pub(super) conversation: Uuid,
    pub(super) turn: i64,
    /// What we answered; `None` where we did not, or the turn was deleted since.
    pub(super) answer: Option<String>,
    /// Whether the conversation ends with it.
    pub(super) last: bool,
}

/// Where a question belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The turn before it, or before the unseen ones; `None` at the beginning.
    pub(super) after: Option<(Uuid, i64)>,
    /// How many of the earlier turns are kept already; the others are new to us.
    pub(super) seen: usize,
    /// The newest turn in which the same was asked at the same place.
    pub(super) same: Option<(Uuid, i64)>,
}

/// Finds the place: after the latest earlier turn that is known with the answer that the client shows. Of several, the
/// one that fits best, then one that ends its conversation, then the newest.
pub(super) fn place(history: &History, known: &[Known]) -> Place {
    let at = |turn: &Known| (turn.conversation, turn.turn);
    let mut turns = history.earlier.iter().zip(&history.asked).enumerate().rev();
    let found = turns.find_map(|(i, (earlier, asked))| {
        let fits = known.iter().filter(|turn| turn.asked == *asked).filter_map(|turn| {
            let fit = fit(turn.answer.as_deref(), earlier)?;
            Some(((fit, turn.last, turn.conversation), turn))
        });
        let (_, best) = fits.max_by_key(|(key, _)| *key)?;
        Some((at(best), i + 1))
    });
    let newest = history.asked.last();
    let same = known.iter().filter(|turn| Some(&turn.asked) == newest).max_by_key(|turn| turn.conversation);
    Place { after: found.map(|(after, _)| after), seen: found.map_or(0, |(_, n)| n), same: same.map(at) }
}

/// How well a turn fits what the client shows of it, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// We did not answer, or it is gone.
    NotOurs,
    /// The client shows the beginning of our answer, as after a stop, or none.
    Part,
    /// It shows our answer.
    Whole,
}

/// `None` when the client shows another answer than ours.
fn fit(ours: Option<&str>, earlier: &Earlier) -> Option<Fit> {
    let Some(ours) = ours.map(plain) else { return Some(Fit::NotOurs) };
    let Some(told) = earlier.answer.as_deref().map(plain) else { return Some(Fit::Part) };
    if told == ours {
        return Some(Fit::Whole);
    }
    (!told.is_empty() && ours.starts_with(&told)).then_some(Fit::Part)
}

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(messages: &[&str]) -> Vec<Told> {
        let speaker = |text: &str| match text.trim_start().as_bytes().first() {
            Some(b'u') => Speaker::Person,
            Some(b'a') => Speaker::Assistant,
            _ => Speaker::System,
        };
        messages.iter().map(|text| Told { speaker: speaker(text), text: (*text).to_owned() }).collect()
    }

    fn read(messages: &[&str]) -> Option<History> {
        History::read(&UserId::new("ada").unwrap(), "", &told(messages))
    }

    /// The turn that is kept when `messages` were sent and got `answer`.
    fn kept(messages: &[&str], answer: Option<&str>, conversation: u128, turn: i64, last: bool) -> Known {
        let asked = read(messages).unwrap().asked.pop().unwrap();
        let answer = answer.map(str::to_owned);
        Known { asked, conversation: Uuid::from_u128(conversation), turn, answer, last }
    }

    #[test]
    fn a_question_finds_its_place() {
        // Conversation 1 has three turns; 2 is a branch of it after the first, 3 after the second.
        let all = [
            kept(&["u1"], Some("a1"), 1, 1, false),
            kept(&["u1", "a1", "u2"], Some("a2"), 1, 2, false),
            kept(&["u1", "a1", "u2", "a2", "u3"], Some("a3 is long"), 1, 3, true),
            kept(&["u1", "a1", "u2"], Some("a2 again"), 2, 2, true),
            kept(&["u1", "a1", "u2", "a2", "u3 edited"], Some("a3"), 3, 3, true),
            kept(&["u7"], None, 7, 1, true),
        ];
        type At = Option<(u128, i64)>;
        type Row<'a> = (&'a str, &'a [&'a str], At, usize, At);
        let table: &[Row<'_>] = &[
            ("new", &["u5"], None, 0, None),
            ("continued", &["u1", "a1", "u2", "a2", "u3", "a3 is long", "u4"], Some((1, 3)), 3, None),
            (
                "blanks do not count",
                &["u1 ", " a1\n", "u2", "a2", "u3", "a3  is long", "u4"],
                Some((1, 3)),
                3,
                None,
            ),
            ("stopped by the client", &["u1", "a1", "u2", "a2", "u3", "a3 is", "u4"], Some((1, 3)), 3, None),
            ("the answer got lost", &["u1", "a1", "u2", "a2", "u3", "u4"], Some((1, 3)), 3, None),
            ("instructions do not count", &["s1", "u1", "s2", "a1", "u4"], Some((1, 1)), 1, None),
            ("regenerated", &["u1", "a1", "u2", "a2", "u3"], Some((1, 2)), 2, Some((1, 3))),
            ("the first, regenerated", &["u1"], None, 0, Some((1, 1))),
            ("edited", &["u1", "a1", "u2", "a2", "u3 other"], Some((1, 2)), 2, None),
            ("after the other answer", &["u1", "a1", "u2", "a2 again", "u4"], Some((2, 2)), 2, None),
            ("the newest of the same", &["u1", "a1", "u2"], Some((1, 1)), 1, Some((2, 2))),
            ("an answer that is not ours", &["u1", "a1", "u2", "a lie", "u4"], Some((1, 1)), 1, None),
            ("all unknown", &["u8", "a8", "u9"], None, 0, None),
            ("somebody else answered", &["u7", "a lie", "u8"], Some((7, 1)), 1, None),
        ];
        let id = |at: At| at.map(|(id, turn)| (Uuid::from_u128(id), turn));
        for (name, messages, after, seen, same) in table {
            let found = place(&read(messages).unwrap(), &all);
            assert_eq!(found, Place { after: id(*after), seen: *seen, same: id(*same) }, "{name}");
        }
    }

    #[test]
    fn only_what_ends_with_a_question_is_one() {
        for none in [&[][..], &["s1"], &["u1", "a1"], &["a0"]] {
            assert_eq!(read(none), None, "{none:?}");
        }
        let twice = read(&["a0", "u1", "a1", "a2", "u2"]).unwrap();
        assert_eq!(twice.earlier, [Earlier { message: "u1".into(), answer: Some("a1\na2".into()) }]);
    }

    #[test]
    fn users_and_labels_never_meet_and_fields_do_not_run_together() {
        let asked = |user: &str, label: &str, messages: &[&str]| {
            History::read(&UserId::new(user).unwrap(), label, &told(messages)).unwrap().asked.pop().unwrap()
        };
        let all = [
            asked("ada", "", &["u1"]),
            asked("bob", "", &["u1"]),
            asked("ada", "x", &["u1"]),
            asked("adax", "", &["u1"]),
            asked("ada", "", &["u1", "u1"]),
            asked("ada", "", &["u1", "a", "u1"]),
            asked("ada", "", &["u1u1"]),
        ];
        let different: std::collections::HashSet<&Chain> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(asked("ada", "x", &["u1"]), asked("ada", "x", &["u1"]));
    }
}
