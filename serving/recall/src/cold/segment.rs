//! One file of cold memories of one person: written once, replaced whole, read from its start on.
//!
//! ```text
//! magic 8 │ header length 4 │ header (JSON) │ its CRC-32 4 │ entries │ meanings │ words │ texts
//! ```
//!
//! | section | holds | of a memory |
//! |---|---|---|
//! | entries | id, revision, time, kind, importance, hashes, where its words and its text are | 62 bytes |
//! | meanings | a scale and one signed byte a dimension; the value is `scale · byte` | `4 + dimension` bytes |
//! | words | pairs of hashed word and BM25 weight, as the hot index holds them | 8 bytes a word |
//! | texts | blocks of deflated JSON, one memory a line | |
//!
//! Numbers are little-endian. Each section and each block of texts has a CRC-32, so that a damaged file is told and
//! never read as something else. Nothing is allocated that the file's own length does not allow.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crave_schemas::UserId;
use flate2::{Compression, Crc, read::DeflateDecoder, write::DeflateEncoder};
use qdrant_edge::SparseVector;
use serde::{Deserialize, Serialize};

use super::entry::{ENTRY_BYTES, Entry};
use super::quantise;
use crate::store::Prepared;
use crate::{Error, Memory, Result};

const MAGIC: &[u8; 8] = b"CRVCOLD1";
/// Longest header: a name of a person, of a model, and the numbers of a few files.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Text of a block before it is deflated; small, because one memory is read with its whole block.
const BLOCK_BYTES: usize = 16 << 10;
/// The largest block: one memory with the longest text and attributes, every character escaped.
const BLOCK_BYTES_MAX: usize = 512 << 10;
/// Bytes of a pair of word and weight.
pub(super) const WORD_BYTES: usize = 8;

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) user: UserId,
    /// What made the meanings; those of another model are not compared with a question.
    pub(super) model: Option<String>,
    pub(super) dimension: usize,
    pub(super) memories: usize,
    /// Memories without a meaning.
    pub(super) meaningless: usize,
    /// Event times in microseconds since 1970.
    pub(super) oldest: i64,
    pub(super) newest: i64,
    /// Files that this one takes the place of: they are removed if they are still there.
    pub(super) replaces: Vec<u32>,
    sections: [Section; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Section {
    bytes: u64,
    crc: u32,
}

const ENTRIES: usize = 0;
const MEANINGS: usize = 1;
const WORDS: usize = 2;
const TEXTS: usize = 3;

/// The bytes of a file with `items`, sorted by id.
pub(super) fn encode(
    user: &UserId,
    model: Option<&str>,
    replaces: Vec<u32>,
    items: &[Prepared],
) -> Result<Vec<u8>> {
    let dimension = items.iter().find_map(|item| item.dense.as_ref()).map_or(0, Vec::len);
    let [mut entries, mut meanings, mut words, mut texts, mut block] = [const { Vec::<u8>::new() }; 5];
    let (mut oldest, mut newest, mut meaningless) = (i64::MAX, i64::MIN, 0);
    for item in items {
        let line = serde_json::to_vec(&item.memory).map_err(|error| Error::Engine(error.to_string()))?;
        if !block.is_empty() && block.len() + line.len() > BLOCK_BYTES {
            close(&mut block, &mut texts)?;
        }
        let dense = item.dense.as_ref().filter(|dense| dense.len() == dimension && dimension > 0);
        let (scale, bytes) = dense.map_or_else(|| (0.0, vec![0; dimension]), |dense| quantise::pack(dense));
        meanings.extend_from_slice(&scale.to_le_bytes());
        meanings.extend(bytes.iter().map(|byte| byte.cast_unsigned()));
        meaningless += usize::from(dense.is_none());
        if let Some(sparse) = &item.sparse {
            for (word, weight) in sparse.indices.iter().zip(&sparse.values) {
                words.extend_from_slice(&word.to_le_bytes());
                words.extend_from_slice(&weight.to_le_bytes());
            }
        }
        let (words_end, at, offset) = (small(words.len())?, small(texts.len())?, small(block.len())?);
        let entry = Entry::of(&item.memory, dense.is_some(), words_end, at, offset);
        (oldest, newest) = (oldest.min(entry.time), newest.max(entry.time));
        entry.write(&mut entries);
        block.extend_from_slice(&line);
        block.push(b'\n');
    }
    close(&mut block, &mut texts)?;
    let sections = [&entries, &meanings, &words, &texts];
    let header = Header {
        user: user.clone(),
        model: model.map(str::to_owned),
        dimension,
        memories: items.len(),
        meaningless,
        oldest,
        newest,
        replaces,
        sections: sections.map(|bytes| Section { bytes: bytes.len() as u64, crc: crc(bytes) }),
    };
    let json = serde_json::to_vec(&header).map_err(|error| Error::Engine(error.to_string()))?;
    let mut file = Vec::with_capacity(json.len() + 16 + sections.iter().map(|s| s.len()).sum::<usize>());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&small(json.len())?.to_le_bytes());
    file.extend_from_slice(&json);
    let sum = crc(&file);
    file.extend_from_slice(&sum.to_le_bytes());
    sections.iter().for_each(|section| file.extend_from_slice(section));
    Ok(file)
}

/// Deflates the lines that wait and begins a new block.
fn close(block: &mut Vec<u8>, texts: &mut Vec<u8>) -> Result<()> {
    if block.is_empty() {
        return Ok(());
    }
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
    let deflated = deflate.write_all(block).and_then(|()| deflate.finish());
    let deflated = deflated.map_err(|error| Error::Engine(error.to_string()))?;
    for number in [small(deflated.len())?, small(block.len())?, crc(&deflated)] {
        texts.extend_from_slice(&number.to_le_bytes());
    }
    texts.extend_from_slice(&deflated);
    block.clear();
    Ok(())
}

fn small(length: usize) -> Result<u32> {
    u32::try_from(length)
        .map_err(|_| Error::invalid("memories", "are too many for one file of cold memories"))
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// An open file, or its bytes.
pub(super) struct Segment<F = File> {
    pub(super) header: Header,
    path: PathBuf,
    file: F,
    /// Where the first section begins.
    start: u64,
    /// The block that was read last, and where it is.
    block: Option<(u32, Vec<u8>)>,
}

impl Segment {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let bytes = file.metadata().map_err(|error| Error::io("read", path, error))?.len();
        Self::read(file, bytes, path)
    }
}

impl<F: Read + Seek> Segment<F> {
    /// Reads the header of `file`, which has `bytes` bytes and is called `path` in errors.
    pub(super) fn read(mut file: F, bytes: u64, path: &Path) -> Result<Self> {
        let read = read_header(&mut file, bytes);
        let (header, start) = read.map_err(|why| broken(path, why))?;
        Ok(Self { header, path: path.to_owned(), file, start, block: None })
    }

    /// What is known of each memory, sorted by id.
    pub(super) fn entries(&mut self) -> Result<Vec<Entry>> {
        let bytes = self.section(ENTRIES)?;
        let entries: Option<Vec<Entry>> = bytes.chunks_exact(ENTRY_BYTES).map(Entry::read).collect();
        let words = self.header.sections[WORDS].bytes;
        let sound = |entries: &Vec<Entry>| {
            entries.is_sorted_by(|a, b| a.id < b.id && a.words_end <= b.words_end)
                && entries.last().is_none_or(|last| u64::from(last.words_end) <= words)
        };
        entries.filter(sound).ok_or_else(|| broken(&self.path, "its entries are not in order"))
    }

    /// The meanings, one after the other: a scale and the bytes of each.
    pub(super) fn meanings(&mut self) -> Result<Vec<u8>> {
        self.section(MEANINGS)
    }

    /// The words, one memory's after the other's.
    pub(super) fn words(&mut self) -> Result<Vec<u8>> {
        self.section(WORDS)
    }

    /// Reads the text of a memory, with all that belongs to it.
    pub(super) fn memory(&mut self, entry: &Entry) -> Result<Memory> {
        if self.block.as_ref().is_none_or(|(at, _)| *at != entry.block) {
            self.block = Some((entry.block, self.read_block(entry.block)?));
        }
        let lines = self.block.as_ref().map(|(_, lines)| lines.as_slice()).unwrap_or_default();
        let line = usize::try_from(entry.offset).ok().and_then(|offset| lines.get(offset..));
        let line = line.and_then(|rest| rest.split(|byte| *byte == b'\n').next()).unwrap_or_default();
        let memory = serde_json::from_slice::<Memory>(line).ok().filter(|memory| memory.id().0 == entry.id);
        // The id is made of the person's too: one that fits is theirs.
        let memory = memory.filter(|memory| memory.user_id == self.header.user);
        memory.ok_or_else(|| broken(&self.path, "a text is not the one that its entry names"))
    }

    /// Everything, to be written anew.
    pub(super) fn items(&mut self) -> Result<Vec<Prepared>> {
        let (entries, meanings, words) = (self.entries()?, self.meanings()?, self.words()?);
        let mut items = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let memory = self.memory(entry)?;
            items.push(Prepared {
                memory,
                dense: dense(&meanings, at, self.header.dimension, entry),
                sparse: sparse(words_of(&entries, at, &words)),
            });
        }
        Ok(items)
    }

    fn read_block(&mut self, at: u32) -> Result<Vec<u8>> {
        let texts = self.header.sections[TEXTS].bytes;
        let before: u64 = self.header.sections.iter().take(TEXTS).map(|section| section.bytes).sum();
        let mut lengths = [0; 12];
        self.read_at(self.start + before + u64::from(at), &mut lengths)?;
        let number =
            |at: usize| lengths.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
        let [deflated, raw, sum] = [0, 4, 8].map(|at| number(at).unwrap_or(u32::MAX));
        if u64::from(at) + 12 + u64::from(deflated) > texts || raw as usize > BLOCK_BYTES_MAX {
            return Err(broken(&self.path, "a block of texts has an impossible length"));
        }
        let mut bytes = vec![0; deflated as usize];
        self.read_at(self.start + before + u64::from(at) + 12, &mut bytes)?;
        if crc(&bytes) != sum {
            return Err(broken(&self.path, "a block of texts is damaged"));
        }
        let mut lines = Vec::with_capacity(raw as usize);
        let read = DeflateDecoder::new(bytes.as_slice()).take(u64::from(raw) + 1).read_to_end(&mut lines);
        if read.is_err() || lines.len() != raw as usize {
            return Err(broken(&self.path, "a block of texts cannot be inflated"));
        }
        Ok(lines)
    }

    /// A whole section, checked.
    fn section(&mut self, which: usize) -> Result<Vec<u8>> {
        let before: u64 = self.header.sections.iter().take(which).map(|section| section.bytes).sum();
        let Some(Section { bytes, crc: sum }) = self.header.sections.get(which).copied() else {
            return Err(broken(&self.path, "it has no such section"));
        };
        let length = usize::try_from(bytes).map_err(|_| broken(&self.path, "a section is too long"))?;
        let mut read = vec![0; length];
        self.read_at(self.start + before, &mut read)?;
        if crc(&read) == sum { Ok(read) } else { Err(broken(&self.path, "a section is damaged")) }
    }

    fn read_at(&mut self, at: u64, bytes: &mut [u8]) -> Result<()> {
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(bytes));
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => broken(&self.path, "it is cut off"),
            _ => Error::io("read", &self.path, error),
        })
    }
}

/// The header and where the sections begin, of a file of `bytes` bytes.
fn read_header(file: &mut impl Read, bytes: u64) -> Result<(Header, u64), &'static str> {
    let mut start = [0; 12];
    file.read_exact(&mut start).map_err(|_| "it is cut off")?;
    let length = start.strip_prefix(MAGIC).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
    let length = length.ok_or("it is no file of cold memories of this version")? as usize;
    if length > HEADER_BYTES_MAX {
        return Err("its header has an impossible length");
    }
    let mut json = vec![0; length + 4];
    file.read_exact(&mut json).map_err(|_| "it is cut off")?;
    let sum = json.split_off(length);
    let whole: Vec<u8> = start.iter().chain(&json).copied().collect();
    if sum != crc(&whole).to_le_bytes() {
        return Err("its header is damaged");
    }
    let header: Header = serde_json::from_slice(&json).map_err(|_| "its header cannot be read")?;
    let start = (whole.len() + 4) as u64;
    let sections = header.sections.iter().try_fold(start, |sum, section| sum.checked_add(section.bytes));
    let memories = header.memories as u64;
    let meaning = (header.dimension as u64).checked_add(4);
    let sound = sections == Some(bytes)
        && memories.checked_mul(ENTRY_BYTES as u64) == Some(header.sections[ENTRIES].bytes)
        && meaning.and_then(|meaning| memories.checked_mul(meaning)) == Some(header.sections[MEANINGS].bytes)
        && header.sections[WORDS].bytes.is_multiple_of(WORD_BYTES as u64);
    if sound { Ok((header, start)) } else { Err("it is cut off or its header does not fit it") }
}

/// Puts the lengths and checksums of a whole file right, so that what lies behind them is reached with any bytes. `None`
/// where there is no header to put right.
pub(super) fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (json, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (_, mut rest) = rest.split_at_checked(4)?;
    let mut header: Header = serde_json::from_slice(json).ok()?;
    let sections = rest;
    for section in &mut header.sections {
        let bytes;
        (bytes, rest) =
            rest.split_at(usize::try_from(section.bytes).map_or(rest.len(), |n| n.min(rest.len())));
        *section = Section { bytes: bytes.len() as u64, crc: crc(bytes) };
    }
    let json = serde_json::to_vec(&header).ok()?;
    let mut file = [MAGIC, small(json.len()).ok()?.to_le_bytes().as_slice(), &json].concat();
    file.extend_from_slice(&crc(&file).to_le_bytes());
    file.extend_from_slice(&sections[..sections.len() - rest.len()]);
    Some(file)
}

fn broken(path: &Path, why: &str) -> Error {
    Error::ColdBroken { path: path.to_owned(), why: why.to_owned() }
}

/// The bytes of the words of the memory at `at`.
pub(super) fn words_of<'a>(entries: &[Entry], at: usize, words: &'a [u8]) -> &'a [u8] {
    let end = |at: usize| entries.get(at).map_or(0, |entry| entry.words_end as usize);
    let begin = at.checked_sub(1).map_or(0, end);
    words.get(begin..end(at)).unwrap_or_default()
}

/// The pairs of word and weight in `bytes`.
pub(super) fn pairs(bytes: &[u8]) -> impl Iterator<Item = (u32, f32)> + '_ {
    bytes.chunks_exact(WORD_BYTES).filter_map(|pair| {
        let (word, weight) = pair.split_at_checked(4)?;
        Some((u32::from_le_bytes(word.try_into().ok()?), f32::from_le_bytes(weight.try_into().ok()?)))
    })
}

/// The words as a vector; `None` where there are none.
pub(super) fn sparse(bytes: &[u8]) -> Option<SparseVector> {
    let (indices, values): (Vec<u32>, Vec<f32>) = pairs(bytes).unzip();
    (!indices.is_empty()).then_some(SparseVector { indices, values })
}

/// The scale and the bytes of the meaning of the memory at `at`; `None` where it has none.
pub(super) fn packed<'a>(
    meanings: &'a [u8],
    at: usize,
    dimension: usize,
    entry: &Entry,
) -> Option<(f32, &'a [u8])> {
    let begin = at.checked_mul(4 + dimension)?;
    let (scale, bytes) = meanings.get(begin..begin + 4 + dimension)?.split_at_checked(4)?;
    entry.meant.then_some((f32::from_le_bytes(scale.try_into().ok()?), bytes))
}

/// The meaning as a vector.
pub(super) fn dense(meanings: &[u8], at: usize, dimension: usize, entry: &Entry) -> Option<Vec<f32>> {
    packed(meanings, at, dimension, entry).map(|(scale, bytes)| quantise::unpack(scale, bytes))
}
