//! The Delta tables of deployed jobs, made before Arroyo would: with our properties, and times as instants.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use crave_flow::Program;
use crave_tables::{Table, stored_schema};

use super::Texts;

/// Makes the tables that `jobs` write when `lake` is a folder of this machine; gives what must be done by hand
/// otherwise. Arroyo would make a missing table with times without a zone and another writer's features.
pub(super) async fn create(jobs: &Texts, lake: &str) -> anyhow::Result<Option<String>> {
    let Some(folder) = lake.strip_prefix("file://") else {
        let why = "it would make them with times without a zone";
        return Ok(Some(format!("make the tables under {lake} before Arroyo does ({why})")));
    };
    let variables = BTreeMap::from([("lake".to_owned(), folder.to_owned())]);
    for (name, (place, sql)) in jobs {
        let program = Box::pin(Program::parse(name, sql, &variables)).await.with_context(|| place.clone())?;
        for output in program.outputs().iter().filter(|o| o.table.connector().is_ok_and(|c| c == "delta")) {
            let path = output.table.option("path")?;
            let table = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            // No version of ours: Arroyo's workers must find a folder, whatever store they see it through.
            let schema = stored_schema(&output.table.physical);
            let made = Box::pin(Table::open(table, &Path::new(folder).join(table), schema)).await;
            made.with_context(|| format!("the table {table} in {folder}"))?;
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::job_texts;

    #[tokio::test]
    async fn a_shared_folder_gets_every_table_and_a_bucket_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let lake = format!("file://{}", folder.path().display());
        let jobs = job_texts(None).unwrap();
        assert_eq!(create(&jobs, &lake).await.unwrap(), None);
        assert_eq!(create(&jobs, &lake).await.unwrap(), None, "a second time they are there");
        for table in ["events", "corrections", "cravings", "recency", "daily_parts", "trend_parts"] {
            assert!(folder.path().join(table).join("_delta_log").is_dir(), "{table}");
        }
        assert!(create(&jobs, "s3://bucket/lake").await.unwrap().unwrap().contains("s3://bucket/lake"));
    }
}
