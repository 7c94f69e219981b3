//! The event log as a connector of the streaming engine: `connector = 'log', topic = '…'`.

use std::{io::Cursor, sync::Arc, time::Duration};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::SchemaRef,
    json::{LineDelimitedWriter, ReaderBuilder},
};
use async_trait::async_trait;
use crave_flow::{Connector, Error, Polled, Reader, Result, Sink, SinkContext, Source, TableDef};
use serde::{Deserialize, Serialize};

use crate::log::{EventLog, Offset, Record, Topic, partition_of};

/// Bytes of log decoded into one batch of rows.
const READ_BYTES: usize = 1 << 20;
/// Rows of one decoded batch, at most.
const READ_ROWS: usize = 65_536;
/// How long a reader waits for rows before it answers `Idle`; barriers pass in between.
const WAIT: Duration = Duration::from_millis(40);

/// Reads and writes topics of the event log as tables of JSON records.
#[derive(Debug)]
pub struct LogConnector(pub Arc<dyn EventLog>);

fn topic(table: &TableDef) -> Result<Topic> {
    let name = table.option("topic")?;
    Topic::from_name(name).ok_or_else(|| {
        let known = Topic::ALL.map(Topic::as_str).join(", ");
        Error::Invalid(format!("table {}: no topic '{name}'; there are: {known}", table.name))
    })
}

#[async_trait]
impl Connector for LogConnector {
    async fn source(&self, table: &TableDef) -> Result<Box<dyn Source>> {
        let (log, topic) = (Arc::clone(&self.0), topic(table)?);
        Ok(Box::new(LogSource { log, topic, schema: Arc::clone(&table.physical) }))
    }

    async fn sink(&self, table: &TableDef, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let key = table.option("sink.key_field")?.to_owned();
        let field = table.physical.field_with_name(&key).map_err(|_| no_key(table, &key))?;
        if field.data_type() != &arrow::datatypes::DataType::Utf8 {
            return Err(no_key(table, &key));
        }
        let writer = format!("{}/{}", context.job, table.name);
        Ok(Box::new(LogSink {
            log: Arc::clone(&self.0),
            topic: topic(table)?,
            key,
            writer,
            rows: Vec::new(),
        }))
    }
}

fn no_key(table: &TableDef, key: &str) -> Error {
    Error::Invalid(format!("table {}: sink.key_field '{key}' must name a TEXT column", table.name))
}

struct LogSource {
    log: Arc<dyn EventLog>,
    topic: Topic,
    schema: SchemaRef,
}

#[async_trait]
impl Source for LogSource {
    fn partitions(&self) -> usize {
        self.log.partitions() as usize
    }

    async fn open(&self, partition: usize, from: Option<u64>) -> Result<Box<dyn Reader>> {
        let partition = u32::try_from(partition).map_err(external)?;
        let retained = self.log.bounds(self.topic, partition).await.map_err(external)?;
        let next = from.unwrap_or(retained.start);
        if next < retained.start {
            return Err(Error::NotFound(format!(
                "{} partition {partition}: offset {next} was trimmed (the first kept is {}); rebuild the job from its tables",
                self.topic.as_str(),
                retained.start
            )));
        }
        Ok(Box::new(LogReader {
            log: Arc::clone(&self.log),
            topic: self.topic,
            schema: Arc::clone(&self.schema),
            partition,
            next,
        }))
    }
}

struct LogReader {
    log: Arc<dyn EventLog>,
    topic: Topic,
    schema: SchemaRef,
    partition: u32,
    next: Offset,
}

#[async_trait]
impl Reader for LogReader {
    async fn next(&mut self) -> Result<Polled> {
        let read =
            self.log.read(self.topic, self.partition, self.next, READ_BYTES, WAIT).await.map_err(external)?;
        let read = &read[..read.len().min(READ_ROWS)];
        let Some(last) = read.last() else { return Ok(Polled::Idle) };
        let mut decoder = ReaderBuilder::new(Arc::clone(&self.schema))
            .with_batch_size(read.len())
            .build_decoder()
            .map_err(external)?;
        for stored in read {
            decoder.decode(&stored.record.value).map_err(|e| self.corrupt(stored.offset, &e))?;
        }
        let batch = decoder.flush().map_err(|e| self.corrupt(last.offset, &e))?;
        self.next = last.offset + 1;
        Ok(batch.map_or(Polled::Idle, |batch| Polled::Rows { batch, next_offset: self.next }))
    }
}

impl LogReader {
    fn corrupt(&self, offset: Offset, error: &arrow::error::ArrowError) -> Error {
        // Arrow's message may quote the record: say where it is, not what it says.
        tracing::debug!(%error, "record does not decode");
        let (topic, partition) = (self.topic.as_str(), self.partition);
        let what = format!(
            "{topic} partition {partition}: a record at or before offset {offset} does not fit the table"
        );
        Error::connector(what, false, "compare the table's columns with crave_schemas::Admitted")
    }
}

/// Writes rows as JSON records. An epoch's records wait in the checkpoint itself, so `memories` stays
/// what it is: text of one epoch, small.
struct LogSink {
    log: Arc<dyn EventLog>,
    topic: Topic,
    key: String,
    writer: String,
    rows: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct Staged {
    records: Vec<(String, String)>,
}

#[async_trait]
impl Sink for LogSink {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let mut json = LineDelimitedWriter::new(Cursor::new(Vec::new()));
        json.write(&batch).map_err(external)?;
        json.finish().map_err(external)?;
        let text = String::from_utf8(json.into_inner().into_inner()).map_err(external)?;
        let keys = batch.column_by_name(&self.key).and_then(|k| k.as_string_opt::<i32>());
        let keys = keys.ok_or_else(|| Error::Internal(format!("column {} is not text", self.key)))?;
        let lines = text.lines().map(str::to_owned);
        self.rows.extend(keys.iter().map(|key| key.unwrap_or_default().to_owned()).zip(lines));
        Ok(())
    }

    async fn stage(&mut self, _epoch: u64) -> Result<serde_json::Value> {
        if self.rows.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        let records = std::mem::take(&mut self.rows);
        serde_json::to_value(Staged { records }).map_err(external)
    }

    async fn commit(&mut self, epoch: u64, staged: &serde_json::Value) -> Result<()> {
        let Staged { records } = serde_json::from_value(staged.clone()).map_err(external)?;
        let partitions = self.log.partitions();
        let of = |(key, value): (String, String)| {
            (partition_of(&key, partitions), Record { key, value: value.into_bytes() })
        };
        let records = records.into_iter().map(of).collect();
        self.log.append_once(&self.writer, epoch, self.topic, records).await.map_err(external)
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::connector("using the event log", false, error)
}
