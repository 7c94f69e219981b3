//! The windows that late rows can no longer reach, until the next snapshot takes them.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::distinct_rows;
use crate::Result;

/// Rows are made distinct when they reach this number.
const ROWS_MAX: usize = 65_536;

/// Dirty windows with their keys, repetitions allowed until they are taken.
pub(super) struct Dirty {
    schema: SchemaRef,
    parts: Vec<RecordBatch>,
    rows: usize,
}

impl Dirty {
    /// None yet; `schema` is that of [`AggregateSpec`](super::AggregateSpec)'s dirty windows.
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, parts: Vec::new(), rows: 0 }
    }

    pub(super) fn add(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.parts.push(batch);
        if self.rows > ROWS_MAX {
            let all = self.take()?;
            // Twice as many distinct ones must come before it is worth looking again.
            self.rows = all.as_ref().map_or(0, |b| b.num_rows() / 2);
            self.parts.extend(all);
        }
        Ok(())
    }

    /// The distinct ones since they were last taken.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>> {
        self.rows = 0;
        let parts = std::mem::take(&mut self.parts);
        if parts.is_empty() {
            return Ok(None);
        }
        distinct_rows(&concat_batches(&self.schema, &parts)?).map(Some)
    }
}
