//! A search of one person's memories, by the machine's operator.

use chrono::{DateTime, Utc};
use crave_insight::Memories;
use crave_recall::{Hit, SearchOptions, Stage, Stages};
use crave_schemas::UserId;
use serde::{Deserialize, Serialize};

/// What `crave search` asks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sought {
    pub(crate) user: UserId,
    pub(crate) question: String,
    /// Most hits.
    pub(crate) k: usize,
    /// "Now"; the clock's when absent.
    pub(crate) as_of: Option<DateTime<Utc>>,
    /// Stages to leave out.
    pub(crate) without: Vec<Stage>,
    /// Minutes that the person's clock is east of UTC: "yesterday" is theirs.
    #[serde(default)]
    pub(crate) offset_min: i64,
}

/// Searches as of `now`, unless another instant is asked for.
pub(super) async fn search(
    memories: &Memories,
    sought: Sought,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<Hit>> {
    let stages = sought.without.into_iter().fold(Stages::default(), Stages::without);
    let offset_min = sought.offset_min;
    let options =
        SearchOptions { k: sought.k, stages, offset_min, ..SearchOptions::new(sought.as_of.unwrap_or(now)) };
    Ok(memories.recall()?.search(&sought.user, &sought.question, &options).await?)
}
