//! A model's files, in either format, under Hugging Face names.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::config::ModelConfig;
use super::gguf::Gguf;
use super::matrix::Matrix;
use super::weights::Weights;
use crate::{Error, Result};

/// Where tensors come from, and the device that they go to.
#[derive(Debug)]
pub(crate) struct Source {
    files: Files,
    device: Device,
}

#[derive(Debug)]
enum Files {
    Safetensors(Weights),
    Gguf(Gguf),
}

impl Source {
    /// The files of `dir` and what they say of the model: safetensors with `config.json`, or one `.gguf` file.
    pub(crate) fn open(dir: &Path, device: &Device) -> Result<(Self, ModelConfig)> {
        let broken = |why: String| Error::model(dir, why);
        let safetensors =
            ["model.safetensors.index.json", "model.safetensors"].iter().any(|name| dir.join(name).exists());
        let ggufs = if safetensors { Vec::new() } else { ggufs(dir)? };
        let (files, config) = match ggufs.as_slice() {
            [] => {
                let config = ModelConfig::read(dir)?;
                (Files::Safetensors(Weights::open_model(dir).map_err(broken)?), config)
            }
            [path] => {
                let (gguf, config) = Gguf::open(path).map_err(|why| {
                    broken(format!("{}: {why}", path.file_name().unwrap_or_default().display()))
                })?;
                (Files::Gguf(gguf), config)
            }
            [first, second, ..] => {
                let (first, second) = (first.display(), second.display());
                return Err(broken(format!(
                    "it has several .gguf files, such as {first} and {second}; leave one"
                )));
            }
        };
        Ok((Self { files, device: device.clone() }, config))
    }

    /// A matrix `[outputs, inputs]`.
    pub(crate) fn matrix(&mut self, name: &str, shape: [usize; 2], dtype: DType) -> Result<Matrix, String> {
        match &mut self.files {
            Files::Safetensors(weights) => {
                let tensor = weights.get(name, &shape, dtype)?;
                tensor.to_device(&self.device).map(Matrix::Dense).map_err(|error| error.to_string())
            }
            Files::Gguf(gguf) => gguf.matrix(name, shape, dtype, &self.device),
        }
    }

    /// A vector of `length` numbers.
    pub(crate) fn vector(&mut self, name: &str, length: usize, dtype: DType) -> Result<Tensor, String> {
        let tensor = match &mut self.files {
            Files::Safetensors(weights) => weights.get(name, &[length], dtype),
            Files::Gguf(gguf) => gguf.vector(name, length, dtype),
        }?;
        tensor.to_device(&self.device).map_err(|error| error.to_string())
    }

    /// What each rotary frequency is divided by, where the file says so (GGUF has Llama 3's stretching as a tensor).
    pub(crate) fn rope_divisors(&mut self, pairs: usize) -> Result<Option<Vec<f32>>, String> {
        match &mut self.files {
            Files::Safetensors(_) => Ok(None),
            Files::Gguf(gguf) => gguf.rope_divisors(pairs),
        }
    }

    /// SHA-256 of the names and stored bytes that were read, in hex; refuses a file with tensors that were not.
    pub(crate) fn finish(self) -> Result<String, String> {
        match self.files {
            Files::Safetensors(weights) => Ok(weights.sha256()),
            Files::Gguf(gguf) => gguf.finish(),
        }
    }
}

fn ggufs(dir: &Path) -> Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(dir).map_err(|error| Error::io("list", dir, error))?;
    let mut paths: Vec<PathBuf> = listed
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")))
        .collect();
    paths.sort_unstable();
    Ok(paths)
}
