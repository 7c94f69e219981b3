//! Runs a job as a DataFusion batch over the same files: the same rows, to compare with.

use std::path::Path;

use anyhow::Context as _;
use arrow::array::RecordBatch;
use crave_flow::{Connectors, Program, SinkContext, TableDef};
use datafusion::prelude::{JsonReadOptions, ParquetReadOptions, SessionConfig, SessionContext};
use futures::StreamExt as _;

/// Runs every INSERT, one after the other, into its sink; gives how many rows were written.
pub(super) async fn run(
    program: &Program,
    connectors: &Connectors,
    parallelism: usize,
) -> anyhow::Result<u64> {
    let config = SessionConfig::new().with_target_partitions(parallelism);
    let context = SessionContext::new_with_config(config);
    for source in program.sources() {
        register(&context, source).await?;
    }
    let mut written = 0;
    for (table, frame) in program.batch(&context).await? {
        let to = SinkContext { job: program.name().to_owned(), resumed: false };
        let mut sink = connectors.of(&table)?.sink(&table, &to).await?;
        let mut rows = frame.execute_stream().await?;
        while let Some(batch) = rows.next().await {
            let batch = RecordBatch::try_new(table.physical.clone(), batch?.columns().to_vec())?;
            written += u64::try_from(batch.num_rows())?;
            sink.write(batch).await?;
        }
        let staged = sink.stage(1).await?;
        if !staged.is_null() {
            sink.commit(1, &staged).await?;
        }
    }
    Ok(written)
}

async fn register(context: &SessionContext, source: &TableDef) -> anyhow::Result<()> {
    let connector = source.connector()?;
    anyhow::ensure!(
        matches!(connector, "single_file" | "filesystem"),
        "table {}: a batch reads files, not {connector}; run the job without --batch",
        source.name
    );
    let path = source.option("path")?;
    let parquet = source.options.get("format").is_some_and(|f| f == "parquet");
    let usual = if parquet { "parquet" } else { "json" };
    let end = Path::new(path).extension().map_or(usual.into(), |e| e.to_string_lossy());
    let end = if Path::new(path).is_dir() { format!(".{usual}") } else { format!(".{end}") };
    let name = datafusion::common::TableReference::bare(source.name.as_str());
    let registered = if parquet {
        context
            .register_parquet(
                name,
                path,
                ParquetReadOptions { file_extension: &end, ..ParquetReadOptions::default() },
            )
            .await
    } else {
        let options = JsonReadOptions::default().schema(&source.physical).file_extension(&end);
        context.register_json(name, path, options).await
    };
    registered.with_context(|| format!("table {}: {path} cannot be read", source.name))
}
