//! Attention over the paged cache: each token reads its row's blocks where they lie.
//!
//! Several query heads share a key-value head by reading it together; nothing is repeated or gathered into a copy. One
//! task a token and key-value head, so that a prefill and a batch of decodes spread over the cores alike.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, WithDType, bail};
use half::bf16;
use pulp::NullaryFnOnce;
use rayon::prelude::*;

use super::kernel::{exp, vectorize};

/// One step's attention for every layer. Op arguments: queries `[tokens, heads, head_dim]`, keys and values
/// `[slots, kv_heads, head_dim]`; the result has the queries' shape.
#[derive(Debug)]
pub(crate) struct Attend {
    pub(crate) tokens: Vec<Seen>,
    /// Blocks of each row, in the order of its positions.
    pub(crate) tables: Vec<Vec<u32>>,
    pub(crate) block_tokens: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) window: Option<usize>,
}

/// What a token sees: positions up to and with its own, of its row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) row: usize,
    pub(crate) position: usize,
}

/// A number type that attention reads and writes; sums are f32.
trait Number: WithDType {
    fn widen(self) -> f32;
    fn narrow(value: f32) -> Self;
}

impl Number for f32 {
    fn widen(self) -> f32 {
        self
    }
    fn narrow(value: f32) -> Self {
        value
    }
}

impl Number for bf16 {
    fn widen(self) -> f32 {
        self.to_f32()
    }
    fn narrow(value: f32) -> Self {
        Self::from_f32(value)
    }
}

impl CustomOp3 for Attend {
    fn name(&self) -> &'static str {
        "paged-attention"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        query_layout: &Layout,
        keys: &CpuStorage,
        key_layout: &Layout,
        values: &CpuStorage,
        value_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = Shape::from((self.tokens.len(), self.heads, self.head_dim));
        if query_layout.shape() != &shape {
            bail!("{}: queries are {:?} instead of {shape:?}", self.name(), query_layout.shape());
        }
        let storage =
            match (queries, keys, values) {
                (CpuStorage::F32(q), CpuStorage::F32(k), CpuStorage::F32(v)) => CpuStorage::F32(self.all(
                    flat(q, query_layout)?,
                    flat(k, key_layout)?,
                    flat(v, value_layout)?,
                )),
                (CpuStorage::BF16(q), CpuStorage::BF16(k), CpuStorage::BF16(v)) => CpuStorage::BF16(
                    self.all(flat(q, query_layout)?, flat(k, key_layout)?, flat(v, value_layout)?),
                ),
                _ => bail!("{}: queries, keys and values must all be f32 or all bf16", self.name()),
            };
        Ok((storage, shape))
    }
}

fn flat<'a, T>(data: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&data[start..end]),
        None => bail!("paged-attention: an argument is not contiguous"),
    }
}

impl Attend {
    fn all<T: Number>(&self, queries: &[T], keys: &[T], values: &[T]) -> Vec<T> {
        let shared = self.heads / self.kv_heads * self.head_dim;
        let mut out = vec![T::narrow(0.0); queries.len()];
        out.par_chunks_mut(shared).zip(queries.par_chunks(shared)).enumerate().for_each(
            |(at, (out, queries))| {
                let (seen, kv_head) = (self.tokens[at / self.kv_heads], at % self.kv_heads);
                vectorize(Task { attend: self, seen, kv_head, queries, keys, values, out });
            },
        );
        out
    }
}

/// The query heads of one token that share a key-value head.
struct Task<'a, T> {
    attend: &'a Attend,
    seen: Seen,
    kv_head: usize,
    queries: &'a [T],
    keys: &'a [T],
    values: &'a [T],
    out: &'a mut [T],
}

impl<T: Number> NullaryFnOnce for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { attend, seen, kv_head, queries, keys, values, out } = self;
        let dim = attend.head_dim;
        let first = attend.window.map_or(0, |window| (seen.position + 1).saturating_sub(window));
        let count = seen.position + 1 - first;
        let table = &attend.tables[seen.row];
        let number = |position: usize| {
            let slot = table[position / attend.block_tokens] as usize * attend.block_tokens
                + position % attend.block_tokens;
            (slot * attend.kv_heads + kv_head) * dim
        };
        let scale = 1.0 / (dim as f32).sqrt();
        let queries: Vec<f32> = queries.iter().map(|query| query.widen() * scale).collect();
        let mut cell = vec![0_f32; dim];
        let mut scores = vec![0_f32; queries.len() / dim * count];
        for at in 0..count {
            let start = number(first + at);
            widen(&keys[start..start + dim], &mut cell);
            for (query, scores) in queries.chunks_exact(dim).zip(scores.chunks_exact_mut(count)) {
                scores[at] = dot(query, &cell);
            }
        }
        for scores in scores.chunks_exact_mut(count) {
            softmax(scores);
        }
        let mut sums = vec![0_f32; queries.len()];
        for at in 0..count {
            let start = number(first + at);
            widen(&values[start..start + dim], &mut cell);
            for (sums, scores) in sums.chunks_exact_mut(dim).zip(scores.chunks_exact(count)) {
                let weight = scores[at];
                sums.iter_mut().zip(&cell).for_each(|(sum, value)| *sum += weight * value);
            }
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = T::narrow(sum));
    }
}

#[inline(always)]
fn widen<T: Number>(from: &[T], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = from.widen());
}

/// In eight lanes, which the compiler makes into vector instructions (one running sum could not be reordered).
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0_f32; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let max = fold(scores, f32::NEG_INFINITY, |max, score| if score > max { score } else { max });
    scores.iter_mut().for_each(|score| *score = exp(*score - max));
    let sum = fold(scores, 0.0, |sum, score| sum + score);
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// In eight lanes, as [`dot`].
#[inline(always)]
fn fold(numbers: &[f32], first: f32, with: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [first; 8];
    let (eights, rest) = numbers.as_chunks::<8>();
    for eight in eights {
        lanes.iter_mut().zip(eight).for_each(|(lane, number)| *lane = with(*lane, *number));
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(first, &with)
}
