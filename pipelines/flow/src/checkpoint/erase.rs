//! Leaves nothing of one key, such as a person, in the state of jobs that rest at a committed checkpoint (PR-1).

use std::sync::Arc;

use arrow::array::{Array as _, BooleanArray, RecordBatch, StringArray};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::DataType;

use super::CheckpointStore;
use crate::{Program, Result};

/// What was removed from the state of jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErasedState {
    /// Rows of state, and late keys.
    pub rows: u64,
    /// Stages whose groups are not told apart by the column: sums over everybody, in which nobody is named.
    pub not_apart: Vec<String>,
}

impl CheckpointStore {
    /// Removes from the newest checkpoint the state whose sink column `column` is `value`, with all that its sinks had
    /// staged, and the checkpoints before it. Its epoch must be committed in every sink, and no pipeline may run. State of
    /// jobs that are none of `programs`, which nothing could go on from, goes as a whole.
    ///
    /// # Errors
    /// When a checkpoint cannot be read or written: call it again.
    pub async fn erase(&self, programs: &[Arc<Program>], column: &str, value: &str) -> Result<ErasedState> {
        let mut erased = ErasedState::default();
        let Some(mut manifest) = self.newest().await? else { return Ok(erased) };
        manifest.jobs.retain(|name, state| {
            programs.iter().any(|program| program.name() == name && program.identity() == state.identity)
        });
        for (name, job) in &mut manifest.jobs {
            let Some(program) = programs.iter().find(|program| program.name() == name) else { continue };
            for (stage, state) in program.plan.stages.iter().zip(&mut job.stages) {
                let sink = &program.plan.sinks[stage.sink].table.physical;
                let key = stage.late.columns.iter().find(|(_, of)| sink.field(*of).name() == column);
                let Some((key, _)) = key else {
                    if !state.runs.is_empty() {
                        erased.not_apart.push(format!("{name}: {}", stage.title.name));
                    }
                    continue;
                };
                for run in &mut state.runs {
                    let at = stage.spec.state_keys(run.table).start + key;
                    let (kept, rows) = self.without(&run.file, value, |_| Some(at)).await?;
                    if rows > 0 {
                        // In its place, in one rename: a crash in between leaves less of them, never anything else.
                        *run = self.write(&run.file, run.table, kept).await?;
                    }
                    erased.rows += rows;
                }
            }
            for sink in job.sinks.values_mut() {
                sink.staged = serde_json::Value::Null;
                let Some(file) = &sink.dirty else { continue };
                let (kept, rows) =
                    self.without(file, value, |batch| batch.schema().index_of(column).ok()).await?;
                if rows > 0 {
                    self.write(file, 0, kept).await?;
                }
                erased.rows += rows;
            }
        }
        self.decide(&manifest).await?;
        self.clean(std::slice::from_ref(&manifest)).await?;
        Ok(erased)
    }

    /// The batches of a file without the rows whose column is `value`, and how many those were. Something is left even of
    /// nothing, so that the file can be read.
    async fn without(
        &self,
        file: &str,
        value: &str,
        column: impl Fn(&RecordBatch) -> Option<usize>,
    ) -> Result<(Vec<RecordBatch>, u64)> {
        let (mut kept, mut rows) = (Vec::new(), 0);
        for batch in self.read(file).await? {
            let Some(column) = column(&batch) else {
                kept.push(batch);
                continue;
            };
            let texts = cast(batch.column(column), &DataType::Utf8)?;
            let theirs = eq(&texts, &StringArray::new_scalar(value))?;
            let others: BooleanArray =
                (0..theirs.len()).map(|row| Some(theirs.is_null(row) || !theirs.value(row))).collect();
            let left = filter_record_batch(&batch, &others)?;
            rows += (batch.num_rows() - left.num_rows()) as u64;
            kept.push(left);
        }
        Ok((kept, rows))
    }
}
