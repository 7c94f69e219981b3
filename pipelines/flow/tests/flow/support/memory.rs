//! A source and a sink in memory, with the same promises as real ones, and an observer that remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use crave_flow::{
    Connector, EpochObserver, EpochSummary, Polled, Reader, Result, Sink, SinkContext, Source, TableDef,
};

/// Batches by partition; an offset is a number of batches.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) partitions: Arc<Vec<Vec<RecordBatch>>>,
    /// Batches of each partition that can be read so far, when given; then silence.
    pub(crate) shown: Option<Arc<AtomicUsize>>,
    /// A partition that ends in silence instead of an end.
    pub(crate) unbounded: bool,
    pub(crate) committed: Arc<Mutex<BTreeMap<String, Vec<RecordBatch>>>>,
    pub(crate) staged: Arc<Mutex<BTreeMap<(String, u64), Vec<RecordBatch>>>>,
    pub(crate) done: Arc<Mutex<BTreeSet<(String, u64)>>>,
    /// How many readers were opened.
    pub(crate) opened: Arc<AtomicU32>,
    /// Fail this many commits after doing them, as a crash between commit and its acknowledgement.
    pub(crate) fail_commits: Arc<Mutex<u32>>,
}

impl Memory {
    pub(crate) fn new(partitions: Vec<Vec<RecordBatch>>) -> Self {
        Self { partitions: Arc::new(partitions), ..Self::default() }
    }

    /// What one job wrote to one table.
    pub(crate) fn rows(&self, job: &str, table: &str) -> Vec<serde_json::Map<String, serde_json::Value>> {
        let committed = self.committed.lock().unwrap();
        committed.get(&format!("{job}.{table}")).map(|b| super::json_rows(b)).unwrap_or_default()
    }
}

#[async_trait]
impl Connector for Memory {
    async fn source(&self, _: &TableDef) -> Result<Box<dyn Source>> {
        Ok(Box::new(self.clone()))
    }

    async fn sink(&self, table: &TableDef, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let name = format!("{}.{}", context.job, table.name);
        Ok(Box::new(Writer { memory: self.clone(), name, rows: Vec::new() }))
    }
}

#[async_trait]
impl Source for Memory {
    fn partitions(&self) -> usize {
        self.partitions.len()
    }

    async fn open(&self, partition: usize, from: Option<u64>) -> Result<Box<dyn Reader>> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let at = usize::try_from(from.unwrap_or(0)).unwrap();
        Ok(Box::new(Cursor { memory: self.clone(), partition, at }))
    }
}

struct Cursor {
    memory: Memory,
    partition: usize,
    at: usize,
}

#[async_trait]
impl Reader for Cursor {
    async fn next(&mut self) -> Result<Polled> {
        tokio::task::yield_now().await;
        if self.memory.shown.as_ref().is_some_and(|shown| shown.load(Ordering::SeqCst) <= self.at) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            return Ok(Polled::Idle);
        }
        match self.memory.partitions[self.partition].get(self.at) {
            Some(batch) => {
                self.at += 1;
                Ok(Polled::Rows { batch: batch.clone(), next_offset: u64::try_from(self.at).unwrap() })
            }
            None if self.memory.unbounded => {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                Ok(Polled::Idle)
            }
            None => Ok(Polled::End),
        }
    }
}

struct Writer {
    memory: Memory,
    name: String,
    rows: Vec<RecordBatch>,
}

#[async_trait]
impl Sink for Writer {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows.push(batch);
        Ok(())
    }

    async fn stage(&mut self, epoch: u64) -> Result<serde_json::Value> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        let before = self.memory.staged.lock().unwrap().insert((self.name.clone(), epoch), rows);
        assert!(before.is_none(), "epoch {epoch} was used twice");
        Ok(epoch.into())
    }

    async fn commit(&mut self, epoch: u64, staged: &serde_json::Value) -> Result<()> {
        assert_eq!(staged.as_u64(), Some(epoch));
        let key = (self.name.clone(), epoch);
        if self.memory.done.lock().unwrap().insert(key.clone()) {
            let rows = self.memory.staged.lock().unwrap()[&key].clone();
            self.memory.committed.lock().unwrap().entry(self.name.clone()).or_default().extend(rows);
        }
        let mut fail = self.memory.fail_commits.lock().unwrap();
        if *fail > 0 {
            *fail -= 1;
            return Err(crave_flow::Error::connector("committing", true, "the test says so"));
        }
        Ok(())
    }
}

/// Remembers every epoch, once each.
#[derive(Default)]
pub(crate) struct Remember(pub(crate) Mutex<BTreeMap<u64, EpochSummary>>);

impl Remember {
    /// Every dirty window of a sink.
    pub(crate) fn dirty(&self, table: &str) -> Vec<RecordBatch> {
        let epochs = self.0.lock().unwrap();
        let sinks = epochs.values().flat_map(|e| &e.sinks).filter(|s| s.table == table);
        sinks.filter_map(|s| s.dirty.clone()).collect()
    }
}

#[async_trait]
impl EpochObserver for Remember {
    async fn decided(&self, epoch: &EpochSummary) -> Result<()> {
        self.0.lock().unwrap().insert(epoch.epoch, epoch.clone());
        Ok(())
    }
}
