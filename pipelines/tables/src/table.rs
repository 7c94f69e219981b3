//! One Delta table and its only writer: every commit to it goes through this lock.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use crave_flow::failpoint;
use datafusion::{catalog::TableProvider, logical_expr::Expr, prelude::SessionContext};
use deltalake::{
    DeltaTable, DeltaTableBuilder, TableProperty,
    kernel::{
        Action, Add, StructType, Transaction,
        engine::arrow_conversion::TryIntoKernel as _,
        transaction::{CommitBuilder, CommitProperties},
    },
    protocol::{DeltaOperation, SaveMode},
};
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    Error,
    commit::{Commit, Epoch, decide},
    staged::{self, StagedFile},
    stats::INDEXED,
};

mod kept;

/// Old log entries are kept this long; a reader that pinned a version has finished by then.
const LOG_RETENTION: &str = "interval 1 hours";
/// Commits between two Delta checkpoints.
const CHECKPOINT_EVERY: &str = "20";

/// A Delta table under `lake/NAME`.
pub struct Table {
    name: String,
    folder: PathBuf,
    schema: SchemaRef,
    app_id: String,
    delta: Mutex<DeltaTable>,
    /// A write has begun and was not seen to end: the log may hold more than `delta` knows.
    unsure: AtomicBool,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Table {
    /// Opens the table in `folder`, creating it with `schema` (see [`stored_schema`]) when absent.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or holds a table with other columns.
    pub async fn open(name: &str, folder: &Path, schema: SchemaRef) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::file(folder, "making the table's folder"))?;
        if !is_made(folder) {
            create(handle(name, folder)?, name, &schema).await?;
            failpoint("after creation")?;
            sync_log(folder, 0)?;
        }
        let table = Self::open_existing(name, folder).await?;
        table.check_columns(&schema)?;
        Ok(Self { schema, ..table })
    }

    /// Opens the table in `folder` with the columns it has.
    ///
    /// # Errors
    /// When there is no table or it cannot be read.
    pub async fn open_existing(name: &str, folder: &Path) -> Result<Self, Error> {
        let folder = folder.canonicalize().map_err(Error::file(folder, "finding"))?;
        let mut delta = handle(name, &folder)?;
        delta.load().await.map_err(Error::delta(name, "reading its log"))?;
        let provider = delta.table_provider().await.map_err(Error::data(name, "planning a scan"))?;
        let app_id = format!("crave/{name}");
        let (schema, delta) = (provider.schema(), Mutex::new(delta));
        Ok(Self { name: name.into(), folder, schema, app_id, delta, unsure: AtomicBool::new(false) })
    }

    fn check_columns(&self, wanted: &Schema) -> Result<(), Error> {
        if self.has_columns(wanted) {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "table {} has columns {:?} but its job writes {:?}; delete checkpoints/ to compute every table anew from the log",
            self.name,
            names(&self.schema),
            names(wanted)
        )))
    }

    pub(crate) fn has_columns(&self, wanted: &Schema) -> bool {
        names(&self.schema) == names(wanted)
    }

    /// Name of the table.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its files lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its stored columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The newest version, for readers: a provider pinned to it.
    ///
    /// # Errors
    /// When the table's state is not loaded.
    pub async fn provider(&self) -> Result<Arc<dyn TableProvider>, Error> {
        let builder = self.delta.lock().await.table_provider();
        builder.await.map_err(Error::data(&self.name, "planning a scan"))
    }

    /// Makes the table's files readable in a session.
    ///
    /// # Errors
    /// When the store cannot be registered.
    pub async fn register_store(&self, session: &SessionContext) -> Result<(), Error> {
        let delta = self.delta.lock().await;
        delta
            .update_datafusion_session(&session.state())
            .map_err(Error::delta(&self.name, "registering its store"))
    }

    /// Takes in what another process committed since.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        let updated = self.delta.lock().await.update_state().await;
        updated.map_err(Error::delta(&self.name, "reading its log"))
    }

    /// The newest version's number.
    pub async fn version(&self) -> u64 {
        self.delta.lock().await.version().unwrap_or_default()
    }

    /// The last epoch in the table; `None` before the first.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn committed(&self) -> Result<Option<Epoch>, Error> {
        let delta = self.delta.lock().await;
        self.committed_in(&delta, &self.app_id).await
    }

    async fn committed_in(&self, delta: &DeltaTable, application: &str) -> Result<Option<u64>, Error> {
        let snapshot = delta.snapshot().map_err(Error::delta(&self.name, "reading its state"))?;
        let version = snapshot.transaction_version(delta.log_store().as_ref(), application).await;
        let version = version.map_err(Error::delta(&self.name, "reading its last epoch"))?;
        Ok(version.and_then(|v| u64::try_from(v).ok()))
    }

    /// Commits an epoch's staged files, once: step (c) of the commit protocol.
    ///
    /// # Errors
    /// When the store fails; calling again is safe.
    pub(crate) async fn append(
        &self,
        epoch: Epoch,
        decided: Epoch,
        files: &[StagedFile],
    ) -> Result<Commit, Error> {
        let mut delta = self.begin_write().await?;
        if decide(self.committed_in(&delta, &self.app_id).await?, decided, epoch)? == Commit::Skip {
            self.end_write();
            return Ok(Commit::Skip);
        }
        let mut actions = Vec::with_capacity(files.len());
        for file in files {
            staged::publish(&self.folder, file)?;
            actions.push(Action::Add(self.add(file)?));
        }
        failpoint("between publish and commit")?;
        self.commit(&mut delta, actions, Some((&self.app_id, epoch))).await?;
        self.end_write();
        Ok(Commit::Add)
    }

    /// Adds files in one commit, with how far the application is that wrote them.
    async fn commit(
        &self,
        delta: &mut DeltaTable,
        actions: Vec<Action>,
        application: Option<(&str, u64)>,
    ) -> Result<(), Error> {
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let mut properties = CommitProperties::default();
        if let Some((application, version)) = application {
            let version = i64::try_from(version)
                .map_err(|_| Error::Invalid(format!("{application}: {version} is too large")))?;
            properties = properties.with_application_transaction(Transaction::new(application, version));
        }
        let commit = {
            let snapshot = delta.snapshot().map_err(Error::delta(&self.name, "reading its state"))?;
            let builder = CommitBuilder::from(properties).with_actions(actions);
            builder.build(Some(snapshot.snapshot()), delta.log_store(), operation).await
        };
        let commit = commit.map_err(Error::delta(&self.name, "committing an epoch"))?;
        failpoint("between commit and sync")?;
        sync_log(&self.folder, commit.version)?;
        delta.update_state().await.map_err(Error::delta(&self.name, "reading its log"))
    }

    fn add(&self, file: &StagedFile) -> Result<Add, Error> {
        let path = self.folder.join(&file.name);
        let modified =
            fs::metadata(&path).and_then(|m| m.modified()).map_err(Error::file(&path, "reading"))?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let stats =
            serde_json::to_string(&file.stats).map_err(Error::data(&self.name, "writing statistics"))?;
        Ok(Add {
            path: file.name.clone(),
            size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
            partition_values: HashMap::new(),
            modification_time: i64::try_from(since.as_millis()).unwrap_or_default(),
            data_change: true,
            stats: Some(stats),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        })
    }

    /// Locks the table for one write. After one that failed half-way it takes in what the log holds by now: a commit
    /// whose answer was lost must not be made again.
    async fn begin_write(&self) -> Result<MutexGuard<'_, DeltaTable>, Error> {
        let mut delta = self.delta.lock().await;
        if self.unsure.swap(true, Ordering::AcqRel) {
            delta.update_state().await.map_err(Error::delta(&self.name, "reading its log"))?;
        }
        Ok(delta)
    }

    /// The write has ended, and the table's state is that of its log.
    fn end_write(&self) {
        self.unsure.store(false, Ordering::Release);
    }

    /// Replaces the rows that match `predicate` by `batches`, in one commit.
    ///
    /// # Errors
    /// When a row does not match the predicate, or the store fails.
    pub async fn replace(&self, predicate: Expr, batches: Vec<RecordBatch>) -> Result<(), Error> {
        let mut delta = self.begin_write().await?;
        let next = if batches.iter().all(|b| b.num_rows() == 0) {
            let done = delta.clone().delete().with_predicate(predicate).await;
            done.map_err(Error::delta(&self.name, "deleting rows"))?.0
        } else {
            let write = delta
                .clone()
                .write(batches)
                .with_save_mode(SaveMode::Overwrite)
                .with_replace_where(predicate);
            write.await.map_err(Error::delta(&self.name, "replacing rows"))?
        };
        *delta = next;
        sync_log(&self.folder, delta.version().unwrap_or_default())?;
        self.end_write();
        Ok(())
    }

    /// Runs one operation on the table as its only writer.
    pub(crate) async fn write<F, T>(&self, operation: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(DeltaTable) -> Result<(DeltaTable, T), Error>,
    {
        let mut delta = self.begin_write().await?;
        let (next, result) = operation(delta.clone()).await?;
        *delta = next;
        self.end_write();
        Ok(result)
    }

    /// Converts a batch to the stored column types.
    ///
    /// # Errors
    /// When a column is missing or cannot be converted.
    pub fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch, Error> {
        let columns = self.schema.fields().iter().map(|field| {
            let column = batch.column_by_name(field.name()).ok_or_else(|| {
                Error::Invalid(format!("table {}: column {} is missing", self.name, field.name()))
            })?;
            cast(column, field.data_type()).map_err(Error::data(&self.name, "converting a column"))
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(Error::data(&self.name, "converting a batch"))
    }
}

fn names(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|field| field.name().as_str()).collect()
}

/// Whether the folder holds a table: one that was begun and never made has no entry in its log.
pub(crate) fn is_made(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder.join("_delta_log")) else { return false };
    entries.filter_map(Result::ok).any(|e| e.path().extension().is_some_and(|extension| extension == "json"))
}

/// The object store does not sync what it writes; a checkpoint that is durable counts on this entry.
fn sync_log(folder: &Path, version: u64) -> Result<(), Error> {
    let log = folder.join("_delta_log");
    let entry = log.join(format!("{version:020}.json"));
    File::open(&entry).and_then(|f| f.sync_all()).map_err(Error::file(&entry, "syncing"))?;
    staged::sync_folder(&log)
}

fn handle(name: &str, folder: &Path) -> Result<DeltaTable, Error> {
    let folder = folder.canonicalize().map_err(Error::file(folder, "finding"))?;
    let url = url::Url::from_directory_path(&folder)
        .map_err(|()| Error::Invalid(format!("table {name}: {} is not a folder path", folder.display())))?;
    DeltaTableBuilder::from_url(url).and_then(DeltaTableBuilder::build).map_err(Error::delta(name, "opening"))
}

async fn create(delta: DeltaTable, name: &str, schema: &SchemaRef) -> Result<DeltaTable, Error> {
    let kernel: StructType =
        schema.as_ref().try_into_kernel().map_err(Error::data(name, "translating its columns"))?;
    let indexed: Vec<_> = INDEXED.into_iter().filter(|c| schema.field_with_name(c).is_ok()).collect();
    delta
        .create()
        .with_table_name(name)
        .with_columns(kernel.fields().cloned())
        .with_configuration_property(TableProperty::LogRetentionDuration, Some(LOG_RETENTION))
        .with_configuration_property(TableProperty::CheckpointInterval, Some(CHECKPOINT_EVERY))
        .with_configuration_property(TableProperty::DataSkippingStatsColumns, Some(indexed.join(",")))
        .await
        .map_err(Error::delta(name, "creating"))
}

/// The stored form of a sink's columns: timestamps are microseconds UTC, so that every engine reads them
/// as instants, and everything else as declared.
#[must_use]
pub fn stored_schema(sink: &Schema) -> SchemaRef {
    let stored = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(..) => {
            let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            Field::new(field.name(), utc, field.is_nullable())
        }
        other => Field::new(field.name(), other.clone(), field.is_nullable()),
    };
    Arc::new(Schema::new(sink.fields().iter().map(stored).collect::<Vec<_>>()))
}
