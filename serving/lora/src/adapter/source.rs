//! Brings an adapter's files from where they are, a folder or an object store, into a folder of ours.

use std::path::Path;

use futures::StreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path as ObjectPath};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use url::Url;

use super::{BASE_FILE, CONFIG_FILE, WEIGHTS_FILE};
use crate::{Error, Result};

/// Files of an adapter: name, most bytes, and whether it must be there.
const FILES: [(&str, u64, bool); 3] =
    [(CONFIG_FILE, 4 << 20, true), (WEIGHTS_FILE, 16 << 30, true), (BASE_FILE, 1 << 20, false)];

/// Copies the files of the adapter at `source`, a folder or a URL such as `s3://bucket/sarah`, into `into`.
///
/// # Errors
/// [`Error::Source`], which says what of it cannot be had; [`Error::Io`] when `into` cannot be written.
pub(super) async fn fetch(source: &str, into: &Path) -> Result<()> {
    let refused = |why: String| Error::Source { url: source.to_owned(), why };
    let url = match Url::parse(source) {
        // A drive's letter and a plain path are no URLs of a store.
        Ok(url) if source.contains("://") => url,
        _ => {
            let path = Path::new(source).canonicalize().map_err(|error| refused(error.to_string()))?;
            Url::from_directory_path(&path).map_err(|()| refused("is no folder".to_owned()))?
        }
    };
    let (store, folder) =
        object_store::parse_url_opts(&url, credentials()).map_err(|error| refused(error.to_string()))?;
    for (name, bytes_max, needed) in FILES {
        match copy(&*store, &folder.clone().join(name), &into.join(name), bytes_max).await {
            Ok(()) => {}
            Err(Copy::Missing) if !needed => {}
            Err(Copy::Missing) => return Err(refused(format!("has no {name}, which PEFT writes"))),
            Err(Copy::Store(why)) => return Err(refused(format!("{name}: {why}"))),
            Err(Copy::Disk(error)) => return Err(Error::io("write", &into.join(name), error)),
        }
    }
    Ok(())
}

/// What the environment says of object stores, such as `AWS_ACCESS_KEY_ID`: no secret stands in a URL.
fn credentials() -> impl Iterator<Item = (String, String)> {
    let known = |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
    let text = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.filter(move |(name, _)| known(name)).map(|(name, value)| (name.to_ascii_lowercase(), value))
}

/// Why a file was not copied.
enum Copy {
    Missing,
    Store(String),
    Disk(std::io::Error),
}

async fn copy(
    store: &dyn ObjectStore,
    from: &ObjectPath,
    to: &Path,
    bytes_max: u64,
) -> std::result::Result<(), Copy> {
    let failed = |error: object_store::Error| match error {
        object_store::Error::NotFound { .. } => Copy::Missing,
        other => Copy::Store(other.to_string()),
    };
    let found = store.get(from).await.map_err(failed)?;
    let bytes = found.meta.size;
    if bytes > bytes_max {
        return Err(Copy::Store(format!("has {bytes} bytes; at most {bytes_max} are taken")));
    }
    let mut file = File::create(to).await.map_err(Copy::Disk)?;
    let mut pieces = found.into_stream();
    let mut written = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(failed)?;
        written += piece.len() as u64;
        if written > bytes {
            return Err(Copy::Store("is longer than its store says".to_owned()));
        }
        file.write_all(&piece).await.map_err(Copy::Disk)?;
    }
    if written < bytes {
        return Err(Copy::Store(format!("ended after {written} of {bytes} bytes; try again")));
    }
    file.sync_all().await.map_err(Copy::Disk)
}
