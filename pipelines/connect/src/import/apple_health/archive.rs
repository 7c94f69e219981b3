//! From a file to XML text: plain, gzipped, or an entry of a zip archive.
//!
//! The entry is `apple_health_export/export.xml`, or by the phone's language `exportar.xml`, `Export.xml`,
//! `vienti.xml`, …: the one that begins like an export. An archive whose end is missing has no directory; then the
//! entries are walked from the front and what is there is read.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use zip::{CompressionMethod, ZipArchive};

use crate::import::ImportError;

/// How much of an entry is looked at to tell whether it is an export, in bytes.
const SNIFF_BYTES: usize = 64 * 1024;
/// Most entries walked in an archive without a directory.
const ENTRIES_MAX: usize = 100_000;
/// First bytes of a local file header.
const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";

/// Opens an export, whichever way it is packed.
///
/// # Errors
/// [`ImportError`] when the file cannot be read, or is a zip archive without an Apple Health export in it.
pub fn open<R: Read + Seek + Send + 'static>(mut read: R) -> Result<Box<dyn BufRead + Send>, ImportError> {
    let reading = "reading the start of the export";
    let mut magic = Vec::with_capacity(4);
    read.by_ref().take(4).read_to_end(&mut magic).map_err(ImportError::io(reading))?;
    read.rewind().map_err(ImportError::io(reading))?;
    if magic.starts_with(b"PK") {
        let entry = find(&mut read).map_err(ImportError::io("reading the zip archive"))?.ok_or_else(|| {
            ImportError::Invalid(
                "the zip archive holds no Apple Health export: it should have apple_health_export/export.xml in it"
                    .into(),
            )
        })?;
        let text = entry.text(read).map_err(ImportError::io("opening the export in the zip archive"))?;
        return Ok(Box::new(BufReader::with_capacity(SNIFF_BYTES, text)));
    }
    if magic.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::with_capacity(
            SNIFF_BYTES,
            MultiGzDecoder::new(BufReader::new(read)),
        )));
    }
    Ok(Box::new(BufReader::with_capacity(SNIFF_BYTES, read)))
}

/// Where an entry's data lies.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u64,
    compressed: Option<u64>,
    deflated: bool,
    /// CRC-32 and size of the text, where the archive tells them.
    expected: Option<(u32, u64)>,
}

impl Entry {
    fn text<R: Read + Seek>(self, mut read: R) -> io::Result<Checked<R>> {
        read.seek(SeekFrom::Start(self.start))?;
        let data = BufReader::with_capacity(SNIFF_BYTES, read).take(self.compressed.unwrap_or(u64::MAX));
        let inner =
            if self.deflated { Inner::Deflated(DeflateDecoder::new(data)) } else { Inner::Stored(data) };
        Ok(Checked { inner, crc: flate2::Crc::new(), read: 0, expected: self.expected })
    }

    fn is_export<R: Read + Seek>(self, read: &mut R) -> bool {
        let mut head = Vec::with_capacity(SNIFF_BYTES);
        let Ok(text) = Self { expected: None, ..self }.text(read) else { return false };
        // A damaged tail shows only later; what was read so far decides.
        let _ = text.take(SNIFF_BYTES as u64).read_to_end(&mut head);
        [&b"<!DOCTYPE HealthData"[..], b"<HealthData"]
            .iter()
            .any(|mark| head.windows(mark.len()).any(|window| window == *mark))
    }
}

#[derive(Debug)]
enum Inner<R: Read> {
    Stored(io::Take<BufReader<R>>),
    Deflated(DeflateDecoder<io::Take<BufReader<R>>>),
}

/// Text of an entry, checked against the archive's CRC-32 at its end.
#[derive(Debug)]
struct Checked<R: Read> {
    inner: Inner<R>,
    crc: flate2::Crc,
    read: u64,
    expected: Option<(u32, u64)>,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.inner {
            Inner::Stored(data) => data.read(buf)?,
            Inner::Deflated(data) => data.read(buf)?,
        };
        self.crc.update(&buf[..n]);
        self.read += n as u64;
        if let Some((crc, size)) = self.expected.filter(|_| n == 0 && !buf.is_empty()) {
            if self.read < size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.read != size || self.crc.sum() != crc {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(n)
    }
}

fn is_candidate(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.ends_with(b".xml") && !lower.ends_with(b"export_cda.xml") && !lower.starts_with(b"__macosx/")
}

fn find<R: Read + Seek>(read: &mut R) -> io::Result<Option<Entry>> {
    let Ok(mut archive) = ZipArchive::new(&mut *read) else { return walk(read) };
    let mut candidates = Vec::new();
    for i in 0..archive.len() {
        let Ok(entry) = archive.by_index_raw(i) else { continue };
        let deflated = entry.compression() == CompressionMethod::Deflated;
        let readable = (deflated || entry.compression() == CompressionMethod::Stored) && !entry.encrypted();
        let (true, true, Some(start)) = (readable, is_candidate(entry.name_raw()), entry.data_start()) else {
            continue;
        };
        let usual = entry.name_raw().ends_with(b"apple_health_export/export.xml");
        let expected = Some((entry.crc32(), entry.size()));
        candidates
            .push((!usual, Entry { start, compressed: Some(entry.compressed_size()), deflated, expected }));
    }
    drop(archive);
    candidates.sort_by_key(|(unusual, _)| *unusual);
    Ok(candidates.into_iter().map(|(_, entry)| entry).find(|entry| entry.is_export(read)))
}

/// Walks the local headers from the front: what remains of an archive that was cut.
fn walk<R: Read + Seek>(read: &mut R) -> io::Result<Option<Entry>> {
    let mut at = 0;
    for _ in 0..ENTRIES_MAX {
        read.seek(SeekFrom::Start(at))?;
        let mut header = [0_u8; 30];
        if read.read_exact(&mut header).is_err() || header[..4] != LOCAL_HEADER {
            return Ok(None);
        }
        let u16_at = |i: usize| u16::from_le_bytes([header[i], header[i + 1]]);
        let u32_at = |i: usize| u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]);
        let mut name = vec![0; usize::from(u16_at(26))];
        if read.read_exact(&mut name).is_err() {
            return Ok(None);
        }
        let start = at + 30 + u64::from(u16_at(26)) + u64::from(u16_at(28));
        let (flags, method, size) = (u16_at(6), u16_at(8), u32_at(18));
        // Size 0 with bit 3 stands after the data; all ones stands in the zip64 extra field.
        let compressed = (size != u32::MAX && (size != 0 || flags & 8 == 0)).then(|| u64::from(size));
        let entry = Entry { start, compressed, deflated: method == 8, expected: None };
        let readable = flags & 1 == 0 && (method == 8 || method == 0 && compressed.is_some());
        if readable && is_candidate(&name) && entry.is_export(read) {
            return Ok(Some(entry));
        }
        at = match compressed {
            Some(size) => start + size,
            None if method == 8 => match after_deflated(read, start)? {
                Some(next) => next,
                None => return Ok(None),
            },
            None => return Ok(None),
        };
    }
    Ok(None)
}

/// Where the next local header stands after deflated data of unknown length and its descriptor.
fn after_deflated<R: Read + Seek>(read: &mut R, start: u64) -> io::Result<Option<u64>> {
    read.seek(SeekFrom::Start(start))?;
    let mut data = DeflateDecoder::new(BufReader::new(&mut *read));
    if io::copy(&mut data, &mut io::sink()).is_err() {
        return Ok(None);
    }
    let end = start + data.total_in();
    read.seek(SeekFrom::Start(end))?;
    let mut tail = Vec::with_capacity(32);
    read.by_ref().take(32).read_to_end(&mut tail)?;
    let next = tail.windows(LOCAL_HEADER.len()).position(|window| window == LOCAL_HEADER);
    Ok(next.map(|i| end + i as u64))
}
