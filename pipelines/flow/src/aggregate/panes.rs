//! The state of one task: panes by time, each with the rows being added and what was frozen before.
//!
//! A pane freezes its hash table into a batch of partial states when a hop needs it for several windows, and at
//! every checkpoint: what was frozen since the last one is exactly what the next must write. Frozen parts are
//! merged when there are many, small ones first, so that a part is copied about log(n) times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch, TimestampNanosecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::TimestampNanosecondType;
use async_trait::async_trait;

use super::groups::Groups;
use super::late::Dirty;
use super::sliding::Sliding;
use super::{AggregateSpec, SpecWindows, distinct_rows};
use crate::functions::window_array;
use crate::operator::{Operator, Snapshot};
use crate::pipeline::KeyIs;
use crate::{Error, Result, WindowKind};

/// More frozen parts than this in a pane are merged.
const PARTS_MAX: usize = 4;
/// Rows of open windows that one look may give.
const PEEK_ROWS_MAX: usize = 1_000_000;

#[derive(Default)]
struct Pane {
    live: Option<Groups>,
    frozen: Vec<RecordBatch>,
}

/// The windows of one task.
pub(crate) struct Panes {
    spec: Arc<AggregateSpec>,
    /// By (start, end); the end of a hop's pane is one slide after its start.
    panes: BTreeMap<(i64, i64), Pane>,
    /// Merged panes of a hop's last window.
    sliding: Sliding,
    watermark_ns: i64,
    /// Frozen since the last snapshot, with the start of the pane.
    fresh: Vec<(i64, RecordBatch)>,
    dirty: Dirty,
    late_rows: u64,
}

impl Panes {
    pub(crate) fn new(spec: Arc<AggregateSpec>, watermark_ns: i64, late_rows: u64) -> Self {
        Self {
            dirty: Dirty::new(Arc::clone(&spec.dirty_schema)),
            spec,
            panes: BTreeMap::new(),
            sliding: Sliding::default(),
            watermark_ns,
            fresh: Vec::new(),
            late_rows,
        }
    }

    fn done_at(&self, pane: (i64, i64)) -> i64 {
        match self.spec.windows {
            SpecWindows::Of(kind) => kind.pane_done_at(pane.0),
            SpecWindows::Inherited | SpecWindows::Never => pane.1,
        }
    }

    /// Adds rows in the layout of the stage; what is too late is noted instead.
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let first = batch.column(0).as_primitive::<TimestampNanosecondType>();
        let panes: Vec<(i64, i64)> = match self.spec.windows {
            SpecWindows::Of(kind) => {
                if first.null_count() > 0 {
                    return self.update_with_time(batch, first);
                }
                let slide = kind.slide_ns();
                first.values().iter().map(|&t| kind.pane_start(t)).map(|s| (s, s + slide)).collect()
            }
            SpecWindows::Inherited | SpecWindows::Never => {
                let ends = batch.column(1).as_primitive::<TimestampNanosecondType>().values();
                first.values().iter().copied().zip(ends.iter().copied()).collect()
            }
        };
        for (pane, part) in split(batch, &panes)? {
            if pane.1 <= self.watermark_ns {
                self.note_late(pane, &part)?;
            }
            if self.done_at(pane) <= self.watermark_ns {
                continue;
            }
            if pane.1 <= self.watermark_ns {
                // It is in merged states already.
                self.sliding.clear();
            }
            let pane = self.panes.entry(pane).or_default();
            let live = match &mut pane.live {
                Some(live) => live,
                empty => empty.insert(Groups::new(&self.spec)?),
            };
            live.update(&self.spec, &part)?;
        }
        Ok(())
    }

    /// Rows without an event time are in no window: they are counted and left out.
    fn update_with_time(
        &mut self,
        batch: &RecordBatch,
        time: &PrimitiveArray<TimestampNanosecondType>,
    ) -> Result<()> {
        self.late_rows += u64::try_from(time.null_count()).unwrap_or(u64::MAX);
        let known = arrow::compute::is_not_null(time)?;
        let batch = arrow::compute::filter_record_batch(batch, &known)?;
        // The mask is gone with the nulls, so this ends.
        if batch.num_rows() == 0 { Ok(()) } else { self.add(&without_nulls(&batch)?) }
    }

    fn note_late(&mut self, pane: (i64, i64), rows: &RecordBatch) -> Result<()> {
        self.late_rows += u64::try_from(rows.num_rows()).unwrap_or(u64::MAX);
        let keys = rows.project(&self.spec.key_columns().collect::<Vec<_>>())?;
        let keys = if self.spec.keys == 0 { keys.slice(0, 1) } else { distinct_rows(&keys)? };
        let closed: Vec<(i64, i64)> = match self.spec.windows {
            SpecWindows::Of(kind) => kind.closed_windows(pane.0, self.watermark_ns).collect(),
            SpecWindows::Inherited | SpecWindows::Never => vec![pane],
        };
        for window in closed {
            let batch = windowed(&self.spec.dirty_schema, window, keys.columns(), keys.num_rows())?;
            self.dirty.add(batch)?;
        }
        Ok(())
    }

    fn close_panes(&mut self, watermark_ns: i64) -> Result<Vec<RecordBatch>> {
        let mut closed = self.panes.keys().copied().filter(|p| p.1 <= watermark_ns).collect::<Vec<_>>();
        closed.sort_unstable_by_key(|p| (p.1, p.0));
        let mut out = Vec::with_capacity(closed.len());
        for window in closed {
            let Some(pane) = self.panes.remove(&window) else { continue };
            let mut groups = match pane.live {
                Some(live) => live,
                None => Groups::new(&self.spec)?,
            };
            for part in &pane.frozen {
                groups.merge(&self.spec, part)?;
            }
            out.push(self.output(window, groups)?);
        }
        Ok(out)
    }

    fn close_hops(&mut self, kind: WindowKind, watermark_ns: i64) -> Result<Vec<RecordBatch>> {
        let mut out = Vec::new();
        let mut closed_to = self.watermark_ns;
        while let Some((&(first, _), _)) = self.panes.first_key_value() {
            let end = kind.next_end(closed_to, first);
            if end > watermark_ns {
                break;
            }
            let start = end - kind.width_ns();
            let spec = Arc::clone(&self.spec);
            for (&bounds, pane) in self.panes.range_mut((start, i64::MIN)..(end, i64::MIN)) {
                self.fresh.extend(freeze(&spec, bounds, pane)?.map(|part| (bounds.0, part)));
            }
            let panes = self.panes.range((start, i64::MIN)..(end, i64::MIN));
            let parts = panes.map(|(&(from, _), pane)| (from, pane.frozen.as_slice())).collect::<Vec<_>>();
            let groups = self.sliding.window(&spec, (start, end), &parts)?;
            if groups.len() > 0 {
                out.push(self.output((start, end), groups)?);
            }
            while self.panes.first_key_value().is_some_and(|(p, _)| kind.pane_done_at(p.0) <= end) {
                self.panes.pop_first();
            }
            closed_to = end;
        }
        self.fresh.retain(|(start, _)| kind.pane_done_at(*start) > closed_to);
        if self.panes.is_empty() {
            self.sliding.clear();
        }
        Ok(out)
    }

    /// Every open window that holds rows of `panes`: (start, end), in order of time.
    fn open_windows(&self, panes: impl Iterator<Item = (i64, i64)>) -> BTreeSet<(i64, i64)> {
        let hop = match self.spec.windows {
            SpecWindows::Of(kind @ WindowKind::Hop { .. }) => Some(kind),
            _ => None,
        };
        let windows = panes.flat_map(|pane| match hop {
            Some(kind) => kind.windows(pane.0).collect(),
            None => vec![pane],
        });
        windows.filter(|window| window.1 > self.watermark_ns).collect()
    }

    fn output(&self, window: (i64, i64), groups: Groups) -> Result<RecordBatch> {
        let (keys, results) = groups.into_results()?;
        let rows = keys.first().or(results.first()).map_or(1, |a| a.len());
        let (start, end) = bounds(window, rows);
        let window: ArrayRef = Arc::new(window_array(start, end));
        let mut columns = keys;
        columns.insert(self.spec.window_at.unwrap_or_default(), window);
        columns.extend(results);
        Ok(RecordBatch::try_new(Arc::clone(&self.spec.output), columns)?)
    }
}

#[async_trait]
impl Operator for Panes {
    fn update(&mut self, _: usize, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        self.add(batch)?;
        Ok(Vec::new())
    }

    /// One window after the other.
    fn step(&self, watermark_ns: i64) -> i64 {
        let next = match self.spec.windows {
            SpecWindows::Of(kind @ WindowKind::Hop { .. }) => {
                let first = self.panes.first_key_value();
                first.map(|(&(start, _), _)| kind.next_end(self.watermark_ns, start))
            }
            _ => self.panes.keys().map(|pane| pane.1).min(),
        };
        let next = next.filter(|next| *next > self.watermark_ns);
        next.map_or(watermark_ns, |next| next.min(watermark_ns))
    }

    /// Windows close in order of their ends.
    async fn advance(&mut self, watermark_ns: i64) -> Result<Vec<RecordBatch>> {
        if watermark_ns <= self.watermark_ns {
            return Ok(Vec::new());
        }
        let out = match self.spec.windows {
            SpecWindows::Of(kind @ WindowKind::Hop { .. }) => self.close_hops(kind, watermark_ns)?,
            _ => self.close_panes(watermark_ns)?,
        };
        self.watermark_ns = watermark_ns;
        Ok(out)
    }

    fn settle(&mut self) -> Result<()> {
        for (&bounds, pane) in &mut self.panes {
            self.fresh.extend(freeze(&self.spec, bounds, pane)?.map(|part| (bounds.0, part)));
            compact(&self.spec, bounds, pane)?;
        }
        Ok(())
    }

    /// Merges copies of what is frozen.
    fn peek(&self, only: Option<&KeyIs>) -> Result<Vec<RecordBatch>> {
        let spec = &self.spec;
        let mut panes: BTreeMap<(i64, i64), Vec<RecordBatch>> = BTreeMap::new();
        for (&bounds, pane) in &self.panes {
            for part in &pane.frozen {
                let part = match only {
                    Some(only) => only.rows(part, spec.state_prefix())?,
                    None => part.clone(),
                };
                if part.num_rows() > 0 {
                    panes.entry(bounds).or_default().push(part);
                }
            }
        }
        let (mut sliding, mut out, mut rows) = (Sliding::default(), Vec::new(), 0);
        for (start, end) in self.open_windows(panes.keys().copied()) {
            let within = panes.range((start, i64::MIN)..(end, i64::MIN));
            let parts = within.map(|(pane, parts)| (pane.0, parts.as_slice())).collect::<Vec<_>>();
            let groups = sliding.window(spec, (start, end), &parts)?;
            rows += groups.len();
            if rows > PEEK_ROWS_MAX {
                return Err(Error::Invalid(format!(
                    "the open windows hold more than {PEEK_ROWS_MAX} rows; ask for one key, such as WHERE user_id = '…'"
                )));
            }
            out.push(self.output((start, end), groups)?);
        }
        Ok(out)
    }

    fn late_rows(&self) -> u64 {
        self.late_rows
    }

    fn snapshot(&mut self, full: bool) -> Result<Snapshot> {
        let spec = Arc::clone(&self.spec);
        let mut parts = std::mem::take(&mut self.fresh).into_iter().map(|(_, part)| part).collect::<Vec<_>>();
        let mut rows = 0;
        for (&bounds, pane) in &mut self.panes {
            parts.extend(freeze(&spec, bounds, pane)?);
            compact(&spec, bounds, pane)?;
            rows += pane.frozen.iter().map(RecordBatch::num_rows).sum::<usize>();
        }
        if full {
            parts = self.panes.values().flat_map(|p| p.frozen.iter().cloned()).collect();
        }
        let parts = parts.into_iter().map(|part| (0, part)).collect();
        Ok(Snapshot { parts, whole: full, rows, dirty: self.dirty.take()?, late_rows: self.late_rows })
    }

    /// States of panes that are done are dropped.
    fn restore(&mut self, _: usize, state: &RecordBatch) -> Result<()> {
        let state = &RecordBatch::try_new(Arc::clone(&self.spec.state_schema), state.columns().to_vec())?;
        let starts = state.column(0).as_primitive::<TimestampNanosecondType>().values();
        let ends = state.column(1).as_primitive::<TimestampNanosecondType>().values();
        let panes = starts.iter().copied().zip(ends.iter().copied()).collect::<Vec<_>>();
        for (pane, part) in split(state, &panes)? {
            if self.done_at(pane) > self.watermark_ns {
                self.panes.entry(pane).or_default().frozen.push(part);
            }
        }
        Ok(())
    }
}

fn freeze(spec: &AggregateSpec, bounds: (i64, i64), pane: &mut Pane) -> Result<Option<RecordBatch>> {
    let Some(live) = pane.live.take() else { return Ok(None) };
    let rows = live.len();
    let part = windowed(&spec.state_schema, bounds, &live.into_state()?, rows)?;
    pane.frozen.push(part.clone());
    Ok(Some(part))
}

/// Merges the youngest parts as long as the next older one is not much larger.
fn compact(spec: &AggregateSpec, bounds: (i64, i64), pane: &mut Pane) -> Result<()> {
    if pane.frozen.len() <= PARTS_MAX {
        return Ok(());
    }
    let mut from = pane.frozen.len() - 1;
    let mut rows = pane.frozen[from].num_rows();
    while from > 0 && pane.frozen[from - 1].num_rows() <= 2 * rows {
        from -= 1;
        rows += pane.frozen[from].num_rows();
    }
    if pane.frozen.len() - from < 2 {
        return Ok(());
    }
    let mut groups = Groups::new(spec)?;
    for part in pane.frozen.drain(from..) {
        groups.merge(spec, &part)?;
    }
    let rows = groups.len();
    pane.frozen.push(windowed(&spec.state_schema, bounds, &groups.into_state()?, rows)?);
    Ok(())
}

fn bounds(window: (i64, i64), rows: usize) -> (TimestampNanosecondArray, TimestampNanosecondArray) {
    (
        TimestampNanosecondArray::from_value(window.0, rows),
        TimestampNanosecondArray::from_value(window.1, rows),
    )
}

pub(super) fn windowed(
    schema: &arrow::datatypes::SchemaRef,
    window: (i64, i64),
    columns: &[ArrayRef],
    rows: usize,
) -> Result<RecordBatch> {
    let (start, end) = bounds(window, rows);
    let mut all: Vec<ArrayRef> = vec![Arc::new(start), Arc::new(end)];
    all.extend(columns.iter().cloned());
    Ok(RecordBatch::try_new(Arc::clone(schema), all)?)
}

/// The rows of each pane, in order of time; rows of a pane keep their order.
pub(crate) fn split(batch: &RecordBatch, panes: &[(i64, i64)]) -> Result<Vec<((i64, i64), RecordBatch)>> {
    let Some(&first) = panes.first() else { return Ok(Vec::new()) };
    if panes.iter().all(|p| *p == first) {
        return Ok(vec![(first, batch.clone())]);
    }
    let mut order = (0..u32::try_from(panes.len()).unwrap_or(u32::MAX)).collect::<Vec<_>>();
    order.sort_by_key(|&row| panes[row as usize]);
    let sorted = take_record_batch(batch, &UInt32Array::from_iter_values(order.iter().copied()))?;
    let mut out = Vec::new();
    let mut begin = 0;
    for row in 1..=order.len() {
        let pane = panes[order[begin] as usize];
        if row == order.len() || panes[order[row] as usize] != pane {
            out.push((pane, sorted.slice(begin, row - begin)));
            begin = row;
        }
    }
    Ok(out)
}

/// Drops the now empty null mask of the first column.
fn without_nulls(batch: &RecordBatch) -> Result<RecordBatch> {
    let time = batch.column(0).as_primitive::<TimestampNanosecondType>();
    let mut columns = batch.columns().to_vec();
    columns[0] = Arc::new(TimestampNanosecondArray::new(time.values().clone(), None));
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}
