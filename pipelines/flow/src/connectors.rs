//! The two connectors of the engine itself: enough to run a program over files, and to measure it.

mod blackhole;
mod single_file;

pub use blackhole::Blackhole;
pub use single_file::SingleFile;

use std::sync::Arc;

use crate::Connectors;

impl Connectors {
    /// `single_file` and `blackhole`.
    #[must_use]
    pub fn built_in() -> Self {
        Self::new()
            .with("single_file", Arc::new(SingleFile::default()))
            .with("blackhole", Arc::new(Blackhole))
    }
}
