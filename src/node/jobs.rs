//! The streaming jobs: each a file of `sql/jobs/`, compiled in.

use std::collections::BTreeMap;

use anyhow::Context as _;
use crave_flow::Program;

use crate::home::Home;

/// Name and SQL of every job.
pub(crate) const JOBS: &[(&str, &str)] = &[
    ("events", include_str!("../../sql/jobs/events.sql")),
    ("corrections", include_str!("../../sql/jobs/corrections.sql")),
    ("cravings", include_str!("../../sql/jobs/cravings.sql")),
    ("recency", include_str!("../../sql/jobs/recency.sql")),
    ("daily_parts", include_str!("../../sql/jobs/daily_parts.sql")),
    ("trend_parts", include_str!("../../sql/jobs/trend_parts.sql")),
    ("memories", include_str!("../../sql/jobs/memories.sql")),
    ("markers", include_str!("../../sql/jobs/markers.sql")),
];

/// Parses and plans every job.
pub(super) async fn parse(home: &Home) -> anyhow::Result<Vec<Program>> {
    let lake = home.lake().to_string_lossy().into_owned();
    let variables = BTreeMap::from([("lake".to_owned(), lake)]);
    let mut programs = Vec::with_capacity(JOBS.len());
    for (name, sql) in JOBS {
        let program = Box::pin(Program::parse(name, sql, &variables)).await;
        programs.push(program.with_context(|| format!("sql/jobs/{name}.sql"))?);
    }
    Ok(programs)
}
