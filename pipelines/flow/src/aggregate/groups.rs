//! One hash table of groups with one accumulator a function.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::AggregateSpec;
use crate::Result;

/// Columns before the keys in a state batch: window start and end.
pub(super) const STATE_PREFIX: usize = 2;

/// The groups of one pane, or of one window while it is put together.
pub(crate) struct Groups {
    /// `None` when there are no keys: then there is one group.
    values: Option<Box<dyn GroupValues>>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// Group of each row of the batch at hand; kept to save the allocation.
    indices: Vec<usize>,
    rows: usize,
}

impl Groups {
    pub(crate) fn new(spec: &AggregateSpec) -> Result<Self> {
        let values = match spec.keys {
            0 => None,
            _ => Some(new_group_values(Arc::clone(&spec.key_schema), &GroupOrdering::None)?),
        };
        let accumulators = spec.calls.iter().map(super::AggregateCall::accumulator).collect::<Result<_>>()?;
        Ok(Self { values, accumulators, indices: Vec::new(), rows: 0 })
    }

    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Some(values) => values.len(),
            None => usize::from(self.rows > 0),
        }
    }

    fn intern(&mut self, keys: &[ArrayRef], rows: usize) -> Result<usize> {
        self.rows += rows;
        match &mut self.values {
            Some(values) => values.intern(keys, &mut self.indices)?,
            None => {
                self.indices.clear();
                self.indices.resize(rows, 0);
            }
        }
        Ok(self.len())
    }

    /// Adds rows in the layout of the stage.
    pub(crate) fn update(&mut self, spec: &AggregateSpec, batch: &RecordBatch) -> Result<()> {
        let groups = self.intern(&batch.columns()[spec.key_columns()], batch.num_rows())?;
        for (call, accumulator) in spec.calls.iter().zip(&mut self.accumulators) {
            let values = call.arguments.iter().map(|&i| Arc::clone(batch.column(i))).collect::<Vec<_>>();
            let filter = call.filter.map(|i| batch.column(i).as_boolean());
            accumulator.update_batch(&values, &self.indices, filter, groups)?;
        }
        Ok(())
    }

    /// Adds partial states in the state schema of the stage.
    pub(crate) fn merge(&mut self, spec: &AggregateSpec, state: &RecordBatch) -> Result<()> {
        let mut at = STATE_PREFIX + spec.keys;
        let groups = self.intern(&state.columns()[STATE_PREFIX..at], state.num_rows())?;
        for (call, accumulator) in spec.calls.iter().zip(&mut self.accumulators) {
            let width = call.function.state_fields()?.len();
            accumulator.merge_batch(&state.columns()[at..at + width], &self.indices, groups)?;
            at += width;
        }
        Ok(())
    }

    /// Empties it into keys, then partial states.
    pub(crate) fn into_state(mut self) -> Result<Vec<ArrayRef>> {
        let mut columns = self.keys()?;
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        Ok(columns)
    }

    /// Empties it into keys, then results.
    pub(crate) fn into_results(mut self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let keys = self.keys()?;
        let results =
            self.accumulators.iter_mut().map(|a| Ok(a.evaluate(EmitTo::All)?)).collect::<Result<_>>()?;
        Ok((keys, results))
    }

    fn keys(&mut self) -> Result<Vec<ArrayRef>> {
        match &mut self.values {
            Some(values) => Ok(values.emit(EmitTo::All)?),
            None => Ok(Vec::new()),
        }
    }
}

/// The batch without repeated rows, in the order of first appearance.
pub(crate) fn distinct_rows(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut values = new_group_values(batch.schema(), &GroupOrdering::None)?;
    let mut indices = Vec::new();
    values.intern(batch.columns(), &mut indices)?;
    if values.len() == batch.num_rows() {
        return Ok(batch.clone());
    }
    let mut seen = 0;
    let mut first = Vec::with_capacity(values.len());
    for (row, group) in indices.into_iter().enumerate() {
        if group == seen {
            first.push(u32::try_from(row).unwrap_or(u32::MAX));
            seen += 1;
        }
    }
    Ok(take_record_batch(batch, &UInt32Array::from(first))?)
}
