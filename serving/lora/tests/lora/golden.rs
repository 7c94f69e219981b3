//! Greedy tokens and logits equal those of transformers and peft on the same random weights.
//!
//! `scripts/lora_golden.py` made `golden.json`: run this test with `LORA_GOLDEN_DIR` set to write the folders that the
//! script reads.

use std::path::Path;

use candle_core::DType;
use crave_lora::{KvCache, Row};
use serde::Deserialize;

use crate::fixture::{write_lora, write_model};
use crate::parity::{World, families};

#[derive(Deserialize)]
struct Golden {
    model: String,
    adapter: Option<usize>,
    prompt: Vec<u32>,
    /// After the prompt, the first of them.
    logits: Vec<f32>,
    tokens: Vec<u32>,
}

#[test]
fn greedy_tokens_equal_transformers_and_peft() {
    if let Some(dir) = std::env::var_os("LORA_GOLDEN_DIR") {
        write(Path::new(&dir));
        return;
    }
    let golden: Vec<Golden> = serde_json::from_str(include_str!("golden.json")).unwrap();
    for (family, config) in families() {
        let world = World::new(config, DType::F32);
        let cases: Vec<&Golden> = golden.iter().filter(|golden| golden.model == family).collect();
        assert_eq!(cases.len(), world.adapters.len() + 1);
        // All cases of a model in one batch.
        let mut cache = KvCache::new(world.model.config(), DType::F32, 64, 8).unwrap();
        let mut rows: Vec<Row> = cases
            .iter()
            .enumerate()
            .map(|(at, case)| Row {
                slot: case.adapter,
                position: 0,
                tokens: case.prompt.clone(),
                blocks: (0..12).map(|block| block * 5 + at as u32).collect(),
                logits: true,
            })
            .collect();
        for step in 0..cases[0].tokens.len() {
            let logits = world.model.forward(&rows, &world.adapters, &mut cache).unwrap();
            for ((row, logits), case) in rows.iter_mut().zip(logits).zip(&cases) {
                let logits = logits.unwrap();
                let name = format!("{family}, adapter {:?}, token {step}", case.adapter);
                if step == 0 {
                    for (found, expected) in logits.iter().zip(&case.logits) {
                        assert!(
                            (found - expected).abs() <= 2e-4,
                            "{name}: logit {found} instead of {expected}"
                        );
                    }
                }
                let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u32;
                assert_eq!(best, case.tokens[step], "{name}");
                row.position += row.tokens.len();
                row.tokens = vec![best];
            }
        }
    }
}

fn write(dir: &Path) {
    for (family, config) in families() {
        let world = World::new(config, DType::F32);
        write_model(&dir.join(family), &world.config, &world.tensors);
        for (number, lora) in world.loras.iter().enumerate() {
            write_lora(&dir.join(family).join(format!("adapter-{number}")), &world.config, lora);
        }
    }
}
