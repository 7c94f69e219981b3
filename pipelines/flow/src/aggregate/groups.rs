//! Accumulators by group number, and one hash table of groups over them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::AggregateSpec;
use crate::Result;

/// One accumulator a function, for groups that the caller has numbered.
pub(crate) struct Accumulators(Vec<Box<dyn GroupsAccumulator>>);

impl Accumulators {
    pub(crate) fn new(spec: &AggregateSpec) -> Result<Self> {
        Ok(Self(spec.calls.iter().map(super::AggregateCall::accumulator).collect::<Result<_>>()?))
    }

    /// Adds rows in the layout of the stage, each to the group in `indices`, of which there are `groups`.
    pub(crate) fn update(
        &mut self,
        spec: &AggregateSpec,
        batch: &RecordBatch,
        indices: &[usize],
        groups: usize,
    ) -> Result<()> {
        for (call, accumulator) in spec.calls.iter().zip(&mut self.0) {
            let values = call.arguments.iter().map(|&i| Arc::clone(batch.column(i))).collect::<Vec<_>>();
            let filter = call.filter.map(|i| batch.column(i).as_boolean());
            accumulator.update_batch(&values, indices, filter, groups)?;
        }
        Ok(())
    }

    /// Adds partial states in the state schema of the stage.
    pub(crate) fn merge(
        &mut self,
        spec: &AggregateSpec,
        state: &RecordBatch,
        indices: &[usize],
        groups: usize,
    ) -> Result<()> {
        let mut at = spec.state_prefix() + spec.keys;
        for (call, accumulator) in spec.calls.iter().zip(&mut self.0) {
            let width = call.function.state_fields()?.len();
            accumulator.merge_batch(&state.columns()[at..at + width], indices, groups)?;
            at += width;
        }
        Ok(())
    }

    /// Empties it into partial states.
    pub(crate) fn into_state(mut self) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::new();
        for accumulator in &mut self.0 {
            columns.extend(accumulator.state(EmitTo::All)?);
        }
        Ok(columns)
    }

    /// Empties it into results.
    pub(crate) fn into_results(mut self) -> Result<Vec<ArrayRef>> {
        self.0.iter_mut().map(|a| Ok(a.evaluate(EmitTo::All)?)).collect()
    }
}

/// The groups of one pane, or of one window while it is put together.
pub(crate) struct Groups {
    /// `None` when there are no keys: then there is one group.
    values: Option<Box<dyn GroupValues>>,
    accumulators: Accumulators,
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
        Ok(Self { values, accumulators: Accumulators::new(spec)?, indices: Vec::new(), rows: 0 })
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
        self.accumulators.update(spec, batch, &self.indices, groups)
    }

    /// Adds partial states in the state schema of the stage.
    pub(crate) fn merge(&mut self, spec: &AggregateSpec, state: &RecordBatch) -> Result<()> {
        let keys = spec.state_prefix()..spec.state_prefix() + spec.keys;
        let groups = self.intern(&state.columns()[keys], state.num_rows())?;
        self.accumulators.merge(spec, state, &self.indices, groups)
    }

    /// Empties it into keys, then partial states.
    pub(crate) fn into_state(mut self) -> Result<Vec<ArrayRef>> {
        let mut columns = self.keys()?;
        columns.extend(self.accumulators.into_state()?);
        Ok(columns)
    }

    /// Empties it into keys, then results.
    pub(crate) fn into_results(mut self) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>)> {
        let keys = self.keys()?;
        Ok((keys, self.accumulators.into_results()?))
    }

    fn keys(&mut self) -> Result<Vec<ArrayRef>> {
        match &mut self.values {
            Some(values) => Ok(values.emit(EmitTo::All)?),
            None => Ok(Vec::new()),
        }
    }
}

/// The group of each row, equal rows alike, and how many there are; without columns all rows are one group.
pub(crate) fn numbered(
    schema: arrow::datatypes::SchemaRef,
    columns: &[ArrayRef],
    rows: usize,
) -> Result<(Vec<usize>, usize)> {
    if columns.is_empty() {
        return Ok((vec![0; rows], usize::from(rows > 0)));
    }
    let mut values = new_group_values(schema, &GroupOrdering::None)?;
    let mut indices = Vec::new();
    values.intern(columns, &mut indices)?;
    Ok((indices, values.len()))
}

/// The row in which each group first appears.
pub(crate) fn first_rows(indices: &[usize], groups: usize) -> UInt32Array {
    let mut first = Vec::with_capacity(groups);
    for (row, &group) in indices.iter().enumerate() {
        if group == first.len() {
            first.push(u32::try_from(row).unwrap_or(u32::MAX));
        }
    }
    UInt32Array::from(first)
}

/// The batch without repeated rows, in the order of first appearance.
pub(crate) fn distinct_rows(batch: &RecordBatch) -> Result<RecordBatch> {
    let (indices, groups) = numbered(batch.schema(), batch.columns(), batch.num_rows())?;
    if groups == batch.num_rows() {
        return Ok(batch.clone());
    }
    Ok(take_record_batch(batch, &first_rows(&indices, groups))?)
}
