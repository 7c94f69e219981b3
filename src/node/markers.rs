//! Trend markers follow their rows: when repair recomputes `trend_parts`, the sentences go to `crave.memories.v1` again,
//! with the epoch as their revision, and those of rows that are gone are taken back.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::Context as _;
use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch},
    compute::cast,
    datatypes::{DataType, TimeUnit},
};
use async_trait::async_trait;
use crave_connect::log::{EventLog, Record, Topic, partition_of};
use crave_tables::Followers;
use serde_json::{Value, json};

/// Sends markers to the log.
#[derive(Debug)]
pub(super) struct Markers(pub(super) Arc<dyn EventLog>);

#[async_trait]
impl Followers for Markers {
    fn follow(&self, table: &str) -> bool {
        table == "trend_parts"
    }

    async fn replacing(
        &self,
        _: &str,
        epoch: u64,
        before: &[RecordBatch],
        after: &[RecordBatch],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let records = records(epoch, before, after)?;
        let partition = |record: Record| (partition_of(&record.key, self.0.partitions()), record);
        if !records.is_empty() {
            self.0.append(Topic::Memories, records.into_iter().map(partition).collect()).await?;
        }
        Ok(())
    }
}

/// The columns of `trend_parts` that make a memory, as text.
struct Marker {
    user: String,
    /// As `sql/jobs/markers.sql` names it.
    memory_id: String,
    last_time: String,
    text: Option<String>,
}

/// Pure: a record for every new sentence, and one without text for every sentence that is no more.
fn records(epoch: u64, before: &[RecordBatch], after: &[RecordBatch]) -> anyhow::Result<Vec<Record>> {
    let (before, after) = (markers(before)?, markers(after)?);
    let kept: BTreeSet<_> =
        after.iter().filter(|m| m.text.is_some()).map(|m| (m.user.clone(), m.memory_id.clone())).collect();
    let gone = before.into_iter().filter(|m| !kept.contains(&(m.user.clone(), m.memory_id.clone())));
    let told = after.into_iter().filter(|m| m.text.is_some()).chain(gone.map(|m| Marker { text: None, ..m }));
    let record = |m: Marker| {
        let value: Value = json!({ "user_id": m.user, "memory_id": m.memory_id, "kind": "trend",
            "event_time": m.last_time, "text": m.text, "revision": u32::try_from(epoch).unwrap_or(u32::MAX) });
        Record { key: m.user, value: value.to_string().into_bytes() }
    };
    Ok(told.map(record).collect())
}

fn markers(batches: &[RecordBatch]) -> anyhow::Result<Vec<Marker>> {
    let mut markers = Vec::new();
    for batch in batches {
        let column =
            |name: &str| batch.column_by_name(name).with_context(|| format!("trend_parts: no {name}"));
        let text = |name: &str| -> anyhow::Result<ArrayRef> { Ok(cast(column(name)?, &DataType::Utf8)?) };
        // The unit and form in which the streaming job writes instants.
        let time = |name: &str, unit: TimeUnit| -> anyhow::Result<ArrayRef> {
            Ok(cast(&cast(column(name)?, &DataType::Timestamp(unit, None))?, &DataType::Utf8)?)
        };
        let (users, cravings, marker) = (text("user_id")?, text("craving")?, text("marker")?);
        let (starts, last) =
            (time("window_start", TimeUnit::Nanosecond)?, time("last_time", TimeUnit::Microsecond)?);
        let [users, cravings, marker, starts, last] =
            [&users, &cravings, &marker, &starts, &last].map(|column| column.as_string::<i32>());
        markers.extend((0..batch.num_rows()).map(|row| Marker {
            user: users.value(row).to_owned(),
            memory_id: format!("trend/{}/{}", cravings.value(row), starts.value(row)),
            last_time: last.value(row).to_owned(),
            text: marker.is_valid(row).then(|| marker.value(row).to_owned()),
        }));
    }
    Ok(markers)
}

#[cfg(test)]
mod tests {
    use arrow::array::{StringArray, TimestampMicrosecondArray};

    use super::*;

    fn rows(rows: &[(&str, i64, Option<&str>)]) -> RecordBatch {
        let times = |micros: Vec<i64>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
        };
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("user_id", Arc::new(StringArray::from(vec!["ada"; rows.len()]))),
            ("craving", Arc::new(rows.iter().map(|r| Some(r.0)).collect::<StringArray>())),
            ("window_start", times(rows.iter().map(|r| r.1).collect())),
            ("last_time", times(rows.iter().map(|r| r.1 + 1).collect())),
            ("marker", Arc::new(rows.iter().map(|r| r.2).collect::<StringArray>())),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    #[test]
    fn new_sentences_are_told_and_old_ones_taken_back() {
        let before = rows(&[("sugar", 0, Some("old")), ("wine", 0, Some("wine")), ("beer", 0, Some("beer"))]);
        let after = rows(&[("sugar", 0, Some("new")), ("beer", 0, None)]);
        let told: Vec<(String, Value)> = records(9, &[before], &[after])
            .unwrap()
            .into_iter()
            .map(|record| (record.key, serde_json::from_slice(&record.value).unwrap()))
            .collect();
        let expected = |craving: &str, text: Option<&str>| {
            let id = format!("trend/{craving}/1970-01-01T00:00:00");
            (
                "ada".to_owned(),
                json!({ "user_id": "ada", "memory_id": id, "kind": "trend",
                "event_time": "1970-01-01T00:00:00.000001", "text": text, "revision": 9 }),
            )
        };
        let wanted = [expected("sugar", Some("new")), expected("wine", None), expected("beer", None)];
        assert_eq!(told, wanted);
    }
}
