//! What the windows that are not closed yet would give now: state that is looked at, not taken.
//!
//! Each task of a stage answers between two batches, so what it tells of its keys is right for one instant; tasks
//! answer one after the other. The rows go through the steps behind the stage, so they are those of the sink.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use tokio::sync::{mpsc, oneshot};

use super::coordinator::JobTasks;
use crate::plan::{BranchOrigin, JobPlan, SinkPlan};
use crate::{Error, Program, Result, TableDef};

/// Asks a stage task for its share of the rows.
#[derive(Debug)]
pub(crate) struct Peek {
    pub(crate) only: Option<KeyIs>,
    pub(crate) reply: oneshot::Sender<Result<Vec<RecordBatch>>>,
}

/// Only state of groups whose key of that index is this text.
#[derive(Clone, Debug)]
pub(crate) struct KeyIs {
    pub(crate) key: usize,
    pub(crate) text: String,
}

impl KeyIs {
    /// The rows of a state table, whose keys begin at column `first`, that it lets through.
    pub(crate) fn rows(&self, state: &RecordBatch, first: usize) -> Result<RecordBatch> {
        let keys = cast(state.column(first + self.key), &DataType::Utf8)?;
        let keep = arrow::compute::kernels::cmp::eq(&keys, &StringArray::new_scalar(&self.text))?;
        let keep = if keep.null_count() == 0 { keep } else { known(&keep) };
        Ok(filter_record_batch(state, &keep)?)
    }
}

fn known(keep: &BooleanArray) -> BooleanArray {
    keep.iter().map(|keep| Some(keep == Some(true))).collect()
}

/// Whom to ask for the rows of a stage.
#[derive(Debug)]
struct Asked {
    tasks: Vec<mpsc::Sender<Peek>>,
    /// (key, sink column).
    keys: Vec<(usize, usize)>,
}

/// A sink of a windowed query, and the rows that its open windows would give now.
pub struct LiveTable {
    job: String,
    table: TableDef,
    schema: SchemaRef,
    /// Or why it cannot be looked at.
    stages: Result<Vec<Asked>, String>,
}

impl fmt::Debug for LiveTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveTable")
            .field("job", &self.job)
            .field("table", &self.table.name)
            .finish_non_exhaustive()
    }
}

impl LiveTable {
    /// Name of the job.
    #[must_use]
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The sink as the job declares it; rows come in its physical columns.
    #[must_use]
    pub fn table(&self) -> &TableDef {
        &self.table
    }

    /// The rows of every open window that holds rows, of the groups whose key column is `only` (a column of text and
    /// its value; a column that is no key of the query lets all through).
    ///
    /// # Errors
    /// [`Error::Unsupported`] where its windows cannot be looked at; [`Error::Invalid`] for more rows than are given
    /// at once; [`Error::Internal`] when the jobs are being stopped.
    pub async fn rows(&self, only: Option<(&str, &str)>) -> Result<Vec<RecordBatch>> {
        let stages = self.stages.as_ref().map_err(|reason| Error::Unsupported {
            program: self.job.clone(),
            at: None,
            reason: reason.clone(),
            instead: format!(
                "query the table {} itself: it holds the windows that are closed",
                self.table.name
            ),
        })?;
        let column = only.and_then(|(name, text)| Some((self.schema.index_of(name).ok()?, text)));
        let mut answers = Vec::new();
        for stage in stages {
            let only = column.and_then(|(column, text)| {
                let (key, _) = stage.keys.iter().find(|(_, of)| *of == column)?;
                Some(KeyIs { key: *key, text: text.to_owned() })
            });
            for task in &stage.tasks {
                let (reply, answer) = oneshot::channel();
                task.send(Peek { only: only.clone(), reply }).await.map_err(|_| stopped())?;
                answers.push(answer);
            }
        }
        let mut rows = Vec::new();
        for answer in answers {
            for batch in answer.await.map_err(|_| stopped())?? {
                rows.push(RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())?);
            }
        }
        Ok(rows)
    }
}

fn stopped() -> Error {
    Error::Internal("the jobs are being stopped or started again; ask again".into())
}

/// The windowed sinks of a job.
pub(super) fn live_tables(program: &Program, tasks: &JobTasks) -> Vec<Arc<LiveTable>> {
    let windowed = program.outputs().iter().filter(|output| output.windows.is_some());
    let live = windowed.filter_map(|output| {
        let sink = program.plan.sinks.iter().find(|sink| sink.table.name == output.table.name)?;
        let stages = stages_of(&program.plan, sink);
        let asked = |at: usize| Asked {
            tasks: tasks.stages[at].peeks.clone(),
            keys: tasks.stages[at].late.columns.clone(),
        };
        Some(Arc::new(LiveTable {
            job: program.name().to_owned(),
            table: sink.table.clone(),
            schema: Arc::clone(&sink.table.physical),
            stages: stages.map(|stages| stages.into_iter().map(asked).collect()),
        }))
    });
    live.collect()
}

/// The stages that give the sink its rows, where each is fed by sources alone; or why they cannot be looked at.
fn stages_of(plan: &JobPlan, sink: &SinkPlan) -> Result<Vec<usize>, String> {
    let mut stages = Vec::new();
    for branch in &sink.inputs {
        // Rows that come straight from a source wait for nothing.
        let BranchOrigin::Stage(at) = branch.origin else { continue };
        let stage = &plan.stages[at];
        let of_stages = stage.inputs.iter().flatten().any(|b| matches!(b.origin, BranchOrigin::Stage(_)));
        if !stage.spec.can_be_looked_at() || of_stages {
            return Err(format!(
                "the open windows of {} cannot be looked at, for they are computed from other windows once those close ({})",
                sink.table.name, stage.title.name
            ));
        }
        stages.push(at);
    }
    Ok(stages)
}
