//! Rotary positions: tables of cosine and sine, one row a position.

use candle_core::{DType, Device, Result, Tensor};

use super::config::{ModelConfig, RopeScaling};

/// Cosine and sine, `[positions, head_dim / 2]` each, in the model's type.
#[derive(Debug)]
pub(crate) struct Rope {
    pub(crate) cos: Tensor,
    pub(crate) sin: Tensor,
}

impl Rope {
    /// `divisors`, one a frequency, come on top of the config's stretching.
    pub(crate) fn new(
        config: &ModelConfig,
        divisors: Option<&[f32]>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let mut frequencies = frequencies(config);
        for (frequency, divisor) in frequencies.iter_mut().zip(divisors.into_iter().flatten()) {
            *frequency /= f64::from(*divisor);
        }
        let mut cos = Vec::with_capacity(config.positions * frequencies.len());
        let mut sin = Vec::with_capacity(config.positions * frequencies.len());
        for position in 0..config.positions {
            for frequency in &frequencies {
                // In f32, as transformers has it: its angles are what the weights were trained with.
                let angle = position as f32 * *frequency as f32;
                cos.push(angle.cos());
                sin.push(angle.sin());
            }
        }
        let shape = (config.positions, frequencies.len());
        Ok(Self {
            cos: Tensor::from_vec(cos, shape, device)?.to_dtype(dtype)?,
            sin: Tensor::from_vec(sin, shape, device)?.to_dtype(dtype)?,
        })
    }
}

/// Radians a position for each pair of a head's numbers (Su et al., *RoFormer*, 2021), stretched as the config says.
fn frequencies(config: &ModelConfig) -> Vec<f64> {
    (0..config.head_dim / 2)
        .map(|pair| {
            let plain = config.rope_theta.powf(-2.0 * pair as f64 / config.head_dim as f64);
            match config.rope_scaling {
                RopeScaling::None => plain,
                RopeScaling::Linear(factor) => plain / factor,
                RopeScaling::Llama3 { factor, low, high, original_positions } => {
                    let wavelength = std::f64::consts::TAU / plain;
                    // 0 where the wavelength is long, 1 where it is short.
                    let kept = ((original_positions / wavelength - low) / (high - low)).clamp(0.0, 1.0);
                    plain * kept + plain / factor * (1.0 - kept)
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(rope_scaling: RopeScaling) -> ModelConfig {
        let json = br#"{"model_type": "llama", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 1, "rms_norm_eps": 1e-5, "max_position_embeddings": 16}"#;
        ModelConfig { rope_scaling, ..ModelConfig::parse(json).unwrap() }
    }

    #[test]
    fn llama3_keeps_short_wavelengths_and_divides_long_ones() {
        let plain = frequencies(&config(RopeScaling::None));
        let scaled = frequencies(&config(RopeScaling::Llama3 {
            factor: 8.0,
            low: 1.0,
            high: 4.0,
            original_positions: 64.0,
        }));
        assert_eq!(plain[0], 1.0);
        assert_eq!(scaled[0], plain[0]);
        assert_eq!(scaled[31], plain[31] / 8.0);
        assert!(plain.iter().zip(&scaled).any(|(plain, scaled)| scaled < plain && *scaled > plain / 8.0));
    }

    #[test]
    fn linear_divides_all() {
        let (plain, half) = (config(RopeScaling::None), config(RopeScaling::Linear(2.0)));
        for (plain, half) in frequencies(&plain).iter().zip(frequencies(&half)) {
            assert_eq!(plain / 2.0, half);
        }
    }
}
