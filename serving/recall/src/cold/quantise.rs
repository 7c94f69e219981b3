//! Vectors as signed bytes: scalar quantisation with one scale a vector (symmetric, as in Jacob et al., *Quantization
//! and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*, CVPR 2018). Pure.
//!
//! `scale = max |x| / 127`, each number is rounded to the nearest multiple of it; so the error of a dot product with a
//! unit vector is at most `scale/2 · √dimension`, and in practice a hundredth of that bound's cosine.

/// The scale and the bytes of a vector.
#[allow(clippy::cast_possible_truncation, reason = "between -127 and 127")]
pub(super) fn pack(vector: &[f32]) -> (f32, Vec<i8>) {
    let most = vector.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let scale = most / 127.0;
    if !(scale.is_finite() && scale > 0.0) {
        return (0.0, vec![0; vector.len()]);
    }
    (scale, vector.iter().map(|x| (x / scale).round().clamp(-127.0, 127.0) as i8).collect())
}

/// The vector again.
pub(super) fn unpack(scale: f32, bytes: &[u8]) -> Vec<f32> {
    bytes.iter().map(|byte| scale * f32::from(byte.cast_signed())).collect()
}

/// Lanes that are added up apart, so that the compiler may use its vector registers.
const LANES: usize = 16;

/// The dot product of `query` with a packed vector of the same dimension.
pub(super) fn dot(query: &[f32], scale: f32, bytes: &[u8]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (query_chunks, chunks) = (query.chunks_exact(LANES), bytes.chunks_exact(LANES));
    let rest = query_chunks.remainder().iter().zip(chunks.remainder());
    let rest: f32 = rest.map(|(x, byte)| x * f32::from(byte.cast_signed())).sum();
    for (xs, bytes) in query_chunks.zip(chunks) {
        for ((sum, x), byte) in sums.iter_mut().zip(xs).zip(bytes) {
            *sum += x * f32::from(byte.cast_signed());
        }
    }
    scale * (sums.iter().sum::<f32>() + rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(packed: &[i8]) -> Vec<u8> {
        packed.iter().map(|byte| byte.cast_unsigned()).collect()
    }

    proptest! {
        #[test]
        fn packing_loses_half_a_step_at_most(vector in prop::collection::vec(-2.0_f32..2.0, 0..500)) {
            let (scale, packed) = pack(&vector);
            let again = unpack(scale, &bytes(&packed));
            for (x, y) in vector.iter().zip(&again) {
                prop_assert!((x - y).abs() <= scale * 0.5 + 1e-6);
            }
            let exact: f32 = again.iter().zip(&vector).map(|(x, y)| x * y).sum();
            prop_assert!((dot(&vector, scale, &bytes(&packed)) - exact).abs() <= 1e-3 * (1.0 + exact.abs()));
        }
    }

    #[test]
    fn what_has_no_direction_packs_to_nothing() {
        for vector in [vec![], vec![0.0; 4], vec![f32::NAN, 1.0], vec![f32::INFINITY, 1.0]] {
            let (scale, packed) = pack(&vector);
            assert!(scale.is_finite() && packed.len() == vector.len(), "{vector:?}");
        }
    }
}
