//! Conversations, and all that is remembered of a person, tier by tier.
//!
//! | tier | where | how long |
//! |---|---|---|
//! | working memory | the last [`WORKING_TURNS`] turns, read with each message | the conversation |
//! | conversations | [`Conversations`] in SQLite, with a summary every [`SUMMARY_TURNS`] turns | until deleted |
//! | semantic memory | each message of the person in [`crave_recall::Recall`], kind `chat` | until deleted |
//! | episodic peaks | the same, with [`summary::weight`] as importance | until deleted |
//! | facts | [`facts::facts`] of the person's own messages, with source, confidence and history | until deleted |
//!
//! [`Chats::recollection`] puts them together for the next message. Clients that send the whole history each time come
//! through [`Chats::tell`]: [`identity`] finds their conversation.
//!
//! Answers are kept in the conversation only: they hold numbers as they were, and what is recalled must not be
//! remembered as said. A message in a crisis is answered and kept, and neither remembered nor mined for facts.

mod branches;
mod facts;
mod identity;
mod memories;
mod past;
mod propose;
mod recollect;
mod store;
mod summary;
mod task;
mod tell;

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use crave_connect::log::EventLog;
use crave_recall::chunk::BYTES_ATTRIBUTE;
use crave_recall::{CONTEXT, Hit, IMPORTANCE, Memory, MemoryId, SearchOptions, SourceKind, Stage};
use crave_schemas::{Clock, UserId};
use serde::Serialize;
use uuid::Uuid;

pub use facts::Said;
pub use identity::{Speaker, Told};
pub use memories::{Item, Memories};
pub use recollect::Recollection;
pub use store::{Conversation, Conversations, Turn, UserFact};
pub use tell::{Completion, Telling};

use crate::{Answer, Coach, Error, Insights, QUESTION_CHARS_MAX, Result, Sentence, Status, engine, screen};

/// Turns that are read with each message.
const WORKING_TURNS: i64 = 20;
/// A summary is made after every so many turns: twenty messages.
const SUMMARY_TURNS: i64 = 10;
/// Memories an answer quotes.
const QUOTED: usize = 2;
/// What an answer quotes must have this share of the question's words, or this cosine.
const COVERAGE_MIN: f64 = 0.4;
const COSINE_MIN: f32 = 0.4;

/// A memory that an answer quotes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recalled {
    /// Its id: `GET /v1/memories/{id}`.
    pub id: MemoryId,
    /// When it was said or written.
    pub at: DateTime<Utc>,
    /// The words.
    pub text: String,
    /// The span of a document that they are in; none where they were said or noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passage: Option<Passage>,
}

/// The span of a document behind a quote: `GET /v1/documents/{document}/text?from={from}&to={to}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Passage {
    /// The document.
    pub document: String,
    /// Its name.
    pub name: String,
    /// First byte of its text.
    pub from: u64,
    /// The byte after the last.
    pub to: u64,
}

impl Passage {
    fn of(memory: &Memory) -> Option<Self> {
        if memory.source_kind != SourceKind::Document {
            return None;
        }
        let bytes = memory.attributes.get(BYTES_ATTRIBUTE)?;
        let (from, to) = (bytes.get(0)?.as_u64()?, bytes.get(1)?.as_u64()?);
        let name = memory.attribute("name").unwrap_or_default().to_owned();
        Some(Self { document: memory.source_id.clone(), name, from, to })
    }
}

/// What a message got.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reply {
    /// The turn's number in its conversation.
    pub turn: i64,
    /// The answer.
    pub answer: Answer,
    /// What of the past it quotes.
    pub recalled: Vec<Recalled>,
    /// What it learned of the person.
    pub learned: Vec<Said>,
}

/// Talks with people, each in their own conversations.
pub struct Chats {
    insights: Arc<Insights>,
    memories: Arc<Memories>,
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    under_way: tell::UnderWay,
}

/// A message of a person, and where it comes.
struct Incoming<'a> {
    user: &'a UserId,
    message: &'a str,
    now: DateTime<Utc>,
    /// The conversation, and before which of its turns (the end where it is `None`); none where it begins one.
    conversation: Option<(Uuid, Option<i64>)>,
    /// The last turns before it.
    working: &'a [Turn],
    /// What the client's program adds: it ranks below our own rules, as words of the person.
    system: &'a [&'a str],
}

/// What a message is answered with, before it is kept.
struct Answered {
    answer: Answer,
    recalled: Vec<Recalled>,
    learned: Vec<Said>,
}

impl fmt::Debug for Chats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chats").field("memories", &self.memories).finish_non_exhaustive()
    }
}

impl Chats {
    /// Answers through `insights`, remembers in `memories`, and puts into `log` what people confirm.
    #[must_use]
    pub fn new(
        insights: Arc<Insights>,
        memories: Arc<Memories>,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { insights, memories, log, clock, under_way: tell::UnderWay::default() }
    }

    /// What is remembered, and the conversations.
    #[must_use]
    pub fn memories(&self) -> &Memories {
        &self.memories
    }

    /// Begins a conversation.
    ///
    /// # Errors
    /// As [`Conversations::begin`].
    pub async fn begin(&self, user: &UserId) -> Result<Conversation> {
        self.memories.conversations.begin(user, self.clock.now()).await
    }

    /// Answers a message within its conversation as `coach`, then keeps and remembers it.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a conversation that is not the person's, [`Error::Question`] for an empty or too long
    /// message, [`Error::TooMany`] for a full conversation; else what tables and stores say.
    pub async fn say(
        &self,
        user: &UserId,
        conversation: Uuid,
        message: &str,
        coach: &Coach,
    ) -> Result<Reply> {
        let message = message.trim();
        if message.is_empty() || message.chars().count() > QUESTION_CHARS_MAX {
            return Err(Error::Question(QUESTION_CHARS_MAX));
        }
        let store = &self.memories.conversations;
        store.get(user, conversation).await?.ok_or(Error::NotFound("conversation"))?;
        let working = store.turns(user, conversation, None, WORKING_TURNS).await?;
        let now = self.clock.now();
        let conversation_end = Some((conversation, None));
        let incoming =
            Incoming { user, message, now, conversation: conversation_end, working: &working, system: &[] };
        let answered = Box::pin(self.respond(&incoming, coach)).await?;
        let Answered { answer, recalled, learned } = answered;
        let crisis = answer.status == Status::Crisis;
        let turn = store.add(user, conversation, now, message, &answer.text()).await?;
        if !crisis {
            let source = store::source(conversation, turn);
            store.learn(user, &learned, &source, now).await?;
            let before =
                working.last().map(|turn| turn.message.as_str()).filter(|said| screen(said).is_none());
            self.memories.remember(vec![memory(user, source, now, message, before)]).await?;
            if turn % SUMMARY_TURNS == 0 {
                self.memories.summarise(user, conversation).await?;
            }
        }
        Ok(Reply { turn, answer, recalled, learned })
    }

    /// Answers a message; keeps nothing, but an event that the person confirmed.
    async fn respond(&self, incoming: &Incoming<'_>, coach: &Coach) -> Result<Answered> {
        let Incoming { user, message, now, working, .. } = *incoming;
        if let Some(step) = propose::step(working, message) {
            let answer = self.proceed(incoming, step, coach).await?;
            return Ok(Answered { answer, recalled: Vec::new(), learned: Vec::new() });
        }
        // In a crisis nothing is looked for: no model will speak, and the words go to no embedder.
        let coach = match self.insights.is_spoken(coach) && screen(message).is_none() {
            true => &self.with_past(incoming, coach).await?,
            false => coach,
        };
        let mut said = working.iter().rev().map(|turn| turn.message.as_str());
        let earlier = said.find(|said| said.ends_with('?'));
        let mut answer = Box::pin(self.insights.ask_within(user, message, earlier, coach)).await?;
        let learned = if answer.status == Status::Crisis { Vec::new() } else { facts::facts(message) };
        let mut recalled = Vec::new();
        if engine::is_foreign(&answer) {
            if message.ends_with('?') {
                recalled = self.recalled(user, message, now, QUOTED).await;
                answer = from_the_past(&recalled, answer);
            } else {
                answer = noted(&learned);
            }
        }
        self.insights.citations().answered(user, message, &answer, now).await?;
        Ok(Answered { answer, recalled, learned })
    }

    /// What the person said or wrote of it before; without memories the answer is poorer, not wrong.
    async fn recalled(&self, user: &UserId, message: &str, now: DateTime<Utc>, most: usize) -> Vec<Recalled> {
        let Some(recall) = &self.memories.recall else { return Vec::new() };
        let kinds = vec![SourceKind::Chat, SourceKind::Note, SourceKind::Journal, SourceKind::Document];
        let mut options = SearchOptions { kinds, ..SearchOptions::new(now) };
        // Whom answers did not help lately gets a wider search.
        if self.insights.citations().is_seldom_useful(user).await.unwrap_or(false) {
            options.stages = options.stages.without(Stage::Depth);
        }
        let hits = match recall.search(user, message, &options).await {
            Ok(hits) => hits,
            Err(error) => {
                tracing::warn!(%error, "memories could not be searched");
                return Vec::new();
            }
        };
        let fits = |hit: &Hit| {
            let parts = &hit.parts;
            let near = parts.dense.is_some_and(|cosine| cosine >= COSINE_MIN);
            // A question asked before is no answer, and nobody's darkest words are held up to them.
            let answers = !hit.memory.text.trim_end().ends_with('?') && screen(&hit.memory.text).is_none();
            let shares = parts.lexical > 0.0 && parts.coverage >= COVERAGE_MIN;
            (near || shares) && answers
        };
        let quoted = hits.into_iter().filter(fits).take(most);
        quoted
            .map(|hit| Recalled {
                id: hit.id,
                at: hit.memory.event_time,
                text: engine::quote(&hit.memory.text),
                passage: Passage::of(&hit.memory),
            })
            .collect()
    }
}

/// The memory of a message.
fn memory(user: &UserId, source: String, at: DateTime<Utc>, message: &str, before: Option<&str>) -> Memory {
    let mut memory = Memory::new(user.clone(), SourceKind::Chat, source, at, message);
    memory.attributes.insert(IMPORTANCE.to_owned(), summary::weight(message).into());
    if let Some(before) = before {
        memory.attributes.insert(CONTEXT.to_owned(), before.chars().take(500).collect::<String>().into());
    }
    memory
}

fn from_the_past(recalled: &[Recalled], nothing: Answer) -> Answer {
    if recalled.is_empty() {
        return nothing;
    }
    let sentence = |one: &Recalled| match &one.passage {
        Some(passage) => format!("In “{}” it says: “{}”", passage.name, one.text),
        None => format!("On {} you said: “{}”", one.at.format("%-d %B %Y"), one.text),
    };
    let sentences = recalled.iter().map(|one| Sentence::plain(sentence(one))).collect();
    Answer { sentences, ..Answer::plain(Status::Answered, &[]) }
}

fn noted(learned: &[Said]) -> Answer {
    let mut answer = Answer::plain(Status::Answered, &["I will remember that."]);
    answer.sentences.extend(learned.iter().map(|said| Sentence::plain(format!("I noted: {}.", said.text))));
    answer
}
