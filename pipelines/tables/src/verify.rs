//! `crave verify`: the stored rows of every table equal its SQL in batch over `events_current` (FL-1).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use crave_flow::WindowKind;
use datafusion::{
    arrow::{
        array::AsArray as _,
        datatypes::{DataType, Int64Type, Schema},
    },
    common::ScalarValue,
    logical_expr::{col, lit},
    prelude::{DataFrame, SessionContext},
};
use serde::{Deserialize, Serialize};

use crate::{DirtyWindow, Error, Repair, repair::Job};

/// Floats may differ by this much, relative: the order of additions is not the same.
const TOLERANCE: f64 = 1e-9;

/// Rows may come late between a repair and the look at its table; this many times it is repaired again.
const SETTLE_MAX: usize = 100;

/// What verify found of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Table.
    pub table: String,
    /// Rows that the SQL gives, of windows that are closed.
    pub rows: u64,
    /// Rows stored with other values.
    pub differing: u64,
    /// Rows that are not stored.
    pub missing: u64,
    /// Rows stored that the SQL does not give, second copies among them.
    pub extra: u64,
}

impl Verdict {
    /// Whether stored and computed are the same.
    #[must_use]
    pub fn holds(&self) -> bool {
        (self.differing, self.missing, self.extra) == (0, 0, 0)
    }
}

impl Repair {
    /// Repairs what is dirty, then compares every table, on as many cores as the machine has or on `cores`.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn verify(&self, cores: Option<usize>) -> Result<Vec<Verdict>, Error> {
        self.drain().await?;
        let mut verdicts = Vec::new();
        for job in self.jobs() {
            verdicts.push(self.verify_table(&job, cores).await?);
        }
        Ok(verdicts)
    }

    /// The gate, closed at an epoch at which nothing that concerns the table is left to repair.
    async fn settled(&self, job: &Job) -> Result<tokio::sync::MutexGuard<'_, ()>, Error> {
        for _ in 0..SETTLE_MAX {
            let gate = self.gate().lock().await;
            if !self.is_due(job).await? {
                return Ok(gate);
            }
            drop(gate);
            self.drain().await?;
        }
        Err(Error::Unsettled(job.name.clone()))
    }

    async fn verify_table(&self, job: &Job, cores: Option<usize>) -> Result<Verdict, Error> {
        let name = job.name.as_str();
        let failed = |doing| Error::data(name, doing);
        let table = self.table(job)?;
        let (computed, stored, context, open) = {
            // Pin all versions at one epoch; the comparison itself runs while the stream goes on.
            let _gate = self.settled(job).await?;
            let computed = self.batch(job, None, None).await?;
            let mut state = computed.clone().into_parts().0;
            if let Some(cores) = cores {
                state.config_mut().options_mut().execution.target_partitions = cores.max(1);
            }
            let context = SessionContext::new_with_state(state);
            table.register_store(&context).await?;
            let stored = context.read_table(table.provider().await?).map_err(failed("scanning"))?;
            (computed, stored, context, self.still_dirty(job)?)
        };
        let closed = |frame: DataFrame| -> Result<DataFrame, datafusion::error::DataFusionError> {
            let at = self.closed_at(job);
            if job.output.windows.is_none() || at == i64::MAX {
                return Ok(frame);
            }
            let at = lit(ScalarValue::TimestampMicrosecond(Some(at), Some("UTC".into())));
            frame.filter(col(job.bounds().1).lt_eq(at))
        };
        let register = |side: &str, frame: DataFrame| {
            let view = closed(frame).map_err(failed("comparing"))?.into_view();
            context.register_table(side, view).map_err(failed("comparing"))
        };
        register("computed_rows", computed)?;
        register("stored_rows", stored)?;
        context.register_batch("dirty_windows", dirty_windows(&open)?).map_err(failed("comparing"))?;
        let found = context.sql(&comparison(job, table.schema())).await.map_err(failed("comparing"))?;
        let found = Box::pin(found.collect()).await.map_err(failed("comparing"))?;
        let count = |column: usize| {
            let batch = found.first()?;
            u64::try_from(batch.column(column).as_primitive::<Int64Type>().value(0)).ok()
        };
        let count = |column| count(column).unwrap_or_default();
        Ok(Verdict {
            table: name.into(),
            rows: count(0),
            differing: count(1),
            missing: count(2),
            extra: count(3),
        })
    }
}

/// A full join by key and copy number; counts what is different on either side.
fn comparison(job: &Job, schema: &Schema) -> String {
    let keys: Vec<String> = match job.output.windows {
        None => vec!["user_id".into(), "event_id".into()],
        Some(_) => {
            let (start, end) = job.bounds();
            [start, end]
                .into_iter()
                .map(str::to_owned)
                .chain(job.output.keys.iter().map(|k| k.column.clone()))
                .collect()
        }
    };
    let key = keys
        .iter()
        .map(|k| format!("coalesce(CAST({} AS VARCHAR), chr(1))", quoted(k)))
        .collect::<Vec<_>>()
        .join(", ");
    // A session may close before a window that it overlaps can be repaired: it is not compared yet.
    let (start, end) = job.bounds();
    let repaired = match job.output.windows {
        Some(WindowKind::Session { .. }) => format!(
            " t WHERE NOT EXISTS (SELECT 1 FROM dirty_windows d WHERE d.user_id = t.user_id AND d.from_time < t.{} AND d.to_time > t.{})",
            quoted(end),
            quoted(start)
        ),
        _ => String::new(),
    };
    let side = |table: &str| {
        format!("SELECT *, concat_ws(chr(0x1f), {key}) AS row_key, row_number() OVER (PARTITION BY concat_ws(chr(0x1f), {key})) AS copy FROM {table}{repaired}")
            .replace("0x1f", "31")
    };
    let differs = |field: &arrow::datatypes::FieldRef| {
        let (a, b) = (format!("c.{}", quoted(field.name())), format!("s.{}", quoted(field.name())));
        match field.data_type() {
            DataType::Float64 | DataType::Float32 => format!(
                "(({a} IS NULL) <> ({b} IS NULL) OR abs({a} - {b}) > {TOLERANCE} * greatest(abs({a}), abs({b}), 1e-300))"
            ),
            _ => format!("({a} IS DISTINCT FROM {b})"),
        }
    };
    let values = schema.fields().iter().filter(|f| !keys.contains(f.name()));
    let differs = values.map(differs).collect::<Vec<_>>().join(" OR ");
    let differs = if differs.is_empty() { "false".into() } else { differs };
    format!(
        "SELECT count(c.row_key) AS all_rows,
                count(*) FILTER (WHERE c.row_key IS NOT NULL AND s.row_key IS NOT NULL AND ({differs})) AS differing,
                count(*) FILTER (WHERE s.row_key IS NULL) AS missing,
                count(*) FILTER (WHERE c.row_key IS NULL) AS extra
         FROM ({}) c FULL JOIN ({}) s ON c.row_key = s.row_key AND c.copy = s.copy",
        side("computed_rows"),
        side("stored_rows")
    )
}

/// The windows as a table: `user_id`, `from_time`, `to_time`.
fn dirty_windows(windows: &[DirtyWindow]) -> Result<RecordBatch, Error> {
    let users = StringArray::from_iter_values(windows.iter().map(|w| w.user_id.as_str()));
    let times = |of: fn(&DirtyWindow) -> i64| {
        let times = TimestampMicrosecondArray::from_iter_values(windows.iter().map(of));
        Arc::new(times.with_timezone("UTC")) as ArrayRef
    };
    let (from, to) = (times(|w| w.start_us), times(|w| w.end_us));
    RecordBatch::try_from_iter([
        ("user_id", Arc::new(users) as ArrayRef),
        ("from_time", from),
        ("to_time", to),
    ])
    .map_err(Error::data("dirty windows", "comparing"))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
