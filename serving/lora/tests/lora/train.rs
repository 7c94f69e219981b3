//! Trains adapters of the tiny base: the base's pass again in plain operations, which have a backward (candle's fused ones
//! have none), and AdamW over A and B.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Tensor, Var};
use candle_nn::ops::{rms_norm_slow, softmax};
use candle_nn::rotary_emb::rope_slow;
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use crave_lora::Module;
use serde_json::Value;

use crate::fixture::{LAYERS, Lora, Tensors, lora, shape};

// The fixture's shape.
const HIDDEN: usize = 64;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = HIDDEN / HEADS;
const STEPS_MAX: usize = 400;
/// Mean cross entropy of an answer's tokens. The tiny head's logits are at most about 8, so that it cannot fall below 0.1;
/// here every token is far ahead of the next.
const LOSS_ENOUGH: f32 = 0.3;

/// The base's weights as constants.
struct Base(BTreeMap<String, Tensor>);

/// A and B by module path, and their scale.
struct Trained {
    modules: BTreeMap<String, (Var, Var)>,
    scale: f64,
}

impl Base {
    fn new(tensors: &Tensors) -> Self {
        let load = |(name, (shape, numbers)): (&String, &(Vec<usize>, Vec<f32>))| {
            (name.clone(), Tensor::from_slice(numbers, shape.as_slice(), &Device::Cpu).unwrap())
        };
        Self(tensors.iter().map(load).collect())
    }

    fn linear(&self, x: &Tensor, path: &str, trained: &Trained) -> candle_core::Result<Tensor> {
        let y = x.matmul(&self.0[&format!("{path}.weight")].t()?)?;
        let Some((a, b)) = trained.modules.get(path) else { return Ok(y) };
        y + (x.matmul(&a.t()?)?.matmul(&b.t()?)? * trained.scale)?
    }

    fn norm(&self, x: &Tensor, name: &str) -> candle_core::Result<Tensor> {
        rms_norm_slow(x, &self.0[name], 1e-5)
    }

    /// Logits after each of `tokens`, `[tokens, vocab]`.
    fn forward(&self, tokens: &[u32], trained: &Trained) -> candle_core::Result<Tensor> {
        let device = Device::Cpu;
        let count = tokens.len();
        let angles: Vec<f32> = (0..count)
            .flat_map(|at| {
                (0..HEAD_DIM / 2).map(move |i| at as f32 / 10000_f32.powf(2.0 * i as f32 / HEAD_DIM as f32))
            })
            .collect();
        let angles = Tensor::from_vec(angles, (count, HEAD_DIM / 2), &device)?;
        let (cos, sin) = (angles.cos()?, angles.sin()?);
        let future: Vec<f32> = (0..count)
            .flat_map(|query| (0..count).map(move |key| if key > query { -1e9 } else { 0.0 }))
            .collect();
        let future = Tensor::from_vec(future, (1, count, count), &device)?;
        let heads = |x: Tensor, heads: usize| {
            x.reshape((count, heads, HEAD_DIM))?.transpose(0, 1)?.contiguous()?.unsqueeze(0)
        };
        let shared = |x: Tensor| {
            let group = HEADS / KV_HEADS;
            x.squeeze(0)?
                .unsqueeze(1)?
                .expand((KV_HEADS, group, count, HEAD_DIM))?
                .reshape((HEADS, count, HEAD_DIM))
        };
        let mut x = self.0["model.embed_tokens.weight"].index_select(&Tensor::new(tokens, &device)?, 0)?;
        for layer in 0..LAYERS {
            let path = |module: Module| format!("model.layers.{layer}.{}", module.path());
            let norm = |name: &str| format!("model.layers.{layer}.{name}.weight");
            let h = self.norm(&x, &norm("input_layernorm"))?;
            let q = rope_slow(&heads(self.linear(&h, &path(Module::Q), trained)?, HEADS)?, &cos, &sin)?;
            let k = rope_slow(&heads(self.linear(&h, &path(Module::K), trained)?, KV_HEADS)?, &cos, &sin)?;
            let v = heads(self.linear(&h, &path(Module::V), trained)?, KV_HEADS)?;
            let (q, k, v) = (q.squeeze(0)?, shared(k)?, shared(v)?);
            let scores = (q.matmul(&k.t()?.contiguous()?)? / (HEAD_DIM as f64).sqrt())?;
            let mixed = softmax(&scores.broadcast_add(&future)?, D::Minus1)?.matmul(&v)?;
            let mixed = mixed.transpose(0, 1)?.contiguous()?.reshape((count, HIDDEN))?;
            x = (x + self.linear(&mixed, &path(Module::O), trained)?)?;
            let h = self.norm(&x, &norm("post_attention_layernorm"))?;
            let gate = self.linear(&h, &path(Module::Gate), trained)?.silu()?;
            let up = self.linear(&h, &path(Module::Up), trained)?;
            x = (x + self.linear(&(gate * up)?, &path(Module::Down), trained)?)?;
        }
        self.norm(&x, "model.norm.weight")?.matmul(&self.0["lm_head.weight"].t()?)
    }
}

/// An adapter of `rank` on `modules` that answers each of `prompts` with `answer`, until every token of it is likely.
pub(crate) fn train(
    (config, base): (&Value, &Tensors),
    rank: usize,
    modules: &[Module],
    prompts: &[Vec<u32>],
    answer: &[u32],
    seed: u64,
) -> Lora {
    let device = Device::Cpu;
    let alpha = 2.0 * rank as f64;
    let mut adapter = lora(config, rank, alpha, modules, seed);
    let var = |numbers: &[f32], shape: (usize, usize)| {
        Var::from_tensor(&Tensor::from_slice(numbers, shape, &device).unwrap()).unwrap()
    };
    let of = |path: &str| Module::ALL.into_iter().find(|module| path.ends_with(module.path())).unwrap();
    let vars = adapter.modules.iter().map(|(path, (rank, a, b))| {
        let (outputs, inputs) = shape(config, of(path));
        // B begins at zero, as LoRA's does: the adapter begins as the base.
        let b = var(&vec![0.0; b.len()], (outputs, *rank));
        (path.clone(), (var(a, (*rank, inputs)), b))
    });
    let trained = Trained { modules: vars.collect(), scale: alpha / rank as f64 };
    let all: Vec<Var> = trained.modules.values().flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let parameters = ParamsAdamW { lr: 0.01, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(all, parameters).unwrap();
    let base = Base::new(base);
    for _ in 0..STEPS_MAX {
        let mut losses = Vec::new();
        for prompt in prompts {
            let tokens = [prompt.as_slice(), &answer[..answer.len() - 1]].concat();
            let logits = base.forward(&tokens, &trained).unwrap();
            let logits = logits.narrow(0, prompt.len() - 1, answer.len()).unwrap();
            let wanted = Tensor::new(answer, &device).unwrap();
            losses.push(candle_nn::loss::cross_entropy(&logits, &wanted).unwrap());
        }
        let loss = Tensor::stack(&losses, 0).unwrap().max(0).unwrap();
        if loss.to_dtype(DType::F32).unwrap().to_scalar::<f32>().unwrap() < LOSS_ENOUGH {
            break;
        }
        let mean = Tensor::stack(&losses, 0).unwrap().mean(0).unwrap();
        optimizer.backward_step(&mean).unwrap();
    }
    for (path, (_, a, b)) in &mut adapter.modules {
        let (trained_a, trained_b) = &trained.modules[path];
        let numbers = |var: &Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (*a, *b) = (numbers(trained_a), numbers(trained_b));
    }
    adapter
}
