//! Words: BM25 whose document side is stored and whose idf is computed from one person's memories.
//!
//! A stored sparse vector holds `tf·(k1+1) / (tf + k1·(1 − b + b·len/avg_len))` of each hashed word; a query vector
//! holds the idf of its words within the tenant. Their product is BM25 exactly. The engine's own idf would count the
//! words of all tenants, so that another person's notes would change the order of mine; ours does not.

use std::collections::HashMap;

use qdrant_edge::bm25_embed::{EdgeBm25, EdgeBm25Config};
use qdrant_edge::{SparseVector, external::ordered_float::NotNan};

use crate::{Error, Result};

/// Expected words of a memory after stop words: notes and chat turns are short.
const AVG_LEN_WORDS: f64 = 24.0;

/// Splits, stems and hashes words, and weighs those of a document.
#[derive(Debug)]
pub(crate) struct Lexical {
    bm25: EdgeBm25,
}

impl Lexical {
    /// English stemming and stop words.
    pub(crate) fn new() -> Result<Self> {
        let avg_len = NotNan::new(AVG_LEN_WORDS).map_err(|error| Error::Engine(error.to_string()))?;
        let config = EdgeBm25Config { avg_len, ascii_folding: Some(true), ..EdgeBm25Config::default() };
        let bm25 = EdgeBm25::new(config).map_err(|error| Error::Engine(error.to_string()))?;
        Ok(Self { bm25 })
    }

    /// The document side; `None` for a text of stop words only.
    pub(crate) fn document(&self, text: &str) -> Option<SparseVector> {
        Some(sorted(self.bm25.embed_document(text))).filter(|vector| !vector.indices.is_empty())
    }

    /// The query side with each word's idf among the tenant's memories; `None` for stop words only.
    pub(crate) fn query(&self, text: &str, words: &[&WordStats]) -> Option<SparseVector> {
        let mut query = sorted(self.bm25.embed_query(text));
        for (word, weight) in query.indices.iter().zip(query.values.iter_mut()) {
            *weight = idf(words, *word);
        }
        Some(query).filter(|vector| !vector.indices.is_empty())
    }
}

/// Most words of a query that count: the rarest are kept.
const QUERY_WORDS_MAX: usize = 64;

/// The rarest words of a query, at most [`QUERY_WORDS_MAX`], less those in `without`, unless none would be left.
pub(crate) fn narrowed(query: SparseVector, without: &[u32]) -> SparseVector {
    let mut pairs: Vec<(u32, f32)> = query.indices.into_iter().zip(query.values).collect();
    if pairs.iter().any(|(word, _)| !without.contains(word)) {
        pairs.retain(|(word, _)| !without.contains(word));
    }
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1));
    pairs.truncate(QUERY_WORDS_MAX);
    pairs.sort_unstable_by_key(|(word, _)| *word);
    let (indices, values) = pairs.into_iter().unzip();
    SparseVector { indices, values }
}

/// Which of the query's words a document has, as bits in their order.
pub(crate) fn shared(query: &SparseVector, document: &SparseVector) -> u64 {
    let has = |word: &u32| document.indices.binary_search(word).is_ok();
    let places = query.indices.iter().enumerate().filter(|(_, word)| has(word));
    places.fold(0, |bits, (at, _)| bits | 1_u64.checked_shl(u32::try_from(at).unwrap_or(64)).unwrap_or(0))
}

fn sorted(vector: SparseVector) -> SparseVector {
    let mut pairs: Vec<(u32, f32)> = vector.indices.into_iter().zip(vector.values).collect();
    pairs.sort_unstable_by_key(|(word, _)| *word);
    let (indices, values) = pairs.into_iter().unzip();
    SparseVector { indices, values }
}

/// The product of two vectors whose indices are sorted.
pub(crate) fn dot(a: &SparseVector, b: &SparseVector) -> f32 {
    let (mut i, mut j, mut sum) = (0, 0, 0.0);
    while let (Some(x), Some(y)) = (a.indices.get(i), b.indices.get(j)) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => {
                sum += a.values.get(i).copied().unwrap_or(0.0) * b.values.get(j).copied().unwrap_or(0.0);
                i += 1;
                j += 1;
            }
        }
    }
    sum
}

/// In how many of a person's memories each word occurs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WordStats {
    memories: u32,
    with_word: HashMap<u32, u32>,
}

impl WordStats {
    /// Counts one memory.
    pub(crate) fn add(&mut self, document: &SparseVector) {
        self.add_words(document.indices.iter().copied());
    }

    /// How many memories were counted.
    pub(crate) fn memories(&self) -> usize {
        usize::try_from(self.memories).unwrap_or(usize::MAX)
    }

    /// Counts one memory with these words, each once.
    pub(crate) fn add_words(&mut self, words: impl Iterator<Item = u32>) {
        self.memories += 1;
        for word in words {
            *self.with_word.entry(word).or_default() += 1;
        }
    }
}

/// The weights of a query's words, 0 for those that occur nowhere.
pub(crate) fn known(query: &SparseVector, all: &[&WordStats]) -> Vec<f32> {
    let occurs = |word: &u32| all.iter().any(|stats| stats.with_word.contains_key(word));
    let pairs = query.indices.iter().zip(&query.values);
    pairs.map(|(word, weight)| if occurs(word) { *weight } else { 0.0 }).collect()
}

/// What a word that occurs nowhere counts, in words that do.
const UNKNOWN: f32 = 0.5;

/// The weights of a query's words for coverage. A word that occurs nowhere is the rarest of all by its idf, and says
/// least: the person may have put it in other words, or speaks of something else. It counts half of a mean known one, so
/// that one word in common suffices for a short question, and not for one that is about other things.
#[allow(clippy::cast_precision_loss, reason = "a query has far fewer than 2²³ words")]
pub(crate) fn told(query: &SparseVector, all: &[&WordStats]) -> Vec<f32> {
    let known = known(query, all);
    let (sum, n) =
        known.iter().filter(|weight| **weight > 0.0).fold((0.0, 0), |(sum, n), weight| (sum + weight, n + 1));
    // None known may mean that it was written just now, and is not counted yet.
    let unknown = if n > 0 { UNKNOWN * sum / n as f32 } else { 1.0 };
    known.into_iter().map(|weight| if weight > 0.0 { weight } else { unknown }).collect()
}

/// `ln(1 + (N − n + ½) / (n + ½))` over all that was counted: above 0 even for a word that is everywhere.
#[allow(clippy::cast_possible_truncation)]
fn idf(all: &[&WordStats], word: u32) -> f32 {
    let counts = |stats: &&WordStats| stats.with_word.get(&word).copied().unwrap_or(0);
    let with = f64::from(all.iter().map(counts).sum::<u32>());
    let without = f64::from(all.iter().map(|stats| stats.memories).sum::<u32>()) - with;
    ((without + 0.5) / (with + 0.5)).ln_1p() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(pairs: &[(u32, f32)]) -> SparseVector {
        let (indices, values) = pairs.iter().copied().unzip();
        SparseVector { indices, values }
    }

    #[test]
    fn dot_multiplies_common_words_only() {
        let table = [
            (vector(&[]), vector(&[]), 0.0),
            (vector(&[(1, 2.0)]), vector(&[(2, 3.0)]), 0.0),
            (vector(&[(1, 2.0), (5, 1.0), (9, 4.0)]), vector(&[(5, 3.0), (9, 0.5)]), 5.0),
        ];
        for (a, b, product) in table {
            assert!((dot(&a, &b) - product).abs() < 1e-6);
            assert!((dot(&b, &a) - product).abs() < 1e-6);
        }
    }

    #[test]
    fn counts_in_two_parts_are_those_of_the_whole() {
        let documents =
            [&[(1, 1.0), (2, 1.0)][..], &[(1, 1.0)], &[(3, 1.0)], &[(1, 1.0), (3, 1.0)]].map(vector);
        let count = |documents: &[SparseVector]| {
            let mut stats = WordStats::default();
            documents.iter().for_each(|document| stats.add(document));
            stats
        };
        let (whole, first, rest) = (count(&documents), count(&documents[..1]), count(&documents[1..]));
        for word in 1..5 {
            assert!((idf(&[&whole], word) - idf(&[&first, &rest], word)).abs() < f32::EPSILON, "{word}");
        }
    }

    #[test]
    fn a_word_that_nobody_used_counts_half_of_one_that_is_known() {
        let mut words = WordStats::default();
        words.add(&vector(&[(1, 1.0), (2, 1.0)]));
        let told = |query: &[(u32, f32)]| told(&vector(query), &[&words]);
        assert_eq!(told(&[(1, 0.2), (2, 0.4), (7, 1.4)]), [0.2, 0.4, 0.15]);
        assert_eq!(told(&[(7, 1.4), (8, 1.4)]), [1.0, 1.0]);
        assert!(told(&[]).is_empty());
    }

    #[test]
    fn rare_words_weigh_more_and_none_is_negative() {
        let mut words = WordStats::default();
        for document in [&[(1, 1.0), (2, 1.0)][..], &[(1, 1.0)], &[(1, 1.0)]] {
            words.add(&vector(document));
        }
        let idf = |word: u32| idf(&[&words], word);
        assert!(idf(3) > idf(2) && idf(2) > idf(1) && idf(1) > 0.0);
    }

    #[test]
    fn a_query_is_narrowed_to_its_rare_words() {
        let query = vector(&[(1, 0.5), (2, 3.0), (3, 1.0)]);
        assert_eq!(narrowed(query.clone(), &[2]), vector(&[(1, 0.5), (3, 1.0)]));
        assert_eq!(narrowed(query.clone(), &[1, 2, 3]), query, "a name alone is looked for");
        let long: Vec<(u32, f32)> = (0_u16..100).map(|n| (u32::from(n), f32::from(n))).collect();
        assert_eq!(narrowed(vector(&long), &[]).indices.first(), Some(&36));
        assert_eq!(shared(&query, &vector(&[(1, 9.0), (3, 9.0), (7, 9.0)])), 0b101);
    }

    #[test]
    fn words_are_stemmed_and_stop_words_dropped() {
        let lexical = Lexical::new().unwrap();
        assert!(lexical.document("the and of").is_none());
        let document = lexical.document("The cravings came at night").unwrap();
        let query = lexical.query("a craving at nights", &[&WordStats::default()]).unwrap();
        assert_eq!(query.indices.len(), 2);
        assert!(dot(&document, &query) > 0.0);
        assert!(document.indices.is_sorted());
    }
}
