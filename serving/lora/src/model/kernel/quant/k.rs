//! Blocks of 256 numbers with scales of their own for each 32 (Q4_K) or 16 (Q6_K).

use std::arch::x86_64::{__m128i, __m256, __m256i};

use pulp::x86::V3;

use super::super::simd::load_bytes;
use super::{Block, OUTPUTS, all_pairs, each, eight, half, round, side_by_side, twice};

/// 256 numbers of a row of `x`: whole steps by 8, their sums by 16, and the step.
pub(super) struct Rounded {
    steps: [[i8; 8]; 32],
    sums: [[i16; 4]; 4],
    step: f32,
}

#[inline(always)]
fn round_row(x: &[f32]) -> Vec<Rounded> {
    let mut row = Vec::with_capacity(x.len() / 256);
    for x in x.as_chunks::<256>().0 {
        let (flat, step) = round(x);
        let mut steps = [[0; 8]; 32];
        steps.iter_mut().zip(flat.as_chunks::<8>().0).for_each(|(to, from)| *to = *from);
        let mut sums = [[0; 4]; 4];
        for (sum, steps) in sums.as_flattened_mut().iter_mut().zip(flat.as_chunks::<16>().0) {
            *sum = steps.iter().map(|step| i16::from(*step)).sum();
        }
        row.push(Rounded { steps, sums, step });
    }
    row
}

/// Adds Σ scale·(w·x) over the 32 numbers from 32·`at` on, of which each of `scales` is for an equal part.
/// The 16-bit sums must not overflow: four products of Q4_K (4·2·15·127), two of Q6_K (2·2·63·127).
#[inline(always)]
fn add_products<const R: usize, const SCALES: usize>(
    simd: V3,
    totals: &mut [__m256i; R],
    numbers: [__m256i; 4],
    scales: [__m256i; SCALES],
    x: [&Rounded; R],
    at: usize,
) {
    let avx2 = simd.avx2;
    for (total, x) in totals.iter_mut().zip(x) {
        let x = &x.steps.as_chunks::<4>().0[at];
        let product = |at: usize| avx2._mm256_maddubs_epi16(numbers[at], eight(simd, &x[at]));
        let first = avx2._mm256_add_epi16(product(0), product(1));
        let second = avx2._mm256_add_epi16(product(2), product(3));
        let scaled = match scales.as_slice() {
            [scale, scale2] => avx2._mm256_add_epi32(
                avx2._mm256_madd_epi16(first, *scale),
                avx2._mm256_madd_epi16(second, *scale2),
            ),
            _ => avx2._mm256_madd_epi16(avx2._mm256_add_epi16(first, second), scales[0]),
        };
        *total = avx2._mm256_add_epi32(*total, scaled);
    }
}

/// Adds step·(scale·total − less·Σ leasts·x) of a block, with the leasts of 16 numbers each, four by four.
#[inline(always)]
fn add_block<const R: usize>(
    simd: V3,
    sums: &mut [__m256; R],
    totals: [__m256i; R],
    [scale, less]: [__m256; 2],
    leasts: [__m256i; 4],
    x: [&Rounded; R],
) {
    let (avx, avx2, fma) = (simd.avx, simd.avx2, simd.fma);
    for ((sum, total), x) in sums.iter_mut().zip(totals).zip(x) {
        let product =
            |at: usize| avx2._mm256_madd_epi16(leasts[at], avx._mm256_set1_epi64x(pulp::cast(x.sums[at])));
        let too_much = avx2._mm256_add_epi32(
            avx2._mm256_add_epi32(product(0), product(1)),
            avx2._mm256_add_epi32(product(2), product(3)),
        );
        let scaled = avx._mm256_mul_ps(scale, avx._mm256_cvtepi32_ps(total));
        let value = fma._mm256_fnmadd_ps(less, avx._mm256_cvtepi32_ps(too_much), scaled);
        *sum = fma._mm256_fmadd_ps(avx._mm256_set1_ps(x.step), value, *sum);
    }
}

/// For each of four, side by side: 16-bit number `at` of four, four times.
#[inline(always)]
fn spread(simd: V3, four: __m256i, at: u64) -> __m256i {
    let which = 0x0100 * 0x0001_0001_0001_0001_u64 + 2 * at * 0x0101_0101_0101_0101;
    let other = which + 0x0808_0808_0808_0808;
    simd.avx2._mm256_shuffle_epi8(four, pulp::cast([which, other, which, other]))
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
    fn tile<const R: usize>(simd: V3, weight: [&[u8]; OUTPUTS], x: [&[Rounded]; R]) -> [[f32; OUTPUTS]; R] {
        let (avx, avx2) = (simd.avx, simd.avx2);
        let low = avx._mm256_set1_epi8(15);
        let mut sums = [avx._mm256_setzero_ps(); R];
        let [first, second, third, fourth] = each(weight, |row| row.as_chunks::<144>().0);
        for (at, (((a, b), c), d)) in first.iter().zip(second).zip(third).zip(fourth).enumerate() {
            let four = [a, b, c, d];
            let x: [&Rounded; R] = std::array::from_fn(|row| &x[row][at]);
            let scale = twice(each(four, |block| half([block[0], block[1]])));
            let less = twice(each(four, |block| half([block[2], block[3]])));
            let packed = [unpack(&a[4..16]), unpack(&b[4..16]), unpack(&c[4..16]), unpack(&d[4..16])];
            let scales: __m256i = pulp::cast(each(packed, |(scales, _)| scales));
            let leasts: __m256i = pulp::cast(each(packed, |(_, leasts)| leasts));
            let mut totals = [avx._mm256_setzero_si256(); R];
            for pair in 0..4 {
                let bytes = each(four, |block| load_bytes(&block[16..].as_chunks::<32>().0[pair]));
                let bytes = side_by_side(simd, bytes);
                let lows = each(bytes, |bytes| avx2._mm256_and_si256(bytes, low));
                let highs =
                    each(bytes, |bytes| avx2._mm256_and_si256(avx2._mm256_srli_epi16::<4>(bytes), low));
                let (at, next) = (2 * pair, 2 * pair + 1);
                add_products(simd, &mut totals, lows, [widened(simd, scales, [at as u64; 4])], x, at);
                add_products(simd, &mut totals, highs, [widened(simd, scales, [next as u64; 4])], x, next);
            }
            // Sums go by 16, leasts by 32.
            let leasts = each([0, 2, 4, 6], |at| widened(simd, leasts, [at, at, at + 1, at + 1]));
            add_block(simd, &mut sums, totals, [scale, less], leasts, x);
        }
        all_pairs(sums)
    }
}

/// Bytes of each of four's eight, as 16-bit numbers.
#[inline(always)]
fn widened(simd: V3, four: __m256i, [a, b, c, d]: [u64; 4]) -> __m256i {
    let which = 0x8000_8000_8000_8000 | a | b << 16 | c << 32 | d << 48;
    let other = which + 0x0008_0008_0008_0008;
    simd.avx2._mm256_shuffle_epi8(four, pulp::cast([which, other, which, other]))
}

/// Eight scales and eight leasts of 6 bits, from 12 bytes.
#[inline(always)]
fn unpack(packed: &[u8]) -> (u64, u64) {
    let word = |at: usize| u32::from_le_bytes([packed[at], packed[at + 1], packed[at + 2], packed[at + 3]]);
    let (a, b, c) = (word(0), word(4), word(8));
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let top = |word: u32| (word >> 6 & 0x0303_0303) << 4;
    (pair(a & 0x3f3f_3f3f, c & 0x0f0f_0f0f | top(a)), pair(b & 0x3f3f_3f3f, c >> 4 & 0x0f0f_0f0f | top(b)))
}

/// 6 bits a number, 32 too high, 8 for the scale of each 16.
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
    fn tile<const R: usize>(simd: V3, weight: [&[u8]; OUTPUTS], x: [&[Rounded]; R]) -> [[f32; OUTPUTS]; R] {
        let (avx, avx2) = (simd.avx, simd.avx2);
        let mut sums = [avx._mm256_setzero_ps(); R];
        let [first, second, third, fourth] = each(weight, |row| row.as_chunks::<210>().0);
        for (at, (((a, b), c), d)) in first.iter().zip(second).zip(third).zip(fourth).enumerate() {
            let four = [a, b, c, d];
            let x: [&Rounded; R] = std::array::from_fn(|row| &x[row][at]);
            let scale = each(four, |block| half([block[208], block[209]]));
            let scales = by_four(simd, each(four, |block| block[192..208].as_chunks::<4>().0));
            let mut totals = [avx._mm256_setzero_si256(); R];
            for part in 0..2 {
                let bytes = |from: usize| {
                    side_by_side(simd, each(four, |block| load_bytes(&block[from..].as_chunks::<32>().0[0])))
                };
                let (first, second) = (bytes(64 * part), bytes(64 * part + 32));
                let tops = bytes(128 + 32 * part);
                let down = |bytes| each(bytes, |bytes| avx2._mm256_srli_epi16::<4>(bytes));
                let tops2 = each(tops, |bytes| avx2._mm256_srli_epi16::<2>(bytes));
                let (even, odd) = (scales[2 * part], scales[2 * part + 1]);
                let early = [spread(simd, even, 0), spread(simd, even, 1)];
                add_products(simd, &mut totals, joined(simd, first, tops), early, x, 4 * part);
                let late = [spread(simd, even, 2), spread(simd, even, 3)];
                add_products(simd, &mut totals, joined(simd, second, tops2), late, x, 4 * part + 1);
                let early = [spread(simd, odd, 0), spread(simd, odd, 1)];
                add_products(
                    simd,
                    &mut totals,
                    joined(simd, down(first), down(tops)),
                    early,
                    x,
                    4 * part + 2,
                );
                let late = [spread(simd, odd, 2), spread(simd, odd, 3)];
                add_products(
                    simd,
                    &mut totals,
                    joined(simd, down(second), down(tops2)),
                    late,
                    x,
                    4 * part + 3,
                );
            }
            let less = twice(each(scale, |scale| 32.0 * scale));
            add_block(simd, &mut sums, totals, [twice(scale), less], scales, x);
        }
        all_pairs(sums)
    }
}

/// Sixteen bytes each of four, as 16-bit numbers: the first four of all, the next four of all, and so on.
#[inline(always)]
fn by_four(simd: V3, words: [&[[u8; 4]]; OUTPUTS]) -> [__m256i; 4] {
    each([0, 1, 2, 3], |at| {
        let bytes: __m128i = pulp::cast(each(words, |words| words[at]));
        simd.avx2._mm256_cvtepi8_epi16(bytes)
    })
}

/// The lowest four bits of each byte, and the lowest two of another's above them.
#[inline(always)]
fn joined(simd: V3, lows: [__m256i; 4], tops: [__m256i; 4]) -> [__m256i; 4] {
    let (avx, avx2) = (simd.avx, simd.avx2);
    each([0, 1, 2, 3], |at| {
        let low = avx2._mm256_and_si256(lows[at], avx._mm256_set1_epi8(15));
        let top = avx2._mm256_and_si256(tops[at], avx._mm256_set1_epi8(3));
        avx2._mm256_or_si256(low, avx2._mm256_slli_epi16::<4>(top))
    })
}
