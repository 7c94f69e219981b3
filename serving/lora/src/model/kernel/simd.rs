//! Loads, sums and the exponential, eight lanes wide.

use std::arch::x86_64::{__m256, __m256i};

use pulp::x86::V3;

#[inline(always)]
pub(super) fn load(numbers: &[f32; 8]) -> __m256 {
    pulp::cast(*numbers)
}

#[inline(always)]
pub(super) fn load_bytes(bytes: &[u8; 32]) -> __m256i {
    pulp::cast(*bytes)
}

#[inline(always)]
pub(super) fn sum(simd: V3, lanes: __m256) -> f32 {
    let high = simd.avx._mm256_extractf128_ps::<1>(lanes);
    let low = simd.avx._mm256_castps256_ps128(lanes);
    let four = simd.sse._mm_add_ps(low, high);
    let two = simd.sse._mm_add_ps(four, simd.sse._mm_movehl_ps(four, four));
    let [first, second, ..]: [f32; 4] = pulp::cast(two);
    first + second
}
