//! What of the past goes to a model with a message.

use crave_lora::Message;

use super::{Chats, Incoming, Recollection, Turn};
use crate::{Coach, Result, screen};

/// Memories that are looked for, beside facts, peaks and the summary.
const RECALLED: usize = 6;

impl Chats {
    /// The coach with what the person said before, tier by tier, and what of their memories fits the message.
    pub(super) async fn with_past(&self, incoming: &Incoming<'_>, coach: &Coach) -> Result<Coach> {
        let Incoming { user, message, now, conversation: at, working, system } = *incoming;
        let recollection = self.recollection(user, at).await?;
        let recalled = self.recalled(user, message, now, RECALLED).await;
        let mut coach = coach.clone();
        coach.memories.extend(told(&recollection));
        coach
            .memories
            .extend(recalled.into_iter().map(|one| format!("{}: {}", one.at.format("%-d %B %Y"), one.text)));
        coach.conversation = conversation(system, working);
        Ok(coach)
    }
}

/// Facts, peaks and summary, in the order of their worth.
fn told(recollection: &Recollection) -> Vec<String> {
    let facts = recollection.facts.iter().map(|fact| format!("a fact they stated: {}", fact.text));
    let peaks = recollection.peaks.iter().map(|peak| format!("a strong moment: {peak}"));
    let summary = Some(&recollection.summary).filter(|summary| !summary.is_empty());
    let summary = summary.map(|summary| format!("earlier in this conversation: {summary}"));
    facts.chain(peaks).chain(summary).collect()
}

/// The client's own instructions, then the turns. A crisis is not held up again.
fn conversation(system: &[&str], working: &[Turn]) -> Vec<Message> {
    let message = |role: &str, text: &str| Message { role: role.to_owned(), content: text.to_owned() };
    let mut messages: Vec<Message> = system.iter().map(|text| message("system", text)).collect();
    for turn in working.iter().filter(|turn| screen(&turn.message).is_none()) {
        messages.push(message("user", &turn.message));
        if !turn.answer.is_empty() {
            messages.push(message("assistant", &turn.answer));
        }
    }
    messages
}
