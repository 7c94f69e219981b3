//! Finding a person's cold memories: one pass over their files.

use std::collections::{HashMap, HashSet};

use crave_schemas::UserId;
use qdrant_edge::SparseVector;
use uuid::Uuid;

use super::segment::{Segment, dense, packed, pairs, sparse, words_of};
use super::{Cold, Entry, key, quantise};
use crate::Result;
use crate::store::{Prepared, Scope};

/// What a search looks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought<'a> {
    /// The question's vector and the model that made it.
    pub(crate) meaning: Option<(&'a [f32], &'a str)>,
    /// The question's words with their idf, sorted by word.
    pub(crate) words: Option<&'a SparseVector>,
    pub(crate) scope: &'a Scope,
    /// Most by meaning, and most by words.
    pub(crate) limit: usize,
}

/// A memory that came into question.
struct Found {
    file: usize,
    entry: Entry,
    cosine: Option<f32>,
    bm25: f32,
    dense: Option<Vec<f32>>,
    sparse: Option<SparseVector>,
}

impl Cold {
    /// The person's best `limit` by meaning and best `limit` by words, together, each once.
    pub(crate) fn search(&self, user: &UserId, sought: &Sought<'_>) -> Result<Vec<Prepared>> {
        let (key, tenants) = (key(user), self.tenants());
        let Some(tenant) = tenants.get(&key) else { return Ok(Vec::new()) };
        tenant.check()?;
        let (mut files, mut found) = (Vec::new(), Vec::new());
        for (number, info) in &tenant.files {
            if sought.scope.misses(info.header.oldest, info.header.newest) {
                continue;
            }
            let mut file = self.segment(user, &key, *number, info)?;
            scan(&mut file, files.len(), sought, &mut found)?;
            files.push(file);
            best(&mut found, sought.limit);
        }
        items(&mut files, found)
    }

    /// The person's memories with these ids and their vectors, of those within the scope.
    pub(crate) fn neighbours(
        &self,
        user: &UserId,
        ids: &[Uuid],
        sought: &Sought<'_>,
    ) -> Result<Vec<Prepared>> {
        let roster = self.roster(user)?;
        let (key, tenants) = (key(user), self.tenants());
        let Some(tenant) = tenants.get(&key) else { return Ok(Vec::new()) };
        let mut numbers: Vec<u32> =
            ids.iter().filter_map(|id| roster.entries.get(id)).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let ids: HashSet<&Uuid> = ids.iter().collect();
        let (mut files, mut found) = (Vec::new(), Vec::new());
        for number in numbers {
            let Some(info) = tenant.files.get(&number) else { continue };
            let mut file = self.segment(user, &key, number, info)?;
            let entries = file.entries()?;
            let (meanings, words) = (file.meanings()?, file.words()?);
            for (at, entry) in entries.iter().enumerate() {
                if ids.contains(&entry.id) && sought.scope.covers(entry.kind, entry.time) {
                    found.push(Found {
                        file: files.len(),
                        entry: *entry,
                        cosine: None,
                        bm25: 0.0,
                        dense: meaning_of(&file, &meanings, at, entry, sought),
                        sparse: sparse(words_of(&entries, at, &words)),
                    });
                }
            }
            files.push(file);
        }
        items(&mut files, found)
    }
}

/// The meaning of the memory at `at`, where the model that made it is the question's.
fn meaning_of(
    file: &Segment,
    meanings: &[u8],
    at: usize,
    entry: &Entry,
    sought: &Sought<'_>,
) -> Option<Vec<f32>> {
    comparable(file, sought)?;
    dense(meanings, at, file.header.dimension, entry)
}

/// The question's vector, where it can be compared with the file's.
fn comparable<'a>(file: &Segment, sought: &Sought<'a>) -> Option<&'a [f32]> {
    let (meaning, model) = sought.meaning?;
    (file.header.model.as_deref() == Some(model) && file.header.dimension == meaning.len()).then_some(meaning)
}

/// Adds the best of a file.
fn scan(file: &mut Segment, place: usize, sought: &Sought<'_>, found: &mut Vec<Found>) -> Result<()> {
    let entries = file.entries()?;
    let meaning = comparable(file, sought);
    let dimension = file.header.dimension;
    let meanings = if meaning.is_some() { file.meanings()? } else { Vec::new() };
    let words = file.words()?;
    let mut scored: Vec<(usize, Option<f32>, f32)> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        if !sought.scope.covers(entry.kind, entry.time) {
            continue;
        }
        let cosine = meaning.and_then(|query| {
            let (scale, bytes) = packed(&meanings, at, dimension, entry)?;
            Some(quantise::dot(query, scale, bytes))
        });
        let bm25 = sought.words.map_or(0.0, |query| bm25(query, words_of(&entries, at, &words)));
        if cosine.is_some() || bm25 > 0.0 {
            scored.push((at, cosine, bm25));
        }
    }
    let mut chosen = vec![false; scored.len()];
    choose(&scored, sought.limit, |(_, cosine, _)| *cosine, &mut chosen);
    choose(&scored, sought.limit, |(_, _, bm25)| Some(*bm25).filter(|bm25| *bm25 > 0.0), &mut chosen);
    for ((at, cosine, bm25), _) in scored.into_iter().zip(chosen).filter(|(_, chosen)| *chosen) {
        if let Some(entry) = entries.get(at) {
            let dense = meaning.and_then(|_| dense(&meanings, at, dimension, entry));
            let sparse = sparse(words_of(&entries, at, &words));
            found.push(Found { file: place, entry: *entry, cosine, bm25, dense, sparse });
        }
    }
    Ok(())
}

/// The product of the question's words with those of a memory.
fn bm25(query: &SparseVector, document: &[u8]) -> f32 {
    let weight = |(word, weight): (u32, f32)| {
        let at = query.indices.binary_search(&word).ok()?;
        query.values.get(at).map(|idf| idf * weight)
    };
    pairs(document).filter_map(weight).sum()
}

/// Keeps the best `limit` by meaning and the best `limit` by words, and of one memory the highest revision.
fn best(found: &mut Vec<Found>, limit: usize) {
    let mut newest: HashMap<Uuid, u32> = HashMap::new();
    for one in &*found {
        let revision = newest.entry(one.entry.id).or_insert(one.entry.revision);
        *revision = one.entry.revision.max(*revision);
    }
    found.retain(|one| {
        newest.get(&one.entry.id) == Some(&one.entry.revision) && newest.remove(&one.entry.id).is_some()
    });
    let mut chosen = vec![false; found.len()];
    choose(found, limit, |one| one.cosine, &mut chosen);
    choose(found, limit, |one| Some(one.bm25).filter(|bm25| *bm25 > 0.0), &mut chosen);
    let mut chosen = chosen.into_iter();
    found.retain(|_| chosen.next().unwrap_or(false));
}

/// Marks the `limit` with the highest score.
fn choose<T>(all: &[T], limit: usize, score: impl Fn(&T) -> Option<f32>, chosen: &mut [bool]) {
    let mut order: Vec<(f32, usize)> =
        all.iter().enumerate().filter_map(|(at, one)| Some((score(one)?, at))).collect();
    if order.len() > limit && limit > 0 {
        order.select_nth_unstable_by(limit - 1, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    }
    for (_, at) in order.into_iter().take(limit) {
        if let Some(slot) = chosen.get_mut(at) {
            *slot = true;
        }
    }
}

/// Reads the texts of what was found.
fn items(files: &mut [Segment], mut found: Vec<Found>) -> Result<Vec<Prepared>> {
    found.sort_by_key(|one| (one.file, one.entry.block, one.entry.offset));
    let mut items = Vec::with_capacity(found.len());
    for one in found {
        if let Some(file) = files.get_mut(one.file) {
            let memory = file.memory(&one.entry)?;
            items.push(Prepared { memory, dense: one.dense, sparse: one.sparse });
        }
    }
    Ok(items)
}
