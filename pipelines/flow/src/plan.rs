//! From SQL to what runs: stages of keyed windows, and between them projections and filters.
//!
//! [`rewrite`] gives DataFusion's logical plan its windows, DataFusion optimises it, and [`compile`] cuts it
//! into [`Branch`]es: straight pieces from a source or a stage to the next stage or the sink.

mod compile;
mod lineage;
mod node;
mod rewrite;

pub(crate) use compile::{Branch, BranchOrigin, JobPlan, SinkPlan, Stage, Step, compile_job, run_steps};
pub(crate) use lineage::{Origin, innermost, origin};
pub(crate) use rewrite::{Rewriter, Target};
