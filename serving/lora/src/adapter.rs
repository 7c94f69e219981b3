//! LoRA adapters from PEFT folders (`adapter_config.json`, `adapter_model.safetensors`), checked against their base.

mod config;
pub(crate) mod evict;
pub(crate) mod registry;
mod source;
pub(crate) mod store;

use std::collections::HashSet;
use std::path::Path;

use candle_core::{DType, Tensor};

use crate::model::{Model, ModelConfig, Weights};
use crate::{Error, Result};
use config::AdapterConfig;

/// The file that may name the base by hash: `{"base_sha256": "…"}`, see [`Model::sha256`].
const BASE_FILE: &str = "crave_adapter.json";
/// PEFT's two files.
const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// The linear modules of a layer, each of which an adapter may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Module {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// The attention's output.
    O,
    /// The MLP's gate.
    Gate,
    /// The MLP's way up.
    Up,
    /// The MLP's way down.
    Down,
}

impl Module {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// Where it lies in a layer, such as `self_attn.q_proj`.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Q => "self_attn.q_proj",
            Self::K => "self_attn.k_proj",
            Self::V => "self_attn.v_proj",
            Self::O => "self_attn.o_proj",
            Self::Gate => "mlp.gate_proj",
            Self::Up => "mlp.up_proj",
            Self::Down => "mlp.down_proj",
        }
    }

    /// Its outputs and inputs.
    #[must_use]
    pub fn shape(self, config: &ModelConfig) -> (usize, usize) {
        let (queries, keys) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        match self {
            Self::Q => (queries, config.hidden),
            Self::K | Self::V => (keys, config.hidden),
            Self::O => (config.hidden, queries),
            Self::Gate | Self::Up => (config.intermediate, config.hidden),
            Self::Down => (config.hidden, config.intermediate),
        }
    }

    pub(crate) fn has_bias(self, config: &ModelConfig) -> bool {
        match self {
            Self::Q | Self::K | Self::V => config.qkv_bias,
            Self::O => config.o_bias,
            Self::Gate | Self::Up | Self::Down => config.mlp_bias,
        }
    }
}

/// A module's change: s·B·A.
#[derive(Clone, Debug)]
pub(crate) struct Lora {
    /// `[rank, in]`
    pub(crate) a: Tensor,
    /// `[rank, out]`: the other way round than in the file, so that each token's few numbers meet whole rows.
    pub(crate) b: Tensor,
    pub(crate) scale: f64,
}

/// A loaded adapter. Immutable: a reload makes another one.
#[derive(Debug)]
pub struct Adapter {
    name: String,
    version: String,
    bytes: u64,
    /// One a layer.
    layers: Vec<[Option<Lora>; Module::ALL.len()]>,
}

impl Adapter {
    /// Loads the PEFT folder `dir` for `base`, in the base's type. Blocks.
    ///
    /// `other_names` are names of the same base that `base_model_name_or_path` may have beside [`Model::name`].
    ///
    /// # Errors
    /// [`Error::Io`] for a file that cannot be read; [`Error::Adapter`], which says what is not served and where: another
    /// base, DoRA, biases, modules that are not linear modules of a layer, shapes that do not fit.
    pub fn load(name: &str, dir: &Path, base: &Model, other_names: &[String]) -> Result<Self> {
        let refused = |why: String| Error::adapter(dir, why);
        let config = read_config(dir)?;
        check_base(dir, &config, base, other_names)?;
        let mut weights = Weights::open(&[dir.join(WEIGHTS_FILE)]).map_err(refused)?;
        let changes = changes(&config, &weights, base.config()).map_err(refused)?;
        let mut layers = vec![[const { None }; Module::ALL.len()]; base.config().layers];
        let mut numbers = 0;
        for Change { pair, rank, scale } in changes {
            let (outputs, inputs) = pair.module.shape(base.config());
            let mut get = |side: char, shape: &[usize]| {
                let tensor = weights.get(&pair.tensor(side), shape, base.dtype()).map_err(refused)?;
                tensor.to_device(base.device()).map_err(Error::from)
            };
            let a = get('A', &[rank, inputs])?;
            let b = get('B', &[outputs, rank])?.t()?.contiguous()?;
            numbers += rank * (inputs + outputs);
            layers[pair.layer][pair.module as usize] = Some(Lora { a, b, scale });
        }
        let bytes = (numbers * base.dtype().size_in_bytes()) as u64;
        Ok(Self { name: name.to_owned(), version: weights.sha256(), bytes, layers })
    }

    /// Bytes of memory that the adapter in `dir` takes once loaded as `dtype`, from its header alone.
    pub(crate) fn bytes_of(dir: &Path, dtype: DType) -> Result<u64> {
        let weights = Weights::open(&[dir.join(WEIGHTS_FILE)]).map_err(|why| Error::adapter(dir, why))?;
        let numbers: usize = weights.shapes().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        Ok((numbers * dtype.size_in_bytes()) as u64)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its tensors' names and bytes, in hex: equal exactly for equal weights.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn lora(&self, layer: usize, module: Module) -> Option<&Lora> {
        self.layers.get(layer)?.get(module as usize)?.as_ref()
    }
}

fn read_config(dir: &Path) -> Result<AdapterConfig> {
    let path = dir.join(CONFIG_FILE);
    let bytes = std::fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
    AdapterConfig::parse(&bytes).map_err(|why| Error::adapter(dir, format!("adapter_config.json: {why}")))
}

/// A hash decides where there is one; else the last part of the base's name, where the adapter has one.
fn check_base(dir: &Path, config: &AdapterConfig, base: &Model, other_names: &[String]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Named {
        base_sha256: String,
    }
    if let Ok(bytes) = std::fs::read(dir.join(BASE_FILE)) {
        let named: Named = serde_json::from_slice(&bytes)
            .map_err(|error| Error::adapter(dir, format!("{BASE_FILE}: {error}")))?;
        if named.base_sha256 != base.sha256() {
            let (wanted, found) = (named.base_sha256, base.sha256());
            return Err(Error::adapter(
                dir,
                format!("it is of another base: sha-256 {wanted}, here is {found}"),
            ));
        }
        return Ok(());
    }
    let Some(wanted) = config.base.as_deref().and_then(last_part) else { return Ok(()) };
    let own = base.name();
    let mut names = std::iter::once(own.as_str()).chain(other_names.iter().map(String::as_str));
    if names.any(|name| last_part(name).is_some_and(|name| name.eq_ignore_ascii_case(wanted))) {
        return Ok(());
    }
    Err(Error::adapter(
        dir,
        format!(
            "it is of another base: {wanted:?}, here is {own:?}; if they are the same, add the name to the base's \
             names or put its hash into {BASE_FILE}"
        ),
    ))
}

fn last_part(name: &str) -> Option<&str> {
    name.trim_end_matches('/').rsplit('/').next().filter(|part| !part.is_empty())
}

/// A module that has both of its tensors.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    layer: usize,
    module: Module,
    /// What stands before `.lora_A.`.
    prefix: String,
    /// What stands after it.
    suffix: String,
}

impl Pair {
    /// The name of its A or B.
    fn tensor(&self, side: char) -> String {
        format!("{}.lora_{side}.{}", self.prefix, self.suffix)
    }
}

/// A module that an adapter changes.
#[derive(Debug)]
struct Change {
    pair: Pair,
    rank: usize,
    scale: f64,
}

/// Every change of an adapter, with shapes that fit; decided before any number is read.
fn changes(config: &AdapterConfig, weights: &Weights, base: &ModelConfig) -> Result<Vec<Change>, String> {
    let change = |pair: Pair| {
        let path = format!("model.layers.{}.{}", pair.layer, pair.module.path());
        if !config.targets(&path) {
            return Err(format!("it has tensors of {path}, which is not in target_modules"));
        }
        let (rank, scale) = config.rank_and_scale(&path);
        let (outputs, inputs) = pair.module.shape(base);
        for (side, shape) in [('A', [rank, inputs]), ('B', [outputs, rank])] {
            let name = pair.tensor(side);
            let found = weights.shape(&name).unwrap_or_default();
            if found != shape {
                return Err(format!("tensor {name} has shape {found:?} but must have {shape:?}"));
            }
        }
        Ok(Change { pair, rank, scale })
    };
    pairs(weights, base)?.into_iter().map(change).collect()
}

/// Reads the two files of an adapter of `base`, but for their numbers; how many modules it changes.
pub(crate) fn check(config: &[u8], weights: &[u8], base: &ModelConfig) -> Result<usize, String> {
    let config = AdapterConfig::parse(config)?;
    changes(&config, &Weights::header(weights)?, base).map(|changes| changes.len())
}

/// Every tensor must be A or B of a linear module, and every module must have both.
fn pairs(weights: &Weights, config: &ModelConfig) -> Result<Vec<Pair>, String> {
    let (mut with_a, mut with_b) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for (name, _) in weights.shapes() {
        let (side, pair) = parse_name(name, config.layers)?;
        if !seen.insert((side, pair.layer, pair.module)) {
            return Err(format!("tensor {name} is there under another name too"));
        }
        match side {
            'A' => with_a.push(pair),
            _ => with_b.push(pair),
        }
    }
    if with_a.is_empty() {
        return Err("it has no tensors".to_owned());
    }
    for (have, lack, side) in [(&with_a, &with_b, 'B'), (&with_b, &with_a, 'A')] {
        if let Some(pair) = have.iter().find(|pair| !lack.contains(pair)) {
            return Err(format!("{} has no lora_{side}", pair.prefix));
        }
    }
    Ok(with_a)
}

fn parse_name(name: &str, layers: usize) -> Result<(char, Pair), String> {
    let unknown = || format!("tensor {name} is not the lora_A or lora_B of a linear module that is served");
    let (prefix, side, suffix) = ['A', 'B']
        .into_iter()
        .find_map(|side| {
            let (prefix, suffix) = name.split_once(&format!(".lora_{side}."))?;
            Some((prefix, side, suffix))
        })
        .ok_or_else(unknown)?;
    // PEFT leaves out the adapter's own name when it saves; some tools keep it.
    if !matches!(suffix, "weight" | "default.weight") {
        return Err(unknown());
    }
    let path = prefix.strip_prefix("base_model.model.").unwrap_or(prefix);
    let (number, path) =
        path.strip_prefix("model.layers.").and_then(|path| path.split_once('.')).ok_or_else(unknown)?;
    let layer: usize = number.parse().map_err(|_| unknown())?;
    if layer >= layers {
        return Err(format!("tensor {name} is of layer {layer}; the base has {layers}"));
    }
    let module = Module::ALL.into_iter().find(|module| module.path() == path).ok_or_else(unknown)?;
    Ok((side, Pair { layer, module, prefix: prefix.to_owned(), suffix: suffix.to_owned() }))
}
