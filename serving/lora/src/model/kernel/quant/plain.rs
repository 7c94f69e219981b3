//! Blocks of 32 numbers with one scale: Q4_0, Q5_0, Q8_0.

use std::arch::x86_64::__m256i;

use pulp::x86::V3;

use super::super::simd::load_bytes;
use super::{Block, OUTPUTS, all_pairs, each, eight, half, round, side_by_side, twice};

/// 32 numbers of a row of `x`: whole steps by 8, half of their sum, and the step.
pub(super) struct Rounded {
    steps: [[i8; 8]; 4],
    half_sum: f32,
    step: f32,
}

#[inline(always)]
fn round_row(x: &[f32]) -> Vec<Rounded> {
    let mut row = Vec::with_capacity(x.len() / 32);
    for x in x.as_chunks::<32>().0 {
        let (flat, step) = round(x);
        let sum: i32 = flat.iter().map(|step| i32::from(*step)).sum();
        let mut steps = [[0; 8]; 4];
        steps.iter_mut().zip(flat.as_chunks::<8>().0).for_each(|(to, from)| *to = *from);
        row.push(Rounded { steps, half_sum: sum as f32 / 2.0, step });
    }
    row
}

/// What differs between the kinds: a block begins with its scale, and the rest becomes 32 bytes.
trait Apart<const BYTES: usize> {
    /// What the bytes are too high; 0 where they have a sign.
    const LESS: f32;

    /// Eight bytes each of four, side by side.
    fn apart(simd: V3, four: [&[u8; BYTES]; OUTPUTS]) -> [__m256i; 4];
}

#[inline(always)]
fn tile<K: Apart<BYTES>, const BYTES: usize, const R: usize>(
    simd: V3,
    weight: [&[u8]; OUTPUTS],
    x: [&[Rounded]; R],
) -> [[f32; OUTPUTS]; R] {
    let (avx, avx2, fma) = (simd.avx, simd.avx2, simd.fma);
    let ones = avx._mm256_set1_epi16(1);
    let mut sums = [avx._mm256_setzero_ps(); R];
    let [first, second, third, fourth] = each(weight, |row| row.as_chunks::<BYTES>().0);
    for (at, (((a, b), c), d)) in first.iter().zip(second).zip(third).zip(fourth).enumerate() {
        let four = [a, b, c, d];
        let scale = twice(each(four, |block| half([block[0], block[1]])));
        let numbers = K::apart(simd, four);
        // One factor of a product must be unsigned: signs go to the other.
        let sizes = each(numbers, |numbers| avx2._mm256_abs_epi8(numbers));
        for (sum, x) in sums.iter_mut().zip(x) {
            let x = &x[at];
            let total = if K::LESS > 0.0 {
                // Four products fit into 16 bits: 4·2·31·127.
                let product = |at: usize| avx2._mm256_maddubs_epi16(numbers[at], eight(simd, &x.steps[at]));
                let low = avx2._mm256_add_epi16(product(0), product(1));
                let sum = avx2._mm256_add_epi16(avx2._mm256_add_epi16(low, product(2)), product(3));
                let total = avx._mm256_cvtepi32_ps(avx2._mm256_madd_epi16(sum, ones));
                avx._mm256_sub_ps(total, avx._mm256_set1_ps(K::LESS * x.half_sum))
            } else {
                let product = |at: usize| {
                    let signed = avx2._mm256_sign_epi8(eight(simd, &x.steps[at]), numbers[at]);
                    avx2._mm256_madd_epi16(avx2._mm256_maddubs_epi16(sizes[at], signed), ones)
                };
                let low = avx2._mm256_add_epi32(product(0), product(1));
                avx._mm256_cvtepi32_ps(
                    avx2._mm256_add_epi32(low, avx2._mm256_add_epi32(product(2), product(3))),
                )
            };
            *sum = fma._mm256_fmadd_ps(avx._mm256_mul_ps(scale, avx._mm256_set1_ps(x.step)), total, *sum);
        }
    }
    all_pairs(sums)
}

/// The low half bytes of each of four, then the high ones.
#[inline(always)]
fn nibbles(simd: V3, four: [&[u8; 16]; OUTPUTS]) -> [__m256i; 4] {
    let part = |at: usize| -> __m256i { pulp::cast(each(four, |bytes| bytes.as_chunks::<8>().0[at])) };
    let low = simd.avx._mm256_set1_epi8(15);
    let (first, second) = (part(0), part(1));
    let down = |bytes| simd.avx2._mm256_srli_epi16::<4>(bytes);
    each([first, second, down(first), down(second)], |bytes| simd.avx2._mm256_and_si256(bytes, low))
}

/// 4 bits a number, 8 too high.
pub(super) struct Q4;

impl Apart<18> for Q4 {
    const LESS: f32 = 8.0;

    #[inline(always)]
    fn apart(simd: V3, four: [&[u8; 18]; OUTPUTS]) -> [__m256i; 4] {
        nibbles(simd, each(four, |[_, _, bytes @ ..]| bytes))
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
    fn tile<const R: usize>(simd: V3, weight: [&[u8]; OUTPUTS], x: [&[Rounded]; R]) -> [[f32; OUTPUTS]; R] {
        tile::<Self, 18, R>(simd, weight, x)
    }
}

/// 5 bits a number, 16 too high; the fifth bits lie together.
pub(super) struct Q5;

impl Apart<22> for Q5 {
    const LESS: f32 = 16.0;

    #[inline(always)]
    fn apart(simd: V3, four: [&[u8; 22]; OUTPUTS]) -> [__m256i; 4] {
        let avx2 = simd.avx2;
        let numbers = nibbles(simd, each(four, |[_, _, _, _, _, _, bytes @ ..]| bytes));
        let highs = each(four, |[_, _, a, b, c, d, ..]| u64::from(u32::from_le_bytes([*a, *b, *c, *d])));
        let highs: __m256i = pulp::cast(highs);
        let bit: __m256i = pulp::cast([0x8040_2010_0804_0201_u64; 4]);
        let fifth = simd.avx._mm256_set1_epi8(16);
        each([0, 1, 2, 3], |at| {
            // Byte n of eight looks at bit n of byte `at`.
            let which = at as u64 * 0x0101_0101_0101_0101;
            let other = which + 0x0808_0808_0808_0808;
            let bytes = avx2._mm256_shuffle_epi8(highs, pulp::cast([which, other, which, other]));
            let set = avx2._mm256_cmpeq_epi8(avx2._mm256_and_si256(bytes, bit), bit);
            avx2._mm256_or_si256(numbers[at], avx2._mm256_and_si256(set, fifth))
        })
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
    fn tile<const R: usize>(simd: V3, weight: [&[u8]; OUTPUTS], x: [&[Rounded]; R]) -> [[f32; OUTPUTS]; R] {
        tile::<Self, 22, R>(simd, weight, x)
    }
}

/// 8 bits a number.
pub(super) struct Q8;

impl Apart<34> for Q8 {
    const LESS: f32 = 0.0;

    #[inline(always)]
    fn apart(simd: V3, four: [&[u8; 34]; OUTPUTS]) -> [__m256i; 4] {
        side_by_side(simd, each(four, |[_, _, bytes @ ..]| load_bytes(bytes)))
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
    fn tile<const R: usize>(simd: V3, weight: [&[u8]; OUTPUTS], x: [&[Rounded]; R]) -> [[f32; OUTPUTS]; R] {
        tile::<Self, 34, R>(simd, weight, x)
    }
}
