//! `live.NAME`: the rows that the windows of table NAME that are still open would give now.
//!
//! They are in the memory of the running jobs and are asked for when a query scans them, one person's alone where the
//! query says so.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use crave_flow::{LiveTable, PipelineView};
use crave_tables::{Table, Tables, table_of};
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{Session, TableProvider},
    common::{Result, ScalarValue},
    datasource::MemTable,
    error::DataFusionError,
    logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType},
    physical_plan::ExecutionPlan,
};

/// Name of their schema.
pub(crate) const SCHEMA: &str = "live";

/// The tables there are, or those in `wanted`, each under its name.
pub(crate) fn providers(
    view: &PipelineView,
    tables: &Tables,
    wanted: Option<&BTreeSet<String>>,
) -> Vec<(String, Arc<dyn TableProvider>)> {
    let provider = |live: Arc<LiveTable>| {
        let name = table_of(&live.table().options)?.to_owned();
        // A table that is built beside the old one is the job's.
        let table =
            tables.writer(&name).ok().filter(|_| wanted.is_none_or(|wanted| wanted.contains(&name)))?;
        Some((name, Arc::new(Open { live, table }) as Arc<dyn TableProvider>))
    };
    view.live().into_iter().filter_map(provider).collect()
}

#[derive(Debug)]
struct Open {
    live: Arc<LiveTable>,
    table: Arc<Table>,
}

#[async_trait]
impl TableProvider for Open {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let each = filters.iter().map(|filter| match text_is(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        });
        Ok(each.collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // The person says more than any other column.
        let mut known: Vec<_> = filters.iter().filter_map(text_is).collect();
        known.sort_by_key(|(column, _)| *column != "user_id");
        let rows = self.live.rows(known.first().copied()).await;
        let rows = rows.map_err(|error| DataFusionError::Execution(error.to_string()))?;
        let rows = rows.iter().map(|batch| self.table.conform(batch)).collect::<Result<Vec<_>, _>>();
        let rows = rows.map_err(|error| DataFusionError::Execution(error.to_string()))?;
        MemTable::try_new(self.schema(), vec![rows])?.scan(state, projection, &[], limit).await
    }
}

/// A column and the text that it must be.
fn text_is(filter: &Expr) -> Option<(&str, &str)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
    match (left.as_ref(), right.as_ref()) {
        (Expr::Column(column), Expr::Literal(value, _)) | (Expr::Literal(value, _), Expr::Column(column)) => {
            match value {
                ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => {
                    Some((column.name.as_str(), text.as_deref()?))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn a_column_that_must_be_a_text_is_found() {
        assert_eq!(text_is(&col("user_id").eq(lit("ada"))), Some(("user_id", "ada")));
        assert_eq!(text_is(&lit("ada").eq(col("user_id"))), Some(("user_id", "ada")));
        for other in [col("user_id").not_eq(lit("ada")), col("n").eq(lit(1)), col("a").eq(col("b"))] {
            assert_eq!(text_is(&other), None);
        }
    }
}
