//! The sessions of one task: for each key, rows less than a gap apart.
//!
//! A session is half-open: from its first row to one gap after its last one; a row at that very end begins the
//! next. Rows wait in a buffer until time could close something; then they are sorted, cut into islands, and
//! merged with the open sessions that they overlap.
//!
//! **Late rows.** A closed session stays known (start and end only) for one gap. A row behind the watermark is
//! taken where that is exact: it lies in an open session, or its own gap is not over and it touches no closed
//! one. Any other is late: it is left out, and `[row, row + gap)` of its key is marked dirty. The session that it
//! belongs to overlaps that span, and so does every session that it would have joined; to repair, recompute each
//! session that overlaps it, from the silence before to the silence after.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampNanosecondArray, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, not, take};
use arrow::datatypes::TimestampNanosecondType;
use async_trait::async_trait;

use super::AggregateSpec;
use super::groups::{Accumulators, numbered};
use super::late::Dirty;
use crate::Result;
use crate::functions::window_array;
use crate::keyed::{Keyed, Keys};
use crate::operator::{Begin, Operator, Snapshot};
use crate::pipeline::KeyIs;

/// Rows that wait, at most, before they are merged.
const BUFFER_ROWS_MAX: usize = 65_536;

/// State tables of a checkpoint.
const OPEN: usize = 0;
const CLOSED: usize = 1;

/// The sessions of one task.
pub(crate) struct Sessions {
    spec: Arc<AggregateSpec>,
    gap_ns: i64,
    watermark_ns: i64,
    /// In the state schema; the end is one gap after the last row.
    open: Keyed,
    /// By (end, slot).
    ends: BTreeSet<(i64, u32)>,
    /// Start, end and keys of what was closed less than a gap ago.
    closed: Keyed,
    closed_ends: BTreeSet<(i64, u32)>,
    buffer: Vec<RecordBatch>,
    buffer_rows: usize,
    /// The first instant at which a waiting row's session could close.
    soonest_ns: i64,
    dirty: Dirty,
    late_rows: u64,
}

/// Row, group and bounds, sorted and cut where groups or gaps end.
struct Islands {
    /// Of each row.
    of: Vec<usize>,
    /// (start, end, a row of it).
    bounds: Vec<(i64, i64, u32)>,
}

impl Sessions {
    pub(crate) fn new(spec: Arc<AggregateSpec>, gap_ns: i64, begin: &Begin) -> Result<Self> {
        let keys = 2..2 + spec.keys;
        Ok(Self {
            gap_ns,
            watermark_ns: begin.watermark_ns,
            open: Keyed::new(Arc::clone(&spec.state_schema), keys.clone())?,
            ends: BTreeSet::new(),
            closed: Keyed::new(Arc::clone(&spec.dirty_schema), keys)?,
            closed_ends: BTreeSet::new(),
            buffer: Vec::new(),
            buffer_rows: 0,
            soonest_ns: i64::MAX,
            dirty: Dirty::new(Arc::clone(&spec.dirty_schema)),
            late_rows: begin.late_rows,
            spec,
        })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let time = batch.column(0);
        if time.null_count() > 0 {
            // Rows without an event time are in no session: they are counted and left out.
            self.late_rows += u64::try_from(time.null_count()).unwrap_or(u64::MAX);
            let known = filter_record_batch(batch, &arrow::compute::is_not_null(time)?)?;
            return if known.num_rows() == 0 { Ok(()) } else { self.add_known(&known) };
        }
        self.add_known(batch)
    }

    fn add_known(&mut self, batch: &RecordBatch) -> Result<()> {
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>().values();
        let behind = times.iter().map(|&t| t < self.watermark_ns).collect::<Vec<_>>();
        if !behind.contains(&true) {
            return self.push(batch.clone());
        }
        let behind = BooleanArray::from(behind);
        self.push(filter_record_batch(batch, &not(&behind)?)?)?;
        self.add_behind(&filter_record_batch(batch, &behind)?)
    }

    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>();
        let Some(first) = times.values().iter().copied().min() else { return Ok(()) };
        self.soonest_ns = self.soonest_ns.min(first.saturating_add(self.gap_ns));
        self.buffer_rows += batch.num_rows();
        self.buffer.push(batch);
        if self.buffer_rows >= BUFFER_ROWS_MAX { self.merge() } else { Ok(()) }
    }

    /// Rows behind the watermark: those that fit exactly are taken, the others are late.
    fn add_behind(&mut self, batch: &RecordBatch) -> Result<()> {
        self.merge()?;
        let times = batch.column(0).as_primitive::<TimestampNanosecondType>().values();
        let columns = &batch.columns()[self.spec.key_columns()];
        let keys = self.open.keys(columns, batch.num_rows())?;
        let closed_keys = self.closed.keys(columns, batch.num_rows())?;
        let mut fits = Vec::with_capacity(times.len());
        for (row, &from) in times.iter().enumerate() {
            let to = from.saturating_add(self.gap_ns);
            let inside = overlapping(&self.open, &keys, row, (from, from.saturating_add(1)));
            let fit = !inside.is_empty()
                || (to > self.watermark_ns
                    && overlapping(&self.closed, &closed_keys, row, (from, to)).is_empty());
            fits.push(fit);
        }
        let fits = BooleanArray::from(fits);
        self.push(filter_record_batch(batch, &fits)?)?;
        self.note_late(&filter_record_batch(batch, &not(&fits)?)?)
    }

    fn note_late(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.late_rows += u64::try_from(rows.num_rows()).unwrap_or(u64::MAX);
        let times = rows.column(0).as_primitive::<TimestampNanosecondType>();
        let ends: TimestampNanosecondArray = times.unary(|t| t.saturating_add(self.gap_ns));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times.clone()), Arc::new(ends)];
        columns.extend(rows.columns()[self.spec.key_columns()].iter().cloned());
        self.dirty.add(RecordBatch::try_new(Arc::clone(&self.spec.dirty_schema), columns)?)
    }

    /// Puts the rows that wait into the open sessions.
    fn merge(&mut self) -> Result<()> {
        let Some(first) = self.buffer.first() else { return Ok(()) };
        let rows = concat_batches(&first.schema(), &self.buffer)?;
        (self.buffer_rows, self.soonest_ns) = (0, i64::MAX);
        self.buffer.clear();

        let columns = &rows.columns()[self.spec.key_columns()];
        let (who, _) = numbered(Arc::clone(&self.spec.key_schema), columns, rows.num_rows())?;
        let times = rows.column(0).as_primitive::<TimestampNanosecondType>().values();
        let gap = self.gap_ns;
        let spans = times.iter().map(|&t| (t, t.saturating_add(gap))).collect::<Vec<_>>();
        let islands = islands(&who, &spans);
        let mut accumulators = Accumulators::new(&self.spec)?;
        accumulators.update(&self.spec, &rows, &islands.of, islands.bounds.len())?;
        let fresh = self.rows_of(&islands, columns, accumulators)?;
        let fresh_who = islands.bounds.iter().map(|b| who[b.2 as usize]).collect::<Vec<_>>();

        // The open sessions that the new ones overlap; one may join several.
        let keys = self.open.keys(&fresh.columns()[2..2 + self.spec.keys], fresh.num_rows())?;
        let mut touched = Vec::new();
        for (row, &(start, end, _)) in islands.bounds.iter().enumerate() {
            let found = overlapping(&self.open, &keys, row, (start, end));
            touched.extend(found.into_iter().map(|slot| (slot, fresh_who[row])));
        }
        touched.sort_unstable();
        touched.dedup_by_key(|t| t.0);
        let merged = if touched.is_empty() { fresh } else { self.joined(fresh, fresh_who, &touched)? };
        for slot in touched.iter().map(|t| t.0) {
            self.ends.remove(&(bounds(&self.open, slot).1, slot));
        }
        self.open.remove(touched.iter().map(|t| t.0))?;
        self.insert_open(merged)
    }

    /// New sessions and the open ones that they touch, as the sessions that they are together.
    fn joined(
        &self,
        fresh: RecordBatch,
        mut who: Vec<usize>,
        touched: &[(u32, usize)],
    ) -> Result<RecordBatch> {
        let slots = touched.iter().map(|t| t.0).collect::<Vec<_>>();
        let all = concat_batches(&self.spec.state_schema, &[fresh, self.open.gather(&slots)?])?;
        who.extend(touched.iter().map(|t| t.1));
        let starts = all.column(0).as_primitive::<TimestampNanosecondType>().values();
        let ends = all.column(1).as_primitive::<TimestampNanosecondType>().values();
        let spans = starts.iter().copied().zip(ends.iter().copied()).collect::<Vec<_>>();
        let islands = islands(&who, &spans);
        let mut accumulators = Accumulators::new(&self.spec)?;
        accumulators.merge(&self.spec, &all, &islands.of, islands.bounds.len())?;
        self.rows_of(&islands, &all.columns()[2..2 + self.spec.keys], accumulators)
    }

    /// Sessions in the state schema.
    fn rows_of(&self, islands: &Islands, keys: &[ArrayRef], groups: Accumulators) -> Result<RecordBatch> {
        let first = UInt32Array::from_iter_values(islands.bounds.iter().map(|b| b.2));
        let bound = |of: fn(&(i64, i64, u32)) -> i64| -> ArrayRef {
            Arc::new(TimestampNanosecondArray::from_iter_values(islands.bounds.iter().map(of)))
        };
        let mut columns = vec![bound(|b| b.0), bound(|b| b.1)];
        for key in keys {
            columns.push(take(key, &first, None)?);
        }
        columns.extend(groups.into_state()?);
        Ok(RecordBatch::try_new(Arc::clone(&self.spec.state_schema), columns)?)
    }

    /// What sessions in the state schema give, in the layout of the output.
    fn results(&self, sessions: &RecordBatch) -> Result<RecordBatch> {
        let mut accumulators = Accumulators::new(&self.spec)?;
        let groups = sessions.num_rows();
        accumulators.merge(&self.spec, sessions, &(0..groups).collect::<Vec<_>>(), groups)?;
        let bound = |column: usize| sessions.column(column).as_primitive::<TimestampNanosecondType>().clone();
        let mut columns = sessions.columns()[2..2 + self.spec.keys].to_vec();
        let window = Arc::new(window_array(bound(0), bound(1)));
        columns.insert(self.spec.window_at.unwrap_or_default(), window);
        columns.extend(accumulators.into_results()?);
        Ok(RecordBatch::try_new(Arc::clone(&self.spec.output), columns)?)
    }

    fn insert_open(&mut self, sessions: RecordBatch) -> Result<()> {
        let ends = sessions.column(1).as_primitive::<TimestampNanosecondType>().clone();
        let slots = self.open.insert(sessions)?;
        self.ends.extend(ends.values().iter().copied().zip(slots));
        Ok(())
    }

    fn insert_closed(&mut self, sessions: RecordBatch) -> Result<()> {
        let ends = sessions.column(1).as_primitive::<TimestampNanosecondType>().clone();
        let slots = self.closed.insert(sessions)?;
        self.closed_ends.extend(ends.values().iter().copied().zip(slots));
        Ok(())
    }

    /// Forgets closed sessions that no row can touch without being late by itself.
    fn forget(&mut self) -> Result<()> {
        let gap = self.gap_ns;
        let done = take_ends(&mut self.closed_ends, |end| end.saturating_add(gap) <= self.watermark_ns);
        self.closed.remove(done)
    }
}

/// Takes the slots off whose end is reached.
fn take_ends(ends: &mut BTreeSet<(i64, u32)>, reached: impl Fn(i64) -> bool) -> Vec<u32> {
    let mut slots = Vec::new();
    while let Some(&(end, slot)) = ends.first() {
        if !reached(end) {
            break;
        }
        ends.pop_first();
        slots.push(slot);
    }
    slots
}

fn bounds(sessions: &Keyed, slot: u32) -> (i64, i64) {
    let of = |column| sessions.value::<TimestampNanosecondType>(slot, column);
    (of(0), of(1))
}

/// The sessions of a row's key that share an instant with `span`.
fn overlapping(sessions: &Keyed, keys: &Keys, row: usize, span: (i64, i64)) -> Vec<u32> {
    let shares = |&slot: &u32| {
        let (start, end) = bounds(sessions, slot);
        start < span.1 && span.0 < end
    };
    sessions.find(keys, row).filter(shares).collect()
}

/// Joins the spans of each group that share an instant.
fn islands(who: &[usize], spans: &[(i64, i64)]) -> Islands {
    let mut order = (0..u32::try_from(spans.len()).unwrap_or(u32::MAX)).collect::<Vec<_>>();
    order.sort_unstable_by_key(|&row| (who[row as usize], spans[row as usize], row));
    let mut islands = Islands { of: vec![0; spans.len()], bounds: Vec::new() };
    let mut before = None;
    for row in order {
        let (group, (start, end)) = (who[row as usize], spans[row as usize]);
        match islands.bounds.last_mut() {
            Some(open) if before == Some(group) && start < open.1 => open.1 = open.1.max(end),
            _ => islands.bounds.push((start, end, row)),
        }
        before = Some(group);
        islands.of[row as usize] = islands.bounds.len() - 1;
    }
    islands
}

#[async_trait]
impl Operator for Sessions {
    fn update(&mut self, _: usize, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        self.add(batch)?;
        Ok(Vec::new())
    }

    async fn advance(&mut self, watermark_ns: i64) -> Result<Vec<RecordBatch>> {
        if watermark_ns <= self.watermark_ns {
            return Ok(Vec::new());
        }
        let first = self.ends.first().map_or(i64::MAX, |e| e.0).min(self.soonest_ns);
        if first <= watermark_ns {
            self.merge()?;
        }
        self.watermark_ns = watermark_ns;
        self.forget()?;
        let done = take_ends(&mut self.ends, |end| end <= watermark_ns);
        if done.is_empty() {
            return Ok(Vec::new());
        }
        let sessions = self.open.gather(&done)?;
        self.open.remove(done)?;
        let known = sessions.project(&(0..2 + self.spec.keys).collect::<Vec<_>>())?;
        let known = RecordBatch::try_new(Arc::clone(&self.spec.dirty_schema), known.columns().to_vec())?;
        if watermark_ns < i64::MAX {
            self.insert_closed(known)?;
            self.forget()?;
        }
        Ok(vec![self.results(&sessions)?])
    }

    fn settle(&mut self) -> Result<()> {
        self.merge()
    }

    fn peek(&self, only: Option<&KeyIs>) -> Result<Vec<RecordBatch>> {
        let mut out = Vec::new();
        for part in self.open.all()? {
            let sessions = match only {
                Some(only) => only.rows(&part, self.spec.state_prefix())?,
                None => part,
            };
            if sessions.num_rows() > 0 {
                out.push(self.results(&sessions)?);
            }
        }
        Ok(out)
    }

    fn late_rows(&self) -> u64 {
        self.late_rows
    }

    /// Sessions change as they grow: each checkpoint holds those that are open, whole.
    fn snapshot(&mut self, _: bool) -> Result<Snapshot> {
        self.merge()?;
        let mut parts = self.open.all()?.into_iter().map(|part| (OPEN, part)).collect::<Vec<_>>();
        parts.extend(self.closed.all()?.into_iter().map(|part| (CLOSED, part)));
        Ok(Snapshot {
            parts,
            whole: true,
            rows: self.open.len() + self.closed.len(),
            dirty: self.dirty.take()?,
            late_rows: self.late_rows,
        })
    }

    fn restore(&mut self, table: usize, state: &RecordBatch) -> Result<()> {
        if table == OPEN {
            let schema = Arc::clone(&self.spec.state_schema);
            self.insert_open(RecordBatch::try_new(schema, state.columns().to_vec())?)
        } else {
            let schema = Arc::clone(&self.spec.dirty_schema);
            self.insert_closed(RecordBatch::try_new(schema, state.columns().to_vec())?)
        }
    }
}
