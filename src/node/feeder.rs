//! Sends events of a file or a simulation through the log, in batches, and says what became of each.

use std::sync::Arc;

use crave_connect::{
    Intake, Outcome, Parsed,
    log::{IdKey, Topic, partition_of},
};
use crave_schemas::{Code, Event};
use serde::{Deserialize, Serialize};

use super::Core;

/// Events sent at once.
pub(crate) const BATCH_EVENTS: usize = 10_000;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fate {
    Accepted,
    Duplicate,
    Refused(Code),
}

impl Core {
    /// Appends the new ones of `events` durably and waits until they are admitted, so that the next batch
    /// knows their ids.
    pub(crate) async fn feed(&self, events: Vec<Event>) -> anyhow::Result<Vec<Fate>> {
        let log = Arc::clone(&self.log);
        let judged = tokio::task::spawn_blocking(move || {
            let parsed: Vec<_> = events.iter().map(Parsed::new).collect();
            let keys: Vec<IdKey> = parsed.iter().map(|p| p.key).collect();
            let known = log.lookup(&keys)?;
            let mut intake =
                Intake::new(keys.into_iter().zip(known).filter_map(|(key, entry)| Some((key, entry?))));
            let (mut fates, mut records) = (Vec::with_capacity(parsed.len()), Vec::new());
            for event in parsed {
                fates.push(match intake.judge(event) {
                    Outcome::Accepted(record) => {
                        records.push((partition_of(&record.key, log.partitions()), record));
                        Fate::Accepted
                    }
                    Outcome::Duplicate => Fate::Duplicate,
                    Outcome::Refused(refusal) => Fate::Refused(refusal.code),
                });
            }
            Ok::<_, anyhow::Error>((fates, records))
        });
        let (fates, records) = judged.await??;
        if !records.is_empty() {
            self.log.append(Topic::Inbox, records).await?;
            self.admitted().await?;
        }
        Ok(fates)
    }
}
