//! The door: memories in, hits out, one person at a time.

mod considered;
mod cooling;
mod embedding;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use crave_schemas::UserId;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::asked::{Asked, asks, tells_time};
use crate::cache::Caches;
use crate::candidates::{Found, WordCounts, off_thread, tag};
use crate::cold::{Cold, ColdOptions};
use crate::embed::{Embedder, Embedders, Model};
use crate::labelled::Labeller;
use crate::lexical::Lexical;
use crate::memory::{EMOTIONS, IMPORTANCE, check_source_id};
use crate::score::{Candidate, Parts, Scored, Search, Weights, rank};
use crate::stage::{Stage, Stages};
use crate::status::Reembedding;
use crate::store::{Catalogue, Collections, Folder, Parts as Read, Prepared, Server, ServerOptions};
use crate::words::words;
use crate::{Error, LIMITS, Memory, MemoryId, Mode, Result, SourceKind, Status};
use embedding::{Pass, detached};

/// Changes that wait for a listener; one that falls behind is told so.
const CHANGES_MAX: usize = 4096;

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

/// Where memories are kept.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder, by the engine in this process.
    Folder(PathBuf),
    /// On a Qdrant server.
    Server(ServerOptions),
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
    inner: Arc<Inner>,
    labeller: Option<Arc<Labeller>>,
    /// Whether candidates are taken from the cache and kept there: not where another process may write.
    keeps: bool,
    changes: broadcast::Sender<Changed>,
}

struct Inner {
    collections: Collections,
    embedders: Embedders,
    lexical: Lexical,
    words: WordCounts,
    cold: Arc<Cold>,
    /// Shared by writes; a move to the cold index has it alone, so that what moves does not change meanwhile.
    moving: tokio::sync::RwLock<()>,
    caches: Arc<Caches>,
    pass: tokio::sync::Mutex<Pass>,
}

impl fmt::Debug for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recall").field("embedders", &self.inner.embedders).finish_non_exhaustive()
    }
}

impl Recall {
    /// Opens or creates the index in the folder `dir`. Without a model, search is by words alone and [`Status`] says so.
    ///
    /// # Errors
    /// As [`Self::open_at`].
    pub async fn open(dir: impl AsRef<Path>, model: Option<Arc<dyn Embedder>>) -> Result<Self> {
        Self::open_at(Place::Folder(dir.as_ref().to_owned()), Embedders::new(model)).await
    }

    /// Opens or creates the index at `place`, and in a folder the cold index beside it. As [`Self::open_with`].
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub async fn open_at(place: Place, embedders: Embedders) -> Result<Self> {
        let cold = match &place {
            Place::Folder(dir) => Some(ColdOptions::new(dir.join("cold"))),
            Place::Server(_) => None,
        };
        Self::open_with(place, embedders, cold).await
    }

    /// Opens or creates the index at `place`, with the cold index that `cold` says; without it nothing moves. Where the
    /// index holds vectors of another model than the one that is set, [`Self::embed_missing`] makes them anew.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process has the folder open, [`Error::IndexBroken`] when it cannot be read,
    /// [`Error::Io`] when the folder cannot be used, [`Error::Server`] when the server cannot.
    pub async fn open_with(place: Place, embedders: Embedders, cold: Option<ColdOptions>) -> Result<Self> {
        // A folder is locked: nobody else writes there.
        let keeps = matches!(place, Place::Folder(_));
        let catalogue: Box<dyn Catalogue> = match place {
            Place::Folder(dir) => Box::new(Folder::lock(&dir).await?),
            Place::Server(options) => Box::new(Server::connect(options)?),
        };
        let first = embedders.chosen().map_or_else(Model::minilm, |chosen| chosen.model().clone());
        let cold = move || cold.map_or_else(|| Ok(Cold::none()), Cold::open);
        let cold =
            tokio::task::spawn_blocking(cold).await.map_err(|error| Error::Engine(error.to_string()))??;
        let inner = Inner {
            collections: Collections::open(catalogue, &first).await?,
            cold: Arc::new(cold),
            moving: tokio::sync::RwLock::default(),
            embedders,
            lexical: Lexical::new()?,
            words: WordCounts::default(),
            caches: Arc::default(),
            pass: tokio::sync::Mutex::default(),
        };
        let inner = Arc::new(inner);
        inner.finish_moves().await?;
        Ok(Self { inner, labeller: None, keeps, changes: broadcast::Sender::new(CHANGES_MAX) })
    }

    /// Reads from now on what people wrote, and their questions, with `labeller`: importance and emotions count in the
    /// score, and a memory carries its labels.
    #[must_use]
    pub fn labelled_by(self, labeller: Labeller) -> Self {
        Self { labeller: Some(Arc::new(labeller)), ..self }
    }

    /// The same index, asked anew by every search: for measuring, and to compare with.
    #[must_use]
    pub fn without_cache(self) -> Self {
        Self { keeps: false, ..self }
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
    /// [`Error::Invalid`] naming the field, and then nothing was written; [`Error::Embed`], [`Error::Engine`] or
    /// [`Error::Server`] when the model or the store fails: sending all of it again is safe.
    pub async fn upsert(&self, memories: Vec<Memory>) -> Result<()> {
        if memories.len() > LIMITS.upsert_memories_max {
            let max = LIMITS.upsert_memories_max;
            return Err(Error::invalid("memories", format!("may be at most {max} at a time; split them")));
        }
        for memory in &memories {
            memory.check()?;
        }
        self.write(memories).await
    }

    async fn write(&self, memories: Vec<Memory>) -> Result<()> {
        let mut memories = self.inner.not_cold(memories, |memory| memory).await?;
        if memories.is_empty() {
            return Ok(());
        }
        let known = match &self.labeller {
            Some(labeller) => labeller.label(&mut memories).await?,
            None => Vec::new(),
        };
        let told = memories.iter().filter(|one| one.revision > 0 || one.source_kind == SourceKind::Chat);
        let changed: Vec<Changed> = told.map(Changed::of).collect();
        let (meanings, model) = self.inner.meanings(&memories, known).await?;
        let inner = Arc::clone(&self.inner);
        let words = Arc::clone(&inner);
        let prepare = move || {
            let one = |(memory, dense): (Memory, Option<Vec<f32>>)| {
                let sparse = words.lexical.document(&memory.worded());
                Prepared { memory, dense, sparse }
            };
            memories.into_iter().zip(meanings).map(one).collect()
        };
        let prepared: Vec<Prepared> =
            tokio::task::spawn_blocking(prepare).await.map_err(|error| Error::Engine(error.to_string()))?;
        detached(async move {
            let _shared = inner.moving.read().await;
            // What moved since it was asked first.
            let prepared = inner.not_cold(prepared, |one| &one.memory).await?;
            let mut users: HashMap<UserId, usize> = HashMap::new();
            prepared.iter().for_each(|one| *users.entry(one.memory.user_id.clone()).or_default() += 1);
            let _changing = inner.caches.changing(users.keys().cloned());
            let revisions = cooling::revisions(prepared.iter().map(|one| &one.memory));
            let written = match inner.collections.upsert(prepared, &model).await {
                Ok(()) => inner.supersede(revisions).await,
                failed => failed,
            };
            // After the write: counts that a reader takes before it must not be kept.
            users.iter().for_each(|(user, memories)| inner.words.wrote(user, *memories));
            written
        })
        .await?;
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
        let read = match &self.labeller {
            Some(labeller) if options.emotions.is_empty() && options.stages.has(Stage::Emotion) => {
                Some(self.read_question(user, &query, labeller).await?)
            }
            _ => None,
        };
        let emotions = read.as_ref().map_or(&options.emotions, |read| &read.mood);
        let meaning = read.as_ref().and_then(|read| read.meaning.as_ref());
        let asked = Asked::read(&query, options.as_of, options.offset_min);
        let considered = Box::pin(self.considered(user, &query, &asked, meaning, options)).await?;
        let found = considered.found.iter().enumerate();
        let candidates = found.map(|(at, one)| candidate(at, one, emotions)).collect();
        let search = Search {
            asked: &asked,
            idf: &considered.idf,
            told: &considered.told,
            as_of: options.as_of,
            weights: &options.weights,
            stages: options.stages,
        };
        let ranked = rank(candidates, &search, options.k);
        let hit = |one: Scored<usize>| {
            let found = considered.found.get(one.item)?;
            Some(Hit { id: found.id, memory: found.memory.clone(), score: one.score, parts: one.parts })
        };
        Ok(ranked.into_iter().filter_map(hit).collect())
    }

    /// The person's memories with these ids; those of others and unknown ones are left out.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more ids than a page may have, [`Error::Engine`] when the store fails.
    pub async fn get(&self, user: &UserId, ids: Vec<MemoryId>) -> Result<Vec<Memory>> {
        if ids.len() > LIMITS.page_memories_max {
            return Err(Error::invalid("ids", format!("may be at most {}", LIMITS.page_memories_max)));
        }
        let ids: Vec<_> = ids.into_iter().map(|id| id.0).collect();
        let points = self.inner.collections.live().await.get(user, &ids, Read::Payload).await?;
        let hot = points.iter().filter_map(|point| point.of(user)).collect();
        self.inner.with_cold(user, ids, hot).await
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
        let limit = limit.clamp(1, LIMITS.page_memories_max);
        let live = self.inner.collections.live().await;
        let (points, next) = live.list(user, from.map(|id| id.0), limit, Read::Payload).await?;
        drop(live);
        let hot = points.iter().filter_map(|point| point.of(user)).collect();
        self.inner.page_with_cold(user, from, limit, (hot, next.map(MemoryId))).await
    }

    /// How many memories the person has.
    ///
    /// # Errors
    /// [`Error::Engine`] when the store fails.
    pub async fn count(&self, user: &UserId) -> Result<usize> {
        // While a memory moves it is in both.
        let _still = self.inner.moving.read().await;
        let hot = self.inner.collections.live().await.count(user).await?;
        Ok(hot + self.inner.cold_count(user).await?)
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
        let (user, source, through) = (user.clone(), source_id.to_owned(), through.unwrap_or(u32::MAX));
        let changed = Changed::Source { user: user.clone(), kind, source_id: source_id.to_owned() };
        let inner = Arc::clone(&self.inner);
        detached(async move {
            let _shared = inner.moving.read().await;
            let _changing = inner.caches.changing([user.clone()]);
            // A damaged cold file keeps nothing from being deleted hot; the deletion is not done then, and is said so.
            let cold = inner.delete_cold(&user, kind, &source, through).await;
            let hot = inner.collections.delete_source(&user, kind, &source, through).await;
            inner.words.forget(&user);
            inner.caches.forget_candidates(&user);
            hot.and(cold)
        })
        .await?;
        self.tell(changed);
        Ok(())
    }

    /// Leaves no byte of the person in any file of the index and returns when that is so. It rewrites the index, so it
    /// takes as long as that; searches go on, other writes wait.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Io`]: then it is not done; call it again.
    pub async fn erase_user(&self, user: &UserId) -> Result<()> {
        let changed = Changed::Erased(user.clone());
        let (inner, user) = (Arc::clone(&self.inner), user.clone());
        detached(async move {
            let changing = inner.caches.changing([user.clone()]);
            inner.erase_cold(&user).await?;
            let erased = inner.collections.rebuild(Some(&user)).await;
            inner.words.forget(&user);
            // What was on its way to the cold index when the first was done.
            let erased = erased.and(inner.erase_cold(&user).await);
            drop(changing);
            inner.caches.forget(&user);
            erased
        })
        .await?;
        self.tell(changed);
        Ok(())
    }

    /// Rewrites the index without the bytes of what was deleted, and with a fresh log.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Io`]: then the old index is in use still.
    pub async fn scrub(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        detached(async move { inner.collections.rebuild(None).await }).await
    }

    /// Merges the engine's segments and builds the search graph of large ones. Searches go on, writes wait.
    ///
    /// # Errors
    /// [`Error::Engine`] when the store fails.
    pub async fn optimise(&self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        detached(async move { inner.collections.optimise().await }).await
    }

    /// How memories are found.
    pub async fn mode(&self) -> Mode {
        let (live, _) = self.inner.collections.targets().await;
        match self.inner.embedders.of(&live.model) {
            Some(_) => Mode::Hybrid { model: live.model.name().to_owned() },
            None => Mode::LexicalOnly,
        }
    }

    /// The state of the index. It counts exactly, which takes a pass over all points: not for polling.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Server`] when the store fails.
    pub async fn status(&self) -> Result<Status> {
        let mode = self.mode().await;
        let collections = &self.inner.collections;
        let (target, next) = collections.targets().await;
        let reembedding = match next {
            Some(next) => collections.totals(&next).await?.map(|(memories, awaiting_embedding)| {
                Reembedding { model: next.model.name().to_owned(), memories, awaiting_embedding }
            }),
            None => None,
        };
        let live = collections.live().await;
        let (memories, awaiting_embedding) = live.totals().await?;
        let (cold, model) = (Arc::clone(&self.inner.cold), tag(live.model()));
        let (totals, lacking) =
            off_thread(&cold, move |cold| Ok((cold.totals(), cold.lacking(&model)))).await?;
        Ok(Status {
            mode,
            memories,
            awaiting_embedding: awaiting_embedding + lacking,
            cold: totals,
            reembedding,
            generation: target.number,
            wal_bytes: live.log_bytes(),
            scrub_due: collections.scrub_due(),
            failed: live.failure(),
            caches: self.inner.caches.status(),
        })
    }
}

impl Changed {
    fn of(memory: &Memory) -> Self {
        let (user, source_id) = (memory.user_id.clone(), memory.source_id.clone());
        Self::Source { user, kind: memory.source_kind, source_id }
    }
}

/// What the score knows of the memory at a place among those that are considered.
fn candidate(at: usize, one: &Found, mood: &BTreeMap<String, f32>) -> Candidate<usize> {
    let memory = &one.memory;
    let (sequence, position) = memory.place();
    let mut hasher = DefaultHasher::new();
    (memory.source_kind, sequence).hash(&mut hasher);
    let importance = memory.attributes.get(IMPORTANCE).and_then(serde_json::Value::as_f64);
    Candidate {
        key: one.id.0.as_u128(),
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
        emotion: alike(memory, mood),
        meaning: one.meaning.clone(),
        item: at,
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
