//! A base from a GGUF file: as exact in a mixed batch as alone (LR-1), and refused with a reason when it is not served.

use std::path::Path;

use candle_core::quantized::GgmlDType::{self, F16, F32, Q4_0, Q4K, Q5_0, Q5K, Q6K, Q8_0};
use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::Value as Entry;
use candle_core::{DType, Device};
use crave_lora::Model;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::{self, Tensors, config};
use crate::gguf_file::{convert, metadata, name, save};
use crate::parity::{Outputs, TOLERANCE, World, run, sequences, worst};

/// Which kind each tensor gets.
type Kinds = fn(&str) -> GgmlDType;

/// As llama.cpp's Q4_K_M: six bits where it matters most.
fn q4_k_m(name: &str) -> GgmlDType {
    let six = ["v_proj", "down_proj", "lm_head", "embed_tokens"];
    if six.iter().any(|part| name.contains(part)) { Q6K } else { Q4K }
}

/// Llama with rows that llama.cpp's converter moves, and Qwen with biases and without; wide enough for blocks of 256.
fn wide(model_type: &str) -> Value {
    let tied = model_type == "qwen2";
    config(
        &json!({"model_type": model_type, "hidden_size": 256, "intermediate_size": 256, "tie_word_embeddings": tied,
        "num_hidden_layers": 1}),
    )
}

/// The tensors of a model as a GGUF file has them.
fn quantise(config: &Value, tensors: &Tensors, kinds: Kinds) -> Vec<(String, QTensor)> {
    let kind = |name: &str, shape: &[usize]| if shape.len() == 1 { F32 } else { kinds(name) };
    tensors
        .iter()
        .map(|(hf, (shape, numbers))| (name(hf), convert(config, hf, shape, numbers, kind(hf, shape))))
        .collect()
}

/// The numbers that the kinds leave of `tensors`: what W is.
fn dequantised(tensors: &Tensors, kinds: Kinds) -> Tensors {
    let one = |(name, (shape, numbers)): (&String, &(Vec<usize>, Vec<f32>))| {
        let tensor = candle_core::Tensor::from_slice(numbers, shape.as_slice(), &Device::Cpu).unwrap();
        let tensor = match shape.len() {
            1 => tensor,
            _ => QTensor::quantize(&tensor, kinds(name)).unwrap().dequantize(&Device::Cpu).unwrap(),
        };
        (name.clone(), (shape.clone(), tensor.flatten_all().unwrap().to_vec1().unwrap()))
    };
    tensors.iter().map(one).collect()
}

fn world(config: Value, kinds: Kinds) -> World {
    let dir = TempDir::new().unwrap();
    let tensors = fixture::weights(&config, 1);
    std::fs::create_dir(dir.path().join("tiny")).unwrap();
    save(&dir.path().join("tiny/some.gguf"), &metadata(&config), &quantise(&config, &tensors, kinds));
    World::of(dir, config, dequantised(&tensors, kinds), DType::F32)
}

#[test]
fn a_quantised_base_in_a_mixed_batch_is_as_exact_as_alone() {
    let cases: [(&str, Kinds, f64); 7] = [
        ("F32", |_| F32, TOLERANCE),
        ("F16", |_| F16, TOLERANCE),
        ("Q8_0", |_| Q8_0, 0.05),
        ("Q5_0", |_| Q5_0, 0.05),
        ("Q4_0", |_| Q4_0, 0.05),
        ("Q4_K_M", q4_k_m, 0.05),
        // Without a kernel of our own.
        ("Q5_K", |_| Q5K, 0.05),
    ];
    for (at, (case, kinds, error_max)) in cases.into_iter().enumerate() {
        let world = world(wide(["llama", "qwen2"][at % 2]), kinds);
        let sequences = sequences(world.adapters.len(), 7);
        let expected = world.expected(&sequences);
        let outputs = run(&world.model, &world.adapters, &sequences, 8);
        let mixed = worst(&outputs, &expected);
        let alone = (0..sequences.len()).map(|at| {
            let outputs = run(&world.model, &world.adapters, &sequences[at..=at], 9);
            worst(&outputs, &expected[at..=at])
        });
        let alone = alone.fold(0.0, f64::max);
        assert!(mixed <= 2.0 * alone && alone <= error_max, "{case}: mixed {mixed:e}, alone {alone:e}");

        // Tests the test: adapters of other rows are seen.
        let mut permuted = world.adapters.clone();
        permuted.rotate_left(1);
        let outputs = run(&world.model, &permuted, &sequences, 8);
        for slot in 0..permuted.len() {
            let own: Outputs =
                outputs.iter().filter(|(at, ..)| sequences[*at].slot == Some(slot)).cloned().collect();
            let error = worst(&own, &expected);
            assert!(error > 5.0 * alone, "{case}: permuted, adapter {slot} is off by {error:e} only");
        }
    }
}

/// What is done to a file before it is loaded.
type Change<'a> = dyn Fn(&Path, &mut Vec<(String, Entry)>, &mut Vec<(String, QTensor)>) + 'a;

#[test]
fn what_a_gguf_file_says_is_checked() {
    let config = wide("llama");
    let tensors = quantise(&config, &fixture::weights(&config, 1), q4_k_m);
    let entries = metadata(&config);
    let load = |change: &Change<'_>| {
        let dir = TempDir::new().unwrap();
        let mut entries = entries.clone();
        let again = |tensor: &QTensor| {
            QTensor::quantize(&tensor.dequantize(&Device::Cpu).unwrap(), tensor.dtype()).unwrap()
        };
        let mut tensors = tensors.iter().map(|(name, tensor)| (name.clone(), again(tensor))).collect();
        change(dir.path(), &mut entries, &mut tensors);
        save(&dir.path().join("some.gguf"), &entries, &tensors);
        if dir.path().join("cut").exists() {
            let bytes = std::fs::read(dir.path().join("some.gguf")).unwrap();
            std::fs::write(dir.path().join("some.gguf"), &bytes[..bytes.len() - 5000]).unwrap();
        }
        Model::load(dir.path(), DType::F32).map(|_| ()).map_err(|error| error.to_string())
    };
    let set = |entries: &mut Vec<(String, Entry)>, key: &str, value: Entry| {
        entries.retain(|(name, _)| name != key);
        entries.push((key.to_owned(), value));
    };
    assert_eq!(load(&|_, _, _| {}), Ok(()));
    let why = |change: &Change<'_>| load(change).unwrap_err();
    for (why, word) in [
        (
            why(&|_, entries, _| set(entries, "general.architecture", Entry::String("gemma".to_owned()))),
            "gemma",
        ),
        (why(&|_, entries, _| set(entries, "llama.expert_count", Entry::U32(8))), "experts"),
        (why(&|_, entries, _| set(entries, "llama.attention.head_count", Entry::F32(4.0))), "whole number"),
        (
            why(&|_, entries, _| entries.retain(|(name, _)| name != "llama.block_count")),
            "block_count is missing",
        ),
        (
            why(&|_, entries, _| set(entries, "llama.rope.scaling.type", Entry::String("yarn".to_owned()))),
            "yarn",
        ),
        (why(&|_, entries, _| set(entries, "llama.rope.dimension_count", Entry::U32(32))), "dimension_count"),
        (
            why(&|_, entries, _| set(entries, "llama.feed_forward_length", Entry::U32(512))),
            "must have [512, 256]",
        ),
        (
            why(&|_, _, tensors| tensors.retain(|(name, _)| name != "blk.0.ffn_up.weight")),
            "ffn_up.weight is missing",
        ),
        (
            why(&|_, _, tensors| {
                tensors.iter_mut().for_each(|(name, _)| *name = name.replace("output_norm", "other"));
            }),
            "output_norm",
        ),
        (
            why(&|_, _, tensors| {
                let norm = tensors.iter().position(|(name, _)| name == "output_norm.weight").unwrap();
                let copy = tensors[norm].1.dequantize(&Device::Cpu).unwrap();
                tensors.push(("blk.0.attn_q_norm.weight".to_owned(), QTensor::quantize(&copy, F32).unwrap()));
            }),
            "attn_q_norm.weight is not part",
        ),
        (why(&|dir, _, _| std::fs::write(dir.join("cut"), "").unwrap()), "cut off"),
        (why(&|dir, _, _| std::fs::write(dir.join("other.gguf"), "").unwrap()), "several .gguf"),
    ] {
        assert!(why.contains(word), "{word}: {why}");
    }
}

#[test]
fn a_quantised_base_runs_in_f32_only() {
    let dir = TempDir::new().unwrap();
    let config = wide("llama");
    save(
        &dir.path().join("some.gguf"),
        &metadata(&config),
        &quantise(&config, &fixture::weights(&config, 1), q4_k_m),
    );
    let why = Model::load(dir.path(), DType::BF16).unwrap_err().to_string();
    assert!(why.contains("runs in f32"), "{why}");
}

/// Llama 3's stretching is a tensor of divisors in GGUF.
#[test]
fn rotary_divisors_do_what_the_config_would() {
    let config = wide("llama");
    let mut tensors = quantise(&config, &fixture::weights(&config, 1), |_| F32);
    let divisors = candle_core::Tensor::full(2_f32, 32, &Device::Cpu).unwrap();
    tensors.push(("rope_freqs.weight".to_owned(), QTensor::quantize(&divisors, F32).unwrap()));
    let logits = |entries: &[(String, Entry)], tensors: &[(String, QTensor)]| {
        let dir = TempDir::new().unwrap();
        save(&dir.path().join("some.gguf"), entries, tensors);
        let model = Model::load(dir.path(), DType::F32).unwrap();
        let mut cache = crave_lora::KvCache::new(model.config(), DType::F32, 4, 8).unwrap();
        let row = crave_lora::Row {
            slot: None,
            position: 0,
            tokens: vec![1, 17, 290, 5, 123],
            blocks: vec![0],
            logits: true,
        };
        model.forward(&[row], &[], &mut cache).unwrap().pop().unwrap().unwrap()
    };
    let mut linear = metadata(&config);
    linear.push(("llama.rope.scaling.type".to_owned(), Entry::String("linear".to_owned())));
    linear.push(("llama.rope.scaling.factor".to_owned(), Entry::F32(2.0)));
    let divided = logits(&metadata(&config), &tensors);
    tensors.pop();
    assert_eq!(divided, logits(&linear, &tensors));
    assert_ne!(divided, logits(&metadata(&config), &tensors));
}
