//! Skips everything before the root element: XML declaration, DTD, comments.

use std::io::{self, BufRead, Chain, Read as _};

use crate::import::{Reason, Rejected};

/// How the root element begins.
const ROOT: &[u8] = b"<HealthData";
/// Longest prologue, in bytes; real ones have about 10 KiB.
const PROLOGUE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The text from the root element on.
pub(super) type Body<R> = Chain<&'static [u8], R>;

/// Returns the text from `<HealthData` on and the number of bytes before it. The DTD names the element too, but
/// never with `<` right before the name, so that no DTD, well-formed or not, needs to be understood.
pub(super) fn skip<R: BufRead>(mut read: R) -> Result<(Body<R>, u64), Rejected> {
    let mut seen = 0_u64;
    let mut matched = 0;
    loop {
        let buf = match read.fill_buf() {
            Ok(buf) => buf,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(super::walk::broken(&error)),
        };
        let Some(&byte) = buf.first() else { return Err(missing(seen)) };
        if matched == ROOT.len() {
            if byte.is_ascii_whitespace() || byte == b'>' || byte == b'/' {
                return Ok((ROOT.chain(read), seen - ROOT.len() as u64));
            }
            matched = 0;
        }
        // `<` is only the first byte of the root's tag, so a mismatch can only begin anew at a `<`.
        let mut used = 0;
        for &byte in buf {
            used += 1;
            matched = if byte == ROOT[matched] { matched + 1 } else { usize::from(byte == b'<') };
            if matched == ROOT.len() {
                break;
            }
        }
        read.consume(used);
        seen += used as u64;
        if seen > PROLOGUE_BYTES_MAX {
            return Err(missing(seen));
        }
    }
}

fn missing(seen: u64) -> Rejected {
    match seen {
        0 => Rejected::last(Reason::Malformed, "the file is empty"),
        _ => Rejected::last(
            Reason::Malformed,
            "there is no <HealthData> element: give export.xml or export.zip of Apple Health (export_cda.xml is \
             another format), whole",
        ),
    }
}
