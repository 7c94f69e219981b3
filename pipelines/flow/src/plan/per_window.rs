//! The logical node of what is computed over all rows of a window once it is closed: a join of two windowed
//! queries, or window functions (`OVER (PARTITION BY window …)`).
//!
//! The computation is an ordinary DataFusion plan, the *body*, over one scan an input; the stage gives it the
//! rows of closed windows, so that it computes what a batch would.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::{Column, DFSchema, DFSchemaRef, JoinType, Result};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore, table_scan,
};

/// What a body is, as far as lineage needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Body {
    /// A join of its two inputs.
    Join(JoinType),
    /// Window functions appended to the columns of its input.
    Over,
}

/// See the head of the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PerWindow {
    /// Number of the node in its program; late keys are told by it.
    pub(crate) id: usize,
    pub(crate) kind: Body,
    pub(crate) body: LogicalPlan,
    /// By input: the window of a row.
    pub(crate) windows: Vec<Expr>,
    /// By input: what else two rows must share to meet in the body.
    pub(crate) keys: Vec<Vec<Expr>>,
    pub(crate) inputs: Vec<LogicalPlan>,
}

/// Name of the body's scan of an input.
pub(crate) fn scan_name(input: usize) -> String {
    format!("__input_{input}")
}

/// The schema of the body's scan of an input: its columns by number.
pub(crate) fn scan_schema(input: &DFSchema) -> Schema {
    let field = |(i, f): (usize, &Arc<Field>)| f.as_ref().clone().with_name(format!("c{i}"));
    Schema::new(input.fields().iter().enumerate().map(field).collect::<Vec<_>>())
}

/// What stands in the body for input number `input`: a scan with the names that the body knows.
pub(crate) fn stand_in(input: usize, schema: &DFSchema) -> Result<LogicalPlan> {
    let scan = table_scan(Some(scan_name(input)), &scan_schema(schema), None)?;
    let columns = schema.iter().enumerate().map(|(i, (qualifier, field))| {
        let column = Column::new(Some(scan_name(input)), format!("c{i}"));
        Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
    });
    scan.project(columns.collect::<Vec<_>>()).and_then(LogicalPlanBuilder::build)
}

impl PartialOrd for PerWindow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.id.partial_cmp(&other.id)
    }
}

impl UserDefinedLogicalNodeCore for PerWindow {
    fn name(&self) -> &'static str {
        "PerWindow"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.inputs.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        self.body.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PerWindow: {}", self.body.display())
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Self { inputs, ..self.clone() })
    }
}
