//! All tables of a home, by name, and the gate between epochs and repairs.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use arrow::datatypes::Schema;
use tokio::sync::Mutex;

use crate::{Error, Table, table::stored_schema};

/// The tables under `lake/`.
#[derive(Debug)]
pub struct Tables {
    folder: PathBuf,
    open: RwLock<BTreeMap<String, Arc<Table>>>,
    /// Held while an epoch's commits are under way, and while a repair runs: a repair sees all tables at
    /// the same epoch.
    pub(crate) gate: Arc<Mutex<()>>,
}

impl Tables {
    /// Tables in `folder`; none is opened yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.into(), open: RwLock::default(), gate: Arc::default() }
    }

    /// Where the tables lie: one folder a table.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens a table, creating it with the columns of a sink when absent.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub async fn open(&self, name: &str, sink: &Schema) -> Result<Arc<Table>, Error> {
        if let Ok(table) = self.get(name) {
            return Ok(table);
        }
        let table = Arc::new(Table::open(name, &self.folder.join(name), stored_schema(sink)).await?);
        let mut open = self.open.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(Arc::clone(open.entry(name.into()).or_insert(table)))
    }

    /// Opens every table that is in the folder, as it is now, and brings those that are open up to date: for readers
    /// beside a running writer.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn refresh(&self) -> Result<(), Error> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Ok(()) };
        for path in entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.join("_delta_log").is_dir())
        {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Ok(table) = self.get(&name) {
                table.refresh().await?;
                continue;
            }
            let table = Arc::new(Table::open_existing(&name, &path).await?);
            self.open.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name, table);
        }
        Ok(())
    }

    /// An open table.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, name: &str) -> Result<Arc<Table>, Error> {
        let open = self.open.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        open.get(name).cloned().ok_or_else(|| Error::NotFound(name.into()))
    }

    /// Every open table, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Table>> {
        let open = self.open.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        open.values().cloned().collect()
    }
}
