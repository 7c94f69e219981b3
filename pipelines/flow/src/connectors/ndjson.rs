//! Newline-delimited JSON, decoded on several cores and given out in the order of the file.
//!
//! The file is read in pieces of [`PIECE_BYTES`], cut at the end of a line. Each piece is decoded in a task of its
//! own; at most [`PIECES_MAX`] of them wait, so that memory is bounded. An offset is the byte at which a row
//! begins: a reader opened there gives the same rows again.

mod flat;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::json::reader::ReaderBuilder;
use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::wanted::Wanted;
use crate::{Error, Polled, Reader, Result};

/// Bytes decoded by one task: large enough that starting it costs nothing, small enough for a core's cache.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces that are decoded or wait at a time.
const PIECES_MAX: usize = 8;
/// A longer line is taken for a file that is no NDJSON.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Rows and where to read what follows them.
type Rows = (RecordBatch, u64);

/// Reads one file.
pub(super) struct NdjsonReader {
    file: File,
    target: Arc<Target>,
    pieces: VecDeque<JoinHandle<Result<Vec<Rows>>>>,
    pieces_max: usize,
    ready: std::vec::IntoIter<Rows>,
    /// Read already, behind the last line's end.
    rest: Vec<u8>,
    /// Position of `rest` in the file.
    offset: u64,
    at_end: bool,
}

/// What every piece is decoded into.
struct Target {
    path: PathBuf,
    wanted: Wanted,
    batch_rows: usize,
}

impl NdjsonReader {
    /// Opens `path` at `offset`, which is 0 or was given with rows; batches have at most `batch_rows` rows.
    pub(super) fn open(path: &Path, wanted: Wanted, batch_rows: usize, offset: u64) -> Result<Self> {
        let fail = |e| Error::io(format!("opening {}", path.display()), e);
        let mut file = File::open(path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        if length < offset {
            return Err(Error::Invalid(format!(
                "{} has {length} bytes, but rows up to byte {offset} were read before; put the file back or start \
                 without the checkpoint",
                path.display()
            )));
        }
        file.seek(SeekFrom::Start(offset)).map_err(fail)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            file,
            target: Arc::new(Target { path: path.to_owned(), wanted, batch_rows: batch_rows.max(1) }),
            pieces: VecDeque::new(),
            pieces_max: (cores + 1).min(PIECES_MAX),
            ready: Vec::new().into_iter(),
            rest: Vec::new(),
            offset,
            at_end: false,
        })
    }

    /// The next whole lines, and where they begin; `None` at the end of the file.
    fn read_piece(&mut self) -> Result<Option<(Vec<u8>, u64)>> {
        let mut piece = Vec::with_capacity(PIECE_BYTES + self.rest.len());
        piece.append(&mut self.rest);
        loop {
            let wanted = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
            let read = self.file.by_ref().take(wanted).read_to_end(&mut piece);
            let read = read.map_err(|e| Error::io(format!("reading {}", self.target.path.display()), e))?;
            self.at_end = read < PIECE_BYTES;
            // What was there before this read holds no line's end.
            let new = &piece[piece.len() - read..];
            match new.iter().rposition(|b| *b == b'\n') {
                _ if self.at_end => break,
                Some(at) => {
                    self.rest = piece.split_off(piece.len() - read + at + 1);
                    break;
                }
                None if piece.len() > LINE_BYTES_MAX => {
                    return Err(Error::Invalid(format!(
                        "{}: the line at byte {} is longer than {LINE_BYTES_MAX} bytes; write one JSON object a line",
                        self.target.path.display(),
                        self.offset
                    )));
                }
                None => {}
            }
        }
        let begin = self.offset;
        self.offset += u64::try_from(piece.len()).unwrap_or(0);
        Ok((!piece.is_empty()).then_some((piece, begin)))
    }

    /// Keeps enough pieces under way.
    fn read_ahead(&mut self) -> Result<()> {
        while !self.at_end && self.pieces.len() < self.pieces_max {
            if let Some((piece, begin)) = self.read_piece()? {
                let target = Arc::clone(&self.target);
                self.pieces.push_back(tokio::spawn(async move { target.decode(&piece, begin) }));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Reader for NdjsonReader {
    async fn next(&mut self) -> Result<Polled> {
        loop {
            if let Some((batch, next_offset)) = self.ready.next() {
                return Ok(Polled::Rows { batch, next_offset });
            }
            self.read_ahead()?;
            let Some(piece) = self.pieces.pop_front() else { return Ok(Polled::End) };
            let rows = piece.await.map_err(|e| Error::Internal(format!("decoding JSON: {e}")))??;
            self.ready = rows.into_iter();
            self.read_ahead()?;
        }
    }
}

impl Target {
    fn decode(&self, piece: &[u8], begin: u64) -> Result<Vec<Rows>> {
        self.rows(piece, begin).map_err(|cause| self.blame(piece, begin, cause))
    }

    fn rows(&self, piece: &[u8], begin: u64) -> Result<Vec<Rows>, ArrowError> {
        let lines = piece.iter().filter(|b| **b == b'\n').count() + 1;
        // Batches of one size, instead of a full one and a small rest.
        let batch_rows = lines.div_ceil(lines.div_ceil(self.batch_rows));
        let plain = std::str::from_utf8(piece).ok();
        if let Some(rows) = plain.and_then(|text| flat::decode(self.wanted.schema(), text, batch_rows)) {
            let row = |(batch, end): flat::Rows| {
                Ok((self.wanted.of_table(&batch)?, begin + u64::try_from(end).unwrap_or(0)))
            };
            return rows.into_iter().map(row).collect();
        }
        let builder = ReaderBuilder::new(Arc::clone(self.wanted.schema())).with_batch_size(batch_rows);
        let mut decoder = builder.build_decoder()?;
        let mut rows = Vec::new();
        let mut used = 0;
        loop {
            // It stops at a row's end when its batch is full, else at the end of the piece.
            used += decoder.decode(&piece[used..])?;
            if let Some(batch) = decoder.flush()? {
                rows.push((self.wanted.of_table(&batch)?, begin + u64::try_from(used).unwrap_or(0)));
            }
            if used == piece.len() {
                return Ok(rows);
            }
        }
    }

    /// Finds the first line that cannot be decoded by itself.
    fn blame(&self, piece: &[u8], begin: u64, cause: ArrowError) -> Error {
        let mut at = 0;
        for line in piece.split_inclusive(|b| *b == b'\n') {
            let byte = begin + u64::try_from(at).unwrap_or(0);
            if let Err(cause) = self.rows(line, byte) {
                let number = line_number(&self.path, byte).map_or(String::new(), |n| format!("line {n}, "));
                let what = format!(
                    "{}: {number}byte {byte}: not a JSON object that fits the table; correct the line or take it out",
                    self.path.display()
                );
                return Error::Input { what, source: cause };
            }
            at += line.len();
        }
        let what = format!("{}: a row after byte {begin} does not fit the table", self.path.display());
        Error::Input { what, source: cause }
    }
}

/// Which line begins at `byte`, the first being 1; `None` when the file cannot be read again.
fn line_number(path: &Path, byte: u64) -> Option<u64> {
    let mut before = File::open(path).ok()?.take(byte);
    let mut buffer = vec![0; PIECE_BYTES];
    let mut number = 1;
    loop {
        let read = before.read(&mut buffer).ok()?;
        if read == 0 {
            return Some(number);
        }
        let ends = buffer[..read].iter().filter(|b| **b == b'\n').count();
        number += u64::try_from(ends).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests;
