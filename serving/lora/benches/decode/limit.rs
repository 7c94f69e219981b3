//! What bounds a decode step on this machine: reading the weights, and the products.

use std::time::Instant;

use pulp::NullaryFnOnce;
use pulp::x86::V3;
use rayon::prelude::*;

/// Bytes a second that all cores read together: the best of five.
pub(crate) fn memory_rate() -> f64 {
    let buffer = vec![1_u64; 1 << 26];
    let pass = || {
        let started = Instant::now();
        let sum: u64 = buffer
            .par_chunks(1 << 16)
            .map(|chunk| {
                let mut lanes = [0_u64; 16];
                for sixteen in chunk.as_chunks::<16>().0 {
                    lanes.iter_mut().zip(sixteen).for_each(|(lane, number)| *lane += number);
                }
                lanes.iter().sum::<u64>()
            })
            .sum();
        assert_eq!(std::hint::black_box(sum), buffer.len() as u64);
        (buffer.len() * 8) as f64 / started.elapsed().as_secs_f64()
    };
    (0..5).map(|_| pass()).fold(0.0, f64::max)
}

/// Products a second of all cores together in their registers, by the two instructions that any product with AVX2 takes: of
/// bytes (`vpmaddubsw` and a sum of 16 bits) or of f32 (`vfmadd`). Best of five; 0 without AVX2.
pub(crate) fn product_rate(bytes: bool) -> f64 {
    const STEPS: usize = 1 << 22;
    let Some(simd) = V3::try_new() else { return 0.0 };
    let cores = rayon::current_num_threads();
    let per_step = CHAINS * if bytes { 32 } else { 8 };
    let pass = || {
        let started = Instant::now();
        rayon::broadcast(|_| simd.vectorize(Spin { simd, bytes, steps: STEPS }));
        (cores * STEPS * per_step) as f64 / started.elapsed().as_secs_f64()
    };
    (0..5).map(|_| pass()).fold(0.0, f64::max)
}

/// Products under way at a time: more than an instruction's latency takes.
const CHAINS: usize = 10;

/// [`CHAINS`] products a step, each added to a sum of its own.
struct Spin {
    simd: V3,
    bytes: bool,
    steps: usize,
}

impl NullaryFnOnce for Spin {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { simd, bytes, steps } = self;
        let (avx, avx2, fma) = (simd.avx, simd.avx2, simd.fma);
        if bytes {
            let mut sums = [avx._mm256_setzero_si256(); CHAINS];
            let x = std::hint::black_box(avx._mm256_set1_epi8(3));
            for _ in 0..steps {
                for sum in &mut sums {
                    *sum = avx2._mm256_add_epi16(*sum, avx2._mm256_maddubs_epi16(x, *sum));
                }
            }
            std::hint::black_box(sums);
        } else {
            let mut sums = [avx._mm256_set1_ps(1.0); CHAINS];
            let x = std::hint::black_box(avx._mm256_set1_ps(0.5));
            for _ in 0..steps {
                for sum in &mut sums {
                    *sum = fma._mm256_fmadd_ps(x, *sum, x);
                }
            }
            std::hint::black_box(sums);
        }
    }
}
