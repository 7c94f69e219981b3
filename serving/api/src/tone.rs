//! Puts the tone that a person chose around their answers.

use crave_insight::{Answer, Sentence, Status};
use crave_persona::{Occasion, frame};
use crave_schemas::UserId;

use crate::{Accounts, error::ApiError};

/// The answer in the person's tone; matter of fact where they chose none.
pub(crate) async fn toned(accounts: &Accounts, user: &UserId, answer: Answer) -> Result<Answer, ApiError> {
    let tone = accounts.profile(user).await?.profile.tone;
    Ok(match tone {
        Some(tone) => framed(answer, |occasion| frame(tone, occasion)),
        None => answer,
    })
}

/// Only what speaks of the log is framed: never a crisis.
fn framed(
    mut answer: Answer,
    frame: impl Fn(Occasion) -> (Option<&'static str>, Option<&'static str>),
) -> Answer {
    let occasion = match answer.status {
        // Without citations it is no answer from the log, but talk.
        Status::Answered if !answer.citations.is_empty() => Occasion::Told,
        Status::NotEnoughData => Occasion::TooLittle,
        _ => return answer,
    };
    let (before, after) = frame(occasion);
    drop(answer.sentences.splice(..0, before.map(Sentence::plain)));
    answer.sentences.extend(after.map(Sentence::plain));
    answer
}

#[cfg(test)]
mod tests {
    use crave_persona::Tone;

    use super::*;

    #[test]
    fn a_crisis_is_never_framed() {
        for (status, n) in
            [(Status::Crisis, 1), (Status::OutOfScope, 1), (Status::Answered, 1), (Status::NotEnoughData, 2)]
        {
            let answer = Answer::plain(status, &["said"]);
            let framed = framed(answer.clone(), |occasion| frame(Tone::Warm, occasion));
            assert_eq!(framed.sentences.len(), n, "{status:?}");
            assert_eq!((framed.id, framed.sentences[0].text.as_str()), (answer.id, "said"));
        }
    }
}
