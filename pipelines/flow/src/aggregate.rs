//! Keyed windowed aggregation: one pane per slide step, merged when a window closes.
//!
//! [`AggregateSpec`] says what to compute, [`Groups`] is one hash table with its accumulators, [`Panes`] is the
//! state of one task. DataFusion's vectorised `GroupsAccumulator`s do the work.

mod groups;
mod late;
mod panes;
mod sessions;
mod sliding;

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, GroupsAccumulator};
use datafusion::physical_expr::aggregate::{
    AggregateFunctionExpr, LoweredAggregate, LoweredAggregateBuilder,
};
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};

pub(crate) use groups::{Accumulators, Groups, distinct_rows, first_rows, numbered};
use panes::Panes;
pub(crate) use panes::split;
use sessions::Sessions;

use crate::functions::TIMESTAMP;
use crate::operator::{Begin, Operator, OperatorSpec};
use crate::{Error, Result, WindowKind};

/// Where the window of a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpecWindows {
    /// Its event time, in the first column.
    Of(WindowKind),
    /// Its first two columns, start and end.
    Inherited,
    /// It has none: groups are kept over time.
    Never,
}

impl SpecWindows {
    /// How many columns of the layout tell the window.
    pub(crate) const fn columns(self) -> usize {
        match self {
            Self::Of(_) => 1,
            Self::Inherited => 2,
            Self::Never => 0,
        }
    }
}

/// One aggregate function and the columns of the layout that it reads.
#[derive(Debug)]
pub(crate) struct AggregateCall {
    function: Arc<AggregateFunctionExpr>,
    arguments: Vec<usize>,
    filter: Option<usize>,
}

impl AggregateCall {
    /// Makes the call runnable and adds what it reads to `layout`.
    pub(crate) fn lower(
        program: &str,
        expr: &Expr,
        schema: &DFSchema,
        state: &SessionState,
        layout: &mut Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let context = PhysicalPlanningContext::default();
        let builder =
            LoweredAggregateBuilder::new(expr, schema, schema.inner(), state.execution_props(), &context);
        let LoweredAggregate { aggregate, filter, order_bys } =
            builder.build().map_err(Error::plan(format!("{program}: compiling {expr}")))?;
        if !order_bys.is_empty() {
            return Err(Error::Unsupported {
                program: program.to_owned(),
                at: None,
                reason: format!("{expr}: ORDER BY inside an aggregate is not supported in a stream"),
                instead: "use min, max, first by a window of the lake, or drop the ORDER BY".into(),
            });
        }
        let mut place = |expr: Arc<dyn PhysicalExpr>| {
            layout.push(expr);
            layout.len() - 1
        };
        let arguments = aggregate.expressions().into_iter().map(&mut place).collect();
        let filter = filter.map(&mut place);
        Ok(Self { function: aggregate, arguments, filter })
    }

    fn accumulator(&self) -> Result<Box<dyn GroupsAccumulator>> {
        if self.function.groups_accumulator_supported() {
            return Ok(self.function.create_groups_accumulator()?);
        }
        let function = Arc::clone(&self.function);
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
    }
}

/// What one stage computes.
///
/// A batch that reaches it (the *layout*) holds the columns that tell the window, then the keys, then what
/// the aggregates read.
#[derive(Debug)]
pub(crate) struct AggregateSpec {
    pub(crate) windows: SpecWindows,
    /// Place of the window among the output's group columns.
    window_at: Option<usize>,
    pub(crate) keys: usize,
    calls: Vec<AggregateCall>,
    pub(crate) key_schema: SchemaRef,
    /// Window start and end (where there are windows), keys, then the partial states: state in memory and in a
    /// checkpoint.
    pub(crate) state_schema: SchemaRef,
    /// Window start and end, then the keys: what is told of late rows.
    pub(crate) dirty_schema: SchemaRef,
    pub(crate) output: SchemaRef,
}

impl AggregateSpec {
    pub(crate) fn new(
        windows: SpecWindows,
        window_at: Option<usize>,
        keys: usize,
        calls: Vec<AggregateCall>,
        layout: &Schema,
        output: SchemaRef,
    ) -> Result<Self> {
        let first = windows.columns();
        let key_fields = layout.fields()[first..first + keys].to_vec();
        let mut fields = vec![
            Arc::new(Field::new("window_start", TIMESTAMP, false)),
            Arc::new(Field::new("window_end", TIMESTAMP, false)),
        ];
        fields.extend(
            key_fields
                .iter()
                .enumerate()
                .map(|(i, f)| Arc::new(f.as_ref().clone().with_name(format!("k{i}")))),
        );
        let dirty_schema = Arc::new(Schema::new(fields.clone()));
        if windows == SpecWindows::Never {
            fields.drain(..2);
        }
        for (i, call) in calls.iter().enumerate() {
            for (j, field) in call.function.state_fields()?.into_iter().enumerate() {
                fields.push(Arc::new(
                    field.as_ref().clone().with_name(format!("a{i}_{j}")).with_nullable(true),
                ));
            }
        }
        Ok(Self {
            windows,
            window_at,
            keys,
            calls,
            key_schema: Arc::new(Schema::new(key_fields)),
            state_schema: Arc::new(Schema::new(fields)),
            dirty_schema,
            output,
        })
    }

    /// How many columns of a state batch stand before the keys.
    pub(crate) const fn state_prefix(&self) -> usize {
        match self.windows {
            SpecWindows::Never => 0,
            _ => 2,
        }
    }

    /// The columns of the layout that are keys.
    pub(crate) fn key_columns(&self) -> Range<usize> {
        let first = self.windows.columns();
        first..first + self.keys
    }
}

impl OperatorSpec for AggregateSpec {
    fn start(self: Arc<Self>, begin: Begin) -> Result<Box<dyn Operator>> {
        Ok(match self.windows {
            SpecWindows::Of(WindowKind::Session { gap_ns }) => Box::new(Sessions::new(self, gap_ns, &begin)?),
            _ => Box::new(Panes::new(self, begin.watermark_ns, begin.late_rows)),
        })
    }

    fn can_be_looked_at(&self) -> bool {
        matches!(self.windows, SpecWindows::Of(_))
    }

    fn input_keys(&self, _: usize) -> Range<usize> {
        self.key_columns()
    }

    fn state_keys(&self, _: usize) -> Range<usize> {
        self.state_prefix()..self.state_prefix() + self.keys
    }
}
