//! From logits to the next token: penalties, temperature, cuts, one seeded draw.

use std::collections::HashMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::{Error, Result};

/// How tokens are drawn. The default is OpenAI's: temperature 1, nothing cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the most likely token always. 0 to 2.
    pub temperature: f32,
    /// The most likely tokens whose probabilities add up to this are kept. Above 0, to 1.
    pub top_p: f32,
    /// So many most likely tokens are kept; 0 keeps all.
    pub top_k: usize,
    /// Tokens below this share of the most likely one's probability are cut. 0 to 1.
    pub min_p: f32,
    /// Logits of tokens seen in prompt or answer are divided (above 0) or multiplied (below) by it (Keskar et al. 2019).
    /// Above 0; 1 is none.
    pub repetition_penalty: f32,
    /// Taken off the logit of a token in the answer. −2 to 2.
    pub presence_penalty: f32,
    /// Taken off the logit of a token for each time in the answer. −2 to 2.
    pub frequency_penalty: f32,
    /// The same seed draws the same tokens.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// # Errors
    /// [`Error::Invalid`] names the field that is out of bounds.
    pub fn check(&self) -> Result<()> {
        // A NaN is in no range.
        for (field, value, low, high) in [
            ("temperature", self.temperature, 0.0, 2.0),
            ("top_p", self.top_p, f32::MIN_POSITIVE, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("repetition_penalty", self.repetition_penalty, f32::MIN_POSITIVE, 10.0),
            ("presence_penalty", self.presence_penalty, -2.0, 2.0),
            ("frequency_penalty", self.frequency_penalty, -2.0, 2.0),
        ] {
            if !(low..=high).contains(&value) {
                return Err(Error::invalid(field, format!("is {value}; it must be from {low} to {high}")));
            }
        }
        Ok(())
    }
}

/// One request's draw.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    rng: ChaCha8Rng,
    /// Tokens of prompt and answer, and how often each is in the answer.
    seen: HashMap<u32, u32>,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling, prompt: &[u32]) -> Self {
        let seen = prompt.iter().map(|token| (*token, 0)).collect();
        Self { sampling, rng: ChaCha8Rng::seed_from_u64(sampling.seed), seen }
    }

    /// Draws the next token; equal logits take the lower token. `logits` is `[vocab]`, not empty.
    pub(crate) fn next(&mut self, mut logits: Vec<f32>) -> u32 {
        self.penalise(&mut logits);
        let token = match self.sampling.temperature > 0.0 {
            true => draw(&candidates(&self.sampling, &logits), self.rng.random()),
            false => best(&logits),
        };
        *self.seen.entry(token).or_default() += 1;
        token
    }

    fn penalise(&self, logits: &mut [f32]) {
        let Sampling { repetition_penalty, presence_penalty, frequency_penalty, .. } = self.sampling;
        for (token, count) in &self.seen {
            let Some(logit) = logits.get_mut(*token as usize) else { continue };
            *logit = if *logit > 0.0 { *logit / repetition_penalty } else { *logit * repetition_penalty };
            if *count > 0 {
                *logit -= presence_penalty + frequency_penalty * *count as f32;
            }
        }
    }
}

fn best(logits: &[f32]) -> u32 {
    let higher = |best: usize, (at, logit): (usize, &f32)| if *logit > logits[best] { at } else { best };
    logits.iter().enumerate().fold(0, higher) as u32
}

/// Tokens that may be drawn, most likely first, with weights that need not add up to 1.
fn candidates(sampling: &Sampling, logits: &[f32]) -> Vec<(u32, f32)> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| ((logit - max) / sampling.temperature).exp();
    let mut all: Vec<(u32, f32)> =
        logits.iter().enumerate().map(|(token, logit)| (token as u32, weight(*logit))).collect();
    // The most likely has weight 1, so that a weight is already relative to it; a NaN is dropped here too.
    all.retain(|(_, weight)| *weight > 0.0 && *weight >= sampling.min_p);
    let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if sampling.top_k > 0 && sampling.top_k < all.len() {
        all.select_nth_unstable_by(sampling.top_k, order);
        all.truncate(sampling.top_k);
    }
    all.sort_unstable_by(order);
    if sampling.top_p < 1.0 {
        let enough = sampling.top_p * all.iter().map(|(_, weight)| weight).sum::<f32>();
        let mut sum = 0.0;
        // The token that reaches the sum is kept, so that there is always one.
        let reached = |(_, weight): &&(u32, f32)| {
            let before = sum;
            sum += weight;
            before < enough
        };
        let kept = all.iter().take_while(reached).count();
        all.truncate(kept);
    }
    all
}

/// The candidate at `at` (0 to 1) of the weights' sum.
fn draw(candidates: &[(u32, f32)], at: f32) -> u32 {
    let mut left = at * candidates.iter().map(|(_, weight)| weight).sum::<f32>();
    for (token, weight) in candidates {
        left -= weight;
        if left < 0.0 {
            return *token;
        }
    }
    candidates.last().map_or(0, |(token, _)| *token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(sampling: Sampling, logits: &[f32]) -> Vec<u32> {
        candidates(&sampling, logits).into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn cuts() {
        let logits = [1.0, 3.0, 2.0, f32::NEG_INFINITY, 0.0];
        let plain = Sampling::default();
        for (case, sampling, expected) in [
            ("nothing but the impossible", plain, &[1, 2, 0, 4][..]),
            ("top-k", Sampling { top_k: 2, ..plain }, &[1, 2]),
            ("top-k beyond all", Sampling { top_k: 9, ..plain }, &[1, 2, 0, 4]),
            ("top-p within the first", Sampling { top_p: 0.1, ..plain }, &[1]),
            ("top-p reached by the second", Sampling { top_p: 0.7, ..plain }, &[1, 2]),
            ("min-p", Sampling { min_p: 0.2, ..plain }, &[1, 2]),
            ("min-p of 1 keeps the best", Sampling { min_p: 1.0, ..plain }, &[1]),
            ("heat lets min-p keep more", Sampling { min_p: 0.2, temperature: 2.0, ..plain }, &[1, 2, 0, 4]),
        ] {
            assert_eq!(tokens(sampling, &logits), expected, "{case}");
        }
    }

    #[test]
    fn draws_follow_the_weights() {
        let candidates = [(7, 2.0), (8, 1.0), (9, 1.0)];
        let drawn = [0.0, 0.49, 0.5, 0.74, 0.76, 1.0].map(|at| draw(&candidates, at));
        assert_eq!(drawn, [7, 7, 8, 8, 9, 9]);
    }

    #[test]
    fn greedy_takes_the_lowest_of_equals_and_penalties_move_it() {
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        assert_eq!(Sampler::new(greedy, &[]).next(vec![1.0, 2.0, 2.0]), 1);
        assert_eq!(Sampler::new(greedy, &[]).next(vec![f32::NAN, 2.0]), 0, "no panic");
        let repeated = Sampling { repetition_penalty: 2.0, ..greedy };
        assert_eq!(Sampler::new(repeated, &[1]).next(vec![1.5, 2.0]), 0);
        assert_eq!(Sampler::new(repeated, &[1]).next(vec![-1.5, -1.0]), 0);
        let mut present = Sampler::new(Sampling { presence_penalty: 1.0, ..greedy }, &[1]);
        assert_eq!(
            [present.next(vec![1.5, 2.0]), present.next(vec![1.5, 2.0])],
            [1, 0],
            "the prompt is free"
        );
        let mut frequent = Sampler::new(Sampling { frequency_penalty: 0.3, ..greedy }, &[]);
        assert_eq!([(); 3].map(|()| frequent.next(vec![1.5, 2.0])), [1, 1, 0]);
    }

    #[test]
    fn a_seed_repeats_and_bounds_are_checked() {
        let logits: Vec<f32> = (0..50).map(|at| (at * 37 % 11) as f32 / 5.0).collect();
        let run = |seed| -> Vec<u32> {
            let mut sampler = Sampler::new(Sampling { seed, ..Sampling::default() }, &[]);
            (0..20).map(|_| sampler.next(logits.clone())).collect()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let bad = Sampling { temperature: f32::NAN, ..Sampling::default() };
        assert!(bad.check().unwrap_err().to_string().starts_with("temperature"));
        assert!(Sampling { top_p: 0.0, ..Sampling::default() }.check().is_err());
        Sampling::default().check().unwrap();
    }
}
