//! A model's answer, sentence by sentence through the gate.

use crave_lora::Message;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{
    Backend, Error, Fact, Gate, Piece, Pieces, Prompt, Result, Sentence, Voice,
    budget::{self, Parts},
    prompt,
};

/// After so many withheld sentences the composer speaks.
const FAILURES_MAX: usize = 2;
/// Sentences of an answer at most, and bytes that a model may say without ending one.
const SENTENCES_MAX: usize = 12;
const UNFINISHED_BYTES_MAX: usize = 2_000;
/// Tokens kept for the answer: at most these, and at most a quarter of the context.
const ANSWER_TOKENS: usize = 400;

/// What of a person goes with a question. The default is nobody in particular, and nothing leaves this machine.
#[derive(Clone, Debug, Default)]
pub struct Coach {
    /// Who speaks, word for word.
    pub persona: String,
    /// How it speaks.
    pub voice: Voice,
    /// The adapter that should speak, where the model's server has it.
    pub adapter: Option<String>,
    /// The person has allowed that their words go to a server elsewhere.
    pub remote_allowed: bool,
    /// What was said before, oldest first.
    pub conversation: Vec<Message>,
    /// What the person wrote before that may matter, the best first.
    pub memories: Vec<String>,
    /// Minutes that the person's clock is east of UTC; else what their log says.
    pub offset_min: Option<i64>,
    /// Gets each sentence of a model as it is released; what is composed comes with the answer alone.
    pub sink: Option<Sentences>,
}

/// Who spoke an answer, where a model did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spoken {
    /// The model.
    pub model: String,
    /// The adapter, where one spoke.
    pub adapter: Option<String>,
    /// Tokens of the prompt and of what the model said, as its server counted them; 0 where it did not.
    pub prompt_tokens: usize,
    /// See `prompt_tokens`.
    pub completion_tokens: usize,
    /// Sentences that were withheld.
    pub withheld_n: usize,
    /// The composer's sentences were sent as well, or instead.
    pub composed: bool,
}

/// Sentences as they are released. Whoever leaves drops the receiver, and the model stops.
pub type Sentences = mpsc::Sender<Sentence>;

/// Lets `backend` answer from `facts`; what it may not say is `composed` instead.
///
/// # Errors
/// [`Error::ContextLength`] when the question alone is too long for the model.
pub async fn speak(
    backend: &dyn Backend,
    question: &str,
    facts: &[(&str, &Fact)],
    composed: Vec<Sentence>,
    coach: &Coach,
) -> Result<(Vec<Sentence>, Spoken)> {
    let sink = coach.sink.as_ref();
    let parts = Parts {
        rules: prompt::rules(facts, coach.voice),
        persona: coach.persona.clone(),
        retrieved: coach.memories.iter().map(|text| prompt::safe(text)).collect(),
        conversation: coach.conversation.clone(),
        question: question.to_owned(),
    };
    let context = backend.context();
    let answer_min = ANSWER_TOKENS.min(context / 4).max(1);
    let fitted = budget::fit(backend.counter(), &parts, context, answer_min)?;
    let mut spoken = Spoken { model: backend.model().to_owned(), ..Spoken::default() };
    let pieces = backend.speak(Prompt {
        messages: fitted.messages,
        adapter: coach.adapter.clone(),
        max_tokens: answer_min,
    });
    let mut said = Vec::new();
    let mut whole = false;
    match pieces {
        Ok(mut pieces) => {
            let own_words = [question];
            let gate = Gate::new(facts, &own_words);
            let mut open = String::new();
            'told: while let Some(piece) = heard(&mut pieces, sink).await? {
                let last = match piece {
                    Piece::Adapter(adapter) => {
                        spoken.adapter = Some(adapter);
                        continue;
                    }
                    Piece::Text(text) => {
                        open.push_str(&text);
                        false
                    }
                    Piece::Done { prompt_tokens, completion_tokens } => {
                        spoken.prompt_tokens = prompt_tokens.unwrap_or_default();
                        spoken.completion_tokens = completion_tokens.unwrap_or_default();
                        whole = true;
                        true
                    }
                    Piece::Failed(why) => {
                        tracing::warn!(why, "a model did not finish its answer");
                        break;
                    }
                };
                while let Some(sentence) = next(&mut open, last) {
                    match gate.pass(&sentence) {
                        Ok(sentence) => release(&mut said, sentence, sink).await?,
                        Err(why) => {
                            // The reason only: the sentence may hold a person's words.
                            let why = match why {
                                crate::Withheld::Misfit { what, .. } => what,
                                _ => "its words",
                            };
                            tracing::debug!(why, "a sentence of a model was withheld");
                            spoken.withheld_n += 1;
                        }
                    }
                    if spoken.withheld_n >= FAILURES_MAX || said.len() >= SENTENCES_MAX {
                        break 'told;
                    }
                }
                if open.len() > UNFINISHED_BYTES_MAX {
                    spoken.withheld_n = FAILURES_MAX;
                    break;
                }
            }
        }
        Err(error) => tracing::warn!(%error, "a model could not answer"),
    }
    let cites = said.iter().any(|sentence| !sentence.citations.is_empty());
    if !cites || !whole && said.len() < SENTENCES_MAX || spoken.withheld_n >= FAILURES_MAX {
        spoken.composed = true;
        let told: Vec<_> = said.iter().flat_map(|sentence| sentence.citations.clone()).collect();
        for sentence in composed {
            // What the model has said already is not said again.
            let again =
                !sentence.citations.is_empty() && sentence.citations.iter().all(|id| told.contains(id));
            if !again {
                release(&mut said, sentence, sink).await?;
            }
        }
    }
    Ok((said, spoken))
}

/// The next piece; whoever asked may leave meanwhile.
async fn heard(pieces: &mut Pieces, sink: Option<&Sentences>) -> Result<Option<Piece>> {
    let left = async {
        match sink {
            Some(sink) => sink.closed().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        piece = pieces.recv() => Ok(piece),
        () = left => Err(Error::Left),
    }
}

async fn release(said: &mut Vec<Sentence>, sentence: Sentence, sink: Option<&Sentences>) -> Result<()> {
    if let Some(sink) = sink {
        sink.send(sentence.clone()).await.map_err(|_| Error::Left)?;
    }
    said.push(sentence);
    Ok(())
}

/// Takes the next whole sentence out of what a model has said so far. A sentence ends with `.`, `!` or `?` before a
/// space, or with its line, but not within a placeholder or a quote.
fn next(open: &mut String, last: bool) -> Option<String> {
    let (mut quoted, mut end) = (false, None);
    let mut chars = open.char_indices().peekable();
    let mut depth = 0_usize;
    while let Some((at, c)) = chars.next() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '“' => quoted = true,
            '”' => quoted = false,
            '"' => quoted = !quoted,
            '\n' => {
                end = Some(at + 1);
                break;
            }
            _ => {}
        }
        let stops = matches!(c, '.' | '!' | '?' | '…') || matches!(c, '”' | '"') && ends(&open[..at]);
        if stops && !quoted && depth == 0 && chars.peek().is_some_and(|(_, next)| next.is_whitespace()) {
            end = Some(at + c.len_utf8());
            break;
        }
    }
    let end = end.or_else(|| last.then_some(open.len()))?;
    let rest = open.split_off(end);
    let sentence = std::mem::replace(open, rest.trim_start().to_owned());
    let sentence = sentence.trim().to_owned();
    if sentence.is_empty() {
        return if open.is_empty() { None } else { next(open, last) };
    }
    Some(sentence)
}

fn ends(text: &str) -> bool {
    text.ends_with(['.', '!', '?'])
}
