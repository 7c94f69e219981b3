//! Parquet, row groups decoded on several cores and given out in the order of the file.
//!
//! Each row group is decoded in a task of its own, into a channel of [`BATCHES_MAX`] batches; the next ones are
//! started before the first has ended. An offset is the number of rows before it.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::error::ArrowError;
use async_trait::async_trait;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use tokio::sync::mpsc;

use super::wanted::Wanted;
use crate::{Error, Polled, Reader, Result};

/// Batches of one row group that wait.
const BATCHES_MAX: usize = 16;
/// Row groups under way at most.
const GROUPS_MAX: usize = 4;

/// Reads one file.
pub(super) struct ParquetReader {
    target: Arc<Target>,
    metadata: ArrowReaderMetadata,
    /// Row groups not started: index, and how many of its rows to leave out.
    todo: VecDeque<(usize, usize)>,
    under_way: VecDeque<mpsc::Receiver<Result<RecordBatch>>>,
    groups_max: usize,
    offset: u64,
}

struct Target {
    path: PathBuf,
    wanted: Wanted,
    batch_rows: usize,
}

impl ParquetReader {
    /// Opens `path` behind its first `offset` rows.
    pub(super) fn open(path: &Path, wanted: Wanted, batch_rows: usize, offset: u64) -> Result<Self> {
        let target = Target { path: path.to_owned(), wanted, batch_rows: batch_rows.max(1) };
        let metadata = ArrowReaderMetadata::load(&target.file()?, ArrowReaderOptions::new())
            .map_err(|e| target.bad("is not a Parquet file", e.into()))?;
        let mut todo = VecDeque::new();
        let mut before = 0_u64;
        for (index, group) in metadata.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(group.num_rows()).unwrap_or(0);
            let skip = offset.saturating_sub(before).min(rows);
            if skip < rows {
                todo.push_back((index, usize::try_from(skip).unwrap_or(usize::MAX)));
            }
            before += rows;
        }
        if before < offset {
            return Err(Error::Invalid(format!(
                "{} has {before} rows, but {offset} were read before; put the file back or start without the \
                 checkpoint",
                path.display()
            )));
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            target: Arc::new(target),
            metadata,
            todo,
            under_way: VecDeque::new(),
            groups_max: cores.min(GROUPS_MAX),
            offset,
        })
    }

    fn start(&mut self) {
        while self.under_way.len() < self.groups_max
            && let Some((group, skip)) = self.todo.pop_front()
        {
            let (sender, receiver) = mpsc::channel(BATCHES_MAX);
            let (target, metadata) = (Arc::clone(&self.target), self.metadata.clone());
            tokio::spawn(async move {
                if let Err(error) = target.decode(metadata, group, skip, &sender).await {
                    let _ = sender.send(Err(error)).await;
                }
            });
            self.under_way.push_back(receiver);
        }
    }
}

#[async_trait]
impl Reader for ParquetReader {
    async fn next(&mut self) -> Result<Polled> {
        loop {
            self.start();
            let Some(group) = self.under_way.front_mut() else { return Ok(Polled::End) };
            match group.recv().await {
                Some(batch) => {
                    let batch = batch?;
                    self.offset += u64::try_from(batch.num_rows()).unwrap_or(0);
                    return Ok(Polled::Rows { batch, next_offset: self.offset });
                }
                None => drop(self.under_way.pop_front()),
            }
        }
    }
}

impl Target {
    /// A handle of its own: clones of one share their position.
    fn file(&self) -> Result<File> {
        File::open(&self.path).map_err(|e| Error::io(format!("opening {}", self.path.display()), e))
    }

    async fn decode(
        &self,
        metadata: ArrowReaderMetadata,
        group: usize,
        skip: usize,
        out: &mpsc::Sender<Result<RecordBatch>>,
    ) -> Result<()> {
        let roots = metadata.schema().fields().iter().enumerate();
        let wanted =
            roots.filter(|(_, f)| self.wanted.schema().field_with_name(f.name()).is_ok()).map(|(i, _)| i);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), wanted);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file()?, metadata)
            .with_row_groups(vec![group])
            .with_projection(mask)
            .with_batch_size(self.batch_rows)
            .with_offset(skip)
            .build()
            .map_err(|e| self.bad("cannot be read", e.into()))?;
        for batch in reader {
            let batch = batch.map_err(|e| self.bad("cannot be read", e))?;
            let batch = self.fitted(&batch).map_err(|e| self.bad("does not fit the table", e))?;
            if out.send(Ok(batch)).await.is_err() {
                // The pipeline is being taken down.
                return Ok(());
            }
        }
        Ok(())
    }

    /// The table's columns by name and in its types; one that the file lacks is NULL.
    fn fitted(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let column = |field: &arrow::datatypes::FieldRef| -> Result<ArrayRef, ArrowError> {
            match batch.column_by_name(field.name()) {
                Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
                Some(column) => cast(column, field.data_type()),
                None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
                None => Err(ArrowError::SchemaError(format!("it has no column {}", field.name()))),
            }
        };
        let columns = self.wanted.schema().fields().iter().map(column).collect::<Result<_, _>>()?;
        self.wanted.of_table(&RecordBatch::try_new(Arc::clone(self.wanted.schema()), columns)?)
    }

    fn bad(&self, what: &str, source: ArrowError) -> Error {
        let what =
            format!("{} {what}; give Parquet files with the columns of the table", self.path.display());
        Error::Input { what, source }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;

    async fn read(path: &Path, schema: &SchemaRef, from: u64) -> Result<Vec<(Vec<i64>, u64)>> {
        let mut reader = ParquetReader::open(path, Wanted::all(schema), 700, from)?;
        let mut all = Vec::new();
        while let Polled::Rows { batch, next_offset } = reader.next().await? {
            all.push((batch.column(0).as_primitive::<Int64Type>().values().to_vec(), next_offset));
        }
        Ok(all)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn row_groups_come_in_order_cast_to_the_table() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let written = Arc::new(Schema::new(vec![
            Field::new("other", DataType::Utf8, true),
            Field::new("n", DataType::Int32, false),
        ]));
        let other = Arc::new(StringArray::from_iter_values((0..50_000).map(|n| format!("{n}"))));
        let n = Arc::new(Int32Array::from_iter_values(0..50_000));
        let batch = RecordBatch::try_new(Arc::clone(&written), vec![other, n]).unwrap();
        let groups = WriterProperties::builder().set_max_row_group_row_count(Some(6001)).build();
        let mut writer = ArrowWriter::try_new(file.reopen().unwrap(), written, Some(groups)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();

        let field = |name: &str, nullable| Field::new(name, DataType::Int64, nullable);
        let table = Arc::new(Schema::new(vec![field("n", false), field("absent", true)]));
        let all = read(file.path(), &table, 0).await.unwrap();
        let numbers = all.iter().flat_map(|(n, _)| n).copied().collect::<Vec<_>>();
        assert_eq!(numbers, (0..50_000).collect::<Vec<_>>());
        for (_, next_offset) in all.iter().step_by(5) {
            let rest = read(file.path(), &table, *next_offset).await.unwrap();
            let numbers = rest.iter().flat_map(|(n, _)| n).copied().collect::<Vec<_>>();
            assert_eq!(numbers, (i64::try_from(*next_offset).unwrap()..50_000).collect::<Vec<_>>());
        }

        let table = Arc::new(Schema::new(vec![field("absent", false)]));
        let error = read(file.path(), &table, 0).await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
        assert!(error.to_string().contains("with the columns of the table"), "{error}");
        let error = read(file.path(), &table, 50_001).await.unwrap_err();
        assert!(error.to_string().contains("put the file back"), "{error}");
    }
}
