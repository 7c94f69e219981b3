//! The header of a GGUF file: what it says of itself, and where each tensor lies.
//!
//! Written from the format's specification (ggml, `docs/gguf.md`), versions 2 and 3. A reader of our own, as candle's
//! divides by an alignment of 0, multiplies dimensions unchecked and takes 32 bytes of memory for each byte of an array.
//! Here arrays (a vocabulary of 100,000 texts) are skipped: the tokenizer is read from `tokenizer.json`.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use candle_core::quantized::GgmlDType;

/// Bytes before the tensors that are read.
const HEADER_BYTES_MAX: u64 = 1 << 28;
/// Entries of the metadata, and tensors.
const ENTRIES_MAX: u64 = 1 << 16;
/// Bytes of a name or key (the format's own bound), and of a text.
const NAME_BYTES_MAX: u64 = (1 << 16) - 1;
const TEXT_BYTES_MAX: u64 = 1 << 24;
/// Sides of a tensor (ggml's own bound).
const SIDES_MAX: u32 = 4;
/// Arrays within arrays.
const DEPTH_MAX: u32 = 4;
const ALIGNMENT_MAX: u64 = 1 << 20;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Whole(u64),
    Real(f64),
    Text(String),
    /// An array or a negative number, of which nothing is needed.
    Other,
}

/// Where a tensor lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: GgmlDType,
    /// Outermost side first, as candle has it.
    pub(super) shape: Vec<usize>,
    /// From the beginning of the file.
    pub(super) offset: u64,
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: HashMap<String, Value>,
    pub(super) tensors: BTreeMap<String, Place>,
}

impl Header {
    /// Reads the header of a file of `length` bytes. Every tensor lies within the file.
    pub(super) fn parse(reader: impl Read, length: u64) -> Result<Self, String> {
        let mut input = Input { reader, read: 0 };
        if &input.bytes::<4>()? != b"GGUF" {
            return Err("is no GGUF file".to_owned());
        }
        let version = input.u32()?;
        if !(2..=3).contains(&version) {
            return Err(format!("is GGUF of version {version}; 2 and 3 are served, convert it anew"));
        }
        let tensor_count = input.u64()?;
        let entry_count = input.u64()?;
        if tensor_count > ENTRIES_MAX || entry_count > ENTRIES_MAX {
            return Err(format!(
                "tells of {tensor_count} tensors and {entry_count} entries; {ENTRIES_MAX} are the most"
            ));
        }
        let mut metadata = HashMap::new();
        for _ in 0..entry_count {
            let key = input.text(NAME_BYTES_MAX)?;
            let kind = input.u32()?;
            let value = input.value(kind, 0).map_err(|why| format!("{key}: {why}"))?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(format!("{key} is there twice"));
            }
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..tensor_count {
            let name = input.text(NAME_BYTES_MAX)?;
            let place = input.place().map_err(|why| format!("tensor {name}: {why}"))?;
            if tensors.insert(name.clone(), place).is_some() {
                return Err(format!("tensor {name} is there twice"));
            }
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Whole(bytes)) if (1..=ALIGNMENT_MAX).contains(bytes) => *bytes,
            Some(other) => return Err(format!("general.alignment is {other:?}")),
        };
        let data = input.read.next_multiple_of(alignment);
        for (name, place) in &mut tensors {
            let end = data.checked_add(place.offset).and_then(|start| start.checked_add(place.bytes as u64));
            if end.is_none_or(|end| end > length) {
                return Err(format!("tensor {name} ends beyond the file; it is cut off, fetch it again"));
            }
            place.offset += data;
        }
        Ok(Self { metadata, tensors })
    }
}

struct Input<R> {
    reader: R,
    read: u64,
}

impl<R: Read> Input<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        self.advance(bytes.len() as u64)?;
        self.reader.read_exact(bytes).map_err(|_| cut_off())
    }

    fn advance(&mut self, bytes: u64) -> Result<(), String> {
        self.read = self.read.saturating_add(bytes);
        match self.read > HEADER_BYTES_MAX {
            true => Err(format!("has a header of more than {HEADER_BYTES_MAX} bytes")),
            false => Ok(()),
        }
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn text(&mut self, bytes_max: u64) -> Result<String, String> {
        let length = self.u64()?;
        if length > bytes_max {
            return Err(format!("a text has {length} bytes; {bytes_max} are the most"));
        }
        // Read through `take`, so that a length that the file does not have takes no memory.
        self.advance(length)?;
        let mut bytes = Vec::new();
        let found = self.reader.by_ref().take(length).read_to_end(&mut bytes);
        if found.ok() != Some(length as usize) {
            return Err(cut_off());
        }
        String::from_utf8(bytes).map_err(|_| "a text is not UTF-8".to_owned())
    }

    fn skip(&mut self, bytes: u64) -> Result<(), String> {
        self.advance(bytes)?;
        match std::io::copy(&mut self.reader.by_ref().take(bytes), &mut std::io::sink()) {
            Ok(copied) if copied == bytes => Ok(()),
            _ => Err(cut_off()),
        }
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<Value, String> {
        let signed = |value: i64| u64::try_from(value).map_or(Value::Other, Value::Whole);
        Ok(match kind {
            0 | 7 => Value::Whole(u64::from(self.bytes::<1>()?[0])),
            1 => signed(i64::from(i8::from_le_bytes(self.bytes()?))),
            2 => Value::Whole(u64::from(u16::from_le_bytes(self.bytes()?))),
            3 => signed(i64::from(i16::from_le_bytes(self.bytes()?))),
            4 => Value::Whole(u64::from(self.u32()?)),
            5 => signed(i64::from(i32::from_le_bytes(self.bytes()?))),
            6 => Value::Real(f64::from(f32::from_le_bytes(self.bytes()?))),
            8 => Value::Text(self.text(TEXT_BYTES_MAX)?),
            9 => {
                self.array(depth)?;
                Value::Other
            }
            10 => Value::Whole(self.u64()?),
            11 => signed(i64::from_le_bytes(self.bytes()?)),
            12 => Value::Real(f64::from_le_bytes(self.bytes()?)),
            other => return Err(format!("kind {other} is none of the format's")),
        })
    }

    fn array(&mut self, depth: u32) -> Result<(), String> {
        if depth == DEPTH_MAX {
            return Err(format!("arrays lie in arrays more than {DEPTH_MAX} deep"));
        }
        let kind = self.u32()?;
        let count = self.u64()?;
        let element = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            // Each takes bytes of the file, so that a wrong count ends at the file's or header's end.
            8 => {
                for _ in 0..count {
                    let length = self.u64()?;
                    self.skip(length)?;
                }
                return Ok(());
            }
            9 => {
                for _ in 0..count {
                    self.array(depth + 1)?;
                }
                return Ok(());
            }
            other => return Err(format!("an array's kind {other} is none of the format's")),
        };
        self.skip(count.saturating_mul(element))
    }

    fn place(&mut self) -> Result<Place, String> {
        let sides = self.u32()?;
        if sides > SIDES_MAX {
            return Err(format!("has {sides} sides; {SIDES_MAX} are the most"));
        }
        let mut shape = Vec::new();
        for _ in 0..sides {
            shape.push(usize::try_from(self.u64()?).map_err(|_| "has a side too long".to_owned())?);
        }
        shape.reverse();
        let kind = self.u32()?;
        let kind = served(kind).ok_or_else(|| {
            format!("kind {kind} of ggml is not served; F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K are")
        })?;
        let offset = self.u64()?;
        let columns = shape.last().copied().unwrap_or(1);
        if !columns.is_multiple_of(kind.block_size()) {
            return Err(format!("{columns} columns are not blocks of {}", kind.block_size()));
        }
        let numbers = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
        let bytes = numbers.and_then(|numbers| (numbers / kind.block_size()).checked_mul(kind.type_size()));
        let bytes = bytes.ok_or_else(|| format!("shape {shape:?} is too big"))?;
        Ok(Place { kind, shape, offset, bytes })
    }
}

fn cut_off() -> String {
    "is cut off within its header; fetch it again".to_owned()
}

/// The kinds of tensors that are served, by ggml's numbers.
fn served(kind: u32) -> Option<GgmlDType> {
    Some(match kind {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }

    /// Two entries, one an array of texts, and two tensors.
    fn file() -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(2_u64.to_le_bytes());
        bytes.extend(2_u64.to_le_bytes());
        text(&mut bytes, "general.architecture");
        bytes.extend(8_u32.to_le_bytes());
        text(&mut bytes, "llama");
        text(&mut bytes, "tokenizer.ggml.tokens");
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(8_u32.to_le_bytes());
        bytes.extend(2_u64.to_le_bytes());
        text(&mut bytes, "a");
        text(&mut bytes, "bc");
        for (name, sides, kind, offset) in [("one", &[256_u64, 2][..], 12_u32, 0_u64), ("two", &[3], 0, 288)]
        {
            text(&mut bytes, name);
            bytes.extend((sides.len() as u32).to_le_bytes());
            sides.iter().for_each(|side| bytes.extend(side.to_le_bytes()));
            bytes.extend(kind.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32) + 288 + 12, 0);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Header, String> {
        Header::parse(bytes, bytes.len() as u64)
    }

    #[test]
    fn entries_and_tensors_are_found() {
        let bytes = file();
        let header = parse(&bytes).unwrap();
        assert_eq!(header.metadata["general.architecture"], Value::Text("llama".to_owned()));
        assert_eq!(header.metadata["tokenizer.ggml.tokens"], Value::Other);
        let data = bytes.len() as u64 - 300;
        let one = Place { kind: GgmlDType::Q4K, shape: vec![2, 256], offset: data, bytes: 288 };
        let two = Place { kind: GgmlDType::F32, shape: vec![3], offset: data + 288, bytes: 12 };
        assert_eq!(header.tensors, BTreeMap::from([("one".to_owned(), one), ("two".to_owned(), two)]));
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = file();
        for length in 0..bytes.len() {
            let why = parse(&bytes[..length]).unwrap_err();
            assert!(length < 4 || why.contains("cut off"), "{length}: {why}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let bytes = file();
        let with = |from: &[u8], to: &[u8]| {
            let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
            let mut bytes = bytes.clone();
            bytes[at..at + to.len()].copy_from_slice(to);
            parse(&bytes).unwrap_err()
        };
        // The sides of the first tensor, behind its name: the same bytes stand elsewhere too.
        let sides = |first: u64| [b"one\x02\0\0\0".as_slice(), &first.to_le_bytes()].concat();
        for (why, word) in [
            (with(b"GGUF", b"GGML"), "no GGUF"),
            (with(b"\x03\0\0\0", b"\x01"), "version 1"),
            (with(b"\x02\0\0\0", b"\0\0\0\x02"), "tells of"),
            (with(b"one\x02", b"one\x09"), "9 sides"),
            (with(b"\x0c\0\0\0", b"\x27"), "kind 39"),
            (with(&sides(256), &sides(255)), "blocks of 256"),
            (with(&sides(256), &sides(1 << 63)), "too big"),
            (with(&288_u64.to_le_bytes(), &u64::MAX.to_le_bytes()), "beyond the file"),
            (with(b"two", b"one"), "twice"),
            (with(b"\x09\0\0\0", b"\x0d"), "kind 13"),
        ] {
            assert!(why.contains(word), "{word}: {why}");
        }
    }

    proptest! {
        /// Neither panics nor takes more memory than the file has bytes.
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            at in 0..400_usize,
            whole in any::<bool>(),
        ) {
            let mut all = file();
            match whole {
                true => drop(parse(&bytes)),
                false => {
                    let at = at.min(all.len());
                    let end = (at + bytes.len() / 40).min(all.len());
                    all[at..end].copy_from_slice(&bytes[..end - at]);
                    drop(parse(&all));
                }
            }
        }
    }
}
