//! Everything that is remembered of a person, as they see it: to list, correct, delete and export.
//!
//! RC-1: a deletion is written down before it is done, as a tombstone that outlives the index. It reaches all that
//! was made from the memory: the turn, its facts, the summary, the answers and citations that quote it, and the
//! context that the next message was embedded with.

use std::collections::HashMap;

use crave_recall::{CONTEXT, LIMITS, Memory, MemoryId, Recall, SourceKind};
use crave_schemas::UserId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::store::{self, Conversations, TURNS_MAX, UserFact};
use super::{facts, memory, summary};
use crate::{Citations, Error, Result, engine, screen};

/// Characters of a deleted text by which the answers that quote it are found.
const QUOTE_CHARS: usize = 60;

/// Something that is remembered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Its id.
    pub id: MemoryId,
    /// `note`, `journal`, `trend`, `chat`, `document` or `fact`.
    pub kind: String,
    /// The text.
    pub text: String,
    /// When it happened or was said.
    pub at: chrono::DateTime<chrono::Utc>,
    /// What it came from: an event, `conversation#turn`, a document.
    pub source: String,
    /// More of it: a fact's slot, confidence and what superseded it; a chunk's place.
    pub details: Value,
}

impl From<Memory> for Item {
    fn from(memory: Memory) -> Self {
        let mut attributes = memory.attributes.clone();
        // Another memory's text.
        attributes.remove(CONTEXT);
        Self {
            id: memory.id(),
            kind: memory.source_kind.to_string(),
            at: memory.event_time,
            details: json!({ "chunk": memory.chunk, "revision": memory.revision, "attributes": attributes }),
            text: memory.text,
            source: memory.source_id,
        }
    }
}

impl From<UserFact> for Item {
    fn from(fact: UserFact) -> Self {
        let details =
            json!({ "slot": fact.slot, "confidence": fact.confidence, "superseded_by": fact.superseded_by });
        let (id, kind) = (MemoryId(fact.id), "fact".to_owned());
        Self { id, kind, text: fact.text, at: fact.said_at, source: fact.source, details }
    }
}

/// What is remembered of everybody, each for themselves.
#[derive(Debug)]
pub struct Memories {
    pub(super) recall: Option<Recall>,
    pub(super) conversations: Conversations,
    citations: Citations,
}

impl Memories {
    /// What `recall`, where it is open, and `conversations` hold, and `citations` quote.
    #[must_use]
    pub fn new(recall: Option<Recall>, conversations: Conversations, citations: Citations) -> Self {
        Self { recall, conversations, citations }
    }

    /// The conversations.
    #[must_use]
    pub fn conversations(&self) -> &Conversations {
        &self.conversations
    }

    /// The index of memories.
    ///
    /// # Errors
    /// [`Error::NoMemories`] where it is not open.
    pub fn recall(&self) -> Result<&Recall> {
        self.recall.as_ref().ok_or(Error::NoMemories)
    }

    /// A page, and where the next begins; the facts come with the first.
    ///
    /// # Errors
    /// What the stores say.
    pub async fn list(
        &self,
        user: &UserId,
        from: Option<MemoryId>,
        limit: usize,
    ) -> Result<(Vec<Item>, Option<MemoryId>)> {
        let (memories, next) = self.recall()?.list(user, from, limit).await?;
        let facts = if from.is_none() { self.conversations.facts(user).await? } else { Vec::new() };
        let facts = facts.into_iter().map(Item::from);
        Ok((facts.chain(memories.into_iter().map(Item::from)).collect(), next))
    }

    /// All of it.
    ///
    /// # Errors
    /// What the stores say.
    pub async fn export(&self, user: &UserId) -> Result<Vec<Item>> {
        let (mut all, mut next) = self.list(user, None, LIMITS.page_memories_max).await?;
        while next.is_some() {
            let (more, after) = self.list(user, next, LIMITS.page_memories_max).await?;
            all.extend(more);
            next = after;
        }
        Ok(all)
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error::NotFound`], else what the stores say.
    pub async fn get(&self, user: &UserId, id: MemoryId) -> Result<Item> {
        if let Some(fact) = self.fact(user, id).await? {
            return Ok(fact.into());
        }
        Ok(self.memory(user, id).await?.into())
    }

    /// Replaces its text by the person's own correction. Answers to the old words go.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Recall`] naming what is wrong with the text; else what the stores say.
    pub async fn correct(&self, user: &UserId, id: MemoryId, text: &str) -> Result<Item> {
        let text = text.trim();
        if self.fact(user, id).await?.is_some() {
            if text.is_empty() || text.chars().count() > crate::QUESTION_CHARS_MAX {
                return Err(Error::Question(crate::QUESTION_CHARS_MAX));
            }
            self.conversations.correct_fact(user, id.0, text).await?;
            return self.get(user, id).await;
        }
        let old = self.memory(user, id).await?;
        let mut new =
            Memory { text: text.to_owned(), revision: old.revision.saturating_add(1), ..old.clone() };
        new.attributes.remove(CONTEXT);
        new.check()?;
        self.conversations.changed(&old, Some(&new)).await?;
        self.unmake(&old).await?;
        if let Some((conversation, turn)) = of_chat(&old) {
            let same = self.conversations.same(user, conversation, turn).await?;
            for (conversation, turn) in &same {
                self.conversations.reword(user, *conversation, *turn, text).await?;
            }
            let said = if screen(text).is_some() { Vec::new() } else { facts::facts(text) };
            self.conversations.learn(user, &said, &old.source_id, old.event_time).await?;
            self.summarise_readers(user, &same).await?;
        }
        self.recall()?.upsert(vec![new.clone()]).await?;
        Ok(new.into())
    }

    /// Deletes it for good, with all that was made from it.
    ///
    /// # Errors
    /// [`Error::NotFound`], else what the stores say: call it again then.
    pub async fn delete(&self, user: &UserId, id: MemoryId) -> Result<()> {
        if self.fact(user, id).await?.is_some() {
            return self.conversations.forget_fact(user, id.0).await;
        }
        let memory = self.memory(user, id).await?;
        self.forget(&memory).await?;
        if let Some((conversation, turn)) = of_chat(&memory) {
            let same = self.conversations.same(user, conversation, turn).await?;
            for (conversation, turn) in &same {
                self.conversations.remove_turn(user, *conversation, *turn).await?;
            }
            self.summarise_readers(user, &same).await?;
        }
        Ok(())
    }

    /// Deletes a conversation with all that is remembered of it; branches of it lose what they shared.
    ///
    /// # Errors
    /// [`Error::NotFound`], else what the stores say: call it again then.
    pub async fn delete_conversation(&self, user: &UserId, id: Uuid) -> Result<()> {
        self.conversations.get(user, id).await?.ok_or(Error::NotFound("conversation"))?;
        let readers = self.conversations.readers(user, &[id]).await?;
        for turn in self.conversations.own_turns(user, id, None, TURNS_MAX).await? {
            let source = store::source(id, turn.turn);
            self.forget(&memory(user, source, turn.at, &turn.message, None)).await?;
        }
        self.conversations.remove(user, id).await?;
        for reader in readers.into_iter().filter(|reader| *reader != id) {
            self.summarise(user, reader).await?;
        }
        Ok(())
    }

    /// Fills an index that lacks what conversations hold, and deletes and corrects in it what was: call it at the
    /// start, when the memories of the log may be written again.
    ///
    /// # Errors
    /// What the stores say: call it again then.
    pub async fn restore(&self) -> Result<()> {
        let recall = self.recall()?;
        let (gone, corrected) = self.conversations.all_changed().await?;
        for (user, kind, source) in gone {
            let (Ok(user), Ok(kind)) = (UserId::new(user), serde_json::from_value::<SourceKind>(kind.into()))
            else {
                continue;
            };
            recall.delete_source(&user, kind, &source, None).await?;
        }
        for memories in corrected.chunks(LIMITS.upsert_memories_max) {
            recall.upsert(memories.to_vec()).await?;
        }
        let mut after = 0;
        loop {
            let page = self.conversations.all_turns(after).await?;
            let Some((last, ..)) = page.last() else { return Ok(()) };
            after = *last;
            let mut of: HashMap<UserId, Vec<Memory>> = HashMap::new();
            for (_, user, conversation, turn) in page {
                if screen(&turn.message).is_none() {
                    let source = store::source(conversation, turn.turn);
                    let one = memory(&user, source, turn.at, &turn.message, None);
                    of.entry(user).or_default().push(one);
                }
            }
            for (user, memories) in of {
                let ids = memories.iter().map(Memory::id).collect();
                let there: Vec<MemoryId> = recall.get(&user, ids).await?.iter().map(Memory::id).collect();
                let missing: Vec<Memory> =
                    memories.into_iter().filter(|one| !there.contains(&one.id())).collect();
                recall.upsert(missing).await?;
            }
        }
    }

    /// A page of the messages of everybody after a place, oldest first, each with its place, its person and the source of
    /// its memory; empty after the last.
    ///
    /// # Errors
    /// What the store says.
    pub async fn messages(&self, after: i64) -> Result<Vec<(i64, UserId, String)>> {
        let page = self.conversations.all_turns(after).await?;
        let message = |(place, user, conversation, turn): (i64, UserId, Uuid, store::Turn)| {
            (place, user, store::source(conversation, turn.turn))
        };
        Ok(page.into_iter().map(message).collect())
    }

    /// Writes memories where the index is open.
    pub(super) async fn remember(&self, memories: Vec<Memory>) -> Result<()> {
        if let Some(recall) = &self.recall {
            recall.upsert(memories).await?;
        }
        Ok(())
    }

    /// Makes the summary of a conversation anew from what it holds now.
    pub(super) async fn summarise(&self, user: &UserId, conversation: Uuid) -> Result<()> {
        let turns = self.conversations.turns(user, conversation, None, TURNS_MAX).await?;
        let said = turns.iter().map(|turn| turn.message.as_str()).filter(|said| screen(said).is_none());
        let enough = turns.last().is_some_and(|turn| turn.turn >= super::SUMMARY_TURNS);
        let summary = if enough { summary::summarise(said) } else { String::new() };
        self.conversations.summarised(user, conversation, &summary).await
    }

    /// The same of all conversations that read any of these turns.
    async fn summarise_readers(&self, user: &UserId, turns: &[(Uuid, i64)]) -> Result<()> {
        let of: Vec<Uuid> = turns.iter().map(|(conversation, _)| *conversation).collect();
        for reader in self.conversations.readers(user, &of).await? {
            self.summarise(user, reader).await?;
        }
        Ok(())
    }

    /// A tombstone, then the memory and what was made from it.
    async fn forget(&self, memory: &Memory) -> Result<()> {
        self.conversations.changed(memory, None).await?;
        self.unmake(memory).await?;
        let (user, kind) = (&memory.user_id, memory.source_kind);
        Ok(self.recall()?.delete_source(user, kind, &memory.source_id, None).await?)
    }

    /// Removes what was made from the text of a memory: facts, quotes, the next message's context.
    async fn unmake(&self, memory: &Memory) -> Result<()> {
        let user = &memory.user_id;
        let quote = engine::quote(&memory.text);
        let start: String = quote.chars().take(QUOTE_CHARS).collect();
        // As answers quote it: whole, or from its start on.
        let quoted = if start == quote { format!("“{quote}”") } else { format!("“{start}") };
        self.conversations.unquote(user, &quoted).await?;
        self.citations.unquote(user, &quoted).await?;
        self.citations.unask(user, &memory.text).await?;
        if memory.source_kind == SourceKind::Note {
            self.citations.forget_note(user, &memory.source_id).await?;
        }
        let Some((conversation, turn)) = of_chat(memory) else { return Ok(()) };
        self.conversations.forget_source(user, &memory.source_id).await?;
        let recall = self.recall()?;
        let next = Memory { source_id: store::source(conversation, turn + 1), ..memory.clone() }.id();
        if let Some(mut next) = recall.get(user, vec![next]).await?.pop() {
            next.attributes.remove(CONTEXT);
            next.revision = next.revision.saturating_add(1);
            recall.upsert(vec![next]).await?;
        }
        Ok(())
    }

    async fn fact(&self, user: &UserId, id: MemoryId) -> Result<Option<UserFact>> {
        Ok(self.conversations.facts(user).await?.into_iter().find(|fact| fact.id == id.0))
    }

    async fn memory(&self, user: &UserId, id: MemoryId) -> Result<Memory> {
        let found = self.recall()?.get(user, vec![id]).await?;
        found.into_iter().next().ok_or(Error::NotFound("memory"))
    }
}

/// The conversation and turn of a memory of a chat.
fn of_chat(memory: &Memory) -> Option<(Uuid, i64)> {
    (memory.source_kind == SourceKind::Chat).then(|| store::turn_of(memory)).flatten()
}
