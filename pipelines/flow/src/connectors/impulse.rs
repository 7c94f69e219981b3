//! `connector = 'impulse'`: a source that makes rows by itself, for trying things out.
//!
//! Options as in Arroyo: `event_rate` (rows a second; as fast as they are taken when it is absent),
//! `message_count` (then it ends), `event_time_interval` (microseconds from one row's `timestamp` to the next,
//! counted from 1970; the clock's time when it is absent). Columns, each where declared: `counter`,
//! `subtask_index` (always 0), `timestamp`.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use crave_schemas::{Clock, SystemClock};
use tokio::time::Instant;

use crate::{Connector, Error, Polled, Reader, Result, Sink, SinkContext, Source, TableDef};

/// Rows made at a time at most.
const BATCH_ROWS: u64 = 8192;
/// The longest a reader waits before it lets a barrier pass.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// The connector.
#[derive(Clone, Debug)]
pub struct Impulse {
    /// Where `timestamp` comes from.
    pub clock: Arc<dyn Clock>,
}

impl Default for Impulse {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock) }
    }
}

#[async_trait]
impl Connector for Impulse {
    async fn source(&self, table: &TableDef) -> Result<Box<dyn Source>> {
        let stray = table
            .physical
            .fields()
            .iter()
            .find(|f| !matches!(f.name().as_str(), "counter" | "subtask_index" | "timestamp"));
        if let Some(stray) = stray {
            return Err(Error::Invalid(format!(
                "table {}: impulse has no column {}; it has counter, subtask_index and timestamp",
                table.name,
                stray.name()
            )));
        }
        Ok(Box::new(ImpulseSource {
            schema: table.physical.clone(),
            rows_per_s: number(table, "event_rate")?.filter(|rate| *rate > 0.0),
            rows: number(table, "message_count")?.map(whole),
            interval_us: number(table, "event_time_interval")?.map(whole),
            clock: Arc::clone(&self.clock),
        }))
    }

    async fn sink(&self, table: &TableDef, _: &SinkContext) -> Result<Box<dyn Sink>> {
        Err(Error::Invalid(format!(
            "table {}: impulse only makes rows; write to another connector",
            table.name
        )))
    }
}

fn number(table: &TableDef, option: &str) -> Result<Option<f64>> {
    let Some(text) = table.options.get(option) else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
        _ => Err(Error::Invalid(format!(
            "table {}: {option} = '{text}' is no number; write {option} = '1000'",
            table.name
        ))),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be finite and not negative"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

#[derive(Clone)]
struct ImpulseSource {
    schema: SchemaRef,
    rows_per_s: Option<f64>,
    rows: Option<u64>,
    interval_us: Option<u64>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Source for ImpulseSource {
    fn partitions(&self) -> usize {
        1
    }

    async fn open(&self, _: usize, from: Option<u64>) -> Result<Box<dyn Reader>> {
        let counter = from.unwrap_or(0);
        Ok(Box::new(ImpulseReader { source: self.clone(), counter, first: counter, since: Instant::now() }))
    }
}

/// An offset is the next counter.
struct ImpulseReader {
    source: ImpulseSource,
    counter: u64,
    /// The counter at `since`.
    first: u64,
    since: Instant,
}

impl ImpulseReader {
    /// Rows that are due by now.
    fn due(&self) -> u64 {
        let left = self.source.rows.map_or(u64::MAX, |rows| rows.saturating_sub(self.counter));
        let due = match self.source.rows_per_s {
            None => u64::MAX,
            Some(rate) => {
                let so_far = whole(self.since.elapsed().as_secs_f64() * rate).saturating_add(1);
                self.first.saturating_add(so_far).saturating_sub(self.counter)
            }
        };
        due.min(left).min(BATCH_ROWS)
    }

    fn batch(&self, rows: u64) -> Result<RecordBatch> {
        let counters = (self.counter..self.counter + rows).map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        let counters = counters.collect::<Vec<_>>();
        let now = self.source.clock.now().timestamp_nanos_opt().unwrap_or(i64::MAX);
        let time = |n: &i64| match self.source.interval_us {
            Some(step) => n.saturating_mul(i64::try_from(step).unwrap_or(i64::MAX)).saturating_mul(1000),
            None => now,
        };
        let column = |field: &arrow::datatypes::FieldRef| -> Result<ArrayRef> {
            let values: ArrayRef = match field.name().as_str() {
                "counter" => Arc::new(Int64Array::from(counters.clone())),
                "timestamp" => {
                    Arc::new(TimestampNanosecondArray::from_iter_values(counters.iter().map(time)))
                }
                _ => Arc::new(Int64Array::from_value(0, counters.len())),
            };
            Ok(cast(&values, field.data_type())?)
        };
        let columns = self.source.schema.fields().iter().map(column).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(self.source.schema.clone(), columns)?)
    }
}

#[async_trait]
impl Reader for ImpulseReader {
    async fn next(&mut self) -> Result<Polled> {
        if self.source.rows.is_some_and(|rows| self.counter >= rows) {
            return Ok(Polled::End);
        }
        let mut due = self.due();
        if due == 0 {
            let rate = self.source.rows_per_s.unwrap_or(f64::INFINITY);
            tokio::time::sleep(Duration::from_secs_f64(1.0 / rate).min(WAIT_MAX)).await;
            due = self.due();
        }
        if due == 0 {
            return Ok(Polled::Idle);
        }
        let batch = self.batch(due)?;
        self.counter += due;
        Ok(Polled::Rows { batch, next_offset: self.counter })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::AsArray;
    use arrow::datatypes::{TimestampNanosecondType, UInt64Type};

    use super::*;
    use crate::parse::parse;

    fn table(columns: &str, options: &str) -> TableDef {
        let sql = format!(
            "CREATE TABLE i ({columns}) WITH (connector = 'impulse', {options}, type = 'source');
             CREATE TABLE o (n BIGINT) WITH (connector = 'blackhole', type = 'sink');
             INSERT INTO o SELECT counter FROM i"
        );
        parse("test", &sql, &BTreeMap::new()).unwrap().tables.remove(0)
    }

    async fn read(table: &TableDef, from: Option<u64>) -> Result<Vec<RecordBatch>> {
        let source = Impulse::default().source(table).await?;
        let mut reader = source.open(0, from).await?;
        let mut all = Vec::new();
        loop {
            match reader.next().await? {
                Polled::Rows { batch, next_offset } => {
                    all.push(batch);
                    let rows = all.iter().map(RecordBatch::num_rows).sum::<usize>();
                    assert_eq!(next_offset, from.unwrap_or(0) + u64::try_from(rows).unwrap());
                }
                Polled::Idle => {}
                Polled::End => return Ok(all),
            }
        }
    }

    #[tokio::test]
    async fn counts_with_the_columns_that_are_declared() {
        let columns = "timestamp TIMESTAMP NOT NULL, counter BIGINT UNSIGNED NOT NULL, subtask_index INT";
        let table = table(columns, "message_count = '20000', event_time_interval = '250'");
        for from in [0, 19_000] {
            let all = read(&table, Some(from)).await.unwrap();
            let all = arrow::compute::concat_batches(&table.physical, &all).unwrap();
            let counters = all.column(1).as_primitive::<UInt64Type>().values().to_vec();
            assert_eq!(counters, (from..20_000).collect::<Vec<_>>());
            let times = all.column(0).as_primitive::<TimestampNanosecondType>();
            assert_eq!(times.value(3), i64::try_from(from + 3).unwrap() * 250_000);
        }
    }

    #[tokio::test]
    async fn keeps_its_rate() {
        let table = table("counter BIGINT", "message_count = '21', event_rate = '100'");
        let start = Instant::now();
        let rows = read(&table, None).await.unwrap().iter().map(RecordBatch::num_rows).sum::<usize>();
        let seconds = start.elapsed().as_secs_f64();
        // A busy machine may be late, never early.
        assert!(rows == 21 && seconds > 0.19, "{rows} rows in {seconds} s");
    }

    #[tokio::test]
    async fn says_what_it_cannot_do() {
        let other = read(&table("counter BIGINT, colour TEXT", "event_rate = '1'"), None).await.unwrap_err();
        assert!(other.to_string().contains("no column colour"), "{other}");
        let rate = read(&table("counter BIGINT", "event_rate = 'fast'"), None).await.unwrap_err();
        assert!(rate.to_string().contains("event_rate = '1000'"), "{rate}");
    }
}
