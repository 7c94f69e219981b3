//! Blocks of 256 numbers with scales of their own for each 32 (Q4_K) or 16 (Q6_K).

use std::arch::x86_64::__m256i;

use pulp::x86::V3;

use super::super::simd::{load_bytes, sum};
use super::{Block, TILE, half, round};

/// 256 numbers of a row of `x`: whole steps, their sums by 16, and the step.
#[repr(align(32))]
pub(super) struct Rounded {
    steps: [[i8; 32]; 8],
    sums: [i16; 16],
    step: f32,
}

#[inline(always)]
fn round_row(x: &[f32]) -> Vec<Rounded> {
    let mut row = Vec::with_capacity(x.len() / 256);
    for x in x.as_chunks::<256>().0 {
        let (flat, step) = round(x);
        let mut steps = [[0; 32]; 8];
        steps.iter_mut().zip(flat.as_chunks::<32>().0).for_each(|(to, from)| *to = *from);
        let mut sums = [0; 16];
        for (sum, steps) in sums.iter_mut().zip(flat.as_chunks::<16>().0) {
            *sum = steps.iter().map(|step| i16::from(*step)).sum();
        }
        row.push(Rounded { steps, sums, step });
    }
    row
}

/// Σ scale·(w·x) over 256 numbers, in eight lanes; each of `scales` is for two halves of 16 in 16-bit numbers.
#[inline(always)]
fn products(simd: V3, numbers: &[__m256i; 8], scales: &[__m256i; 8], x: &Rounded) -> __m256i {
    let avx2 = simd.avx2;
    let mut total = simd.avx._mm256_setzero_si256();
    for ((numbers, scale), x) in numbers.iter().zip(scales).zip(&x.steps) {
        let pairs = avx2._mm256_maddubs_epi16(*numbers, pulp::cast(*x));
        total = avx2._mm256_add_epi32(total, avx2._mm256_madd_epi16(pairs, *scale));
    }
    total
}

/// 4 bits a number, 6 bits for the scale and the least of each 32.
pub(super) struct Q4K;

impl Block for Q4K {
    type Rounded = Rounded;
    const NUMBERS: usize = 256;
    const BYTES: usize = 144;

    #[inline(always)]
    fn round(x: &[f32]) -> Vec<Rounded> {
        round_row(x)
    }

    #[inline(always)]
    fn dot(simd: V3, weight: &[u8], x: &[Rounded], blocks: usize, y: &mut [f32; TILE]) {
        let (avx, avx2) = (simd.avx, simd.avx2);
        let low = avx._mm256_set1_epi8(15);
        let mut sums = [avx._mm256_setzero_ps(); TILE];
        for (at, block) in weight.as_chunks::<144>().0.iter().enumerate() {
            let [d0, d1, least0, least1, rest @ ..] = block;
            let (scale, least_scale) = (half([*d0, *d1]), half([*least0, *least1]));
            let (packed, numbers) = rest.split_at(12);
            let (scales, leasts) = unpack(packed);
            let mut wide = [low; 8];
            for (wide, scale) in wide.iter_mut().zip(scales) {
                *wide = avx._mm256_set1_epi16(i16::from(scale));
            }
            // Sums go by 16, leasts by 32.
            let leasts: [i16; 16] = std::array::from_fn(|at| i16::from(leasts[at / 2]));
            let leasts: __m256i = pulp::cast(leasts);
            let mut apart = [low; 8];
            for (pair, bytes) in apart.as_chunks_mut::<2>().0.iter_mut().zip(numbers.as_chunks::<32>().0) {
                let bytes = load_bytes(bytes);
                let high = avx2._mm256_srli_epi16::<4>(bytes);
                *pair = [avx2._mm256_and_si256(bytes, low), avx2._mm256_and_si256(high, low)];
            }
            for (row, sum) in sums.iter_mut().enumerate().take(x.len() / blocks) {
                let x = &x[row * blocks + at];
                let total = avx._mm256_cvtepi32_ps(products(simd, &apart, &wide, x));
                let least = avx2._mm256_madd_epi16(leasts, pulp::cast(x.sums));
                *sum = simd.fma._mm256_fmadd_ps(avx._mm256_set1_ps(scale * x.step), total, *sum);
                let least_step = avx._mm256_set1_ps(least_scale * x.step);
                *sum = simd.fma._mm256_fnmadd_ps(least_step, avx._mm256_cvtepi32_ps(least), *sum);
            }
        }
        for (y, lanes) in y.iter_mut().zip(sums) {
            *y = sum(simd, lanes);
        }
    }
}

/// Eight scales and eight leasts of 6 bits, from 12 bytes.
#[inline(always)]
fn unpack(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
    let word = |at: usize| u32::from_le_bytes([packed[at], packed[at + 1], packed[at + 2], packed[at + 3]]);
    let (a, b, c) = (word(0), word(4), word(8));
    let pair = |low: u32, high: u32| (u64::from(low) | u64::from(high) << 32).to_le_bytes();
    let top = |word: u32| (word >> 6 & 0x0303_0303) << 4;
    (pair(a & 0x3f3f_3f3f, c & 0x0f0f_0f0f | top(a)), pair(b & 0x3f3f_3f3f, c >> 4 & 0x0f0f_0f0f | top(b)))
}

/// 6 bits a number, 8 for the scale of each 16.
pub(super) struct Q6K;

impl Block for Q6K {
    type Rounded = Rounded;
    const NUMBERS: usize = 256;
    const BYTES: usize = 210;

    #[inline(always)]
    fn round(x: &[f32]) -> Vec<Rounded> {
        round_row(x)
    }

    #[inline(always)]
    fn dot(simd: V3, weight: &[u8], x: &[Rounded], blocks: usize, y: &mut [f32; TILE]) {
        let (avx, avx2) = (simd.avx, simd.avx2);
        let low4 = avx._mm256_set1_epi8(15);
        let mut sums = [avx._mm256_setzero_ps(); TILE];
        for (at, block) in weight.as_chunks::<210>().0.iter().enumerate() {
            let (lows, rest) = block.split_at(128);
            let (highs, rest) = rest.split_at(64);
            let [scales @ .., d0, d1] = rest else { return };
            let Some(scales) = scales.first_chunk::<16>() else { return };
            let scale = half([*d0, *d1]);
            let mut apart = [low4; 8];
            let halves = lows.as_chunks::<64>().0.iter().zip(highs.as_chunks::<32>().0);
            for (four, (lows, high)) in apart.as_chunks_mut::<4>().0.iter_mut().zip(halves) {
                let [first, second] = lows.as_chunks::<32>().0 else { return };
                let (first, second, high) = (load_bytes(first), load_bytes(second), load_bytes(high));
                *four = [
                    avx2._mm256_or_si256(avx2._mm256_and_si256(first, low4), two(simd, high)),
                    avx2._mm256_or_si256(
                        avx2._mm256_and_si256(second, low4),
                        two(simd, avx2._mm256_srli_epi16::<2>(high)),
                    ),
                    avx2._mm256_or_si256(
                        avx2._mm256_and_si256(avx2._mm256_srli_epi16::<4>(first), low4),
                        two(simd, avx2._mm256_srli_epi16::<4>(high)),
                    ),
                    avx2._mm256_or_si256(
                        avx2._mm256_and_si256(avx2._mm256_srli_epi16::<4>(second), low4),
                        two(simd, avx2._mm256_srli_epi16::<6>(high)),
                    ),
                ];
            }
            let scales = pulp::cast(*scales);
            let wide = avx2._mm256_cvtepi8_epi16(scales);
            // Scales 2n and 2n + 1, eight times each.
            let mut apart_scales = [wide; 8];
            for (at, apart) in apart_scales.iter_mut().enumerate() {
                let at = 2 * at as u64 * 0x0101_0101_0101_0101;
                let which: [u64; 2] = [at, at + 0x0101_0101_0101_0101];
                let pair = simd.ssse3._mm_shuffle_epi8(scales, pulp::cast(which));
                *apart = avx2._mm256_cvtepi8_epi16(pair);
            }
            for (row, sum) in sums.iter_mut().enumerate().take(x.len() / blocks) {
                let x = &x[row * blocks + at];
                let total = products(simd, &apart, &apart_scales, x);
                // The numbers are stored 32 too high.
                let too_much = avx2._mm256_slli_epi32::<5>(avx2._mm256_madd_epi16(wide, pulp::cast(x.sums)));
                let total = avx._mm256_cvtepi32_ps(avx2._mm256_sub_epi32(total, too_much));
                *sum = simd.fma._mm256_fmadd_ps(avx._mm256_set1_ps(scale * x.step), total, *sum);
            }
        }
        for (y, lanes) in y.iter_mut().zip(sums) {
            *y = sum(simd, lanes);
        }
    }
}

/// The lowest two bits of each byte, as bits 4 and 5.
#[inline(always)]
fn two(simd: V3, bytes: __m256i) -> __m256i {
    let low = simd.avx2._mm256_and_si256(bytes, simd.avx._mm256_set1_epi8(3));
    simd.avx2._mm256_slli_epi16::<4>(low)
}
