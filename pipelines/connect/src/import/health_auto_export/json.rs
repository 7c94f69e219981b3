//! Reads JSON piece by piece: keys and elements one at a time, whole values as raw bytes. What is handed out is
//! parsed by `serde_json` afterwards; what is skipped is only balanced.

use std::io::{self, BufRead};

/// Deepest nesting.
const DEPTH_MAX: u32 = 128;
/// Longest key or name, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// Why reading ends.
#[derive(Debug)]
pub(super) enum Fault {
    /// The text ends in the middle.
    Cut,
    /// The text cannot be read.
    Io(io::Error),
    /// This is not JSON, or not of the expected shape; what was expected.
    Malformed(&'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Cut } else { Self::Io(error) }
    }
}

/// A JSON text being read.
#[derive(Debug)]
pub(super) struct Json<R> {
    read: R,
    /// Bytes read so far.
    pub(super) at: u64,
}

impl<R: BufRead> Json<R> {
    pub(super) fn new(read: R) -> Self {
        Self { read, at: 0 }
    }

    fn buf(&mut self) -> Result<&[u8], Fault> {
        loop {
            match self.read.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Buffered already: asking again for the same bytes costs nothing and frees the borrow above.
        Ok(self.read.fill_buf()?)
    }

    fn consume(&mut self, bytes: usize) {
        self.read.consume(bytes);
        self.at += bytes as u64;
    }

    /// The next byte that is no white space, not consumed.
    pub(super) fn peek(&mut self) -> Result<u8, Fault> {
        loop {
            let buf = self.buf()?;
            if buf.is_empty() {
                return Err(Fault::Cut);
            }
            let blank = buf.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
            if let Some(&byte) = buf.get(blank) {
                self.consume(blank);
                return Ok(byte);
            }
            self.consume(blank);
        }
    }

    /// Consumes a byte-order mark.
    pub(super) fn skip_mark(&mut self) -> Result<(), Fault> {
        if self.buf()?.starts_with(b"\xef\xbb\xbf") {
            self.consume(3);
        }
        Ok(())
    }

    /// Consumes `byte`, or says what was `expected`.
    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Fault> {
        if self.peek()? != byte {
            return Err(Fault::Malformed(expected));
        }
        self.consume(1);
        Ok(())
    }

    /// Inside an object: the next key, after which its value stands; `None` at its end.
    pub(super) fn key(&mut self, first: &mut bool) -> Result<Option<String>, Fault> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        let key = self.text()?.ok_or(Fault::Malformed("a member's name"))?;
        self.expect(b':', "a colon after a member's name")?;
        Ok(Some(key))
    }

    /// Inside an array: whether another element stands next.
    pub(super) fn element(&mut self, first: &mut bool) -> Result<bool, Fault> {
        self.more(first, b']')
    }

    fn more(&mut self, first: &mut bool, end: u8) -> Result<bool, Fault> {
        if self.peek()? == end {
            self.consume(1);
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            self.expect(b',', "a comma or the end of the list")?;
        }
        Ok(true)
    }

    /// A short string; `None` when the value is something else, which is skipped.
    pub(super) fn text(&mut self) -> Result<Option<String>, Fault> {
        let mut raw = Vec::new();
        let fits = self.value(Some(&mut raw), NAME_BYTES_MAX)?;
        Ok(if fits { serde_json::from_slice(&raw).ok() } else { None })
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        self.value(None, usize::MAX).map(|_| ())
    }

    /// Reads a whole value's bytes into `keep`; false when it has more than `bytes_max` and was dropped.
    pub(super) fn value(&mut self, mut keep: Option<&mut Vec<u8>>, bytes_max: usize) -> Result<bool, Fault> {
        self.peek()?;
        let mut scan = Scan::default();
        let mut fits = true;
        loop {
            let buf = self.buf()?;
            if buf.is_empty() {
                // A number at the very end of the text is whole, everything else was cut.
                return Err(Fault::Cut);
            }
            let (used, done) = scan.feed(buf)?;
            if let Some(keep) = keep.as_deref_mut() {
                if keep.len() + used > bytes_max {
                    fits = false;
                    keep.clear();
                    keep.shrink_to_fit();
                }
                if fits {
                    keep.extend_from_slice(&buf[..used]);
                }
            }
            self.consume(used);
            if done {
                return Ok(fits);
            }
        }
    }
}

/// Finds the end of a value.
#[derive(Debug, Default)]
struct Scan {
    depth: u32,
    in_text: bool,
    escaped: bool,
    begun: bool,
}

impl Scan {
    /// How many bytes of `buf` belong to the value, and whether it ends there.
    fn feed(&mut self, buf: &[u8]) -> Result<(usize, bool), Fault> {
        for (i, &byte) in buf.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => {
                        self.in_text = false;
                        if self.depth == 0 {
                            return Ok((i + 1, true));
                        }
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > DEPTH_MAX {
                        return Err(Fault::Malformed("at most 128 levels"));
                    }
                }
                b'}' | b']' if self.depth == 0 => return self.end_of_scalar(i),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok((i + 1, true));
                    }
                }
                b',' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return self.end_of_scalar(i),
                _ => {}
            }
            self.begun = true;
        }
        Ok((buf.len(), false))
    }

    fn end_of_scalar(&self, i: usize) -> Result<(usize, bool), Fault> {
        if self.begun { Ok((i, true)) } else { Err(Fault::Malformed("a value")) }
    }
}
