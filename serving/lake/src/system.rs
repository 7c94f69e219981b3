//! `system.NAME`: tables about the machine, for its operator alone.

use std::sync::Arc;

use async_trait::async_trait;
use crave_flow::CheckpointStore;
use datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray},
        datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    },
    catalog::{Session, TableProvider},
    common::Result,
    datasource::MemTable,
    error::DataFusionError,
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};

/// Name of their schema.
pub(crate) const SCHEMA: &str = "system";

/// `system.late_rows`: rows that came too late for their windows, by job and source, as the newest checkpoint counts
/// them since the job's state began; whether or not a server runs.
#[derive(Debug)]
pub(crate) struct LateRows(pub(crate) CheckpointStore);

#[async_trait]
impl TableProvider for LateRows {
    fn schema(&self) -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        let seen = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        Arc::new(Schema::new(vec![
            text("job"),
            text("source"),
            text("table_name"),
            Field::new("late_rows", DataType::Int64, false),
            Field::new("last_seen", seen, true),
        ]))
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let late = self.0.late_rows().await.map_err(|error| DataFusionError::Execution(error.to_string()))?;
        let text = |of: fn(&crave_flow::LateRows) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(late.iter().map(of)))
        };
        let rows = late.iter().map(|l| i64::try_from(l.rows).unwrap_or(i64::MAX));
        let seen: TimestampMillisecondArray = late.iter().map(|l| l.last_seen_ms).collect();
        let columns: Vec<ArrayRef> = vec![
            text(|l| &l.job),
            text(|l| &l.source),
            text(|l| &l.table),
            Arc::new(Int64Array::from_iter_values(rows)),
            Arc::new(seen.with_timezone("UTC")),
        ];
        let batch = RecordBatch::try_new(self.schema(), columns)?;
        MemTable::try_new(self.schema(), vec![vec![batch]])?.scan(state, projection, &[], limit).await
    }
}
