//! The door of the fuzz target to cold files, which are nobody else's business.

use std::io::Cursor;
use std::path::Path;

use super::segment::{Segment, mended};

/// A cold file as it is and with its checksums put right: told to be damaged, or as many memories as its header says, all of
/// its person.
///
/// # Panics
/// Where that is not so.
pub fn cold_file(bytes: &[u8]) {
    for bytes in std::iter::once(bytes.to_vec()).chain(mended(bytes)) {
        let length = bytes.len() as u64;
        let Ok(mut segment) = Segment::read(Cursor::new(bytes), length, Path::new("fuzz")) else { continue };
        let Ok(items) = segment.items() else { continue };
        assert_eq!(items.len(), segment.header.memories);
        assert!(items.iter().all(|item| item.memory.user_id == segment.header.user));
    }
}
