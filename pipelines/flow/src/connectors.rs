//! The connectors of the engine itself: enough to run a program over files, and to measure it.

mod blackhole;
mod filesystem;
mod impulse;
mod ndjson;
mod parquet_rows;
mod row_file;
mod single_file;
mod wanted;

pub use blackhole::Blackhole;
pub use filesystem::Filesystem;
pub use impulse::Impulse;
pub use single_file::SingleFile;

use std::sync::Arc;

use crate::Connectors;

/// Rows of a batch where nobody asks for another number.
pub(crate) const BATCH_ROWS: usize = 8192;

impl Connectors {
    /// `single_file`, `filesystem`, `impulse` and `blackhole`.
    #[must_use]
    pub fn built_in() -> Self {
        Self::files(BATCH_ROWS)
    }

    /// The same; no batch that is read has more than `batch_rows` rows. A barrier passes between two batches.
    #[must_use]
    pub fn files(batch_rows: usize) -> Self {
        Self::new()
            .with("single_file", Arc::new(SingleFile { batch_rows }))
            .with("filesystem", Arc::new(Filesystem { batch_rows }))
            .with("impulse", Arc::new(Impulse::default()))
            .with("blackhole", Arc::new(Blackhole))
    }
}
