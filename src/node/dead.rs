//! Dead letters: found, shown, sent again.

use std::time::Duration;

use anyhow::Context as _;
use crave_connect::{
    DeadLetter,
    log::{Record, Topic, partition_of},
};
use serde::{Deserialize, Serialize};

use super::Core;

/// Bytes read at once.
const READ_BYTES: usize = 4 << 20;

/// A dead letter and where it lies.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Dead {
    /// `PARTITION:OFFSET`.
    pub(crate) name: String,
    pub(crate) letter: DeadLetter,
}

impl Core {
    /// Dead letters, oldest first in each partition, without their bytes.
    pub(crate) async fn dead(&self, limit: usize) -> anyhow::Result<Vec<Dead>> {
        let mut found = Vec::new();
        for partition in 0..self.log.partitions() {
            let mut from = 0;
            while found.len() < limit {
                let read = self.log.read(Topic::Dead, partition, from, READ_BYTES, Duration::ZERO).await?;
                let Some(last) = read.last() else { break };
                from = last.offset + 1;
                for stored in read.iter().take(limit - found.len()) {
                    let letter: DeadLetter = serde_json::from_slice(&stored.record.value)?;
                    let name = format!("{partition}:{}", stored.offset);
                    found.push(Dead { name, letter: DeadLetter { raw: None, raw_hex: None, ..letter } });
                }
            }
        }
        Ok(found)
    }

    /// One dead letter, with its bytes.
    pub(crate) async fn dead_letter(&self, name: &str) -> anyhow::Result<DeadLetter> {
        let parts = name.split_once(':').and_then(|(p, o)| Some((p.parse().ok()?, o.parse().ok()?)));
        let (partition, offset) =
            parts.with_context(|| format!("{name}: must be PARTITION:OFFSET, see `crave dead list`"))?;
        let read = self.log.read(Topic::Dead, partition, offset, 1, Duration::ZERO).await?;
        let stored = read.first().filter(|s| s.offset == offset);
        let stored = stored.with_context(|| format!("{name}: no such dead letter"))?;
        Ok(serde_json::from_slice(&stored.record.value)?)
    }

    /// Sends one to the inbox again, as it came, and waits until it is admitted or refused again.
    pub(crate) async fn retry(&self, name: &str) -> anyhow::Result<()> {
        let letter = self.dead_letter(name).await?;
        let value = letter.bytes().with_context(|| format!("{name}: its bytes were not kept"))?;
        let key = letter.user_id.unwrap_or_default();
        let partition = partition_of(&key, self.log.partitions());
        self.log.append(Topic::Inbox, vec![(partition, Record { key, value })]).await?;
        self.admitted().await
    }
}
