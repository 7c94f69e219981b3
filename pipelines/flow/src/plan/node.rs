//! The logical node of a keyed aggregate: what `GROUP BY …` becomes in a stream.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::WindowKind;
use crate::functions::window_type;

/// Where the windows of an aggregate come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Windows {
    /// From the event time of its input.
    Of {
        kind: WindowKind,
        /// The event time of a row.
        time: Expr,
    },
    /// The input's rows carry a window already (an aggregate of an aggregate).
    Inherited {
        /// The window of a row.
        window: Expr,
    },
    /// There are none: an updating aggregate, whose rows change as its input comes.
    Never,
}

/// `GROUP BY [window,] keys…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyedAggregate {
    /// Number of the node in its program; late keys are told by it.
    pub(crate) id: usize,
    pub(crate) windows: Windows,
    /// Place of the window among the output's group columns.
    pub(crate) window_at: Option<usize>,
    /// The group keys but the window.
    pub(crate) keys: Vec<Expr>,
    pub(crate) aggregates: Vec<Expr>,
    pub(crate) input: LogicalPlan,
    pub(crate) schema: DFSchemaRef,
}

impl KeyedAggregate {
    /// The output is named as the aggregate it replaces (`named`), with the types its expressions have now.
    pub(crate) fn try_new(
        id: usize,
        (windows, window_at): (Windows, Option<usize>),
        keys: Vec<Expr>,
        aggregates: Vec<Expr>,
        input: LogicalPlan,
        named: &DFSchema,
    ) -> Result<Self> {
        let mut exprs = keys.iter().chain(&aggregates);
        let mut fields = Vec::with_capacity(named.fields().len());
        for (at, (qualifier, field)) in named.iter().enumerate() {
            let field = if Some(at) == window_at {
                Field::new(field.name(), window_type(), false)
            } else {
                let Some(expr) = exprs.next() else { break };
                let (_, typed) = expr.to_field(input.schema())?;
                Field::new(field.name(), typed.data_type().clone(), typed.is_nullable())
            };
            fields.push((qualifier.cloned(), Arc::new(field)));
        }
        let schema = Arc::new(DFSchema::new_with_metadata(fields, named.metadata().clone())?);
        Ok(Self { id, windows, window_at, keys, aggregates, input, schema })
    }

    /// The index of the key that output column `column` holds.
    pub(crate) fn key_at(&self, column: usize) -> Option<usize> {
        let key = match self.window_at {
            Some(window) if column == window => return None,
            Some(window) if column > window => column - 1,
            _ => column,
        };
        (key < self.keys.len()).then_some(key)
    }

    fn time(&self) -> Option<&Expr> {
        match &self.windows {
            Windows::Of { time, .. } => Some(time),
            Windows::Inherited { window } => Some(window),
            Windows::Never => None,
        }
    }
}

impl PartialOrd for KeyedAggregate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.id.partial_cmp(&other.id)
    }
}

impl UserDefinedLogicalNodeCore for KeyedAggregate {
    fn name(&self) -> &'static str {
        "KeyedAggregate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.time().into_iter().chain(&self.keys).chain(&self.aggregates).cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |exprs: &[Expr]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match &self.windows {
            Windows::Of { kind, time } => write!(f, "WindowAggregate: {kind} of {time}")?,
            Windows::Inherited { window } => write!(f, "WindowAggregate: window {window}")?,
            Windows::Never => write!(f, "UpdatingAggregate:")?,
        }
        write!(f, ", keys=[{}], aggregates=[{}]", list(&self.keys), list(&self.aggregates))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter();
        let mut first = || exprs.next().or_else(|| self.time().cloned());
        let windows = match (&self.windows, self.time().and_then(|_| first())) {
            (Windows::Of { kind, .. }, Some(time)) => Windows::Of { kind: *kind, time },
            (Windows::Inherited { .. }, Some(window)) => Windows::Inherited { window },
            (same, _) => same.clone(),
        };
        let keys = exprs.by_ref().take(self.keys.len()).collect();
        let input = inputs.pop().unwrap_or_else(|| self.input.clone());
        let windows = (windows, self.window_at);
        Self::try_new(self.id, windows, keys, exprs.collect(), input, &self.schema)
    }

    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut needed = Vec::new();
        for expr in self.expressions() {
            let found = expr.apply(|e| {
                if let Expr::Column(column) = e {
                    needed.push(self.input.schema().index_of_column(column)?);
                }
                Ok(TreeNodeRecursion::Continue)
            });
            found.ok()?;
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}
