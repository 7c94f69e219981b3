//! The streaming jobs: each a file of `sql/jobs/`, compiled in, or of the folder that `flow.jobs` names.

use std::{collections::BTreeMap, ffi::OsStr, path::Path, sync::Arc};

use anyhow::Context as _;
use crave_flow::{CheckpointStore, Program};
use serde::{Deserialize, Serialize};

use crate::{config::Config, home::Home};

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
pub(super) async fn parse(home: &Home, folder: Option<&Path>) -> anyhow::Result<Vec<Arc<Program>>> {
    let lake = home.lake().to_string_lossy().into_owned();
    let variables = BTreeMap::from([("lake".to_owned(), lake)]);
    let mut programs = Vec::with_capacity(JOBS.len());
    for (name, (place, sql)) in texts(folder)? {
        let program = Box::pin(Program::parse(&name, &sql, &variables)).await;
        programs.push(Arc::new(program.with_context(|| place)?));
    }
    Ok(programs)
}

/// The jobs of a home, planned.
pub(crate) async fn programs(home: &Home, config: &Config) -> anyhow::Result<Vec<Arc<Program>>> {
    parse(home, config.flow.jobs()).await
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

/// What a start would do to a job's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// The job is as it was: it goes on.
    Kept,
    /// Its SQL is another one: its tables are built anew beside the old ones and switched.
    Rebuilt,
    /// It is new: it reads the whole log.
    New,
    /// There is no such job any more: its state goes, its tables stay as they are.
    Dropped,
}

/// A job, and what a start would do to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Planned {
    pub(crate) job: String,
    pub(crate) state: State,
}

/// Compares the jobs that would run with those of the newest checkpoint.
pub(crate) async fn plan(home: &Home, folder: Option<&Path>) -> anyhow::Result<Vec<Planned>> {
    let programs = parse(home, folder).await?;
    let running = CheckpointStore::local(home.checkpoints())?.jobs().await?;
    Ok(compare(programs.iter().map(|p| (p.name(), p.identity())), &running))
}

fn compare<'a>(
    programs: impl Iterator<Item = (&'a str, &'a str)>,
    running: &BTreeMap<String, String>,
) -> Vec<Planned> {
    let mut planned = BTreeMap::new();
    for (job, identity) in programs {
        let state = match running.get(job) {
            Some(before) if before == identity => State::Kept,
            Some(_) => State::Rebuilt,
            None => State::New,
        };
        planned.insert(job.to_owned(), state);
    }
    for job in running.keys() {
        planned.entry(job.clone()).or_insert(State::Dropped);
    }
    planned.into_iter().map(|(job, state)| Planned { job, state }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_is_kept_rebuilt_new_or_dropped() {
        let running = [("a", "1"), ("b", "1"), ("d", "1")].map(|(job, id)| (job.to_owned(), id.to_owned()));
        let planned = compare([("a", "1"), ("b", "2"), ("c", "1")].into_iter(), &running.into());
        let states: Vec<_> = planned.iter().map(|p| (p.job.as_str(), p.state)).collect();
        let expected = [("a", State::Kept), ("b", State::Rebuilt), ("c", State::New), ("d", State::Dropped)];
        assert_eq!(states, expected);
    }

    #[test]
    fn a_folder_takes_the_place_of_what_is_built_in() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("events.sql"), "SELECT 1").unwrap();
        std::fs::write(folder.path().join("mine.sql"), "SELECT 2").unwrap();
        std::fs::write(folder.path().join("notes.txt"), "no job").unwrap();
        let texts = texts(Some(folder.path())).unwrap();
        assert_eq!(texts.len(), JOBS.len() + 1);
        assert_eq!((texts["events"].1.as_str(), texts["mine"].1.as_str()), ("SELECT 1", "SELECT 2"));
        assert!(super::texts(Some(Path::new("/nowhere"))).is_err());
    }
}
