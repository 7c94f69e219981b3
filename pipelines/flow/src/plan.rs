//! From SQL to what runs: stages with keyed state, and between them projections and filters.
//!
//! [`rewrite`] gives DataFusion's logical plan its windows, DataFusion optimises it, and [`compile`] cuts it
//! into [`Branch`]es: straight pieces of [`Step`]s from a source or a stage to the next stage or the sink. A stage is
//! a keyed aggregate (by windows, or updating), what is computed over closed windows (joins, `OVER`), or an updating
//! join. [`lineage`] follows columns back, so that late keys are told in the sink's terms.

mod called;
mod compile;
mod lineage;
mod node;
mod per_window;
mod rewrite;
mod step;

pub(crate) use called::{Planner, called, calls_first, has_call};
pub(crate) use compile::{Branch, BranchOrigin, JobPlan, LateKeys, SinkPlan, Stage, as_changes, compile_job};
pub(crate) use lineage::{Origin, Origins, has_every_window, is_updating, leaves, origins, windows_of_rows};
pub(crate) use rewrite::{Rewriter, Target};
pub(crate) use step::{Step, run_steps};
