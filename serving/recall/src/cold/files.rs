//! The folder of a person: what is in it, and how a file gets there in one step.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::segment::{Header, Segment};
use super::{Key, Tenant};
use crate::{Error, Result};

const MOVING: &str = "moving";
const MOVED: &str = "seg";

/// A file of a person.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Info {
    pub(super) header: Header,
    pub(super) bytes: u64,
    /// The hot index may hold its memories still.
    pub(super) moving: bool,
}

/// Where a file is.
pub(super) fn path(dir: &Path, key: &Key, number: u32, moving: bool) -> PathBuf {
    folder(dir, key).join(format!("{number:08}.{}", if moving { MOVING } else { MOVED }))
}

/// Where a person's files are.
pub(super) fn folder(dir: &Path, key: &Key) -> PathBuf {
    dir.join(hex::encode(key))
}

/// What is in `dir`; remainders of a crash are removed.
pub(super) fn open(dir: &Path) -> Result<HashMap<Key, Tenant>> {
    let mut tenants = HashMap::new();
    for folder in entries(dir)? {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut key = Key::default();
        if hex::decode_to_slice(name, &mut key).is_err() {
            continue;
        }
        let tenant = tenant(&folder)?;
        if tenant.files.is_empty() && tenant.broken.is_none() {
            fs::remove_dir_all(&folder).map_err(|error| Error::io("remove", &folder, error))?;
        } else {
            tenants.insert(key, tenant);
        }
    }
    Ok(tenants)
}

fn tenant(folder: &Path) -> Result<Tenant> {
    let mut tenant = Tenant::default();
    let mut replaced = Vec::new();
    for path in entries(folder)? {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok());
        let (Some(number), MOVING | MOVED) = (number, extension) else {
            // A file that was not finished.
            fs::remove_file(&path).map_err(|error| Error::io("remove", &path, error))?;
            continue;
        };
        let bytes = fs::metadata(&path).map_err(|error| Error::io("read", &path, error))?.len();
        match Segment::open(&path) {
            Ok(Segment { header, .. }) => {
                replaced.extend(header.replaces.iter().copied());
                tenant.files.insert(number, Info { header, bytes, moving: extension == MOVING });
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a file of cold memories cannot be read");
                tenant.broken = Some((path, why(&error)));
            }
        }
    }
    // A crash between writing a file and removing those that it takes the place of.
    for number in replaced {
        if let Some(info) = tenant.files.remove(&number) {
            let path = folder.join(format!("{number:08}.{}", if info.moving { MOVING } else { MOVED }));
            fs::remove_file(&path).map_err(|error| Error::io("remove", path, error))?;
        }
    }
    Ok(tenant)
}

fn why(error: &Error) -> String {
    match error {
        Error::ColdBroken { why, .. } => why.clone(),
        other => other.to_string(),
    }
}

/// What is in a folder; nothing where it is not there.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("read", dir, error)),
    }
}

/// Writes and syncs a file beside `path`, from where one rename puts it in its place.
pub(super) fn write_beside(path: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let folder = path.parent().unwrap_or(path);
    if !folder.is_dir() {
        fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))?;
        // The folder's name, and that of the one around it, which may be new too.
        folder.ancestors().skip(1).take(2).try_for_each(sync)?;
    }
    let beside = path.with_extension("tmp");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| Error::io("write", &beside, error))?;
    Ok(beside)
}

/// Renames a file.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|error| Error::io("rename", from, error))
}

/// Removes a file that may be gone.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Removes a folder that may be gone, with all that is in it.
pub(super) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => path.parent().filter(|parent| parent.is_dir()).map_or(Ok(()), sync),
    }
}

/// Makes names in a folder durable.
pub(super) fn sync(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|opened| opened.sync_all()).map_err(|error| Error::io("sync", dir, error))
}
