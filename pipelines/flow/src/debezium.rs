//! Changes as Debezium writes them: `{"before": row or null, "after": row or null, "op": "c", "u" or "d"}`.
//!
//! Between the tasks of an updating query a batch carries one more column, the *change*: positive for a row that
//! comes, negative for one that goes; neighbours of the same size, first gone, then come, are one update.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StructArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef};

use crate::Result;

/// Name of the hidden last column of changes.
pub(crate) const CHANGE: &str = "__change";

/// The field of the hidden column.
pub(crate) fn change_field() -> Field {
    Field::new(CHANGE, DataType::Int64, false)
}

/// The schema of what a sink of such a table is given.
pub(crate) fn envelope_schema(row: &Schema) -> SchemaRef {
    let fields = row.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Fields>();
    Arc::new(Schema::new(vec![
        Field::new("before", DataType::Struct(fields.clone()), true),
        Field::new("after", DataType::Struct(fields), true),
        Field::new("op", DataType::Utf8, false),
    ]))
}

/// Rows with their change in the last column, as envelopes.
pub(crate) fn envelopes(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let last = batch.num_columns() - 1;
    let changes = batch.column(last).as_primitive::<Int64Type>().values();
    let (mut before, mut after, mut ops) = (Vec::new(), Vec::new(), Vec::new());
    let mut row = 0_usize;
    while row < changes.len() {
        let at = u32::try_from(row).ok();
        let updates = changes[row] < 0 && changes.get(row + 1) == Some(&-changes[row]);
        let (gone, come, op) = match (changes[row] < 0, updates) {
            (true, true) => (at, at.map(|row| row + 1), "u"),
            (true, false) => (at, None, "d"),
            (false, _) => (None, at, "c"),
        };
        before.push(gone);
        after.push(come);
        ops.push(op);
        row += if updates { 2 } else { 1 };
    }
    let side = |field: usize, rows: Vec<Option<u32>>| -> Result<ArrayRef> {
        let DataType::Struct(fields) = schema.field(field).data_type() else {
            return Err(crate::Error::Internal("an envelope without a row".into()));
        };
        let known = rows.iter().map(Option::is_some).collect::<Vec<_>>();
        let rows = UInt32Array::from(rows);
        let columns = batch.columns()[..last].iter().map(|c| take(c, &rows, None));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(StructArray::try_new(fields.clone(), columns, Some(known.into()))?))
    };
    let columns = vec![side(0, before)?, side(1, after)?, Arc::new(StringArray::from(ops)) as ArrayRef];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// A change column that says that `rows` rows come.
pub(crate) fn come(rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((1_i64..).take(rows)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_size_are_an_update() {
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, false), change_field()]);
        let column = |v: Vec<i64>| Arc::new(Int64Array::from(v)) as ArrayRef;
        let columns = vec![column(vec![10, 11, 20, 30, 40, 41]), column(vec![-1, 1, -2, 3, -4, 5])];
        let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
        let row = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
        let out = envelopes(&batch, &envelope_schema(&row)).unwrap();
        let mut text = Vec::new();
        let mut writer = arrow::json::writer::WriterBuilder::new()
            .with_explicit_nulls(true)
            .build::<_, arrow::json::writer::LineDelimited>(&mut text);
        writer.write(&out).unwrap();
        writer.finish().unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "{\"before\":{\"n\":10},\"after\":{\"n\":11},\"op\":\"u\"}\n\
             {\"before\":{\"n\":20},\"after\":null,\"op\":\"d\"}\n\
             {\"before\":null,\"after\":{\"n\":30},\"op\":\"c\"}\n\
             {\"before\":{\"n\":40},\"after\":null,\"op\":\"d\"}\n\
             {\"before\":null,\"after\":{\"n\":41},\"op\":\"c\"}\n"
        );
    }
}
