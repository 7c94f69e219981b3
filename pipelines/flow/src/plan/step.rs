//! What is done to a batch on its way: no state, no waiting.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, filter_record_batch, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{NullHandling, UnnestOptions};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::async_scalar_function::AsyncFuncExpr;

use crate::Result;
use crate::debezium::{change_field, come};

/// One thing done to a batch on its way.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Keep these columns.
    Select(Vec<usize>),
    /// Keep the rows for which it is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// Compute these columns.
    Project(Vec<Arc<dyn PhysicalExpr>>, SchemaRef),
    /// A row for each element of the lists in columns `lists`; each output column is made of one in `from`.
    Unnest { lists: Vec<usize>, from: Vec<usize>, keep_nulls: bool, schema: SchemaRef },
    /// Add the change column: all rows come.
    Come,
    /// Put the answers of functions that wait before column `at`, one after the other.
    Call { calls: Vec<Arc<AsyncFuncExpr>>, at: usize },
}

/// Whether a row whose list is NULL stays, with NULL for the element.
pub(crate) fn keeps_nulls(options: &UnnestOptions) -> bool {
    options.null_handling != NullHandling::Drop
}

/// Takes a batch through the steps of a branch; `None` when no row is left.
pub(crate) async fn run_steps(steps: &[Step], batch: &RecordBatch) -> Result<Option<RecordBatch>> {
    let mut batch = batch.clone();
    for step in steps {
        batch = match step {
            Step::Select(columns) => batch.project(columns)?,
            Step::Filter(predicate) => {
                let keep = predicate.evaluate(&batch)?.into_array(batch.num_rows())?;
                filter_record_batch(&batch, keep.as_boolean())?
            }
            Step::Project(exprs, schema) => {
                let rows = batch.num_rows();
                let mut columns = Vec::with_capacity(exprs.len());
                for expr in exprs {
                    columns.push(expr.evaluate(&batch)?.into_array(rows)?);
                }
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?
            }
            Step::Unnest { lists, from, keep_nulls, schema } => {
                unnested(&batch, lists, from, *keep_nulls, schema)?
            }
            Step::Come => {
                let mut fields = batch.schema().fields().to_vec();
                fields.push(Arc::new(change_field()));
                let mut columns = batch.columns().to_vec();
                columns.push(come(batch.num_rows()));
                RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?
            }
            Step::Call { calls, at } => called(&batch, calls, *at).await?,
        };
        if batch.num_rows() == 0 {
            return Ok(None);
        }
    }
    Ok(Some(batch))
}

async fn called(batch: &RecordBatch, calls: &[Arc<AsyncFuncExpr>], at: usize) -> Result<RecordBatch> {
    let config = Arc::new(ConfigOptions::default());
    let mut fields = batch.schema().fields().to_vec();
    let mut columns = batch.columns().to_vec();
    for (place, call) in (at..).zip(calls) {
        let answers = call.invoke_with_args(batch, Arc::clone(&config)).await?;
        fields.insert(place, call.return_field(&batch.schema())?);
        columns.insert(place, answers.into_array(batch.num_rows())?);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// As many rows a row as its longest list has elements; shorter ones are filled with NULL.
fn unnested(
    batch: &RecordBatch,
    lists: &[usize],
    from: &[usize],
    keep_nulls: bool,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let arrays = lists.iter().map(|&at| long_list(batch.column(at))).collect::<Result<Vec<_>>>()?;
    let length = |row: usize| {
        let of = |list: &ArrayRef| match list.is_null(row) {
            true => usize::from(keep_nulls),
            false => list.as_list::<i64>().value_length(row).try_into().unwrap_or(0),
        };
        arrays.iter().map(of).max().unwrap_or(0)
    };
    let mut rows = Vec::new();
    let mut elements = vec![Vec::new(); lists.len()];
    for row in 0..batch.num_rows() {
        let count = length(row);
        rows.extend(std::iter::repeat_n(u32::try_from(row).unwrap_or(u32::MAX), count));
        for (list, elements) in arrays.iter().zip(&mut elements) {
            let list = list.as_list::<i64>();
            let own = if list.is_null(row) { 0 } else { list.value_length(row) };
            let first = list.value_offsets()[row];
            for at in 0..i64::try_from(count).unwrap_or(i64::MAX) {
                elements.push((at < own).then(|| u32::try_from(first + at).unwrap_or(u32::MAX)));
            }
        }
    }
    let rows = UInt32Array::from(rows);
    let mut columns = Vec::with_capacity(from.len());
    for &column in from {
        columns.push(match lists.iter().position(|&at| at == column) {
            Some(list) => {
                let places = UInt32Array::from(elements[list].clone());
                take(arrays[list].as_list::<i64>().values(), &places, None)?
            }
            None => take(batch.column(column), &rows, None)?,
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Lists of any kind as lists with long offsets.
fn long_list(list: &ArrayRef) -> Result<ArrayRef> {
    let element = match list.data_type() {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => f.data_type().clone(),
        other => return Err(crate::Error::Internal(format!("UNNEST of {other}"))),
    };
    Ok(cast(list, &DataType::LargeList(Arc::new(Field::new_list_field(element, true))))?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn lists_become_rows() {
        let a = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![Some(1), Some(2)]),
            None,
            Some(vec![]),
            Some(vec![Some(3)]),
        ]);
        let b = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![Some(7)]),
            Some(vec![Some(8), None]),
            Some(vec![]),
            None,
        ]);
        let n = Int64Array::from(vec![10, 11, 12, 13]);
        let list = |name: &str| Field::new(name, a.data_type().clone(), true);
        let fields = vec![list("a"), list("b"), Field::new("n", DataType::Int64, false)];
        let columns: Vec<ArrayRef> = vec![Arc::new(a.clone()), Arc::new(b), Arc::new(n)];
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let plain = |name: &str| Field::new(name, DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![plain("n"), plain("a"), plain("b")]));
        let out = unnested(&batch, &[0, 1], &[2, 0, 1], true, &schema).unwrap();
        let column = |at: usize| out.column(at).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
        assert_eq!(column(0), [10, 10, 11, 11, 13].map(Some));
        assert_eq!(column(1), [Some(1), Some(2), None, None, Some(3)]);
        assert_eq!(column(2), [Some(7), None, Some(8), None, None]);
    }
}
