//! How far a follower is, in a small file that is whole or absent.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use anyhow::Context as _;
use serde::{Serialize, de::DeserializeOwned};

/// The position in a file; the start where there is none, or none that can be read: following again is harmless.
pub(super) fn load<P: DeserializeOwned + Default>(path: &Path) -> anyhow::Result<P> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(P::default()),
        Err(error) => Err(error).with_context(|| format!("{}: cannot be read", path.display())),
    }
}

/// Puts a position in the place of the one before.
pub(super) fn save<P: Serialize>(path: &Path, position: &P) -> anyhow::Result<()> {
    let next = path.with_extension("next");
    let written = File::create(&next).and_then(|mut file| {
        file.write_all(&serde_json::to_vec(position)?)?;
        file.sync_data()?;
        fs::rename(&next, path)
    });
    written.with_context(|| format!("{}: cannot be written", path.display()))
}
