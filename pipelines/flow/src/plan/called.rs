//! Calls of functions that wait, as a node of their own: made before the query that reads their answers.
//!
//! DataFusion evaluates such a call only at the top of a projection or a filter, and may put it elsewhere while
//! optimising. So each is taken out of its expression into a [`Called`] below the node at hand, which no optimisation
//! takes apart; a stream and a batch then call alike.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result, internal_err};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNode,
    UserDefinedLogicalNodeCore,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::async_scalar_function::AsyncFuncExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::async_func::AsyncFuncExec;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

/// Appends the answers of calls to the columns of its input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Called {
    /// Name of the column, and the call.
    calls: Vec<(String, Expr)>,
    pub(crate) input: LogicalPlan,
    schema: DFSchemaRef,
}

impl Called {
    fn try_new(calls: Vec<(String, Expr)>, input: LogicalPlan) -> Result<Self> {
        let mut fields = input.schema().iter().map(|(q, f)| (q.cloned(), Arc::clone(f))).collect::<Vec<_>>();
        for (name, call) in &calls {
            let (_, field) = call.to_field(input.schema())?;
            fields.push((None, Arc::new(field.as_ref().clone().with_name(name))));
        }
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        Ok(Self { calls, input, schema: Arc::new(schema) })
    }

    /// The calls, runnable; `physical` compiles an expression over the input's columns.
    pub(crate) fn compile<E: From<datafusion::error::DataFusionError>>(
        &self,
        physical: impl Fn(&Expr, &DFSchema) -> std::result::Result<Arc<dyn PhysicalExpr>, E>,
    ) -> std::result::Result<Vec<Arc<AsyncFuncExpr>>, E> {
        let schema = self.input.schema();
        let compiled = self.calls.iter().map(|(name, call)| {
            let call = physical(call, schema)?;
            Ok(Arc::new(AsyncFuncExpr::try_new(name, call, schema.inner())?))
        });
        compiled.collect()
    }
}

impl PartialOrd for Called {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.calls.partial_cmp(&other.calls)
    }
}

impl UserDefinedLogicalNodeCore for Called {
    fn name(&self) -> &'static str {
        "Called"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.calls.iter().map(|(_, call)| call.clone()).collect()
    }

    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        self.calls.iter().map(|(name, _)| name.clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.calls.iter().map(|(name, call)| format!("{name} = {call}")).collect::<Vec<_>>();
        write!(f, "Called: {}", calls.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let names = self.calls.iter().map(|(name, _)| name.clone());
        let input = inputs.pop().unwrap_or_else(|| self.input.clone());
        Self::try_new(names.zip(exprs).collect(), input)
    }
}

/// The node that a plan is, if it is one.
pub(crate) fn called(plan: &LogicalPlan) -> Option<&Called> {
    let LogicalPlan::Extension(extension) = plan else { return None };
    extension.node.as_any().downcast_ref()
}

/// Whether an expression is a call of a function that waits.
fn waits(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.as_async().is_some())
}

/// Whether there is such a call in an expression.
pub(crate) fn has_call(expr: &Expr) -> bool {
    expr.exists(|e| Ok(waits(e))).unwrap_or(false)
}

/// Takes every call out of its expression. Not in the condition of a join, which has two inputs.
pub(crate) fn calls_first(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut next = 0_usize;
    let plan = plan.transform_up_with_subqueries(|node| {
        if node.inputs().len() != 1 || !node.expressions().iter().any(has_call) {
            return Ok(Transformed::no(node));
        }
        let visible = node.schema().columns();
        let names = NamePreserver::new(&node);
        let before = node.expressions();
        let mut input = node.inputs()[0].clone();
        let mut exprs = before.clone();
        // Calls without calls in their arguments first, then those around them.
        while exprs.iter().any(has_call) {
            let mut calls: Vec<(String, Expr)> = Vec::new();
            for expr in &mut exprs {
                let taken = expr.clone().transform_down(|e| {
                    let Expr::ScalarFunction(call) = &e else { return Ok(Transformed::no(e)) };
                    if !waits(&e) || call.args.iter().any(has_call) {
                        return Ok(Transformed::no(e));
                    }
                    let known = calls.iter().find(|(_, call)| *call == e).map(|(name, _)| name.clone());
                    let name = known.unwrap_or_else(|| {
                        next += 1;
                        let name = format!("__call_{next}");
                        calls.push((name.clone(), e.clone()));
                        name
                    });
                    let column = Expr::Column(Column::new_unqualified(name));
                    Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
                })?;
                *expr = taken.data;
            }
            let node = Arc::new(Called::try_new(calls, input)?);
            input = LogicalPlan::Extension(Extension { node });
        }
        let exprs = before.iter().zip(exprs).map(|(was, is)| names.save(was).restore(is)).collect();
        let mut plan = node.with_new_exprs(exprs, vec![input])?;
        if plan.schema().fields().len() != visible.len() {
            // A filter passes all columns on; the answers are read, and gone.
            let visible = visible.into_iter().map(Expr::Column).collect::<Vec<_>>();
            plan = LogicalPlanBuilder::new(plan).project(visible)?.build()?;
        }
        Ok(Transformed::yes(plan))
    })?;
    Ok(plan.data)
}

/// Plans a query that may hold calls.
#[derive(Debug)]
pub(crate) struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(CallPlanner)]);
        planner.create_physical_plan(plan, session).await
    }
}

struct CallPlanner;

#[async_trait]
impl ExtensionPlanner for CallPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<Called>() else { return Ok(None) };
        let [input] = inputs else { return internal_err!("calls over {} inputs", inputs.len()) };
        let calls =
            node.compile(|expr, schema| planner.create_physical_expr(expr, schema, session, context))?;
        Ok(Some(Arc::new(AsyncFuncExec::try_new(calls, Arc::clone(input))?)))
    }
}
