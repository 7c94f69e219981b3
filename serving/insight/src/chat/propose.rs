//! From "I just had a cookie" to an event in the log: what the last turn left open, and what the next message makes of it.
//! There is no state of its own: what was proposed is read from the turns again.

use crave_connect::{Submitted, submit};
use crave_recall::words::words;
use crave_schemas::Event;

use super::{Chats, Incoming, Turn};
use crate::{
    Answer, Coach, Error, Result, Status,
    answer::HOW_STRONG,
    intent::{Draft, Intent, intent, strength},
};

/// What a message means for what was proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Now all is told: ask whether to log it.
    Propose(Draft),
    /// The person confirmed what the last turn proposed.
    Log(Draft),
    /// They declined it.
    Drop,
}

const YES: &[&str] = &[
    "yes",
    "yep",
    "yeah",
    "yup",
    "ok",
    "okay",
    "sure",
    "please",
    "do",
    "it",
    "that",
    "log",
    "save",
    "confirm",
    "confirmed",
    "correct",
    "right",
    "go",
    "ahead",
    "thanks",
    "exactly",
];
const NO: &[&str] = &[
    "no", "nope", "nah", "dont", "cancel", "stop", "not", "now", "never", "mind", "log", "it", "thanks",
    "please",
];
/// Longest confirmation, in words.
const WORDS_MAX: usize = 4;

impl Chats {
    /// Goes a step further with what was proposed.
    pub(super) async fn proceed(&self, incoming: &Incoming<'_>, step: Step, coach: &Coach) -> Result<Answer> {
        let Incoming { user, message, now, working, .. } = *incoming;
        let (draft, words, at) = match &step {
            Step::Drop => return Ok(Answer::plain(Status::Answered, &["Then I will not log it."])),
            Step::Propose(draft) => (draft, message, now),
            Step::Log(draft) => {
                let asked = working.last().ok_or(Error::NotFound("proposal"))?;
                (draft, asked.message.as_str(), asked.at)
            }
        };
        let offset_min = self.insights.offset_min(user, now, coach).await?;
        let proposed = Answer::proposed(user, draft, words, at, offset_min);
        if matches!(step, Step::Propose(_)) {
            return Ok(proposed);
        }
        let proposal = proposed.proposal.ok_or(Error::NotFound("proposal"))?;
        // Twice is once: the event's id is the proposal's.
        let submitted = match Event::parse(&serde_json::to_vec(&proposal.event)?, Some(user), now) {
            Ok(event) => submit(self.log.as_ref(), &event).await?,
            Err(refusal) => Submitted::Refused(refusal),
        };
        Ok(match submitted {
            Submitted::Durable => {
                Answer::plain(Status::Logged, &[format!("It is in your log as a {draft}.").as_str()])
            }
            Submitted::Refused(refusal) => {
                tracing::warn!(code = ?refusal.code, "a confirmed proposal was refused");
                Answer::plain(Status::Answered, &["That could not be logged; please log it by its form."])
            }
        })
    }
}

/// Reads `message` after these turns; nothing where it is about something else. Pure.
pub(super) fn step(working: &[Turn], message: &str) -> Option<Step> {
    // A turn that only the client tells of has no answer of ours.
    let (last, before) = working.split_last().filter(|(last, _)| last.turn > 0 && !last.answer.is_empty())?;
    if last.answer == HOW_STRONG {
        let draft = drafted(&last.message)?;
        return Some(Step::Propose(Draft { intensity: Some(bare_strength(message)?), ..draft }));
    }
    let draft = drafted(&last.message).filter(|draft| draft.kind != "craving" || draft.intensity.is_some());
    let draft = draft.or_else(|| {
        let draft = before.last().filter(|asked| asked.answer == HOW_STRONG)?;
        Some(Draft { intensity: Some(bare_strength(&last.message)?), ..drafted(&draft.message)? })
    })?;
    // Another wording means that something else was asked.
    if !last.answer.starts_with(&format!("Shall I log this {draft}?")) {
        return None;
    }
    let said = words(message);
    let all = |of: &[&str]| said.iter().all(|word| of.contains(&word.as_str()));
    if said.is_empty() || said.len() > WORDS_MAX {
        None
    } else if all(NO) && said.iter().any(|word| !YES.contains(&word.as_str())) {
        Some(Step::Drop)
    } else {
        all(YES).then_some(Step::Log(draft))
    }
}

fn drafted(message: &str) -> Option<Draft> {
    match intent(message) {
        Intent::Log(draft) => Some(draft),
        _ => None,
    }
}

/// `7/10`, or a number alone.
fn bare_strength(message: &str) -> Option<u8> {
    let alone = || message.trim().trim_end_matches(['.', '!']).parse().ok().filter(|n| *n <= 10);
    strength(message).or_else(alone)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use crave_schemas::UserId;

    use super::*;
    use crate::Answer;

    fn turn(number: i64, message: &str, answer: &str) -> Turn {
        let (message, answer) = (message.to_owned(), answer.to_owned());
        Turn { turn: number, at: DateTime::UNIX_EPOCH, message, answer }
    }

    /// What we say to a message.
    fn proposed(draft: &Draft, words: &str) -> String {
        Answer::proposed(&UserId::new("ada").unwrap(), draft, words, DateTime::UNIX_EPOCH, 0).text()
    }

    #[test]
    fn yes_logs_no_drops_and_anything_else_is_something_else() {
        let said = "I just had a cookie, 7/10";
        let draft = drafted(said).unwrap();
        let turns = [turn(1, said, &proposed(&draft, said))];
        for yes in ["yes", "Yes, please.", "ok", "Sure!", "log it", "Yes, that is right".get(..9).unwrap()] {
            assert_eq!(step(&turns, yes), Some(Step::Log(draft.clone())), "{yes}");
        }
        for no in ["no", "No, thanks", "don't log it", "never mind", "not now"] {
            assert_eq!(step(&turns, no), Some(Step::Drop), "{no}");
        }
        for other in ["why do I crave sugar?", "yes but it was wine", "", "I am not sure that I want it"] {
            assert_eq!(step(&turns, other), None, "{other}");
        }
        let unseen = [turn(0, said, &proposed(&draft, said))];
        assert_eq!(step(&unseen, "yes"), None, "we never proposed it");
        assert_eq!(step(&[turn(1, said, "Something else.")], "yes"), None);
        assert_eq!(step(&[], "yes"), None);
    }

    #[test]
    fn a_strength_is_asked_for_and_then_all_is_proposed() {
        let said = "craving sugar right now";
        let draft = drafted(said).unwrap();
        assert_eq!(proposed(&draft, said), HOW_STRONG);
        let mut turns = vec![turn(1, said, HOW_STRONG)];
        let whole = Draft { intensity: Some(6), ..draft };
        for strength in ["6", "6/10", " 6. "] {
            assert_eq!(step(&turns, strength), Some(Step::Propose(whole.clone())), "{strength}");
        }
        for other in ["yes", "11", "very", "-3"] {
            assert_eq!(step(&turns, other), None, "{other}");
        }
        turns.push(turn(2, "6", &proposed(&whole, "6")));
        assert_eq!(step(&turns, "yes"), Some(Step::Log(whole)));
    }
}
