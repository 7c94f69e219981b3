//! Blocks of 32 numbers with one scale: Q4_0, Q5_0, Q8_0.

use std::arch::x86_64::{__m128i, __m256i};

use pulp::x86::V3;

use super::super::simd::sum;
use super::{Block, TILE, half, round};

/// 32 numbers of a row of `x`: whole steps, and the step.
pub(super) struct Rounded {
    steps: [i8; 32],
    step: f32,
}

#[inline(always)]
fn round_row(x: &[f32]) -> Vec<Rounded> {
    let mut row = Vec::with_capacity(x.len() / 32);
    for x in x.as_chunks::<32>().0 {
        let (steps, step) = round(x);
        row.push(Rounded { steps, step });
    }
    row
}

/// What differs between the kinds: a block begins with its scale, and the rest becomes 32 signed bytes.
trait Apart<const BYTES: usize> {
    fn apart(simd: V3, block: &[u8; BYTES]) -> __m256i;
}

#[inline(always)]
fn dot<K: Apart<BYTES>, const BYTES: usize>(
    simd: V3,
    weight: &[u8],
    x: &[Rounded],
    blocks: usize,
    y: &mut [f32; TILE],
) {
    let (avx, avx2) = (simd.avx, simd.avx2);
    let ones = avx._mm256_set1_epi16(1);
    let mut sums = [avx._mm256_setzero_ps(); TILE];
    for (at, block) in weight.as_chunks::<BYTES>().0.iter().enumerate() {
        let scale = half([block[0], block[1]]);
        let numbers = K::apart(simd, block);
        let sizes = avx2._mm256_abs_epi8(numbers);
        for (row, sum) in sums.iter_mut().enumerate().take(x.len() / blocks) {
            let x = &x[row * blocks + at];
            // One factor must be unsigned: the signs go to the other.
            let signed = avx2._mm256_sign_epi8(pulp::cast(x.steps), numbers);
            let pairs = avx2._mm256_maddubs_epi16(sizes, signed);
            let total = avx._mm256_cvtepi32_ps(avx2._mm256_madd_epi16(pairs, ones));
            *sum = simd.fma._mm256_fmadd_ps(avx._mm256_set1_ps(scale * x.step), total, *sum);
        }
    }
    for (y, lanes) in y.iter_mut().zip(sums) {
        *y = sum(simd, lanes);
    }
}

/// The low half bytes, then the high ones.
#[inline(always)]
fn nibbles(simd: V3, bytes: [u8; 16]) -> __m256i {
    let low: __m128i = pulp::cast(bytes);
    let high = simd.sse2._mm_srli_epi16::<4>(low);
    let both = simd.avx2._mm256_inserti128_si256::<1>(simd.avx._mm256_castsi128_si256(low), high);
    simd.avx2._mm256_and_si256(both, simd.avx._mm256_set1_epi8(15))
}

/// 4 bits a number, 8 too high.
pub(super) struct Q4;

impl Apart<18> for Q4 {
    #[inline(always)]
    fn apart(simd: V3, block: &[u8; 18]) -> __m256i {
        let [_, _, bytes @ ..] = *block;
        simd.avx2._mm256_sub_epi8(nibbles(simd, bytes), simd.avx._mm256_set1_epi8(8))
    }
}

impl Block for Q4 {
    type Rounded = Rounded;
    const NUMBERS: usize = 32;
    const BYTES: usize = 18;

    #[inline(always)]
    fn round(x: &[f32]) -> Vec<Rounded> {
        round_row(x)
    }

    #[inline(always)]
    fn dot(simd: V3, weight: &[u8], x: &[Rounded], blocks: usize, y: &mut [f32; TILE]) {
        dot::<Self, 18>(simd, weight, x, blocks, y);
    }
}

/// 5 bits a number, 16 too high; the fifth bits lie together.
pub(super) struct Q5;

impl Apart<22> for Q5 {
    #[inline(always)]
    fn apart(simd: V3, block: &[u8; 22]) -> __m256i {
        let (avx, avx2) = (simd.avx, simd.avx2);
        let [_, _, h0, h1, h2, h3, bytes @ ..] = *block;
        // Byte n of the result looks at bit n % 8 of byte n / 8.
        let which: [u64; 4] = [0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303];
        let bit: __m256i = pulp::cast([0x8040_2010_0804_0201_u64; 4]);
        let highs = avx._mm256_set1_epi32(i32::from_le_bytes([h0, h1, h2, h3]));
        let highs = avx2._mm256_and_si256(avx2._mm256_shuffle_epi8(highs, pulp::cast(which)), bit);
        // Without its fifth bit a number is 16 too high; with it, it is not.
        let less = avx2._mm256_andnot_si256(avx2._mm256_cmpeq_epi8(highs, bit), avx._mm256_set1_epi8(16));
        avx2._mm256_sub_epi8(nibbles(simd, bytes), less)
    }
}

impl Block for Q5 {
    type Rounded = Rounded;
    const NUMBERS: usize = 32;
    const BYTES: usize = 22;

    #[inline(always)]
    fn round(x: &[f32]) -> Vec<Rounded> {
        round_row(x)
    }

    #[inline(always)]
    fn dot(simd: V3, weight: &[u8], x: &[Rounded], blocks: usize, y: &mut [f32; TILE]) {
        dot::<Self, 22>(simd, weight, x, blocks, y);
    }
}

/// 8 bits a number.
pub(super) struct Q8;

impl Apart<34> for Q8 {
    #[inline(always)]
    fn apart(_: V3, block: &[u8; 34]) -> __m256i {
        let [_, _, bytes @ ..] = *block;
        pulp::cast(bytes)
    }
}

impl Block for Q8 {
    type Rounded = Rounded;
    const NUMBERS: usize = 32;
    const BYTES: usize = 34;

    #[inline(always)]
    fn round(x: &[f32]) -> Vec<Rounded> {
        round_row(x)
    }

    #[inline(always)]
    fn dot(simd: V3, weight: &[u8], x: &[Rounded], blocks: usize, y: &mut [f32; TILE]) {
        dot::<Self, 34>(simd, weight, x, blocks, y);
    }
}
