//! Which folder a table's name stands for, and which one is built beside it.
//!
//! `lake/NAME` is a link to `lake/.versions/NAME-…`, so that every engine reads a table under its name, and a changed job's
//! table takes the old one's place in one rename. While it is built, `lake/.building/NAME` is the link to it.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crave_flow::failpoint;

use crate::{Error, staged::sync_folder};

const VERSIONS: &str = ".versions";
const BUILDING: &str = ".building";

/// The names in a lake's folder.
#[derive(Debug)]
pub(crate) struct Versions {
    lake: PathBuf,
}

impl Versions {
    pub(crate) fn new(lake: &Path) -> Self {
        Self { lake: lake.into() }
    }

    /// The folder that the name stands for.
    pub(crate) fn current(&self, name: &str) -> Option<PathBuf> {
        self.lake.join(name).canonicalize().ok()
    }

    /// The folder that will take its place.
    pub(crate) fn building(&self, name: &str) -> Option<PathBuf> {
        self.lake.join(BUILDING).join(name).canonicalize().ok()
    }

    /// Every name of a table.
    pub(crate) fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.lake) else { return Vec::new() };
        let tables = entries.filter_map(Result::ok).filter(|e| e.path().join("_delta_log").is_dir());
        tables.filter_map(|e| e.file_name().into_string().ok()).collect()
    }

    /// A fresh folder for the name: its place when it is free, else to be built beside what is there. An unfinished
    /// one is forgotten.
    pub(crate) fn begin(&self, name: &str) -> Result<PathBuf, Error> {
        let id = uuid::Uuid::now_v7();
        let folder = self.lake.join(VERSIONS).join(format!("{name}-{id}"));
        fs::create_dir_all(&folder).map_err(Error::file(&folder, "making the table's folder"))?;
        failpoint("before naming")?;
        let target = Path::new(VERSIONS).join(format!("{name}-{id}"));
        if self.lake.join(name).exists() {
            let links = self.lake.join(BUILDING);
            fs::create_dir_all(&links).map_err(Error::file(&links, "making the folder of links"))?;
            link(&Path::new("..").join(target), &links, name)?;
        } else {
            link(&target, &self.lake, name)?;
        }
        failpoint("after naming")?;
        folder.canonicalize().map_err(Error::file(&folder, "finding"))
    }

    /// Puts what was built in the place of the name.
    pub(crate) fn switch(&self, name: &str) -> Result<(), Error> {
        let Some(built) = self.building(name) else { return Ok(()) };
        let version = built.file_name().unwrap_or_default();
        failpoint("before switch")?;
        link(&Path::new(VERSIONS).join(version), &self.lake, name)?;
        failpoint("during switch")?;
        let link = self.lake.join(BUILDING).join(name);
        fs::remove_file(&link).map_err(Error::file(&link, "removing"))
    }

    /// Folders that no name stands for.
    pub(crate) fn unnamed(&self) -> Vec<PathBuf> {
        let of = |folder: &Path| -> Vec<PathBuf> {
            let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
            entries.filter_map(|e| e.ok()?.path().canonicalize().ok()).collect()
        };
        let named: BTreeSet<_> = of(&self.lake).into_iter().chain(of(&self.lake.join(BUILDING))).collect();
        of(&self.lake.join(VERSIONS)).into_iter().filter(|folder| !named.contains(folder)).collect()
    }
}

/// Makes `folder/name` a link to `target`, durably, whatever link was there before.
fn link(target: &Path, folder: &Path, name: &str) -> Result<(), Error> {
    let (fresh, place) = (folder.join(format!(".{name}.link")), folder.join(name));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(Error::file(&fresh, "removing")(error));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(target, &fresh).map_err(Error::file(&fresh, "linking"))?;
    fs::rename(&fresh, &place).map_err(Error::file(&place, "naming the table"))?;
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_beside_takes_the_place_of_the_name() {
        let lake = tempfile::tempdir().unwrap();
        let versions = Versions::new(lake.path());
        assert_eq!((versions.current("t"), versions.building("t")), (None, None));
        let first = versions.begin("t").unwrap();
        assert_eq!((versions.current("t"), versions.building("t")), (Some(first.clone()), None));
        versions.switch("t").unwrap();
        assert_eq!(versions.current("t"), Some(first.clone()), "nothing was built");
        let abandoned = versions.begin("t").unwrap();
        let second = versions.begin("t").unwrap();
        assert_eq!(
            (versions.current("t"), versions.building("t")),
            (Some(first.clone()), Some(second.clone()))
        );
        assert_eq!(versions.unnamed(), std::slice::from_ref(&abandoned));
        versions.switch("t").unwrap();
        assert_eq!((versions.current("t"), versions.building("t")), (Some(second), None));
        let mut unnamed = versions.unnamed();
        unnamed.sort();
        let mut expected = [abandoned, first];
        expected.sort();
        assert_eq!(unnamed, expected);
        // A lake that was moved is the same lake.
        let moved = tempfile::tempdir().unwrap();
        fs::rename(lake.path(), moved.path().join("lake")).unwrap();
        assert!(Versions::new(&moved.path().join("lake")).current("t").is_some());
    }
}
