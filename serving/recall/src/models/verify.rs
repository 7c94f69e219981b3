//! Checks files against their SHA-256 and moves what is right into place.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{FileSpec, Progress};
use crate::{Error, Result};

const BUFFER_BYTES: usize = 1 << 20;

/// The files that are not in `path` or are not what they must be. A wrong one stays until its replacement is whole.
pub(super) async fn missing(
    files: &[FileSpec],
    path: &Path,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<FileSpec>> {
    let mut missing = Vec::new();
    for file in files {
        let at = path.join(&*file.name);
        if !at.is_file() {
            missing.push(file.clone());
            continue;
        }
        on_progress(Progress::Verifying { file: file.name.to_string() });
        if Some(sha256(at).await?.as_str()) != file.sha256.as_deref() {
            tracing::warn!(file = &*file.name, "a model file is not what it must be, fetching it again");
            missing.push(file.clone());
        }
    }
    Ok(missing)
}

/// Gives `part` its final name if its bytes are right, and returns their SHA-256; removes it if they are not.
pub(super) async fn accept(
    file: &FileSpec,
    part: &Path,
    path: &Path,
    on_progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<String> {
    on_progress(Progress::Verifying { file: file.name.to_string() });
    let found = sha256(part.to_owned()).await?;
    if let Some(expected) = file.sha256.as_deref().filter(|expected| *expected != found) {
        std::fs::remove_file(part).map_err(|error| Error::io("remove", part, error))?;
        return Err(Error::Hash { file: file.name.to_string(), expected: expected.to_owned(), found });
    }
    let target = path.join(&*file.name);
    let moved = File::open(part)
        .and_then(|opened| opened.sync_all())
        .and_then(|()| std::fs::rename(part, &target))
        .and_then(|()| File::open(path)?.sync_all());
    moved.map(|()| found).map_err(|error| Error::io("write", target, error))
}

async fn sha256(at: PathBuf) -> Result<String> {
    let shown = at.clone();
    let digest = tokio::task::spawn_blocking(move || {
        let mut file = File::open(at)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex::encode(hash.finalize())),
                read => hash.update(buffer.get(..read).unwrap_or_default()),
            }
        }
    });
    digest
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(|error| Error::io("read", shown, error))
}
