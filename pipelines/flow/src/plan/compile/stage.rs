//! Stages: the layout of what reaches them, and what they compute.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, NullEquality};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan, cast};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use super::{Branch, BranchOrigin, Compiler, LateKeys, Stage, Title, as_changes, projected, with_change};
use crate::aggregate::{AggregateCall, AggregateSpec, SpecWindows};
use crate::closing::{ClosingInput, ClosingSpec};
use crate::functions::TIMESTAMP;
use crate::operator::OperatorSpec;
use crate::plan::node::{KeyedAggregate, Windows};
use crate::plan::per_window::{Body, PerWindow, scan_name, scan_schema};
use crate::updating::{UpdatingAggregate, UpdatingJoin};
use crate::{Error, Result};

type Exprs = Vec<Arc<dyn PhysicalExpr>>;

impl Compiler<'_> {
    fn push(
        &mut self,
        title: Title,
        spec: Arc<dyn OperatorSpec>,
        id: usize,
        inputs: Vec<Vec<Branch>>,
        changes: bool,
    ) -> Vec<Branch> {
        self.job.stages.push(Stage { title, spec, id, inputs, sink: self.sink, late: LateKeys::default() });
        let origin = BranchOrigin::Stage(self.job.stages.len() - 1);
        vec![Branch { origin, steps: Vec::new(), changes }]
    }

    fn bounds(&self, window: &Expr, schema: &DFSchema) -> Result<Exprs> {
        ["start", "end"].iter().map(|b| self.physical(&get_field(window.clone(), *b), schema)).collect()
    }

    pub(super) fn aggregate(&mut self, node: &KeyedAggregate) -> Result<Vec<Branch>> {
        let inputs = self.branches(&node.input)?;
        let schema = node.input.schema();
        let (windows, mut layout) = match &node.windows {
            Windows::Of { kind, time } => {
                let typed = time.get_type(schema).map_err(Error::plan("typing the event time"))?;
                let time = if typed == TIMESTAMP { time.clone() } else { cast(time.clone(), TIMESTAMP) };
                (SpecWindows::Of(*kind), vec![self.physical(&time, schema)?])
            }
            Windows::Inherited { window } => (SpecWindows::Inherited, self.bounds(window, schema)?),
            Windows::Never => (SpecWindows::Never, Vec::new()),
        };
        for key in &node.keys {
            layout.push(self.physical(key, schema)?);
        }
        let mut calls = Vec::with_capacity(node.aggregates.len());
        for expr in &node.aggregates {
            calls.push(AggregateCall::lower(self.program, expr, schema, self.state, &mut layout)?);
        }
        let layout_schema = layout_schema(&layout, schema)?;
        let output = Arc::clone(node.schema.inner());
        let title = Title {
            name: match &node.windows {
                Windows::Of { kind, .. } => kind.to_string(),
                Windows::Inherited { .. } => "aggregate in window".into(),
                Windows::Never => "updating aggregate".into(),
            },
            detail: columns_of(node),
        };
        let keys = node.keys.len();
        let spec = AggregateSpec::new(windows, node.window_at, keys, calls, &layout_schema, output)?;
        let changes = inputs.iter().any(|b| b.changes);
        let inputs = projected(inputs, &layout, &layout_schema, schema.fields().len());
        if windows != SpecWindows::Never {
            return Ok(self.push(title, Arc::new(spec), node.id, vec![inputs], false));
        }
        let inputs = if changes { as_changes(inputs) } else { inputs };
        let spec = UpdatingAggregate {
            spec: Arc::new(spec),
            changes: changes.then(|| with_change(&layout_schema)),
            ttl_ns: self.job.updating_ttl_ns,
        };
        Ok(self.push(title, Arc::new(spec), node.id, vec![inputs], true))
    }

    pub(super) fn per_window(&mut self, node: &PerWindow) -> Result<Vec<Branch>> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        let mut specs = Vec::with_capacity(node.inputs.len());
        for (at, input) in node.inputs.iter().enumerate() {
            let schema = input.schema();
            let mut layout = self.bounds(&node.windows[at], schema)?;
            for key in &node.keys[at] {
                layout.push(self.physical(key, schema)?);
            }
            layout.extend(all_columns(schema));
            let layout_schema = layout_schema(&layout, schema)?;
            let branches = self.branches(input)?;
            inputs.push(projected(branches, &layout, &layout_schema, schema.fields().len()));
            specs.push(ClosingInput {
                scan: scan_name(at),
                scanned: Arc::new(scan_schema(schema)),
                layout: layout_schema,
                keys: node.keys[at].len(),
            });
        }
        let keys = specs.first().map(|s| s.layout.fields()[2..2 + s.keys].to_vec()).unwrap_or_default();
        let mut dirty = vec![
            Arc::new(Field::new("window_start", TIMESTAMP, false)),
            Arc::new(Field::new("window_end", TIMESTAMP, false)),
        ];
        dirty.extend(
            keys.iter().enumerate().map(|(i, f)| Arc::new(f.as_ref().clone().with_name(format!("k{i}")))),
        );
        let spec = ClosingSpec {
            body: node.body.clone(),
            state: self.state.clone(),
            inputs: specs,
            dirty_schema: Arc::new(Schema::new(dirty)),
            output: Arc::clone(node.body.schema().inner()),
        };
        let name = match node.kind {
            Body::Join(kind) => format!("{} join in window", kind.to_string().to_lowercase()),
            Body::Over => "OVER in window".into(),
        };
        let title = Title { name, detail: node.body.display().to_string() };
        Ok(self.push(title, Arc::new(spec), node.id, inputs, false))
    }

    /// A join that no window bounds.
    pub(super) fn join(&mut self, join: &Join) -> Result<Vec<Branch>> {
        let (lefts, rights): (Vec<_>, Vec<_>) = join.on.iter().cloned().unzip();
        let mut inputs = Vec::with_capacity(2);
        let mut layouts = Vec::with_capacity(2);
        for (plan, keys) in [(&join.left, lefts), (&join.right, rights)] {
            let (branches, layout) = self.side(plan, &keys)?;
            inputs.push(branches);
            layouts.push(layout);
        }
        let right = layouts.pop().unwrap_or_else(|| Arc::new(Schema::empty()));
        let left = layouts.pop().unwrap_or_else(|| Arc::new(Schema::empty()));
        let filter = join.filter.as_ref().map(|f| self.physical(f, &join.schema)).transpose()?;
        let nullable = join.schema.fields().iter().map(|f| Arc::new(f.as_ref().clone().with_nullable(true)));
        let spec = UpdatingJoin {
            kind: join.join_type,
            keys: join.on.len(),
            nulls_meet: join.null_equality == NullEquality::NullEqualsNull,
            filter,
            layouts: [left, right],
            output: with_change(&Schema::new(nullable.collect::<Vec<_>>())),
            ttl_ns: self.job.updating_ttl_ns,
        };
        let title = Title {
            name: format!("updating {} join", join.join_type.to_string().to_lowercase()),
            detail: join.on.iter().map(|(l, r)| format!("{l} = {r}")).collect::<Vec<_>>().join(", "),
        };
        Ok(self.push(title, Arc::new(spec), usize::MAX, inputs, true))
    }

    /// One side of a join: its keys, its columns, and the change.
    fn side(&mut self, plan: &LogicalPlan, keys: &[Expr]) -> Result<(Vec<Branch>, SchemaRef)> {
        let schema = plan.schema();
        let mut layout = keys.iter().map(|k| self.physical(k, schema)).collect::<Result<Exprs>>()?;
        layout.extend(all_columns(schema));
        let layout_schema = layout_schema(&layout, schema)?;
        let branches = self.branches(plan)?;
        let branches = as_changes(projected(branches, &layout, &layout_schema, schema.fields().len()));
        Ok((branches, with_change(&layout_schema)))
    }
}

/// The aggregates and keys of a node, by the names of its columns.
fn columns_of(node: &KeyedAggregate) -> String {
    let names: Vec<_> = node.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let (groups, aggregates) = names.split_at(names.len() - node.aggregates.len());
    let keys = groups.iter().enumerate().filter(|(at, _)| Some(*at) != node.window_at).map(|(_, name)| *name);
    let keys: Vec<_> = keys.collect();
    // As DataFusion writes `count(*)` once it has planned it.
    let aggregates = match aggregates {
        [] => "distinct rows".into(),
        names => names.join(", ").replace("count(Int64(1))", "count(*)"),
    };
    if keys.is_empty() { aggregates } else { format!("{aggregates} by {}", keys.join(", ")) }
}

fn all_columns(schema: &DFSchema) -> Exprs {
    let column =
        |(at, field): (usize, &Arc<Field>)| Arc::new(Column::new(field.name(), at)) as Arc<dyn PhysicalExpr>;
    schema.fields().iter().enumerate().map(column).collect()
}

fn layout_schema(layout: &[Arc<dyn PhysicalExpr>], schema: &DFSchema) -> Result<SchemaRef> {
    let mut fields = Vec::with_capacity(layout.len());
    for (i, expr) in layout.iter().enumerate() {
        let field = expr.return_field(schema.inner()).map_err(Error::plan("typing a stage's layout"))?;
        fields.push(field.as_ref().clone().with_name(format!("c{i}")).with_nullable(true));
    }
    Ok(Arc::new(Schema::new(fields)))
}
