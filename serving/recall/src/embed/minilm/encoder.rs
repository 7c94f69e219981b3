//! The BERT encoder over a flat list of tokens, `[tokens, hidden]`: texts of a batch lie one after the other, so that no
//! padding is computed, and only attention looks at where each begins.
//!
//! Devlin et al., *BERT* (NAACL 2019). candle multiplies the matrices; what stands between them (bias, GELU, residual and
//! layer norm, softmax) is done in one pass each over what was just written, in [`ops`].

use candle_core::{DType, Device, IndexOp as _, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::Config;

use super::ops::{AddNorm, Attention, Bias, BiasGelu, Norm, Softmax, norm_rows};

/// Tokens from which on attention is two matrix products a text; below, a loop is faster.
const LONG_TOKENS: usize = 96;

/// Layers of the lower part, whose states tell how something was said.
const LOWER_LAYERS: usize = 4;
/// Vectors that [`Encoder::states`] gives a text.
pub(super) const STATES: usize = 3;

/// The encoder, loaded.
pub(super) struct Encoder {
    /// `[vocabulary, hidden]`, `[positions, hidden]` with the first token type added.
    words: Vec<f32>,
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    hidden: usize,
    heads: usize,
}

struct Layer {
    /// Queries, keys and values side by side: `[hidden, 3·hidden]`.
    qkv: Linear,
    out: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    output_norm: Norm,
}

struct Linear {
    /// `[in, out]`.
    weight: Tensor,
    bias: Vec<f32>,
}

impl Encoder {
    /// Takes the weights by the names that sentence-transformers gives them.
    pub(super) fn load(weights: &VarBuilder<'_>, config: &Config) -> Result<Self> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let embeddings = weights.pp("embeddings");
        let table = |rows: usize, name: &str| -> Result<Vec<f32>> {
            embeddings.get((rows, hidden), name)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
        };
        let words = table(config.vocab_size, "word_embeddings.weight")?;
        let mut positions = table(config.max_position_embeddings, "position_embeddings.weight")?;
        let first_type = table(config.type_vocab_size, "token_type_embeddings.weight")?;
        for row in positions.chunks_exact_mut(hidden) {
            row.iter_mut().zip(&first_type).for_each(|(x, y)| *x += y);
        }
        let eps = config.layer_norm_eps;
        let norm = |weights: VarBuilder<'_>| -> Result<Norm> {
            let vector = |name: &str| weights.get(hidden, name)?.to_vec1();
            #[allow(clippy::cast_possible_truncation, reason = "1e-12")]
            Ok(Norm { weight: vector("weight")?, bias: vector("bias")?, eps: eps as f32 })
        };
        let layer = |at: usize| -> Result<Layer> {
            let of = weights.pp("encoder.layer").pp(at);
            let attention = of.pp("attention");
            let parts = ["query", "key", "value"].map(|name| attention.pp("self").pp(name));
            let mut qkv: Vec<Linear> = Vec::with_capacity(3);
            for part in parts {
                qkv.push(linear(&part, hidden, hidden)?);
            }
            let weights: Vec<&Tensor> = qkv.iter().map(|part| &part.weight).collect();
            Ok(Layer {
                qkv: Linear {
                    weight: Tensor::cat(&weights, 1)?.contiguous()?,
                    bias: qkv.iter().flat_map(|part| part.bias.iter().copied()).collect(),
                },
                out: linear(&attention.pp("output.dense"), hidden, hidden)?,
                attention_norm: norm(attention.pp("output.LayerNorm"))?,
                up: linear(&of.pp("intermediate.dense"), hidden, wide)?,
                down: linear(&of.pp("output.dense"), wide, hidden)?,
                output_norm: norm(of.pp("output.LayerNorm"))?,
            })
        };
        let layers = (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        let norm = norm(embeddings.pp("LayerNorm"))?;
        Ok(Self { words, positions, norm, layers, hidden, heads: config.num_attention_heads })
    }

    /// The mean of the last layer's vectors of each text's tokens, scaled to length 1. Ids out of the vocabulary and
    /// tokens beyond the last position are an error of candle.
    pub(super) fn embed(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        self.pooled(texts, &[self.layers.len()])
    }

    /// [`STATES`] such means a text, side by side: before the first layer, after [`LOWER_LAYERS`], and after the last.
    /// The last layer says what a text is about; the words themselves, and how it was said, stand out lower down
    /// (Jawahar, Sagot, Seddah, *What Does BERT Learn about the Structure of Language?*, ACL 2019).
    pub(super) fn states(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let last = self.layers.len();
        self.pooled(texts, &[0, LOWER_LAYERS.min(last), last])
    }

    /// The means after each number of layers in `depths`, which ascends.
    fn pooled(&self, texts: &[&[u32]], depths: &[usize]) -> Result<Vec<Vec<f32>>> {
        let lengths: Vec<usize> = texts.iter().map(|ids| ids.len()).collect();
        if lengths.iter().all(|length| *length == 0) {
            return Ok(vec![vec![0.0; self.hidden * depths.len()]; texts.len()]);
        }
        let mut vectors = vec![Vec::with_capacity(self.hidden * depths.len()); texts.len()];
        let mut tokens = self.tokens(texts)?;
        for done in 0..=self.layers.len() {
            for _ in depths.iter().filter(|depth| **depth == done) {
                let rows: Vec<f32> = tokens.flatten_all()?.to_vec1()?;
                let mut rest = rows.as_slice();
                for (vector, length) in vectors.iter_mut().zip(&lengths) {
                    let (own, after) = rest.split_at_checked(length * self.hidden).unwrap_or((rest, &[]));
                    vector.extend(mean(own, self.hidden));
                    rest = after;
                }
            }
            if let Some(layer) = self.layers.get(done) {
                tokens = self.layer(layer, tokens, &lengths)?;
            }
        }
        Ok(vectors)
    }

    /// The embeddings of all tokens.
    fn tokens(&self, texts: &[&[u32]]) -> Result<Tensor> {
        let hidden = self.hidden;
        let row = |table: &[f32], at: usize| -> Result<Vec<f32>> {
            let row = table.get(at * hidden..(at + 1) * hidden);
            row.map(<[f32]>::to_vec).ok_or_else(|| candle_core::Error::Msg(format!("no row {at} in a table")))
        };
        let mut rows = Vec::with_capacity(texts.iter().map(|ids| ids.len()).sum::<usize>() * hidden);
        for ids in texts {
            for (position, id) in ids.iter().enumerate() {
                let word = row(&self.words, *id as usize)?;
                let place = row(&self.positions, position)?;
                rows.extend(word.iter().zip(&place).map(|(x, y)| x + y));
            }
        }
        norm_rows(&mut rows, &self.norm);
        let count = rows.len() / hidden.max(1);
        Tensor::from_vec(rows, (count, hidden), &Device::Cpu)
    }

    fn layer(&self, layer: &Layer, tokens: Tensor, lengths: &[usize]) -> Result<Tensor> {
        let qkv = tokens.matmul(&layer.qkv.weight)?;
        qkv.inplace_op1(&Bias(&layer.qkv.bias))?;
        let attended = self.attention(&qkv, lengths)?;
        let out = attended.matmul(&layer.out.weight)?;
        out.inplace_op2(&tokens, &AddNorm { bias: &layer.out.bias, norm: &layer.attention_norm })?;
        drop(tokens);
        let wide = out.matmul(&layer.up.weight)?;
        wide.inplace_op1(&BiasGelu(&layer.up.bias))?;
        let down = wide.matmul(&layer.down.weight)?;
        down.inplace_op2(&out, &AddNorm { bias: &layer.down.bias, norm: &layer.output_norm })?;
        Ok(down)
    }

    /// Each text's tokens attend to each other: `[tokens, 3·hidden]` in, `[tokens, hidden]` out.
    fn attention(&self, qkv: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        // Texts come sorted by length, so the long ones are together.
        let mut parts = Vec::new();
        let (mut first, mut at) = (0, 0);
        while let Some(length) = lengths.get(at).copied() {
            if length >= LONG_TOKENS {
                parts.push(self.long(&qkv.narrow(0, first, length)?)?);
                (first, at) = (first + length, at + 1);
                continue;
            }
            let rest = lengths.get(at..).unwrap_or_default();
            let short: Vec<usize> = rest.iter().copied().take_while(|length| *length < LONG_TOKENS).collect();
            let (texts, count) = (short.len(), short.iter().sum());
            let op = Attention { lengths: short, heads: self.heads };
            parts.push(qkv.narrow(0, first, count)?.apply_op1_no_bwd(&op)?);
            (first, at) = (first + count, at + texts);
        }
        match parts.as_slice() {
            [one] => Ok(one.clone()),
            many => Tensor::cat(many, 0),
        }
    }

    /// One text, by matrix products over its heads.
    fn long(&self, qkv: &Tensor) -> Result<Tensor> {
        let (length, width) = (qkv.dim(0)?, self.hidden / self.heads);
        let parts = qkv.reshape((length, 3, self.heads, width))?;
        let part = |at: usize| parts.i((.., at))?.transpose(0, 1)?.contiguous();
        let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
        let weights = queries.matmul(&keys.transpose(1, 2)?)?;
        #[allow(clippy::cast_precision_loss, reason = "a small number")]
        weights.inplace_op1(&Softmax { scale: 1.0 / (width as f32).sqrt() })?;
        weights.matmul(&values)?.transpose(0, 1)?.contiguous()?.reshape((length, self.hidden))
    }
}

/// A layer's weights, turned so that tokens are multiplied from the left.
fn linear(weights: &VarBuilder<'_>, from: usize, to: usize) -> Result<Linear> {
    let weight = weights.get((to, from), "weight")?.t()?.contiguous()?;
    Ok(Linear { weight, bias: weights.get(to, "bias")?.to_vec1()? })
}

/// The mean of rows, scaled to length 1.
fn mean(rows: &[f32], hidden: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; hidden];
    for row in rows.chunks_exact(hidden) {
        sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    // The length of the sum: dividing by the number of tokens first would change nothing.
    if length > 0.0 {
        sum.iter_mut().for_each(|x| *x /= length);
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::D;
    use candle_transformers::models::bert::BertModel;

    use super::*;

    fn config() -> Config {
        let text = r#"{"vocab_size": 50, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 96, "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "max_position_embeddings": 256,
            "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0,
            "position_embedding_type": "absolute", "use_cache": false, "classifier_dropout": null,
            "model_type": "bert"}"#;
        serde_json::from_str(text).unwrap()
    }

    /// Random weights by the names of sentence-transformers.
    fn weights(config: &Config) -> VarBuilder<'static> {
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let mut tensors = HashMap::new();
        let mut add = |name: String, shape: &[usize]| {
            tensors.insert(name, Tensor::randn(0.0_f32, 0.2, shape, &Device::Cpu).unwrap());
        };
        for (name, rows) in [("word", 50), ("position", 256), ("token_type", 2)] {
            add(format!("embeddings.{name}_embeddings.weight"), &[rows, hidden]);
        }
        let mut norms = vec!["embeddings.LayerNorm".to_owned()];
        for layer in 0..config.num_hidden_layers {
            let of = format!("encoder.layer.{layer}");
            for (name, to, from) in [
                ("attention.self.query", hidden, hidden),
                ("attention.self.key", hidden, hidden),
                ("attention.self.value", hidden, hidden),
                ("attention.output.dense", hidden, hidden),
                ("intermediate.dense", wide, hidden),
                ("output.dense", hidden, wide),
            ] {
                add(format!("{of}.{name}.weight"), &[to, from]);
                add(format!("{of}.{name}.bias"), &[to]);
            }
            norms.extend([format!("{of}.attention.output.LayerNorm"), format!("{of}.output.LayerNorm")]);
        }
        for norm in norms {
            add(format!("{norm}.weight"), &[hidden]);
            add(format!("{norm}.bias"), &[hidden]);
        }
        VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
    }

    /// candle's own BERT, one text at a time.
    fn expected(model: &BertModel, ids: &[u32]) -> Vec<f32> {
        let ids = Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let tokens = model.forward(&ids, &ids.zeros_like().unwrap(), None).unwrap();
        let mean = tokens.mean(1).unwrap();
        let length = mean.sqr().unwrap().sum_keepdim(D::Minus1).unwrap().sqrt().unwrap();
        mean.broadcast_div(&length).unwrap().squeeze(0).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn vectors_are_those_of_candles_bert_however_texts_are_batched() {
        let config = config();
        let weights = weights(&config);
        let (ours, theirs) =
            (Encoder::load(&weights, &config).unwrap(), BertModel::load(weights, &config).unwrap());
        let text = |length: u32| -> Vec<u32> { (0..length).map(|at| (at * 7 + length) % 50).collect() };
        let texts = [1, 2, 3, 17, 40, 95, 96, 97, 200, 5].map(text);
        let all: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        let together = ours.embed(&all).unwrap();
        for (ids, batched) in texts.iter().zip(&together) {
            let alone = ours.embed(&[ids]).unwrap().remove(0);
            for ((x, y), exact) in batched.iter().zip(&alone).zip(expected(&theirs, ids)) {
                assert!((x - exact).abs() < 2e-5 && (y - exact).abs() < 2e-5, "{} tokens", ids.len());
            }
        }
    }

    #[test]
    fn what_is_out_of_the_tables_is_an_error() {
        let config = config();
        let encoder = Encoder::load(&weights(&config), &config).unwrap();
        assert!(encoder.embed(&[&[1, 50]]).is_err());
        assert!(encoder.embed(&[&[1; 257]]).is_err());
        assert!(encoder.embed(&[]).unwrap().is_empty());
    }
}
