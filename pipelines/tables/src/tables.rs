//! All tables of a lake, by name, and the gate between epochs and repairs.
//!
//! A job that starts from nothing writes a table of its own. Where its name is taken — the job was changed — that table is
//! built beside the old one, which readers see until [`Tables::switch`].

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use arrow::datatypes::Schema;

use crate::{
    Error, Table,
    table::{is_made, stored_schema},
    versions::Versions,
};

/// The tables under `lake/`.
#[derive(Debug)]
pub struct Tables {
    folder: PathBuf,
    versions: Versions,
    open: RwLock<Open>,
    /// Folders that stood for a name once; deleted when they are seen a second time, for queries under way.
    retired: Mutex<Vec<PathBuf>>,
    /// Held while an epoch's commits are under way, and while a repair runs: a repair sees all tables at
    /// the same epoch.
    pub(crate) gate: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Open {
    current: BTreeMap<String, Arc<Table>>,
    building: BTreeMap<String, Arc<Table>>,
}

impl Tables {
    /// Tables in `folder`; none is opened yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.into(),
            versions: Versions::new(folder),
            open: RwLock::default(),
            retired: Mutex::default(),
            gate: Arc::default(),
        }
    }

    /// Where the tables lie: one name a table.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The table that a job writes, with the columns of its sink. A job that goes on (`resumed`) finds the one it
    /// wrote before; one that starts from nothing gets an empty one.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub async fn open(&self, name: &str, sink: &Schema, resumed: bool) -> Result<Arc<Table>, Error> {
        let schema = stored_schema(sink);
        let current = self.versions.current(name);
        let folder = match current {
            _ if resumed => {
                self.versions.building(name).or(current).ok_or_else(|| Error::Gone(name.into()))?
            }
            Some(folder) if self.is_unused(name, &folder, &schema).await? => folder,
            _ => self.versions.begin(name)?,
        };
        if let Some(open) = self.writer(name).ok().filter(|o| o.folder() == folder && *o.schema() == schema) {
            return Ok(open);
        }
        let table = Arc::new(Table::open(name, &folder, schema).await?);
        let beside = self.versions.building(name).as_deref() == Some(table.folder());
        if beside && self.get(name).is_err() {
            self.read(name, &self.folder.join(name)).await?;
        }
        let mut open = self.write_open();
        let place = if beside { &mut open.building } else { &mut open.current };
        place.insert(name.into(), Arc::clone(&table));
        Ok(table)
    }

    /// A table that no job writes, for the one follower that keeps it (see [`Table::append_once`]). What it holds is made
    /// from elsewhere, so with other columns it begins again, empty.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub async fn open_kept(&self, name: &str, columns: &Schema) -> Result<Arc<Table>, Error> {
        let schema = stored_schema(columns);
        let folder = match self.versions.current(name) {
            Some(folder) if !is_made(&folder) => folder,
            Some(folder) if Table::open_existing(name, &folder).await?.has_columns(&schema) => folder,
            _ => self.versions.begin(name)?,
        };
        let table = Arc::new(Table::open(name, &folder, schema).await?);
        self.versions.switch(name)?;
        self.write_open().current.insert(name.into(), Arc::clone(&table));
        Ok(table)
    }

    /// What nobody has committed to is as good as new, and what was named and never made.
    async fn is_unused(&self, name: &str, folder: &Path, schema: &Schema) -> Result<bool, Error> {
        if !is_made(folder) {
            return Ok(true);
        }
        let table = Table::open_existing(name, folder).await?;
        Ok(table.committed().await?.is_none() && table.has_columns(schema))
    }

    /// Puts a table that was built beside the old one in its place.
    ///
    /// # Errors
    /// When the disk fails; the old one stands then.
    pub fn switch(&self, name: &str) -> Result<(), Error> {
        self.versions.switch(name)?;
        let mut open = self.write_open();
        if let Some(table) = open.building.remove(name) {
            open.current.insert(name.into(), table);
        }
        Ok(())
    }

    /// Names of the tables that are built beside old ones.
    #[must_use]
    pub fn building(&self) -> Vec<String> {
        self.read_open().building.keys().cloned().collect()
    }

    /// Opens every table that is in the folder, as it is now, and brings those that are open up to date: for readers
    /// beside a running writer.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn refresh(&self) -> Result<(), Error> {
        for name in self.versions.names() {
            let Some(folder) = self.versions.current(&name) else { continue };
            match self.get(&name) {
                Ok(table) if table.folder() == folder => table.refresh().await?,
                _ => {
                    self.read(&name, &folder).await?;
                }
            }
        }
        Ok(())
    }

    async fn read(&self, name: &str, folder: &Path) -> Result<Arc<Table>, Error> {
        let table = Arc::new(Table::open_existing(name, folder).await?);
        self.write_open().current.insert(name.into(), Arc::clone(&table));
        Ok(table)
    }

    /// Deletes folders that no name stands for any more; called now and then.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sweep(&self) -> Result<(), Error> {
        let unnamed = self.versions.unnamed();
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in unnamed.iter().filter(|folder| retired.contains(folder)) {
            fs::remove_dir_all(folder).map_err(Error::file(folder, "deleting"))?;
        }
        *retired = unnamed;
        Ok(())
    }

    /// The table that readers see.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, name: &str) -> Result<Arc<Table>, Error> {
        self.read_open().current.get(name).cloned().ok_or_else(|| Error::NotFound(name.into()))
    }

    /// The table that the job writes: the one readers see, or the one that is built beside it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn writer(&self, name: &str) -> Result<Arc<Table>, Error> {
        let open = self.read_open();
        let table = open.building.get(name).or_else(|| open.current.get(name));
        table.cloned().ok_or_else(|| Error::NotFound(name.into()))
    }

    /// Every table that readers see, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Table>> {
        self.read_open().current.values().cloned().collect()
    }

    /// Every table that is written: those that are built beside others, and all others.
    #[must_use]
    pub fn written(&self) -> Vec<Arc<Table>> {
        let open = self.read_open();
        let kept = open.current.iter().filter(|(name, _)| !open.building.contains_key(*name));
        kept.map(|(_, table)| table).chain(open.building.values()).cloned().collect()
    }

    fn read_open(&self) -> RwLockReadGuard<'_, Open> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_open(&self) -> RwLockWriteGuard<'_, Open> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn sink(columns: &[&str]) -> Schema {
        Schema::new(columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn a_table_that_was_named_and_never_made_is_made() {
        let lake = tempfile::tempdir().unwrap();
        let named = Versions::new(lake.path()).begin("t").unwrap();
        for half_made in [false, true] {
            if half_made {
                fs::create_dir_all(named.join("_delta_log")).unwrap();
            }
            let tables = Tables::new(lake.path());
            let table = tables.open("t", &sink(&["a"]), false).await.unwrap();
            assert_eq!((table.folder(), tables.building().len()), (named.as_path(), 0));
            fs::remove_dir_all(named.join("_delta_log")).unwrap();
        }
    }

    #[tokio::test]
    async fn a_job_finds_its_table_and_a_changed_one_gets_its_own() {
        let lake = tempfile::tempdir().unwrap();
        let open = async |columns: &[&str], resumed| {
            let tables = Tables::new(lake.path());
            let table = tables.open("t", &sink(columns), resumed).await;
            table.map(|table| (tables, table))
        };
        assert!(matches!(open(&["a"], true).await, Err(Error::Gone(_))), "a job goes on without its table");
        let (_, first) = open(&["a"], false).await.unwrap();
        let (_, unused) = open(&["a"], false).await.unwrap();
        assert_eq!(unused.folder(), first.folder(), "nothing was committed, so it is fresh still");
        let rows = arrow::array::RecordBatch::try_from_iter([(
            "a",
            Arc::new(arrow::array::StringArray::from(vec!["x"])) as arrow::array::ArrayRef,
        )]);
        let staged = crate::staged::write(first.folder(), "t", 1, &[rows.unwrap()]).unwrap().unwrap();
        let _ = first.append(1, 1, &[staged]).await.unwrap();

        let (_, resumed) = open(&["a"], true).await.unwrap();
        assert_eq!((resumed.folder(), resumed.schema()), (first.folder(), first.schema()));
        let (tables, changed) = open(&["a", "b"], false).await.unwrap();
        assert_ne!(changed.folder(), first.folder());
        assert_eq!(tables.get("t").unwrap().folder(), first.folder(), "readers see the old one");
        assert_eq!(tables.writer("t").unwrap().folder(), changed.folder());
        let (tables, resumed) = open(&["a", "b"], true).await.unwrap();
        assert_eq!(resumed.folder(), changed.folder(), "a restart goes on building");
        tables.switch("t").unwrap();
        assert_eq!(tables.get("t").unwrap().folder(), changed.folder());
        assert_eq!(tables.building(), [""; 0]);
        tables.sweep().unwrap();
        assert!(first.folder().exists(), "a query may be under way");
        tables.sweep().unwrap();
        assert!(!first.folder().exists());
    }
}
