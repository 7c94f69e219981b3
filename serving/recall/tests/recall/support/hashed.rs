//! An embedder for tests that costs next to nothing: each word has a direction of its own, and words that begin alike
//! have directions that are near.

use async_trait::async_trait;
use crave_recall::{Embedder, Model, Result, words::words};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

#[derive(Debug)]
pub struct Hashed {
    model: Model,
}

impl Hashed {
    pub fn new(name: &str, dimension: usize) -> Self {
        Self { model: Model::new(name, dimension).unwrap() }
    }

    pub fn vector(&self, text: &str) -> Vec<f32> {
        let mut sum = vec![0.0; self.model.dimension()];
        for word in words(text) {
            let beginning: String = word.chars().take(4).collect();
            // Short words say little.
            let weight = if word.len() < 4 { 0.2 } else { 1.0 };
            for (part, share) in [(word.as_str(), 1.0), (beginning.as_str(), 0.7)] {
                let seed = part.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
                let mut dice = ChaCha8Rng::seed_from_u64(seed);
                for x in &mut sum {
                    *x += weight * share * (dice.random::<f32>() - 0.5);
                }
            }
        }
        let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        sum.iter().map(|x| x / length).collect()
    }
}

#[async_trait]
impl Embedder for Hashed {
    fn model(&self) -> &Model {
        &self.model
    }

    fn is_remote(&self) -> bool {
        false
    }

    async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>> {
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }

    async fn embed_question(&self, question: String) -> Result<Vec<f32>> {
        Ok(self.vector(&question))
    }
}
