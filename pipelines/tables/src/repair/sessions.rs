//! Recompute of session tables, whose windows have no bounds before they are computed.
//!
//! A dirty window `[row, row + gap)` overlaps every session that the row is, was or would be part of. So: all stored
//! sessions that overlap a dirty window go, all computed ones that overlap it come. Read is as much time around them as
//! it takes for the silences on both sides to be seen.

use std::collections::BTreeSet;

use arrow::{
    array::{AsArray as _, RecordBatch},
    compute::cast,
    datatypes::{DataType, TimeUnit, TimestampMicrosecondType},
};
use datafusion::{
    logical_expr::{Expr, col, lit},
    prelude::SessionContext,
};

use super::{Job, Repair, instant, rows_of};
use crate::{DirtyWindow, Error};

/// How much wider a span of time is read for sessions that reach out of it, each time.
const WIDER: i64 = 8;
/// Instants that a timestamp can be compared with: years 1 to 9999.
const DATES_US: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

impl Repair {
    /// Recomputes every session of the chunk's users that overlaps one of its windows, each from the silence before it
    /// to the silence after it. A session that is not closed yet is left to the stream, which may write less of it than
    /// there is: the windows that it overlaps are given back, to be recomputed once it has closed.
    pub(super) async fn recompute_sessions(
        &self,
        job: &Job,
        chunk: &[DirtyWindow],
        gap_us: i64,
    ) -> Result<Vec<DirtyWindow>, Error> {
        let users: BTreeSet<&str> = chunk.iter().map(|w| w.user_id.as_str()).collect();
        let from = chunk.iter().map(|w| w.start_us).min().unwrap_or_default();
        let to = chunk.iter().map(|w| w.end_us).max().unwrap_or_default();
        let of_users = col("user_id").in_list(users.into_iter().map(lit).collect(), false);
        let (starts, ends) = job.bounds();
        let overlapping = of_users.clone().and(col(starts).lt(instant(to))).and(col(ends).gt(instant(from)));
        let mut margin = Some(gap_us.saturating_mul(WIDER));
        let (rows, sessions) = loop {
            // Far enough on both sides to hold every session that overlaps the span; without end where time has none.
            let cut = margin.and_then(|margin| Some((from.checked_sub(margin)?, to.checked_add(margin)?)));
            let cut = cut.filter(|(low, high)| DATES_US.contains(low) && DATES_US.contains(high));
            let in_time = cut.map(|(low, high)| {
                col("event_time").gt_eq(instant(low)).and(col("event_time").lt(instant(high)))
            });
            let computed = self.batch(job, Some(of_users.clone()), in_time).await?;
            let rows = rows_of(job, computed, overlapping.clone()).await?;
            let sessions = sessions_of(job, &rows)?;
            let whole = cut.is_none_or(|(low, high)| {
                sessions.iter().all(|s| s.start_us >= low.saturating_add(gap_us) && s.end_us <= high)
            });
            if whole {
                break (rows, sessions);
            }
            margin = margin.and_then(|margin| margin.checked_mul(WIDER));
        };
        let closed_at = self.closed_at(job);
        let closed = col(ends).lt_eq(instant(closed_at.min(DATES_US.end - 1)));
        let rows = filtered(job, rows, closed).await?;
        self.replace(job, overlapping, rows).await?;
        Ok(reopened(chunk, &sessions, closed_at))
    }
}

/// Those of the rows that match.
async fn filtered(job: &Job, rows: Vec<RecordBatch>, matching: Expr) -> Result<Vec<RecordBatch>, Error> {
    if rows.is_empty() {
        return Ok(rows);
    }
    let rows =
        SessionContext::new().read_batches(rows).map_err(Error::data(job.name.as_str(), "recomputing"))?;
    rows_of(job, rows, matching).await
}

/// Whose session each row is, and its bounds.
fn sessions_of(job: &Job, rows: &[RecordBatch]) -> Result<Vec<DirtyWindow>, Error> {
    let mut sessions = Vec::new();
    let (starts, ends) = job.bounds();
    for batch in rows {
        let column = |name: &str, of: &DataType| {
            let column = batch.column_by_name(name).map(|c| cast(c, of));
            column
                .unwrap_or_else(|| Err(arrow::error::ArrowError::SchemaError(format!("no {name}"))))
                .map_err(Error::data(job.name.as_str(), "reading sessions"))
        };
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        let (users, starts, ends) =
            (column("user_id", &DataType::Utf8)?, column(starts, &time)?, column(ends, &time)?);
        let starts = starts.as_primitive::<TimestampMicrosecondType>().values();
        let ends = ends.as_primitive::<TimestampMicrosecondType>().values();
        let bounds = starts.iter().zip(ends);
        sessions.extend(users.as_string::<i32>().iter().zip(bounds).map(|(user, (&start_us, &end_us))| {
            let (table, user_id) = (job.name.clone(), user.unwrap_or_default().to_owned());
            DirtyWindow { table, user_id, start_us, end_us }
        }));
    }
    Ok(sessions)
}

/// The windows that overlap a session that closes later, each until it does.
fn reopened(windows: &[DirtyWindow], sessions: &[DirtyWindow], closed_at_us: i64) -> Vec<DirtyWindow> {
    let reopen = |window: &DirtyWindow| {
        let open = sessions.iter().filter(|s| s.user_id == window.user_id && s.end_us > closed_at_us);
        let over = open.filter(|s| s.start_us < window.end_us && window.start_us < s.end_us);
        over.map(|s| s.end_us).max().map(|end_us| DirtyWindow { end_us, ..window.clone() })
    };
    windows.iter().filter_map(reopen).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(user: &str, start_us: i64, end_us: i64) -> DirtyWindow {
        DirtyWindow { table: "t".into(), user_id: user.into(), start_us, end_us }
    }

    #[test]
    fn a_window_waits_for_the_open_session_that_it_overlaps() {
        let sessions = [window("a", 0, 30), window("a", 40, 120), window("a", 90, 150), window("b", 0, 200)];
        for (dirty, waits_until) in [
            (window("a", 10, 20), None),
            (window("a", 30, 40), None),
            (window("a", 30, 41), Some(120)),
            (window("a", 95, 99), Some(150)),
            (window("b", 5, 6), Some(200)),
            (window("c", 5, 6), None),
        ] {
            let again = reopened(std::slice::from_ref(&dirty), &sessions, 100);
            let expected = waits_until.map(|end_us| DirtyWindow { end_us, ..dirty.clone() });
            assert_eq!(again.into_iter().next(), expected, "{dirty:?}");
        }
    }
}
