//! A Llama in f64 loops, without cache, batch or blocks: what the engine must equal.

use serde_json::{Value, json};

use crate::fixture::{Lora, Tensors};

/// W and, for an adapter, s, A and B of one module.
struct Linear {
    outputs: usize,
    inputs: usize,
    weight: Vec<f64>,
    bias: Option<Vec<f64>>,
    lora: Option<(f64, usize, Vec<f64>, Vec<f64>)>,
}

impl Linear {
    fn apply(&self, x: &[f64]) -> Vec<f64> {
        let product = |matrix: &[f64], inputs: usize, x: &[f64]| -> Vec<f64> {
            matrix.chunks_exact(inputs).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
        };
        let mut y = product(&self.weight, self.inputs, x);
        assert_eq!(y.len(), self.outputs);
        if let Some(bias) = &self.bias {
            y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
        }
        if let Some((scale, rank, a, b)) = &self.lora {
            let low = product(a, self.inputs, x);
            for (y, delta) in y.iter_mut().zip(product(b, *rank, &low)) {
                *y += scale * delta;
            }
        }
        y
    }
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|number| f64::from(*number)).collect()
}

/// s of an adapter's module, from its config: pattern keys here are plain endings of the path.
pub(crate) fn scale(lora: &Lora, path: &str) -> f64 {
    let find = |patterns: &Value| {
        let patterns = patterns.as_object().unwrap();
        patterns
            .iter()
            .find(|(key, _)| path.ends_with(key.as_str()))
            .map(|(_, value)| value.as_f64().unwrap())
    };
    let rank = find(&lora.config["rank_pattern"]).unwrap_or_else(|| lora.config["r"].as_f64().unwrap());
    let alpha =
        find(&lora.config["alpha_pattern"]).unwrap_or_else(|| lora.config["lora_alpha"].as_f64().unwrap());
    if lora.config["use_rslora"] == json!(true) { alpha / rank.sqrt() } else { alpha / rank }
}

/// W + s·B·A in every module of the adapter, rounded to f32.
pub(crate) fn merge(tensors: &Tensors, lora: &Lora) -> Tensors {
    let mut merged = tensors.clone();
    for (path, (rank, a, b)) in &lora.modules {
        let scale = scale(lora, path);
        let (shape, weight) = merged.get_mut(&format!("{path}.weight")).unwrap();
        let inputs = shape[1];
        for (row, weights) in weight.chunks_exact_mut(inputs).enumerate() {
            for (column, weight) in weights.iter_mut().enumerate() {
                let delta: f64 = (0..*rank)
                    .map(|at| f64::from(b[row * rank + at]) * f64::from(a[at * inputs + column]))
                    .sum();
                *weight = (f64::from(*weight) + scale * delta) as f32;
            }
        }
    }
    merged
}

/// Logits after every token of `tokens`, with the adapter beside the weights if there is one.
pub(crate) fn logits(
    config: &Value,
    tensors: &Tensors,
    lora: Option<&Lora>,
    tokens: &[u32],
) -> Vec<Vec<f64>> {
    let vector = |name: &str| wide(&tensors[name].1);
    let linear = |path: &str| {
        let (shape, weight) = &tensors[&format!("{path}.weight")];
        Linear {
            outputs: shape[0],
            inputs: shape[1],
            weight: wide(weight),
            bias: tensors.get(&format!("{path}.bias")).map(|(_, bias)| wide(bias)),
            lora: lora.and_then(|lora| {
                let (rank, a, b) = lora.modules.get(path)?;
                Some((scale(lora, path), *rank, wide(a), wide(b)))
            }),
        }
    };
    let hidden = config["hidden_size"].as_u64().unwrap() as usize;
    let heads = config["num_attention_heads"].as_u64().unwrap() as usize;
    let shared = heads / config["num_key_value_heads"].as_u64().unwrap() as usize;
    let dim = hidden / heads;
    let window = match config["model_type"].as_str() {
        Some("mistral") => config["sliding_window"].as_u64().map_or(usize::MAX, |window| window as usize),
        _ => usize::MAX,
    };
    let embedding = vector("model.embed_tokens.weight");
    let mut xs: Vec<Vec<f64>> =
        tokens.iter().map(|token| embedding[*token as usize * hidden..][..hidden].to_vec()).collect();
    for layer in 0..config["num_hidden_layers"].as_u64().unwrap() {
        let path = |name: &str| format!("model.layers.{layer}.{name}");
        let norm = vector(&path("input_layernorm.weight"));
        let [q, k, v, o] = ["q", "k", "v", "o"].map(|name| linear(&path(&format!("self_attn.{name}_proj"))));
        let normed: Vec<Vec<f64>> = xs.iter().map(|x| rms(x, &norm)).collect();
        let turned = |linear: &Linear| -> Vec<Vec<f64>> {
            normed.iter().enumerate().map(|(at, x)| rotate(config, dim, at, linear.apply(x))).collect()
        };
        let (queries, keys) = (turned(&q), turned(&k));
        let values: Vec<Vec<f64>> = normed.iter().map(|x| v.apply(x)).collect();
        for (at, x) in xs.iter_mut().enumerate() {
            let mut attended = Vec::new();
            for head in 0..heads {
                let part = |all: &[f64], head: usize| all[head * dim..][..dim].to_vec();
                let query = part(&queries[at], head);
                let first = (at + 1).saturating_sub(window);
                let scores: Vec<f64> = (first..=at)
                    .map(|seen| {
                        let key = part(&keys[seen], head / shared);
                        query.iter().zip(key).map(|(a, b)| a * b).sum::<f64>() / (dim as f64).sqrt()
                    })
                    .collect();
                let max = scores.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = scores.iter().map(|score| (score - max).exp()).sum();
                let mut out = vec![0.0; dim];
                for (score, seen) in scores.iter().zip(first..) {
                    let value = part(&values[seen], head / shared);
                    out.iter_mut().zip(value).for_each(|(out, v)| *out += (score - max).exp() / sum * v);
                }
                attended.extend(out);
            }
            x.iter_mut().zip(o.apply(&attended)).for_each(|(x, add)| *x += add);
        }
        let norm = vector(&path("post_attention_layernorm.weight"));
        let [gate, up, down] = ["gate", "up", "down"].map(|name| linear(&path(&format!("mlp.{name}_proj"))));
        for x in &mut xs {
            let normed = rms(x, &norm);
            let inner: Vec<f64> = gate
                .apply(&normed)
                .iter()
                .zip(up.apply(&normed))
                .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
                .collect();
            x.iter_mut().zip(down.apply(&inner)).for_each(|(x, add)| *x += add);
        }
    }
    let norm = vector("model.norm.weight");
    let head = if config["tie_word_embeddings"] == json!(true) { "model.embed_tokens" } else { "lm_head" };
    let head = linear(head);
    xs.iter().map(|x| head.apply(&rms(x, &norm))).collect()
}

fn rms(x: &[f64], weight: &[f64]) -> Vec<f64> {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weight).map(|(x, weight)| x / (mean + 1e-5).sqrt() * weight).collect()
}

fn rotate(config: &Value, dim: usize, position: usize, mut x: Vec<f64>) -> Vec<f64> {
    for head in x.chunks_exact_mut(dim) {
        for pair in 0..dim / 2 {
            let theta = config["rope_theta"].as_f64().unwrap();
            let mut frequency = theta.powf(-2.0 * pair as f64 / dim as f64);
            if let Some(scaling) = config["rope_scaling"].as_object() {
                let get = |key: &str| scaling[key].as_f64().unwrap();
                let original = get("original_max_position_embeddings");
                let wavelength = std::f64::consts::TAU / frequency;
                let (low, high, factor) = (get("low_freq_factor"), get("high_freq_factor"), get("factor"));
                if wavelength > original / low {
                    frequency /= factor;
                } else if wavelength >= original / high {
                    let smooth = (original / wavelength - low) / (high - low);
                    frequency = (1.0 - smooth) * frequency / factor + smooth * frequency;
                }
            }
            let (sin, cos) = (position as f64 * frequency).sin_cos();
            let (a, b) = (head[pair], head[pair + dim / 2]);
            head[pair] = a * cos - b * sin;
            head[pair + dim / 2] = b * cos + a * sin;
        }
    }
    x
}
