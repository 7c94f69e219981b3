//! The door: memories in, hits out, one person at a time.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use crave_schemas::UserId;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, oneshot};

use crate::asked::{Asked, asks, tells_time};
use crate::labelled::Labeller;
use crate::memory::{EMOTIONS, IMPORTANCE, check_source_id};
use crate::score::{Candidate, Parts, Scored, Search, Weights, rank};
use crate::stage::{Stage, Stages};
use crate::store::{Command, Found, Prepared, Scope, Shared, Store, Wanted};
use crate::words::words;
use crate::{Error, LIMITS, Memory, MemoryId, MiniLm, Mode, Result, SourceKind, Status};

/// Changes that wait for a listener; one that falls behind is told so.
const CHANGES_MAX: usize = 4096;
/// Questions whose vectors are kept.
const QUESTIONS_MAX: usize = 1024;

/// How to search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOptions {
    /// "Now": ages count from here, and what happened later is not known.
    pub as_of: DateTime<Utc>,
    /// Most hits, 1 to [`LIMITS`]`.hits_max`.
    pub k: usize,
    /// Only memories of these kinds; empty for all.
    pub kinds: Vec<SourceKind>,
    /// Only what happened at or after this.
    pub from: Option<DateTime<Utc>>,
    /// Only what happened before this.
    pub until: Option<DateTime<Utc>>,
    /// How the parts of a score are weighed.
    pub weights: Weights,
    /// What is used.
    pub stages: Stages,
    /// Minutes that the person's clock is east of UTC: "yesterday" is theirs.
    pub offset_min: i64,
    /// The emotions of the question, label and confidence, as [`crate::EMOTIONS`] holds them for a memory; where it is
    /// empty, the index reads them from the question (see [`Recall::labelled_by`]).
    pub emotions: BTreeMap<String, f32>,
}

impl SearchOptions {
    /// The ten best of all kinds and times, with the default weights.
    #[must_use]
    pub fn new(as_of: DateTime<Utc>) -> Self {
        Self {
            as_of,
            k: 10,
            kinds: Vec::new(),
            from: None,
            until: None,
            weights: Weights::default(),
            stages: Stages::default(),
            offset_min: 0,
            emotions: BTreeMap::new(),
        }
    }
}

/// A memory that was found, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Its id.
    pub id: MemoryId,
    /// The memory.
    pub memory: Memory,
    /// Above 0; see [`crate::score`].
    pub score: f64,
    /// What the score is made of.
    pub parts: Parts,
}

/// What was changed in the index, beyond new memories of notes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// What is remembered of a source: deleted in part or whole, corrected, or a message that came.
    Source {
        /// Whose.
        user: UserId,
        /// What it was made from.
        kind: SourceKind,
        /// Which of them.
        source_id: String,
    },
    /// Everything of a person, for ever.
    Erased(UserId),
}

/// The memory of everybody, each for themselves. Cloning it is cheap; the last clone closes the store.
#[derive(Clone)]
pub struct Recall {
    store: Arc<Store>,
    model: Option<MiniLm>,
    questions: Arc<Mutex<HashMap<String, Arc<Vec<f32>>>>>,
    labeller: Option<Arc<Labeller>>,
    changes: broadcast::Sender<Changed>,
}

impl fmt::Debug for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recall").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Recall {
    /// Opens or creates the index in `dir`. Without a model, search is by words alone and [`Status`] says so.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process has it open, [`Error::IndexBroken`] when it cannot be read,
    /// [`Error::Io`] when the folder cannot be used.
    pub async fn open(dir: impl AsRef<Path>, model: Option<MiniLm>) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        let opened = tokio::task::spawn_blocking(move || Store::open(&dir)).await;
        let store = Arc::new(opened.map_err(|error| Error::Engine(error.to_string()))??);
        let changes = broadcast::Sender::new(CHANGES_MAX);
        Ok(Self { store, model, questions: Arc::default(), labeller: None, changes })
    }

    /// Reads from now on what people wrote, and their questions, with `labeller`: importance and emotions count in the
    /// score, and a memory carries its labels.
    #[must_use]
    pub fn labelled_by(self, labeller: Labeller) -> Self {
        Self { labeller: Some(Arc::new(labeller)), ..self }
    }

    /// The version of the labels that memories get.
    #[must_use]
    pub fn labels_version(&self) -> Option<String> {
        self.labeller.as_ref().map(|labeller| labeller.version())
    }

    /// What is changed from now on, once it is on disk.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    /// Writes memories and returns when they are on disk. The same memory again changes nothing; a lower revision than
    /// the stored or the deleted one is passed over.
    ///
    /// A source whose new revision has fewer chunks than before keeps the old rest: call [`Self::delete_source`]
    /// through the old revision first.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field, and then nothing was written; [`Error::Embed`] or [`Error::Engine`] when
    /// the model or the store fails: sending all of it again is safe.
    pub async fn upsert(&self, memories: Vec<Memory>) -> Result<()> {
        if memories.len() > LIMITS.upsert_memories_max {
            let max = LIMITS.upsert_memories_max;
            return Err(Error::invalid("memories", format!("may be at most {max} at a time; split them")));
        }
        for memory in &memories {
            memory.check()?;
        }
        self.write(memories, false).await
    }

    /// Embeds up to `limit` memories that were written while no model was there; returns how many it did. Call it
    /// until it returns 0.
    ///
    /// # Errors
    /// As [`Self::upsert`].
    pub async fn embed_missing(&self, limit: usize) -> Result<usize> {
        if self.model.is_none() {
            return Ok(0);
        }
        let limit = limit.min(LIMITS.upsert_memories_max);
        let memories = self.read(move |shared| shared.without_meaning(limit)).await?;
        let done = memories.len();
        self.write(memories, true).await?;
        Ok(done)
    }

    async fn write(&self, mut memories: Vec<Memory>, only_existing: bool) -> Result<()> {
        if memories.is_empty() {
            return Ok(());
        }
        if let Some(labeller) = &self.labeller {
            labeller.label(&mut memories).await?;
        }
        let told = memories.iter().filter(|one| one.revision > 0 || one.source_kind == SourceKind::Chat);
        let changed: Vec<Changed> = told.map(Changed::of).collect();
        let model = self.model.as_ref();
        let mut meanings = match model {
            Some(model) => {
                let texts = memories.iter().map(Memory::embedded).collect();
                model.embed(texts).await?.into_iter().map(Some).collect()
            }
            None => vec![None; memories.len()],
        };
        let model = model.map(MiniLm::name);
        let memories = self
            .read(move |shared| {
                let prepare = |(memory, dense): (Memory, Option<Vec<f32>>)| {
                    let sparse = shared.lexical.document(&memory.worded());
                    Prepared { memory, dense, sparse, model }
                };
                Ok(memories.into_iter().zip(meanings.drain(..)).map(prepare).collect())
            })
            .await?;
        self.command(|reply| Command::Upsert { memories, only_existing, reply }).await?;
        changed.into_iter().for_each(|changed| self.tell(changed));
        Ok(())
    }

    fn tell(&self, changed: Changed) {
        // Nobody may be listening.
        let _ = self.changes.send(changed);
    }

    /// Finds the person's memories that fit `query`, best first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty or too long query or a `k` out of bounds; [`Error::Embed`] or
    /// [`Error::Engine`] when the model or the store fails.
    pub async fn search(&self, user: &UserId, query: &str, options: &SearchOptions) -> Result<Vec<Hit>> {
        let query = query.trim().to_owned();
        if query.is_empty() || query.len() > LIMITS.query_bytes_max {
            return Err(Error::invalid("query", format!("must have 1 to {} bytes", LIMITS.query_bytes_max)));
        }
        if options.k == 0 || options.k > LIMITS.hits_max {
            return Err(Error::invalid("k", format!("must be 1 to {}", LIMITS.hits_max)));
        }
        let emotions = match &self.labeller {
            Some(labeller) if options.emotions.is_empty() && options.stages.has(Stage::Emotion) => {
                labeller.mood(&query).await?
            }
            _ => options.emotions.clone(),
        };
        let meaning =
            if options.stages.has(Stage::Dense) { self.embed_question(&query).await? } else { None };
        let asked = Asked::read(&query, options.as_of, options.offset_min);
        let narrow = options.stages.has(Stage::Depth) && options.k <= 10;
        let limit = if narrow { asked.depth(LIMITS.hits_max) } else { LIMITS.hits_max };
        let scope = Scope {
            kinds: options.kinds.clone(),
            from: options.from,
            until: options.until,
            as_of: Some(options.as_of),
        };
        let (user, stages) = (user.clone(), options.stages);
        let (found, idf) = self
            .read(move |shared| {
                let wanted = Wanted {
                    query: &query,
                    meaning: meaning.as_ref().map(|m| m.as_slice()),
                    scope: &scope,
                    limit,
                    stages,
                };
                shared.search(&user, &wanted)
            })
            .await?;
        let candidates = found.into_iter().map(|one| candidate(one, &emotions)).collect();
        let search = Search {
            asked: &asked,
            idf: &idf,
            as_of: options.as_of,
            weights: &options.weights,
            stages: options.stages,
        };
        let ranked = rank(candidates, &search, options.k);
        let hit = |one: Scored<(MemoryId, Memory)>| {
            let (id, memory) = one.item;
            Hit { id, memory, score: one.score, parts: one.parts }
        };
        Ok(ranked.into_iter().map(hit).collect())
    }

    /// The question's vector: the same question again is not embedded again.
    async fn embed_question(&self, query: &str) -> Result<Option<Arc<Vec<f32>>>> {
        let Some(model) = &self.model else { return Ok(None) };
        let questions = || self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = questions().get(query) {
            return Ok(Some(Arc::clone(kept)));
        }
        let vector = Arc::new(model.embed_one(query.to_owned()).await?);
        let mut kept = questions();
        if kept.len() >= QUESTIONS_MAX {
            kept.clear();
        }
        kept.insert(query.to_owned(), Arc::clone(&vector));
        Ok(Some(vector))
    }

    /// The person's memories with these ids; those of others and unknown ones are left out.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more ids than a page may have, [`Error::Engine`] when the store fails.
    pub async fn get(&self, user: &UserId, ids: Vec<MemoryId>) -> Result<Vec<Memory>> {
        if ids.len() > LIMITS.page_memories_max {
            return Err(Error::invalid("ids", format!("may be at most {}", LIMITS.page_memories_max)));
        }
        let user = user.clone();
        self.read(move |shared| shared.get(&user, &ids)).await
    }

    /// A page of the person's memories, by id, and where the next page begins; `limit` is cut to the bound of a page.
    ///
    /// # Errors
    /// [`Error::Engine`] when the store fails.
    pub async fn list(
        &self,
        user: &UserId,
        from: Option<MemoryId>,
        limit: usize,
    ) -> Result<(Vec<Memory>, Option<MemoryId>)> {
        let (user, limit) = (user.clone(), limit.clamp(1, LIMITS.page_memories_max));
        self.read(move |shared| shared.list(&user, from, limit)).await
    }

    /// How many memories the person has.
    ///
    /// # Errors
    /// [`Error::Engine`] when the store fails.
    pub async fn count(&self, user: &UserId) -> Result<usize> {
        let user = user.clone();
        self.read(move |shared| shared.count(&user)).await
    }

    /// Deletes what was made from a source, up to and with revision `through` (`None`: for good, whatever its
    /// revision), and returns when that is on disk. A replay does not bring it back. Its bytes stay in free pages and
    /// in the log until [`Self::scrub`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a source id out of bounds, [`Error::Engine`] when the store fails.
    pub async fn delete_source(
        &self,
        user: &UserId,
        kind: SourceKind,
        source_id: &str,
        through: Option<u32>,
    ) -> Result<()> {
        check_source_id(source_id)?;
        let (user, source_id, through) = (user.clone(), source_id.to_owned(), through.unwrap_or(u32::MAX));
        let changed = Changed::Source { user: user.clone(), kind, source_id: source_id.clone() };
        self.command(|reply| Command::DeleteSource { user, kind, source_id, through, reply }).await?;
        self.tell(changed);
        Ok(())
    }

    /// Leaves no byte of the person in any file of the index and returns when that is so. It rewrites the index, so it
    /// takes as long as that; searches go on, other writes wait.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Io`]: then it is not done; call it again.
    pub async fn erase_user(&self, user: &UserId) -> Result<()> {
        let (user, erased) = (user.clone(), Changed::Erased(user.clone()));
        self.command(|reply| Command::EraseUser { user, reply }).await?;
        self.tell(erased);
        Ok(())
    }

    /// Rewrites the index without the bytes of what was deleted, and with a fresh log.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Io`]: then the old index is in use still.
    pub async fn scrub(&self) -> Result<()> {
        self.command(|reply| Command::Scrub { reply }).await
    }

    /// Merges the engine's segments and builds the search graph of large ones. Searches go on, writes wait.
    ///
    /// # Errors
    /// [`Error::Engine`] when the store fails.
    pub async fn optimise(&self) -> Result<()> {
        self.command(|reply| Command::Optimise { reply }).await
    }

    /// How memories are found.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match &self.model {
            Some(model) => Mode::Hybrid { model: model.name().to_owned() },
            None => Mode::LexicalOnly,
        }
    }

    /// The state of the index. It counts exactly, which takes a pass over all points: not for polling.
    ///
    /// # Errors
    /// [`Error::Engine`] when the store fails.
    pub async fn status(&self) -> Result<Status> {
        let mode = self.mode();
        self.read(move |shared| {
            let (memories, awaiting_embedding) = shared.totals()?;
            let (generation, wal_bytes) = shared.disk();
            let (scrub_due, failed) = (shared.scrub_due(), shared.failure());
            Ok(Status { mode, memories, awaiting_embedding, generation, wal_bytes, scrub_due, failed })
        })
        .await
    }

    /// Runs `work` on a blocking thread: the engine blocks.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.store.shared);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.map_err(|error| Error::Engine(error.to_string()))?
    }

    /// Hands a command to the writer and waits for its answer.
    async fn command(&self, build: impl FnOnce(oneshot::Sender<Result<()>>) -> Command) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.store.commands()?.send(build(reply)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

impl Changed {
    fn of(memory: &Memory) -> Self {
        let (user, source_id) = (memory.user_id.clone(), memory.source_id.clone());
        Self::Source { user, kind: memory.source_kind, source_id }
    }
}

/// What the score knows of a memory.
fn candidate(one: Found, mood: &BTreeMap<String, f32>) -> Candidate<(MemoryId, Memory)> {
    let memory = one.memory;
    let (sequence, position) = memory.place();
    let mut hasher = DefaultHasher::new();
    (memory.source_kind, sequence).hash(&mut hasher);
    let importance = memory.attributes.get(IMPORTANCE).and_then(serde_json::Value::as_f64);
    Candidate {
        key: memory.id().0.as_u128(),
        event_time: memory.event_time,
        cosine: one.cosine,
        bm25: one.bm25,
        words: one.words,
        place: Some((hasher.finish(), position)),
        by_named: one.by_named,
        asks: asks(&memory.text),
        tells_time: tells_time(&words(&memory.text)),
        words_n: one.words_n,
        #[allow(clippy::cast_possible_truncation, reason = "a share between 0 and 1")]
        importance: importance.map(|weight| weight as f32),
        emotion: alike(&memory, mood),
        meaning: one.meaning,
        item: (memory.id(), memory),
    }
}

/// How alike the emotions of a memory and of the question are: their cosine, 0 to 1; `None` where either has none.
#[allow(clippy::cast_possible_truncation, reason = "a share between 0 and 1")]
fn alike(memory: &Memory, mood: &BTreeMap<String, f32>) -> Option<f32> {
    let felt = memory.attributes.get(EMOTIONS)?.as_object()?;
    let of = |label: &str| felt.get(label).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
    let both: f64 = mood.iter().map(|(label, confidence)| f64::from(*confidence) * of(label)).sum();
    let ours = mood.values().map(|confidence| f64::from(*confidence).powi(2)).sum::<f64>().sqrt();
    let theirs = felt.values().filter_map(serde_json::Value::as_f64).map(|c| c.powi(2)).sum::<f64>().sqrt();
    (ours > 0.0 && theirs > 0.0).then(|| (both / (ours * theirs)) as f32)
}
