//! Seeded chance.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

/// A person's own stream of chance: the same for the same seed and number, whoever else is simulated.
#[derive(Clone, Debug)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    pub(super) fn new(seed: u64, number: u32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number.into());
        Self(rng)
    }

    /// From 0 up to 1.
    pub(super) fn unit(&mut self) -> f64 {
        self.0.random()
    }

    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Evenly from `low` up to `high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number, `low` to `high` inclusive.
    pub(super) fn whole(&mut self, low: i64, high: i64) -> i64 {
        self.0.random_range(low..=high)
    }

    /// Normally distributed (Box–Muller).
    pub(super) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        mean + deviation * radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Log-normally distributed around `median`.
    pub(super) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * self.normal(0.0, sigma).exp()
    }

    /// How often something happens that happens `rate` times on average (Knuth; rates here are small).
    pub(super) fn poisson(&mut self, rate: f64) -> u32 {
        let limit = (-rate.min(20.0)).exp();
        let mut product = self.unit();
        let mut count = 0;
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// One of several; `items` must not be empty.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.0.random_range(0..items.len())]
    }

    /// An index, by weight.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let mut left = self.unit() * weights.clone().sum::<f64>();
        let mut last = 0;
        for (i, weight) in weights.enumerate() {
            last = i;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }

    /// A random UUID.
    pub(super) fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// A pile of texts that is dealt out shuffled before any comes again.
#[derive(Clone, Debug)]
pub(super) struct Deck<'a> {
    texts: &'a [&'a str],
    order: Vec<usize>,
}

impl<'a> Deck<'a> {
    pub(super) fn new(texts: &'a [&'a str]) -> Self {
        Self { texts, order: Vec::new() }
    }

    /// The next text; empty when there are none.
    pub(super) fn deal(&mut self, dice: &mut Dice) -> &'a str {
        if self.order.is_empty() {
            self.order = (0..self.texts.len()).collect();
            for i in (1..self.order.len()).rev() {
                // Below i + 1, a length, so the casts are exact.
                self.order.swap(i, dice.whole(0, i as i64) as usize);
            }
        }
        self.order.pop().and_then(|i| self.texts.get(i).copied()).unwrap_or_default()
    }
}
