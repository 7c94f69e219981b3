//! LR-1: a row of a mixed batch equals its adapter alone, and in f32 also the merged model.

use std::path::Path;
use std::sync::Arc;

use candle_core::DType;
use crave_lora::{Adapter, KvCache, Model, Module, Row};
use rand::RngExt;
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{self, Lora, Tensors, config, lora, rng, write_lora, write_model};
use crate::reference;

pub(crate) const TOLERANCE: f64 = 1e-4;
const BLOCK_TOKENS: usize = 4;
use Module::{Down, Gate, K, O, Q, Up, V};

/// The families that are served, by name.
pub(crate) fn families() -> Vec<(&'static str, Value)> {
    vec![
        ("llama", config(&json!({}))),
        (
            "llama3",
            config(&json!({"tie_word_embeddings": true, "num_key_value_heads": 1, "rope_theta": 500.0,
            "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                             "original_max_position_embeddings": 32}})),
        ),
        (
            "qwen2",
            config(&json!({"model_type": "qwen2", "tie_word_embeddings": true, "use_sliding_window": false})),
        ),
        ("mistral", config(&json!({"model_type": "mistral", "sliding_window": 6, "num_key_value_heads": 4}))),
    ]
}

/// Adapters of ranks 4 to 64 on different modules, one with patterns, one rank-stabilised.
pub(crate) fn loras(config: &Value) -> Vec<Lora> {
    let mut patterned = lora(config, 8, 16.0, &[Q, K], 13);
    patterned.modules.extend(lora(config, 32, 8.0, &[Down], 14).modules);
    patterned.config["target_modules"] = json!(["q_proj", "k_proj", "down_proj"]);
    patterned.config["rank_pattern"] = json!({"down_proj": 32});
    patterned.config["alpha_pattern"] = json!({"down_proj": 8});
    let mut stable = lora(config, 16, 8.0, &[Gate, Up, Down], 12);
    stable.config["use_rslora"] = json!(true);
    vec![
        lora(config, 4, 8.0, &[Q, V], 10),
        lora(config, 64, 16.0, &[Q, K, V, O, Gate, Up, Down], 11),
        stable,
        patterned,
    ]
}

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) config: Value,
    pub(crate) tensors: Tensors,
    pub(crate) model: Arc<Model>,
    pub(crate) loras: Vec<Lora>,
    pub(crate) adapters: Vec<Arc<Adapter>>,
}

impl World {
    pub(crate) fn new(config: Value, dtype: DType) -> Self {
        let dir = TempDir::new().unwrap();
        let tensors = fixture::weights(&config, 1);
        write_model(&dir.path().join("tiny"), &config, &tensors);
        Self::of(dir, config, tensors, dtype)
    }

    /// The world of the model in `dir`/tiny, whose weights are `tensors`.
    pub(crate) fn of(dir: TempDir, config: Value, tensors: Tensors, dtype: DType) -> Self {
        let model = Arc::new(Model::load(&dir.path().join("tiny"), dtype).unwrap());
        let loras = loras(&config);
        let mut world = Self { dir, config, tensors, model, loras, adapters: Vec::new() };
        world.adapters = world.loras.iter().map(|lora| world.adapter(lora)).collect();
        world
    }

    /// Writes and loads an adapter.
    fn adapter(&self, lora: &Lora) -> Arc<Adapter> {
        let dir = TempDir::new_in(self.dir.path()).unwrap();
        write_lora(dir.path(), &self.config, lora);
        Arc::new(Adapter::load("some", dir.path(), &self.model, &[]).unwrap())
    }

    /// Logits after each token of each sequence, with its adapter beside the weights.
    pub(crate) fn expected(&self, sequences: &[Sequence]) -> Vec<Vec<Vec<f64>>> {
        let one = |sequence: &Sequence| {
            let lora = sequence.slot.map(|slot| &self.loras[slot]);
            reference::logits(&self.config, &self.tensors, lora, &sequence.tokens)
        };
        sequences.iter().map(one).collect()
    }
}

pub(crate) struct Sequence {
    pub(crate) slot: Option<usize>,
    tokens: Vec<u32>,
}

/// Two rows of each adapter and of the base, of random lengths.
pub(crate) fn sequences(adapters: usize, seed: u64) -> Vec<Sequence> {
    let mut rng = rng(seed);
    let slots = (0..adapters).map(Some).chain([None]).flat_map(|slot| [slot, slot]);
    slots
        .map(|slot| {
            let tokens =
                (0..rng.random_range(3..20)).map(|_| rng.random_range(0..fixture::VOCAB as u32)).collect();
            Sequence { slot, tokens }
        })
        .collect()
}

/// Logits by sequence and position of the last token of a chunk.
pub(crate) type Outputs = Vec<(usize, usize, Vec<f32>)>;

/// Runs all sequences in batches of random members, chunks of 1 (decode) to 7 tokens, and scattered blocks.
pub(crate) fn run(model: &Model, adapters: &[Arc<Adapter>], sequences: &[Sequence], seed: u64) -> Outputs {
    let mut rng = rng(seed);
    let mut blocks: Vec<u32> = (0..128).collect();
    blocks.shuffle(&mut rng);
    let mut cache = KvCache::new(model.config(), model.dtype(), blocks.len(), BLOCK_TOKENS).unwrap();
    let mut take =
        |sequence: &Sequence| blocks.split_off(blocks.len() - sequence.tokens.len().div_ceil(BLOCK_TOKENS));
    let tables: Vec<Vec<u32>> = sequences.iter().map(&mut take).collect();
    let mut done = vec![0; sequences.len()];
    let mut outputs = Outputs::new();
    while done.iter().zip(sequences).any(|(done, sequence)| *done < sequence.tokens.len()) {
        let mut members = Vec::new();
        let mut rows = Vec::new();
        for (at, sequence) in sequences.iter().enumerate() {
            let left = sequence.tokens.len() - done[at];
            if left == 0 || rng.random_range(0..4) == 0 {
                continue;
            }
            let chunk = if rng.random_range(0..2) == 0 { 1 } else { rng.random_range(1..8).min(left) };
            let tokens = sequence.tokens[done[at]..done[at] + chunk].to_vec();
            rows.push(Row {
                slot: sequence.slot,
                position: done[at],
                tokens,
                blocks: tables[at].clone(),
                logits: true,
            });
            done[at] += chunk;
            members.push(at);
        }
        let logits = model.forward(&rows, adapters, &mut cache).unwrap();
        for (at, logits) in members.into_iter().zip(logits) {
            outputs.push((at, done[at] - 1, logits.unwrap()));
        }
    }
    outputs
}

/// The largest difference of any output, relative to the largest number of what it should be.
pub(crate) fn worst(outputs: &Outputs, expected: &[Vec<Vec<f64>>]) -> f64 {
    let errors = outputs.iter().map(|(at, position, logits)| {
        let logits: Vec<f64> = logits.iter().map(|logit| f64::from(*logit)).collect();
        distance(&logits, &expected[*at][*position])
    });
    errors.fold(0.0, f64::max)
}

fn distance(found: &[f64], expected: &[f64]) -> f64 {
    let max = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(0.0, |max: f64, x| max.max(x.abs()));
    max(&mut found.iter().zip(expected).map(|(a, b)| a - b)) / max(&mut expected.iter().copied())
}

#[test]
fn mixed_rows_equal_their_adapter_alone_and_the_merged_model() {
    for (family, config) in families() {
        let world = World::new(config, DType::F32);
        let merged: Vec<Tensors> =
            world.loras.iter().map(|lora| reference::merge(&world.tensors, lora)).collect();
        for seed in 0..3 {
            let sequences = sequences(world.adapters.len(), seed);
            let outputs = run(&world.model, &world.adapters, &sequences, seed + 100);
            let error = worst(&outputs, &world.expected(&sequences));
            assert!(error <= TOLERANCE, "{family} seed {seed}: {error:e}");
            let of_merged: Vec<_> = sequences
                .iter()
                .map(|sequence| {
                    let tensors = sequence.slot.map_or(&world.tensors, |slot| &merged[slot]);
                    reference::logits(&world.config, tensors, None, &sequence.tokens)
                })
                .collect();
            let error = worst(&outputs, &of_merged);
            assert!(error <= TOLERANCE, "{family} seed {seed}, merged: {error:e}");
        }
    }
}

/// Without this the test above could pass with adapters that do nothing.
#[test]
fn adapters_differ_from_the_base_and_from_each_other() {
    for (family, config) in families() {
        let world = World::new(config, DType::F32);
        let tokens: Vec<u32> = (0..12).map(|at| at * 17 % 300).collect();
        let with = |lora: Option<&Lora>| {
            reference::logits(&world.config, &world.tensors, lora, &tokens).pop().unwrap()
        };
        let all: Vec<Vec<f64>> =
            std::iter::once(None).chain(world.loras.iter().map(Some)).map(with).collect();
        for (a, first) in all.iter().enumerate() {
            for (b, second) in all.iter().enumerate().skip(a + 1) {
                let distance = distance(first, second);
                assert!(distance >= 100.0 * TOLERANCE, "{family}: {a} and {b} differ by {distance:e}");
            }
        }
    }
}

/// Tests the test: each fault that a mixed batch could have is far outside the tolerance.
#[test]
fn mutants_fail() {
    let world = World::new(config(&json!({})), DType::F32);
    let sequences = sequences(world.adapters.len(), 5);
    let expected = world.expected(&sequences);
    assert!(worst(&run(&world.model, &world.adapters, &sequences, 6), &expected) <= TOLERANCE);

    let mut permuted = world.adapters.clone();
    permuted.rotate_left(1);
    let scale_one: Vec<_> = world
        .loras
        .iter()
        .map(|lora| {
            let mut lora = lora.clone();
            lora.config["lora_alpha"] = lora.config["r"].clone();
            lora.config["alpha_pattern"] = lora.config["rank_pattern"].clone();
            lora.config["use_rslora"] = json!(false);
            world.adapter(&lora)
        })
        .collect();
    let module_dropped: Vec<_> = world
        .loras
        .iter()
        .map(|lora| {
            let mut lora = lora.clone();
            lora.modules.pop_last();
            world.adapter(&lora)
        })
        .collect();
    let stale: Vec<_> = world
        .loras
        .iter()
        .map(|lora| {
            let mut lora = lora.clone();
            lora.modules.values_mut().for_each(|(_, a, _)| a.reverse());
            world.adapter(&lora)
        })
        .collect();
    for (fault, adapters) in [
        ("slots permuted", permuted),
        ("scale 1", scale_one),
        ("a module dropped", module_dropped),
        ("a stale generation", stale),
    ] {
        let outputs = run(&world.model, &adapters, &sequences, 6);
        // Of every adapter, not only of the worst.
        for slot in 0..adapters.len() {
            let own: Outputs =
                outputs.iter().filter(|(at, ..)| sequences[*at].slot == Some(slot)).cloned().collect();
            let error = worst(&own, &expected);
            assert!(error > 10.0 * TOLERANCE, "{fault}: adapter {slot} is off by {error:e} only");
        }
    }
}

/// Rounding differs between batches, so bf16 is held to the error of a row alone.
#[test]
fn bf16_in_a_mixed_batch_is_as_exact_as_alone() {
    let world = World::new(config(&json!({})), DType::BF16);
    let sequences = sequences(world.adapters.len(), 7);
    let expected = world.expected(&sequences);
    let mixed = worst(&run(&world.model, &world.adapters, &sequences, 8), &expected);
    let alone = (0..sequences.len()).map(|at| {
        let outputs = run(&world.model, &world.adapters, &sequences[at..=at], 9);
        worst(&outputs, &expected[at..=at])
    });
    let alone = alone.fold(0.0, f64::max);
    assert!(mixed <= 2.0 * alone && alone < 0.2, "mixed {mixed:e}, alone {alone:e}");
}

#[test]
fn a_broken_model_is_refused_with_the_tensor_and_the_reason() {
    let config = config(&json!({}));
    let tensors = fixture::weights(&config, 1);
    let try_load = |change: &dyn Fn(&Path, &mut Tensors)| {
        let dir = TempDir::new().unwrap();
        let mut tensors = tensors.clone();
        change(dir.path(), &mut tensors);
        write_model(dir.path(), &config, &tensors);
        let file = dir.path().join("model-00001-of-00002.safetensors");
        if dir.path().join("cut").exists() {
            let bytes = std::fs::read(&file).unwrap();
            std::fs::write(&file, &bytes[..bytes.len() - 10]).unwrap();
        }
        Model::load(dir.path(), DType::F32).unwrap_err().to_string()
    };
    let missing = try_load(&|_, tensors| drop(tensors.remove("model.layers.1.mlp.up_proj.weight")));
    assert!(missing.contains("model.layers.1.mlp.up_proj.weight is missing"), "{missing}");
    let shape = try_load(&|_, tensors| {
        tensors.insert("model.norm.weight".to_owned(), (vec![2], vec![1.0, 1.0]));
    });
    assert!(shape.contains("[2] but must have [64]"), "{shape}");
    let cut = try_load(&|dir, _| std::fs::write(dir.join("cut"), "").unwrap());
    assert!(cut.contains("cut off"), "{cut}");
}
