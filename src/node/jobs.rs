//! The streaming jobs: each a file of `sql/jobs/`, compiled in, or of the folder that `flow.jobs` names.

use std::{collections::BTreeMap, ffi::OsStr, path::Path, sync::Arc};

use anyhow::Context as _;
use crave_flow::{Output, Program};

use crate::home::Home;

const JOBS: &[(&str, &str)] = &[
    ("events", include_str!("../../sql/jobs/events.sql")),
    ("corrections", include_str!("../../sql/jobs/corrections.sql")),
    ("cravings", include_str!("../../sql/jobs/cravings.sql")),
    ("recency", include_str!("../../sql/jobs/recency.sql")),
    ("daily_parts", include_str!("../../sql/jobs/daily_parts.sql")),
    ("trend_parts", include_str!("../../sql/jobs/trend_parts.sql")),
    ("memories", include_str!("../../sql/jobs/memories.sql")),
    ("markers", include_str!("../../sql/jobs/markers.sql")),
];

/// Parses and plans every job: those compiled in, with those of `folder` in their place or beside them.
pub(super) async fn parse(home: &Home, folder: Option<&Path>) -> anyhow::Result<Vec<Program>> {
    let lake = home.lake().to_string_lossy().into_owned();
    let variables = BTreeMap::from([("lake".to_owned(), lake)]);
    let mut programs = Vec::with_capacity(JOBS.len());
    for (name, (place, sql)) in texts(folder)? {
        let program = Box::pin(Program::parse(&name, &sql, &variables)).await;
        programs.push(program.with_context(|| place)?);
    }
    Ok(programs)
}

/// Each job's name, where its text lies, and the text.
pub(crate) fn texts(folder: Option<&Path>) -> anyhow::Result<BTreeMap<String, (String, String)>> {
    let built_in = JOBS.iter().map(|(name, sql)| {
        ((*name).to_owned(), (format!("sql/jobs/{name}.sql (built in)"), (*sql).to_owned()))
    });
    let mut texts: BTreeMap<_, _> = built_in.collect();
    let Some(folder) = folder else { return Ok(texts) };
    let read = || format!("flow.jobs: {}: cannot be read", folder.display());
    for entry in std::fs::read_dir(folder).with_context(read)? {
        let path = entry.with_context(read)?.path();
        let (Some(name), Some("sql")) =
            (path.file_stem().and_then(OsStr::to_str), path.extension().and_then(OsStr::to_str))
        else {
            continue;
        };
        let sql =
            std::fs::read_to_string(&path).with_context(|| format!("{}: cannot be read", path.display()))?;
        texts.insert(name.to_owned(), (path.display().to_string(), sql));
    }
    Ok(texts)
}

/// The job that writes each table.
pub(super) fn by_table(programs: &[Arc<Program>]) -> BTreeMap<String, String> {
    let outputs = programs.iter().flat_map(|p| p.outputs().iter().map(|output| (p.name(), output)));
    let path = |output: &Output| output.table.options.get("path")?.rsplit('/').next().map(str::to_owned);
    outputs.filter_map(|(job, output)| Some((path(output)?, job.to_owned()))).collect()
}
