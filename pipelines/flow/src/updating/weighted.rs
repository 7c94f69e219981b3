//! Multisets of rows: batches whose last column says how often each row is there, or by how much that changes.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use crate::Result;
use crate::aggregate::{first_rows, numbered};

/// The schema of a multiset of rows of `schema`, whose last column is the change.
pub(super) fn weighted_schema(schema: &Schema) -> SchemaRef {
    let mut fields = schema.fields()[..schema.fields().len() - 1].to_vec();
    fields.push(Arc::new(Field::new("weight", DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

/// Changes as weights: 1 for a row that comes, -1 for one that goes.
pub(super) fn weigh(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let last = batch.num_columns() - 1;
    let weights: Int64Array = batch.column(last).as_primitive::<Int64Type>().unary(i64::signum);
    let mut columns = batch.columns().to_vec();
    columns[last] = Arc::new(weights);
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// The weights of a batch.
pub(super) fn weights(batch: &RecordBatch) -> &[i64] {
    batch.column(batch.num_columns() - 1).as_primitive::<Int64Type>().values()
}

/// Equal rows once, with the sum of their weights; rows that cancel are gone.
pub(super) fn consolidated(batch: &RecordBatch) -> Result<RecordBatch> {
    let last = batch.num_columns() - 1;
    let fields = batch.schema().fields()[..last].to_vec();
    let (of, groups) = numbered(Arc::new(Schema::new(fields)), &batch.columns()[..last], batch.num_rows())?;
    let mut sums = vec![0_i64; groups];
    for (&group, weight) in of.iter().zip(weights(batch)) {
        sums[group] += weight;
    }
    let first = first_rows(&of, groups);
    let kept = first.values().iter().zip(&sums).filter(|(_, sum)| **sum != 0);
    let (rows, sums): (Vec<u32>, Vec<i64>) = kept.map(|(row, sum)| (*row, *sum)).unzip();
    let mut columns = take_record_batch(batch, &UInt32Array::from(rows))?.columns().to_vec();
    columns[last] = Arc::new(Int64Array::from(sums)) as ArrayRef;
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// Each row as often as it is there, without the weight; negative weights count as none.
pub(super) fn expanded(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut rows = Vec::with_capacity(batch.num_rows());
    for (row, &weight) in (0_u32..).zip(weights(batch)) {
        rows.extend(std::iter::repeat_n(row, usize::try_from(weight).unwrap_or(0)));
    }
    let all = take_record_batch(batch, &UInt32Array::from(rows))?;
    Ok(all.project(&(0..all.num_columns() - 1).collect::<Vec<_>>())?)
}

/// Whether every row only comes.
pub(super) fn only_comes(batch: &RecordBatch) -> bool {
    weights(batch).iter().all(|w| *w > 0)
}
