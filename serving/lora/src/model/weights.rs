//! Tensors from `*.safetensors` files, read one at a time: no file is held in memory whole, none is mapped.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use sha2::{Digest, Sha256};

/// Bytes of a file's header that are believed (safetensors' own bound).
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// Open files and where each tensor lies in them. Hashes what is read, in the order of reading.
#[derive(Debug)]
pub(crate) struct Weights {
    files: Vec<(PathBuf, File)>,
    tensors: HashMap<String, Place>,
    hash: Sha256,
}

#[derive(Debug)]
struct Place {
    file: usize,
    offset: u64,
    bytes: usize,
    dtype: DType,
    shape: Vec<usize>,
}

impl Weights {
    /// Opens a model's files: those that `model.safetensors.index.json` names, else `model.safetensors`.
    pub(crate) fn open_model(dir: &Path) -> Result<Self, String> {
        let index = dir.join("model.safetensors.index.json");
        if !index.exists() {
            return Self::open(&[dir.join("model.safetensors")]);
        }
        #[derive(serde::Deserialize)]
        struct Index {
            weight_map: HashMap<String, String>,
        }
        let bytes = std::fs::read(&index).map_err(|error| format!("{}: {error}", index.display()))?;
        let index: Index =
            serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", index.display()))?;
        let mut names: Vec<String> = index.weight_map.into_values().collect();
        names.sort_unstable();
        names.dedup();
        if let Some(name) = names.iter().find(|name| name.contains(['/', '\\']) || name.starts_with('.')) {
            return Err(format!("the index names {name:?}, which is not a file of this folder"));
        }
        Self::open(&names.iter().map(|name| dir.join(name)).collect::<Vec<_>>())
    }

    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self, String> {
        let mut weights = Self::empty();
        for path in paths {
            weights.add(path).map_err(|why| format!("{}: {why}", path.display()))?;
        }
        Ok(weights)
    }

    fn empty() -> Self {
        Self { files: Vec::new(), tensors: HashMap::new(), hash: Sha256::new() }
    }

    /// What the header of a file of these bytes tells of; no tensor can be read.
    pub(crate) fn header(mut bytes: &[u8]) -> Result<Self, String> {
        let (mut weights, length) = (Self::empty(), bytes.len() as u64);
        weights.add_header(&mut bytes, length)?;
        Ok(weights)
    }

    fn add(&mut self, path: &Path) -> Result<(), String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        self.add_header(&mut file, length)?;
        self.files.push((path.to_owned(), file));
        Ok(())
    }

    /// Reads the header of the next file, which has `length` bytes.
    fn add_header(&mut self, file: &mut impl Read, length: u64) -> Result<(), String> {
        let mut size = [0_u8; 8];
        file.read_exact(&mut size).map_err(|_| "is shorter than a header; fetch it again".to_owned())?;
        let header_bytes = u64::from_le_bytes(size);
        if header_bytes > HEADER_BYTES_MAX || header_bytes + 8 > length {
            return Err("is cut off within its header; fetch it again".to_owned());
        }
        let mut header = vec![0_u8; header_bytes as usize];
        file.read_exact(&mut header).map_err(|error| error.to_string())?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| format!("has no valid header: {error}"))?;
        let data = 8 + header_bytes;
        let number = self.files.len();
        for (name, info) in metadata.tensors() {
            let place = place(number, data, length, info).map_err(|why| format!("tensor {name}: {why}"))?;
            if self.tensors.insert(name.clone(), place).is_some() {
                return Err(format!("tensor {name} is in two files"));
            }
        }
        Ok(())
    }

    /// The shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|place| place.shape.as_slice())
    }

    /// Name and shape of every tensor, by name.
    pub(crate) fn shapes(&self) -> Vec<(&str, &[usize])> {
        let mut all: Vec<_> =
            self.tensors.iter().map(|(name, place)| (name.as_str(), place.shape.as_slice())).collect();
        all.sort_unstable();
        all
    }

    /// Reads one tensor, which must have `shape`, as `dtype`.
    pub(crate) fn get(&mut self, name: &str, shape: &[usize], dtype: DType) -> Result<Tensor, String> {
        let place = self.tensors.get(name).ok_or_else(|| format!("tensor {name} is missing"))?;
        if place.shape != shape {
            return Err(format!("tensor {name} has shape {:?} but must have {shape:?}", place.shape));
        }
        let (path, file) = &mut self.files[place.file];
        let mut bytes = vec![0_u8; place.bytes];
        file.seek(SeekFrom::Start(place.offset))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| format!("{}: tensor {name}: {error}", path.display()))?;
        self.hash.update(name.as_bytes());
        self.hash.update(&bytes);
        Tensor::from_raw_buffer(&bytes, place.dtype, shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(dtype))
            .map_err(|error| format!("tensor {name}: {error}"))
    }

    /// SHA-256 of the names and bytes read so far, in hex.
    pub(crate) fn sha256(self) -> String {
        hex::encode(self.hash.finalize())
    }
}

fn place(file: usize, data: u64, length: u64, info: &TensorInfo) -> Result<Place, String> {
    let dtype = match info.dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        other => return Err(format!("{other:?} is not served; f32, f16 and bf16 are")),
    };
    let (start, end) = info.data_offsets;
    let numbers = info.shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
    let bytes = numbers.and_then(|numbers| numbers.checked_mul(dtype.size_in_bytes()));
    if bytes.is_none() || end.checked_sub(start) != bytes {
        return Err(format!("shape {:?} does not fill bytes {start} to {end}", info.shape));
    }
    if length - data < end as u64 {
        return Err(format!("ends at byte {end} of {}; the file is cut off, fetch it again", length - data));
    }
    Ok(Place { file, offset: data + start as u64, bytes: end - start, dtype, shape: info.shape.clone() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
    }

    const ONE: &str = r#"{"one":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#;

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(Weights::header(&file(ONE, 24)).unwrap().shapes(), [("one", &[2, 3][..])]);
        for (from, to, data, word) in [
            ("", "", 23, "cut off"),
            ("24]", "20]", 24, "no valid header"),
            ("[0,24]", "[24,0]", 24, "no valid header"),
            ("[2,3]", "[4294967296,4294967296,6]", 24, "no valid header"),
            ("F32", "I32", 24, "not served"),
            ("}}", "}", 24, "no valid header"),
        ] {
            let why = Weights::header(&file(&ONE.replace(from, to), data)).unwrap_err();
            assert!(why.contains(word), "{from} {to}: {why}");
        }
        assert!(Weights::header(&[255; 9]).unwrap_err().contains("within its header"));
    }

    proptest! {
        /// Neither panics nor believes in a tensor beyond the file.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in "[0-9:,\\[\\]{}]{1,6}", at in 0..ONE.len(), data in 0..40_usize) {
            let mut header = ONE.as_bytes().to_vec();
            let end = (at + bytes.len()).min(header.len());
            header.splice(at..end, bytes.bytes());
            let all = file(&String::from_utf8(header).unwrap(), data);
            if let Ok(weights) = Weights::header(&all) {
                for place in weights.tensors.values() {
                    prop_assert!(place.offset + place.bytes as u64 <= all.len() as u64);
                }
            }
        }
    }
}
