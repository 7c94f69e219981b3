//! A lake in memory: events in, the jobs' own SQL in batch, the views over what it gives.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    compute::cast,
};
use chrono::{DateTime, Utc};
use crave_flow::Program;
use crave_schemas::events_schema;
use crave_tables::stored_schema;
use datafusion::{
    datasource::MemTable,
    prelude::{DataFrame, SessionConfig, SessionContext},
};
use serde_json::{Value, json};

/// An event as the table `events` holds it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) kind: String,
    pub(crate) at_us: i64,
    pub(crate) offset_min: Option<i64>,
    pub(crate) tz: Option<String>,
    pub(crate) payload: Value,
}

pub(crate) fn us(text: &str) -> i64 {
    text.parse::<DateTime<Utc>>().unwrap().timestamp_micros()
}

/// An event of `ann`, in UTC.
pub(crate) fn event(id: &str, kind: &str, at: &str, payload: Value) -> Event {
    Event {
        id: id.into(),
        user: "ann".into(),
        kind: kind.into(),
        at_us: us(at),
        offset_min: Some(0),
        tz: None,
        payload,
    }
}

pub(crate) fn craving(id: &str, at: &str, intensity: i64) -> Event {
    event(id, "craving", at, json!({ "craving": "sugar", "intensity": intensity }))
}

pub(crate) fn sample(id: &str, kind: &str, at: &str, value: f64) -> Event {
    event(id, kind, at, json!({ "value": value }))
}

fn bronze(events: &[Event]) -> RecordBatch {
    let text = |of: &dyn Fn(&Event) -> Option<String>| -> ArrayRef {
        Arc::new(events.iter().map(of).collect::<StringArray>())
    };
    let at = || -> ArrayRef {
        let times = TimestampMicrosecondArray::from_iter_values(events.iter().map(|e| e.at_us));
        Arc::new(times.with_timezone("UTC"))
    };
    let columns = vec![
        text(&|e| Some(e.id.clone())),
        text(&|e| Some(e.user.clone())),
        text(&|_| None),
        text(&|_| Some("phone".into())),
        text(&|_| None),
        text(&|e| Some(e.kind.clone())),
        at(),
        Arc::new(events.iter().map(|e| e.offset_min).collect::<Int64Array>()),
        text(&|e| e.tz.clone()),
        at(),
        Arc::new(events.iter().map(|_| 1).collect::<Int64Array>()),
        text(&|e| Some(e.payload.to_string())),
    ];
    RecordBatch::try_new(events_schema(), columns).unwrap()
}

/// The jobs that the views read.
pub(crate) struct Jobs {
    corrections: Program,
    cravings: Program,
    daily_parts: Program,
}

impl Jobs {
    pub(crate) async fn parse() -> Self {
        let variables = BTreeMap::from([("lake".to_owned(), "/nowhere".to_owned())]);
        let parse = async |name: &str, sql: &str| Program::parse(name, sql, &variables).await.unwrap();
        Self {
            corrections: parse("corrections", include_str!("../../../../sql/jobs/corrections.sql")).await,
            cravings: parse("cravings", include_str!("../../../../sql/jobs/cravings.sql")).await,
            daily_parts: parse("daily_parts", include_str!("../../../../sql/jobs/daily_parts.sql")).await,
        }
    }

    /// A session as the lake makes them, with gold as `gold` (SQL over the full `daily_parts`) leaves it, and
    /// silver as `silver` leaves it.
    pub(crate) async fn lake(&self, events: &[Event], gold: &str, silver: &str) -> SessionContext {
        let raw = session();
        register(&raw, "events", bronze(events));
        let corrections = batch(&self.corrections, &raw).await;
        register(&raw, "corrections", corrections.clone());
        let current = raw.sql(include_str!("../../../../sql/lake/events_current.sql")).await.unwrap();
        let current = concat(current).await;
        let repaired = session();
        register(&repaired, "events", current);
        let full = session();
        register(&full, "daily_parts", batch(&self.daily_parts, &repaired).await);
        register(&full, "cravings", batch(&self.cravings, &repaired).await);
        let lake = session();
        register(&lake, "events", bronze(events));
        register(&lake, "corrections", corrections);
        register(&lake, "daily_parts", concat(full.sql(gold).await.unwrap()).await);
        register(&lake, "cravings", concat(full.sql(silver).await.unwrap()).await);
        crave_lake::register_views(&lake).await.unwrap();
        lake
    }

    /// With every window closed up to `closed`, as after a drain.
    pub(crate) async fn drained(&self, events: &[Event], closed: &str) -> SessionContext {
        let gold = format!("SELECT * FROM daily_parts WHERE window_end <= TIMESTAMP '{closed}'");
        self.lake(events, &gold, "SELECT * FROM cravings").await
    }
}

pub(crate) fn session() -> SessionContext {
    let config = SessionConfig::new()
        .with_target_partitions(1)
        .set_bool("datafusion.sql_parser.map_string_types_to_utf8view", false);
    let session = SessionContext::new_with_config(config);
    crave_udfs::register(&session);
    session
}

async fn batch(program: &Program, context: &SessionContext) -> RecordBatch {
    let (_, frame) = program.batch(context).await.unwrap().pop().unwrap();
    let rows = concat(frame).await;
    let schema = stored_schema(&rows.schema());
    let columns = rows.columns().iter().zip(schema.fields()).map(|(c, f)| cast(c, f.data_type()).unwrap());
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

async fn concat(frame: DataFrame) -> RecordBatch {
    let schema = Arc::clone(frame.schema().inner());
    let batches = frame.collect().await.unwrap();
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

pub(crate) fn register(session: &SessionContext, name: &str, batch: RecordBatch) {
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    session.register_table(name, Arc::new(table)).unwrap();
}

/// The rows of a query as JSON, one array a row.
pub(crate) async fn rows(session: &SessionContext, sql: &str) -> Vec<Value> {
    let frame = session.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let names: Vec<_> = frame.schema().fields().iter().map(|f| f.name().clone()).collect();
    let batches = frame.collect().await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let text = crave_lake::to_json_rows(&batches).unwrap();
    let objects: Vec<Value> = serde_json::from_slice(&text).unwrap();
    objects.iter().map(|row| names.iter().map(|name| row[name].clone()).collect()).collect()
}
