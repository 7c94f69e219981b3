//! What fits into a model's context. Pure: how tokens are counted is an argument.
//!
//! In order: room for the answer; the rules with the facts; the persona, word for word; the question. What is left is
//! shared between what was retrieved and the conversation, [`RETRIEVED`] to [`CONVERSATION`], whole items only; what one
//! leaves goes to the other. Counted is always the whole prompt as it is rendered, never a sum of parts.

use crave_lora::Message;

use crate::{Error, Result};

/// Shares of what is left.
pub const RETRIEVED: usize = 25;
/// See [`RETRIEVED`].
pub const CONVERSATION: usize = 35;
/// Largest persona, in percent of the smallest context.
pub const PERSONA_PERCENT_MAX: usize = 20;

/// Counts tokens.
pub trait Count {
    /// Tokens of a conversation as the model gets it.
    ///
    /// # Errors
    /// When the template refuses the conversation.
    fn prompt(&self, messages: &[Message]) -> Result<usize>;
}

/// Counts by characters, where the tokenizer is not at hand, with a margin that returned usage corrects.
#[derive(Clone, Copy, Debug)]
pub struct ByChars {
    /// Characters of a token.
    pub chars_per_token: f64,
    /// Factor on the estimate; grows when the server counted more than we did.
    pub margin: f64,
}

/// Tokens that a template adds to a message, at most.
const MESSAGE_TOKENS: usize = 8;

impl Default for ByChars {
    fn default() -> Self {
        Self { chars_per_token: 3.5, margin: 1.15 }
    }
}

impl ByChars {
    /// Learns from what the server counted for a prompt that was estimated: up at once, down slowly.
    #[must_use]
    pub fn corrected(self, estimated: usize, counted: usize) -> Self {
        if estimated == 0 || counted == 0 {
            return self;
        }
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let right = self.margin * counted as f64 / estimated as f64 * 1.05;
        let margin = if right > self.margin { right } else { self.margin * 0.95 + right * 0.05 };
        Self { margin: margin.clamp(1.0, 8.0), ..self }
    }
}

impl Count for ByChars {
    fn prompt(&self, messages: &[Message]) -> Result<usize> {
        let chars: usize = messages.iter().map(|message| message.content.chars().count()).sum();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rounded up, positive"
        )]
        let tokens = {
            let around = ((messages.len() + 1) * MESSAGE_TOKENS) as f64;
            ((chars as f64 / self.chars_per_token.max(0.1) + around) * self.margin).ceil() as usize
        };
        Ok(tokens)
    }
}

/// What may go into a prompt.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Rules, disclaimer and facts.
    pub rules: String,
    /// The persona, word for word; may be empty.
    pub persona: String,
    /// What was retrieved, the best first.
    pub retrieved: Vec<String>,
    /// What was said, oldest first; client system messages are among it.
    pub conversation: Vec<Message>,
    /// What is asked now.
    pub question: String,
}

/// A prompt that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// The conversation to send.
    pub messages: Vec<Message>,
    /// How many retrieved items are in it, of the best.
    pub retrieved_n: usize,
    /// How many messages of the conversation are in it, of the newest.
    pub conversation_n: usize,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens that the answer may have.
    pub answer_tokens: usize,
}

/// Refuses a persona that would leave too little room.
///
/// # Errors
/// [`Error::Persona`] when it is over [`PERSONA_PERCENT_MAX`] of `smallest_context`.
pub fn check_persona(count: &dyn Count, persona: &str, smallest_context: usize) -> Result<()> {
    let tokens = count.prompt(&[message("system", persona)])?;
    let max = smallest_context * PERSONA_PERCENT_MAX / 100;
    if tokens > max { Err(Error::Persona { tokens, max }) } else { Ok(()) }
}

/// Puts a prompt together that leaves `answer_min` tokens of `context`.
///
/// # Errors
/// [`Error::ContextLength`] when the reserved parts alone do not fit.
pub fn fit(count: &dyn Count, parts: &Parts, context: usize, answer_min: usize) -> Result<Fitted> {
    let cost =
        |retrieved: usize, conversation: usize| count.prompt(&assemble(parts, retrieved, conversation));
    let reserved = cost(0, 0)?;
    let limit = context.saturating_sub(answer_min);
    if reserved > limit {
        return Err(Error::ContextLength { context, answer: answer_min, prompt: reserved });
    }
    let left = limit - reserved;
    let fits = |retrieved, conversation, room| Ok(cost(retrieved, conversation)? <= reserved + room);
    let (retrieved_all, said_all) = (parts.retrieved.len(), parts.conversation.len());
    // What was retrieved gets its share, the conversation all that is left, and what it leaves goes back.
    let share = left * RETRIEVED / (RETRIEVED + CONVERSATION);
    let retrieved = most(retrieved_all, |n| fits(n, 0, share))?;
    let mut conversation = most(said_all, |n| fits(retrieved, n, left))?;
    let retrieved = retrieved.max(most(retrieved_all, |n| fits(n, conversation, left))?);
    // An answer without its question cannot come first; it is not in the prompt.
    let first = |n: usize| parts.conversation.get(said_all - n);
    while first(conversation).is_some_and(|said| said.role == "assistant") {
        conversation -= 1;
    }
    let messages = assemble(parts, retrieved, conversation);
    let prompt_tokens = count.prompt(&messages)?;
    Ok(Fitted {
        messages,
        retrieved_n: retrieved,
        conversation_n: conversation,
        prompt_tokens,
        answer_tokens: context - prompt_tokens,
    })
}

/// The most of `all` items that fit; more items never cost less.
fn most(all: usize, fits: impl Fn(usize) -> Result<bool>) -> Result<usize> {
    let (mut low, mut high) = (0, all);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle)? { low = middle } else { high = middle - 1 }
    }
    Ok(low)
}

/// The messages: one of ours, the conversation with roles in turn (templates insist), the question. What a client calls
/// system is quoted as the person's: it ranks below ours.
fn assemble(parts: &Parts, retrieved: usize, conversation: usize) -> Vec<Message> {
    let mut system = parts.rules.clone();
    if !parts.persona.is_empty() {
        system.push_str("\n\n");
        system.push_str(&parts.persona);
    }
    let items = parts.retrieved.get(..retrieved).unwrap_or_default();
    if !items.is_empty() {
        system.push_str(crate::prompt::MEMORIES);
        for item in items {
            system.push_str("\n- ");
            system.push_str(item);
        }
        system.push_str(crate::prompt::MEMORIES_END);
    }
    let mut messages = vec![message("system", &system)];
    let newest = parts.conversation.len().saturating_sub(conversation);
    for said in parts.conversation.get(newest..).unwrap_or_default() {
        let role = if said.role == "assistant" { "assistant" } else { "user" };
        push(&mut messages, role, &said.content);
    }
    push(&mut messages, "user", &parts.question);
    messages
}

fn push(messages: &mut Vec<Message>, role: &str, content: &str) {
    // Templates want a question first.
    if messages.len() == 1 && role == "assistant" {
        return;
    }
    match messages.last_mut().filter(|last| last.role == role) {
        Some(last) => {
            last.content.push_str("\n\n");
            last.content.push_str(content);
        }
        None => messages.push(message(role, content)),
    }
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}
