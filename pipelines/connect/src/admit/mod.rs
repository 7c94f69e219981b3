//! `admit`: from whatever was sent to each event once (DESIGN §2, step 2).
//!
//! One owner a partition reads the inbox, [decides](decide) what each record is, and makes the outcome,
//! the ids and its own position durable in one transaction of the log. A crash before that repeats the
//! pass; after it, nothing is repeated. Upholds IN-1 and IN-2.

mod dead;
mod decide;

use std::{sync::Arc, time::Duration};

use crave_flow::failpoint;
use crave_schemas::{Admitted, Clock};
pub use dead::DeadLetter;
pub use decide::Counts;
use tokio::sync::watch;

use crate::{
    Error,
    log::{Admission, EventLog, Offset, Record, Stored, Topic},
};

/// Bytes of inbox that one pass takes.
const PASS_BYTES: usize = 4 << 20;
/// Pause after the log has failed once, and the longest while it goes on failing.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// The stage's dependencies, shared by its partitions.
#[derive(Clone, Debug)]
pub struct Admit {
    /// Where it reads and writes.
    pub log: Arc<dyn EventLog>,
    /// Stamps `received_at` and heartbeats.
    pub clock: Arc<dyn Clock>,
    /// How often an idle partition says what time it is.
    pub heartbeat: Duration,
}

impl Admit {
    /// Serves one partition until `stop` turns true. A failing log is tried again with growing pauses:
    /// what is acknowledged waits in the inbox.
    pub async fn run(self, partition: u32, mut stop: watch::Receiver<bool>) {
        let mut pause = RETRY_MIN;
        while !*stop.borrow() {
            let served = tokio::select! {
                served = self.serve(partition, &mut pause) => served,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if let Err(error) = served {
                tracing::warn!(partition, %error, retry_ms = pause.as_millis(), "admit waits for the log");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }

    async fn serve(&self, partition: u32, pause: &mut Duration) -> Result<(), Error> {
        let mut position = self.log.position(partition).await?;
        loop {
            position = self.step(partition, position, self.heartbeat).await?;
            *pause = RETRY_MIN;
        }
    }

    /// Admits what lies from `position` on, or tells the time when nothing has come for `wait`; gives the position to go
    /// on from.
    ///
    /// # Errors
    /// What the log says; the step is to be repeated from [`EventLog::position`] then.
    pub async fn step(&self, partition: u32, position: Offset, wait: Duration) -> Result<Offset, Error> {
        let records = self.log.read(Topic::Inbox, partition, position, PASS_BYTES, wait).await?;
        if records.is_empty() {
            self.beat(partition, position).await
        } else {
            self.pass(partition, records).await
        }
    }

    /// Admits what waits in a partition and returns when its inbox is empty; for tests and bounded runs.
    ///
    /// # Errors
    /// What the log says.
    pub async fn drain(&self, partition: u32) -> Result<(), Error> {
        let mut position = self.log.position(partition).await?;
        loop {
            let records =
                self.log.read(Topic::Inbox, partition, position, PASS_BYTES, Duration::ZERO).await?;
            if records.is_empty() {
                return Ok(());
            }
            position = self.pass(partition, records).await?;
        }
    }

    /// An empty inbox: tell the time. Never told while records wait, so that it does not overtake them.
    async fn beat(&self, partition: u32, position: Offset) -> Result<Offset, Error> {
        let beat = Admitted::heartbeat(self.clock.now());
        let record = Record { key: String::new(), value: to_json(&beat) };
        let records = vec![(Topic::Events, partition, record)];
        self.log.admit(partition, Admission { records, ids: Vec::new(), position }).await?;
        Ok(position)
    }

    async fn pass(&self, partition: u32, records: Vec<Stored>) -> Result<Offset, Error> {
        let (log, now) = (Arc::clone(&self.log), self.clock.now());
        let decided = tokio::task::spawn_blocking(move || {
            let read = decide::read(records, partition, log.partitions(), now);
            let known = log.lookup(&read.keys())?;
            Ok::<_, Error>(read.decide(&known, now))
        });
        let (admission, counts): (Admission, Counts) = decided.await.map_err(|_| Error::Closed)??;
        let position = admission.position;
        failpoint("before admit").map_err(|_| Error::Closed)?;
        self.log.admit(partition, admission).await?;
        failpoint("after admit").map_err(|_| Error::Closed)?;
        counts.record();
        Ok(position)
    }
}

pub(crate) fn to_json(value: &impl serde::Serialize) -> Vec<u8> {
    // Plain structs of text and numbers: serialisation cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}
