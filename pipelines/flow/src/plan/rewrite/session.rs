//! `session(gap)` in a batch: gaps and islands by window functions.

use datafusion::common::{Column, Result};
use datafusion::functions_aggregate::{min_max::max_udaf, min_max::min_udaf, sum::sum_udaf};
use datafusion::functions_window::lead_lag::lag_udwf;
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionDefinition};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlanBuilder, cast, col, lit, when};

use super::WINDOWS;
use crate::functions::{TIMESTAMP, window_of};

/// Adds the session of each row as a last column. A row begins one when the one before it, of the same keys, is
/// at least `gap_ns` older; rows at the same instant are peers and always share one.
pub(super) fn sessions(
    input: LogicalPlanBuilder,
    gap_ns: i64,
    keys: &[Expr],
    time: &Expr,
) -> Result<LogicalPlanBuilder> {
    let keys = keys.iter().map(|k| k.clone().unalias()).collect::<Vec<_>>();
    let over = |function: WindowFunctionDefinition, of: Expr, keys: Vec<Expr>, ordered: bool, name: &str| {
        let call = Expr::from(WindowFunction::new(function, vec![of])).partition_by(keys);
        let call = if ordered { call.order_by(vec![time.clone().sort(true, false)]) } else { call };
        Ok::<_, datafusion::error::DataFusionError>(call.build()?.alias(name))
    };
    let named = |name: &str| col(Column::new_unqualified(name));
    let ns = |expr: Expr| cast(expr, arrow::datatypes::DataType::Int64);
    let visible = input.schema().columns();

    let before = over(lag_udwf().into(), time.clone(), keys.clone(), true, "__before")?;
    let input = input.window([before])?;
    let begins = when(named("__before").is_null(), lit(1_i64))
        .when((ns(time.clone()) - ns(named("__before"))).gt_eq(lit(gap_ns)), lit(1_i64))
        .otherwise(lit(0_i64))?;
    let columns = visible.iter().cloned().map(Expr::Column);
    let input = input.project(columns.chain([begins.alias("__begins")]).collect::<Vec<_>>())?;
    let number = over(sum_udaf().into(), named("__begins"), keys.clone(), true, "__number")?;
    let input = input.window([number])?;
    let island = keys.into_iter().chain([named("__number")]).collect::<Vec<_>>();
    let first = over(min_udaf().into(), time.clone(), island.clone(), false, "__first")?;
    let last = over(max_udaf().into(), time.clone(), island, false, "__last")?;
    let input = input.window([first, last])?;
    let end = cast(ns(named("__last")) + lit(gap_ns), TIMESTAMP);
    let window = window_of().call(vec![named("__first"), end]).alias(WINDOWS);
    input.project(visible.into_iter().map(Expr::Column).chain([window]).collect::<Vec<_>>())
}
