//! A model of the Llama family in a GGUF file (ggml, `docs/gguf.md`), as llama.cpp's converter writes it.

mod config;
mod header;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use sha2::{Digest, Sha256};

use super::config::ModelConfig;
use super::matrix::Matrix;
use header::{Header, Place, Value};

const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// An open GGUF file of the Llama family.
#[derive(Debug)]
pub(super) struct Gguf {
    file: File,
    header: Header,
    /// Heads of queries and keys whose rows lie as llama.cpp's rotary positions want them.
    interleaved: Option<(usize, usize)>,
    read: BTreeSet<String>,
    hash: Sha256,
}

impl Gguf {
    pub(super) fn open(path: &Path) -> Result<(Self, ModelConfig), String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        let (header, config) = parse(BufReader::new(&file), length)?;
        // llama.cpp turns neighbouring pairs in models of this architecture; its converter moves the rows to match.
        let llama = header.metadata.get("general.architecture") == Some(&Value::Text("llama".to_owned()));
        let interleaved = llama.then_some((config.heads, config.kv_heads));
        Ok((Self { file, header, interleaved, read: BTreeSet::new(), hash: Sha256::new() }, config))
    }

    pub(super) fn matrix(
        &mut self,
        name: &str,
        shape: [usize; 2],
        dtype: DType,
        device: &Device,
    ) -> Result<Matrix, String> {
        let name = own_name(name)?;
        let kind = self.header.tensors.get(&name).map(|place| place.kind);
        match kind {
            Some(GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16) => {
                let tensor = dense(&self.read(&name, &shape, &Device::Cpu)?, dtype)?;
                tensor.to_device(device).map(Matrix::Dense).map_err(|error| error.to_string())
            }
            _ if dtype != DType::F32 => Err(format!("a quantised base runs in f32, not {dtype:?}")),
            _ => self.read(&name, &shape, device).map(|tensor| Matrix::Quantised(Arc::new(tensor))),
        }
    }

    pub(super) fn vector(&mut self, name: &str, length: usize, dtype: DType) -> Result<Tensor, String> {
        dense(&self.read(&own_name(name)?, &[length], &Device::Cpu)?, dtype)
    }

    /// What each rotary frequency is divided by: Llama 3's stretching, as a tensor.
    pub(super) fn rope_divisors(&mut self, pairs: usize) -> Result<Option<Vec<f32>>, String> {
        if !self.header.tensors.contains_key(ROPE_DIVISORS) {
            return Ok(None);
        }
        let divisors = dense(&self.read(ROPE_DIVISORS, &[pairs], &Device::Cpu)?, DType::F32)?;
        let divisors: Vec<f32> = divisors.to_vec1().map_err(|error| error.to_string())?;
        match divisors.iter().all(|divisor| divisor.is_finite() && *divisor > 0.0) {
            true => Ok(Some(divisors)),
            false => Err(format!("tensor {ROPE_DIVISORS} has a number that is not above 0")),
        }
    }

    fn read(&mut self, name: &str, shape: &[usize], device: &Device) -> Result<QTensor, String> {
        let Place { kind, shape: found, offset, bytes } =
            self.header.tensors.get(name).ok_or_else(|| format!("tensor {name} is missing"))?;
        if found != shape {
            return Err(format!("tensor {name} has shape {found:?} but must have {shape:?}"));
        }
        let mut data = vec![0_u8; *bytes];
        let wrong = |error: &dyn std::fmt::Display| format!("tensor {name}: {error}");
        self.file
            .seek(SeekFrom::Start(*offset))
            .and_then(|_| self.file.read_exact(&mut data))
            .map_err(|error| wrong(&error))?;
        self.hash.update(name.as_bytes());
        self.hash.update(&data);
        self.read.insert(name.to_owned());
        let heads = self.interleaved.and_then(|(heads, kv_heads)| match name.split('.').nth(2) {
            Some("attn_q") => Some(heads),
            Some("attn_k") => Some(kv_heads),
            _ => None,
        });
        if let Some(heads) = heads {
            data = separate(&data, heads, shape[0]);
        }
        QStorage::from_data(data.into(), device, *kind)
            .and_then(|storage| QTensor::new(storage, shape))
            .map_err(|error| wrong(&error))
    }

    pub(super) fn finish(self) -> Result<String, String> {
        match self.header.tensors.keys().find(|name| !self.read.contains(*name)) {
            Some(name) => Err(format!("tensor {name} is not part of a model that is served")),
            None => Ok(hex::encode(self.hash.finalize())),
        }
    }
}

/// The header of a file of `length` bytes, and the model that it tells of.
fn parse(reader: impl Read, length: u64) -> Result<(Header, ModelConfig), String> {
    let header = Header::parse(reader, length)?;
    let config = ModelConfig::parse(config::of(&header)?.to_string().as_bytes())?;
    Ok((header, config))
}

/// Reads the header of a file of these bytes: the model, and for each tensor where its bytes end.
pub(crate) fn check(bytes: &[u8]) -> Result<(ModelConfig, Vec<u64>), String> {
    let (header, config) = parse(bytes, bytes.len() as u64)?;
    let ends = header.tensors.values().map(|place| place.offset + place.bytes as u64).collect();
    Ok((config, ends))
}

fn dense(tensor: &QTensor, dtype: DType) -> Result<Tensor, String> {
    let tensor = tensor.dequantize(&Device::Cpu).and_then(|tensor| tensor.to_dtype(dtype));
    tensor.map_err(|error| error.to_string())
}

/// Moves the rows of each head from neighbouring pairs (0, n/2, 1, n/2 + 1, …) back to halves (0, 1, … n − 1). Blocks of
/// numbers lie within rows, so this is exact for every kind.
fn separate(data: &[u8], heads: usize, rows: usize) -> Vec<u8> {
    let row_bytes = data.len() / rows;
    let dim = rows / heads;
    let row = |row: usize| {
        let (head, at) = (row / dim, row % dim);
        let from = head * dim + at % (dim / 2) * 2 + at / (dim / 2);
        &data[from * row_bytes..(from + 1) * row_bytes]
    };
    (0..rows).flat_map(|at| row(at).iter().copied()).collect()
}

/// The name in a GGUF file of what Hugging Face calls `name`.
fn own_name(name: &str) -> Result<String, String> {
    let unknown = || format!("tensor {name} has no name in GGUF");
    Ok(match name {
        "model.embed_tokens.weight" => "token_embd.weight".to_owned(),
        "model.norm.weight" => "output_norm.weight".to_owned(),
        "lm_head.weight" => "output.weight".to_owned(),
        _ => {
            let (layer, rest) = name
                .strip_prefix("model.layers.")
                .and_then(|name| name.split_once('.'))
                .ok_or_else(unknown)?;
            let (part, kind) = rest.rsplit_once('.').ok_or_else(unknown)?;
            let part = match part {
                "input_layernorm" => "attn_norm",
                "post_attention_layernorm" => "ffn_norm",
                "self_attn.q_proj" => "attn_q",
                "self_attn.k_proj" => "attn_k",
                "self_attn.v_proj" => "attn_v",
                "self_attn.o_proj" => "attn_output",
                "mlp.gate_proj" => "ffn_gate",
                "mlp.up_proj" => "ffn_up",
                "mlp.down_proj" => "ffn_down",
                _ => return Err(unknown()),
            };
            format!("blk.{layer}.{part}.{kind}")
        }
    })
}
