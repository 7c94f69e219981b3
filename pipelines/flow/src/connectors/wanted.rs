//! Which columns of a table a reader decodes; the others are NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

/// What a reader decodes, and what it makes of it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Columns to decode.
    read: SchemaRef,
    /// The table, its columns that are not decoded nullable.
    table: SchemaRef,
    /// Where each column of the table is among the decoded ones.
    places: Vec<Option<usize>>,
}

impl Wanted {
    /// Every column of a table.
    pub(super) fn all(table: &SchemaRef) -> Self {
        let places = (0..table.fields().len()).map(Some).collect();
        Self { read: Arc::clone(table), table: Arc::clone(table), places }
    }

    /// Only these columns; at least one, as rows without columns cannot be decoded.
    pub(super) fn only(table: &SchemaRef, columns: &[usize]) -> Self {
        let columns = if columns.is_empty() { &[0] } else { columns };
        let places = (0..table.fields().len()).map(|i| columns.iter().position(|c| *c == i));
        let places = places.collect::<Vec<_>>();
        let read = columns.iter().filter_map(|i| table.fields().get(*i).cloned()).collect::<Vec<_>>();
        let relaxed = table.fields().iter().zip(&places).map(|(field, place)| match place {
            Some(_) => Arc::clone(field),
            None => Arc::new(field.as_ref().clone().with_nullable(true)),
        });
        let relaxed = relaxed.collect::<Vec<_>>();
        Self { read: Arc::new(Schema::new(read)), table: Arc::new(Schema::new(relaxed)), places }
    }

    /// The columns to decode.
    pub(super) const fn schema(&self) -> &SchemaRef {
        &self.read
    }

    /// Decoded rows as rows of the table.
    pub(super) fn of_table(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let column = |(field, place): (&Arc<arrow::datatypes::Field>, &Option<usize>)| -> ArrayRef {
            match place {
                Some(place) => Arc::clone(batch.column(*place)),
                None => new_null_array(field.data_type(), batch.num_rows()),
            }
        };
        let columns = self.table.fields().iter().zip(&self.places).map(column).collect();
        RecordBatch::try_new(Arc::clone(&self.table), columns)
    }
}
