//! Makes the events that streaming benchmarks read: NDJSON and Parquet with the same rows, the same every time.
//!
//! About 120 bytes of JSON a row, in order of arrival; event time is disordered by up to [`DISORDER_MS`].

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::Arc,
};

use arrow::{
    array::{Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use chrono::DateTime;
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// How late a row may arrive.
const DISORDER_MS: f64 = 60_000.0;
/// 2026-01-01, UTC.
const START_MS: i64 = 1_767_225_600_000;
const BATCH_ROWS: usize = 16 << 10;
const ROW_GROUP_ROWS: usize = 128 << 10;
const CRAVINGS: [&str; 5] = ["sugar", "nicotine", "alcohol", "caffeine", "salt"];

/// How many events of how many people over how many days.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) rows: usize,
    pub(super) users: usize,
    pub(super) days: usize,
    pub(super) seed: u64,
}

#[derive(Default)]
struct Columns {
    ts_ms: Vec<i64>,
    event_id: Vec<i64>,
    user_id: Vec<String>,
    craving: Vec<&'static str>,
    intensity: Vec<i64>,
    hrv_ms: Vec<f64>,
}

/// Writes both files; gives the bytes of each.
pub(super) fn write(shape: Shape, json: &Path, parquet: &Path) -> anyhow::Result<(u64, u64)> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let schema = Arc::new(Schema::new(vec![
        Field::new("ts", time, false),
        Field::new("event_id", DataType::Int64, false),
        Field::new("user_id", DataType::Utf8, false),
        Field::new("craving", DataType::Utf8, false),
        Field::new("intensity", DataType::Int64, false),
        Field::new("hrv_ms", DataType::Float64, false),
    ]));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
    let mut table =
        ArrowWriter::try_new(File::create(parquet)?, Arc::clone(&schema), Some(properties.build()))?;
    let mut text = BufWriter::with_capacity(1 << 20, File::create(json)?);
    let mut dice = ChaCha8Rng::seed_from_u64(shape.seed);
    for first in (0..shape.rows).step_by(BATCH_ROWS) {
        let mut columns = Columns::default();
        for row in first..shape.rows.min(first + BATCH_ROWS) {
            columns.push(&mut dice, shape, row)?;
        }
        columns.write_json(&mut text)?;
        table.write(&columns.into_batch(&schema)?)?;
    }
    text.flush()?;
    table.close()?;
    Ok((json.metadata()?.len(), parquet.metadata()?.len()))
}

impl Columns {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "times of a benchmark")]
    fn push(&mut self, dice: &mut ChaCha8Rng, shape: Shape, row: usize) -> anyhow::Result<()> {
        let step_ms = shape.days as f64 * 86_400_000.0 / shape.rows as f64;
        let since_ms = (row as f64 * step_ms - dice.random::<f64>() * DISORDER_MS).max(0.0);
        self.ts_ms.push(START_MS + since_ms as i64);
        self.event_id.push(i64::try_from(row)?);
        self.user_id.push(format!("u{:06}", dice.random_range(0..shape.users.max(1))));
        self.craving.push(CRAVINGS[dice.random_range(0..CRAVINGS.len())]);
        self.intensity.push(dice.random_range(0..11));
        // Log-normal around 45 ms (Box–Muller), as HRV is, to a tenth.
        let radius = (-2.0 * (1.0 - dice.random::<f64>()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * dice.random::<f64>()).cos();
        self.hrv_ms.push(((3.8 + 0.35 * normal).exp() * 10.0).round() / 10.0);
        Ok(())
    }

    fn write_json(&self, out: &mut impl std::io::Write) -> anyhow::Result<()> {
        for row in 0..self.ts_ms.len() {
            let time = DateTime::from_timestamp_millis(self.ts_ms[row]).unwrap_or_default();
            writeln!(
                out,
                r#"{{"ts":"{}","event_id":{},"user_id":"{}","craving":"{}","intensity":{},"hrv_ms":{:.1}}}"#,
                time.format("%Y-%m-%dT%H:%M:%S%.3fZ"),
                self.event_id[row],
                self.user_id[row],
                self.craving[row],
                self.intensity[row],
                self.hrv_ms[row]
            )?;
        }
        Ok(())
    }

    fn into_batch(self, schema: &Arc<Schema>) -> anyhow::Result<RecordBatch> {
        let times = self.ts_ms.into_iter().map(|ms| ms * 1000);
        Ok(RecordBatch::try_new(
            Arc::clone(schema),
            vec![
                Arc::new(TimestampMicrosecondArray::from_iter_values(times)),
                Arc::new(Int64Array::from(self.event_id)),
                Arc::new(StringArray::from(self.user_id)),
                Arc::new(StringArray::from(self.craving)),
                Arc::new(Int64Array::from(self.intensity)),
                Arc::new(Float64Array::from(self.hrv_ms)),
            ],
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_events_of_the_promised_size() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, seed| {
            let shape = Shape { rows: 20_000, users: 100, days: 10, seed };
            let (json, parquet) = (folder.path().join(name), folder.path().join("parquet"));
            let (bytes, _) = write(shape, &json, &parquet).unwrap();
            assert!((115..125).contains(&(bytes / 20_000)), "{bytes} bytes");
            std::fs::read_to_string(json).unwrap()
        };
        let first = make("a", 7);
        assert!(first == make("b", 7) && first != make("c", 8));
        let last: serde_json::Value = serde_json::from_str(first.lines().last().unwrap()).unwrap();
        assert_eq!(last["event_id"], 19_999);
        assert!(last["ts"].as_str().unwrap().starts_with("2026-01-10T23:5"), "{last}");
    }
}
