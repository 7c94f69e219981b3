//! Who answers a person: the tone they chose, what is known of them as a craver, and the adapter that goes with it.

use crave_insight::{Answer, Coach, Sentence, Status, Voice};
use crave_persona::{Archetype, Occasion, Rapport, Tone, archetypes, frame};
use crave_schemas::UserId;

use crate::{App, error::ApiError, routes::persona};

/// A person's coach, and in which tone what it does not generate is framed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chosen {
    pub(crate) coach: Coach,
    tone: Option<Tone>,
    /// The archetype's id, or `unknown`; `None` where no model speaks, which is when nobody needs it.
    pub(crate) persona: Option<String>,
}

/// The coach of a person as they chose it, else as their archetype has it.
pub(crate) async fn coach(app: &App, user: &UserId) -> Result<Chosen, ApiError> {
    let now = app.clock.now();
    let chosen = app.accounts.profile(user).await?;
    let mut coach = Coach {
        remote_allowed: chosen.profile.remote_processing,
        offset_min: chosen.offset_min(now),
        voice: voice(chosen.profile.tone.unwrap_or(Tone::Neutral)),
        ..Coach::default()
    };
    let tone = chosen.profile.tone;
    if !app.insights.is_spoken(&coach) {
        return Ok(Chosen { coach, tone, persona: None });
    }
    coach.memories = chosen.profile.goals.iter().map(|goal| format!("a goal they chose: {goal}")).collect();
    let id = Box::pin(persona::of(app, user)).await?.archetype;
    if let Some(archetype) = archetypes()?.into_iter().find(|archetype| archetype.id == id) {
        coach.voice = voice(tone.unwrap_or(archetype.coach_tone));
        coach.persona = brief(&archetype, chosen.rapport(now));
        coach.adapter = Some(archetype.adapter);
    }
    Ok(Chosen { coach, tone, persona: Some(id) })
}

const fn voice(tone: Tone) -> Voice {
    match tone {
        Tone::Warm => Voice::Warm,
        Tone::Direct => Voice::Direct,
        Tone::Neutral => Voice::Neutral,
    }
}

/// Who the person is, as a model is told it.
fn brief(archetype: &Archetype, rapport: Rapport) -> String {
    let known = match rapport {
        Rapport::New => "You have only just met.",
        Rapport::Familiar => "They have shared a goal with you.",
        Rapport::Trusted => "You have known each other for a while.",
    };
    format!("Their log shows the pattern called {}. {} {known}", archetype.name, archetype.definition)
}

/// Every persona there can be, to be checked against a model's context before it serves.
///
/// # Errors
/// When the archetypes that are compiled in do not parse.
pub fn personas() -> Result<Vec<String>, crave_persona::Error> {
    let all = archetypes()?;
    let rapports = [Rapport::New, Rapport::Familiar, Rapport::Trusted];
    Ok(all.iter().flat_map(|archetype| rapports.map(|rapport| brief(archetype, rapport))).collect())
}

impl Chosen {
    /// The answer in the person's tone; as it is where they chose none, or a model spoke, which was told the tone.
    pub(crate) fn toned(&self, answer: Answer) -> Answer {
        match self.tone.filter(|_| answer.spoken.is_none()) {
            Some(tone) => framed(answer, |occasion| frame(tone, occasion)),
            None => answer,
        }
    }
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
