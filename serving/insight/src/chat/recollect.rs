//! What of a person's past goes with the next message, tier by tier.

use crave_schemas::UserId;
use serde::Serialize;
use uuid::Uuid;

use super::{Chats, Turn, UserFact, WORKING_TURNS, facts::sentences, store::TURNS_MAX, summary};
use crate::{Result, screen};

/// Facts that go along, the surest first.
const FACTS: usize = 20;
/// Peaks that go along.
const PEAKS: usize = 3;
/// What a sentence of a peak weighs at least.
const PEAK_WEIGHT_MIN: f64 = 0.6;

/// What is recollected. All of it is the person's own words or was made from them, apart from the answers in `recent`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Recollection {
    /// What they said before `recent`, shortened; empty while `recent` holds everything.
    pub summary: String,
    /// Current facts, the surest first.
    pub facts: Vec<UserFact>,
    /// The last turns, oldest first.
    pub recent: Vec<Turn>,
    /// The strongest moments before `recent`, oldest first, in sentences.
    pub peaks: Vec<String>,
}

impl Chats {
    /// What is recollected in a conversation of the person, before one of its turns or at its end; facts alone where it is
    /// not theirs, or there is none yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recollection(
        &self,
        user: &UserId,
        conversation: Option<(Uuid, Option<i64>)>,
    ) -> Result<Recollection> {
        let store = &self.memories.conversations;
        let mut facts = store.facts(user).await?;
        facts.retain(|fact| fact.superseded_by.is_none());
        facts.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(b.said_at.cmp(&a.said_at)));
        facts.truncate(FACTS);
        let turns = match conversation {
            Some((id, before)) => store.turns(user, id, before, TURNS_MAX).await?,
            None => Vec::new(),
        };
        let working = usize::try_from(WORKING_TURNS).unwrap_or_default();
        let (before, recent) = turns.split_at(turns.len().saturating_sub(working));
        Ok(Recollection { facts, ..of_turns(before, recent) })
    }
}

/// Pure: the turns before the recent ones, shortened, and their peaks. A crisis is not held up again.
fn of_turns(before: &[Turn], recent: &[Turn]) -> Recollection {
    let said = || before.iter().map(|turn| turn.message.as_str()).filter(|said| screen(said).is_none());
    let mut peaks: Vec<(usize, &str)> = said()
        .flat_map(sentences)
        .enumerate()
        .filter(|(_, one)| summary::weight(one) >= PEAK_WEIGHT_MIN)
        .collect();
    peaks.sort_by(|a, b| summary::weight(b.1).total_cmp(&summary::weight(a.1)).then(a.0.cmp(&b.0)));
    peaks.truncate(PEAKS);
    peaks.sort_unstable();
    Recollection {
        summary: summary::summarise(said()),
        facts: Vec::new(),
        recent: recent.to_vec(),
        peaks: peaks.into_iter().map(|(_, one)| one.to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    /// Sixty turns as people write them: plain days, with a peak now and then.
    const DAYS: [(&str, &str); 6] = [
        (
            "Morning. I slept about six hours, had coffee and toast, and the train was late again so I got to the office after nine.",
            "You logged two cravings on weekday mornings this month; both were weak, 2 and 3 of 10.",
        ),
        (
            "Lunch was soup with Nora from accounting. She talked about her holiday in Portugal and the afternoon meeting was moved to Thursday.",
            "In the last thirty days there were four cravings around noon, and you resisted three of them.",
        ),
        (
            "I wanted chocolate around four but had an apple instead. The vending machine is right beside my desk, which does not help.",
            "Of your afternoon cravings for chocolate most came on days with less than seven hours of sleep.",
        ),
        (
            "Went for a walk by the canal after work, it was cold and grey. Then I cooked pasta and watched an episode of the series.",
            "On evenings with a walk your log has fewer cravings than on those without.",
        ),
        (
            "What sets off my sugar cravings in the evening?",
            "In the last thirty days “stress” set off seven of your eleven evening cravings for sugar. Their mean intensity was 6.4 of 10.",
        ),
        (
            "Not much to tell today. I answered mails, did the laundry, called my mother and went to bed early with a book.",
            "I will remember that.",
        ),
    ];
    const PEAKS_SAID: [(usize, &str); 3] = [
        (7, "I relapsed at the party, I was so ashamed, 9/10."),
        (21, "My boss shouted at me and I cried in the car, the craving was 10/10!"),
        (33, "I am proud: I finally said no, although it was 8/10."),
    ];

    fn turns() -> Vec<Turn> {
        (0..60_usize)
            .map(|n| {
                let (message, answer) = DAYS[n % DAYS.len()];
                let peak = PEAKS_SAID.iter().find(|(at, _)| *at == n);
                let message =
                    peak.map_or_else(|| message.to_owned(), |(_, peak)| format!("{peak} {message}"));
                Turn {
                    turn: i64::try_from(n).unwrap() + 1,
                    at: DateTime::UNIX_EPOCH,
                    message,
                    answer: answer.to_owned(),
                }
            })
            .collect()
    }

    /// Words and marks, as a tokenizer cuts them at least.
    fn tokens(text: &str) -> usize {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).count();
        words + text.chars().filter(char::is_ascii_punctuation).count()
    }

    #[test]
    fn a_long_conversation_takes_a_third_and_keeps_its_peaks() {
        let turns = turns();
        let (before, recent) = turns.split_at(40);
        let found = of_turns(before, recent);
        assert_eq!(found.recent.len(), 20);
        let said: usize = before.iter().map(|turn| tokens(&turn.message)).sum();
        let told: usize = said + before.iter().map(|turn| tokens(&turn.answer)).sum::<usize>();
        let taken = tokens(&found.summary) + found.peaks.iter().map(|peak| tokens(peak)).sum::<usize>();
        let saved = |of: usize| 100 - 100 * taken / of;
        println!(
            "40 turns: {told} tokens, {said} of them the person's; summary and peaks {taken}: {} % and {} % fewer",
            saved(told),
            saved(said)
        );
        assert!(saved(told) >= 70, "{taken} of {told}");
        let kept = found.peaks.join(" ");
        for (_, peak) in PEAKS_SAID {
            assert!(found.summary.contains(peak) && kept.contains(peak), "{peak}: {found:?}");
        }
    }

    #[test]
    fn nothing_is_shortened_while_all_is_recent_and_a_crisis_is_left_out() {
        let mut turns = turns();
        turns[2].message = "I want to kill myself, 10/10!".to_owned();
        let found = of_turns(&[], &turns[..20]);
        assert_eq!((found.summary.as_str(), found.peaks.len()), ("", 0));
        let found = of_turns(&turns[..40], &turns[40..]);
        assert!(!found.summary.contains("kill") && !found.peaks.join(" ").contains("kill"), "{found:?}");
    }
}
