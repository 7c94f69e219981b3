//! Which columns of a source its jobs look at: a reader need not decode the others.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::source_task::SourceExprs;
use crate::plan::{Branch, BranchOrigin, JobPlan, Step};
use crate::{Program, TableDef};

/// The physical columns that `programs` read of the source they share under `key`, in order; `None`: all of them.
pub(super) fn columns_read(
    programs: &[Arc<Program>],
    key: &str,
    table: &TableDef,
    exprs: &SourceExprs,
) -> Option<Vec<usize>> {
    if !table.generated.is_empty() {
        return None;
    }
    let mut read: BTreeSet<usize> = exprs.watermark_columns();
    for program in programs {
        for branch in branches(&program.plan) {
            let BranchOrigin::Source(source) = branch.origin else { continue };
            if program.plan.sources[source].source_key() == key {
                match branch.steps.first() {
                    Some(Step::Select(columns)) => read.extend(columns),
                    _ => return None,
                }
            }
        }
    }
    (read.len() < table.physical.fields().len()).then(|| read.into_iter().collect())
}

/// Every branch of a job.
pub(super) fn branches(plan: &JobPlan) -> impl Iterator<Item = &Branch> {
    let stages = plan.stages.iter().flat_map(|s| s.inputs.iter().flatten());
    stages.chain(plan.sinks.iter().flat_map(|s| &s.inputs))
}
