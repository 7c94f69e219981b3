//! Searches all files of a home for a text as it is written: a last look that trusts no store.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Shorter texts are in any file by chance.
const TEXT_BYTES_MIN: usize = 8;
/// Bytes read at once.
const STEP_BYTES: usize = 1 << 20;

/// What was searched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Searched {
    /// Files.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Files that hold the id; `None` for an id so short that any file may.
    pub(crate) with_id: Option<u64>,
}

/// Searches the files under `folder` for `text`, but for those whose path begins with `without`.
pub(crate) fn search(folder: &Path, text: &str, without: &Path) -> anyhow::Result<Searched> {
    let mut searched =
        Searched { with_id: (text.len() >= TEXT_BYTES_MIN).then_some(0), ..Searched::default() };
    let skipped = without.to_string_lossy().into_owned();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("listing {}", next.display()))? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && !path.to_string_lossy().starts_with(&skipped) {
                let Some((bytes, found)) = holds(&path, text.as_bytes())? else { continue };
                searched.files += 1;
                searched.bytes += bytes;
                if let Some(with_id) = searched.with_id.as_mut().filter(|_| found) {
                    *with_id += 1;
                    tracing::warn!(file = %path.display(), "an erased person's id is in this file");
                }
            }
        }
    }
    Ok(searched)
}

/// The length of a file, and whether it holds the text; `None` once it is gone, as a database's log is when its last
/// reader closes it.
fn holds(path: &Path, text: &[u8]) -> anyhow::Result<Option<(u64, bool)>> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let (mut window, mut step) = (Vec::new(), vec![0; STEP_BYTES]);
    let (mut bytes, mut found) = (0, false);
    loop {
        let read = file.read(&mut step)?;
        if read == 0 {
            return Ok(Some((bytes, found)));
        }
        bytes += read as u64;
        window.extend_from_slice(&step[..read]);
        found |= window.windows(text.len()).any(|part| part == text);
        window.drain(..window.len().saturating_sub(text.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_it_lies() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("in")).unwrap();
        let mut across = vec![b'x'; STEP_BYTES - 5];
        across.extend_from_slice(b"ada-of-ghent and more");
        fs::write(home.path().join("in").join("across"), &across).unwrap();
        fs::write(home.path().join("other"), b"bob").unwrap();
        fs::write(home.path().join("asked.sqlite"), b"ada-of-ghent").unwrap();
        let skipped = home.path().join("asked");
        let found = search(home.path(), "ada-of-ghent", &skipped).unwrap();
        assert_eq!(found, Searched { files: 2, bytes: across.len() as u64 + 3, with_id: Some(1) });
        assert_eq!(search(home.path(), "ada", &skipped).unwrap().with_id, None);
    }
}
