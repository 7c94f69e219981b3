//! An aggregate over all time: each barrier gives the rows whose result has changed since the last one.
//!
//! Over rows that only come, the state is one partial aggregate a key; what comes between two barriers is
//! aggregated apart and merged. Over changes, no accumulator can take a row back, so the state is the multiset of
//! rows, and the aggregates of a key that changed are computed again.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat, concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;

use super::PENDING_ROWS_MAX;
use super::ttl::Ttl;
use super::weighted::{consolidated, expanded, weigh, weighted_schema, weights};
use crate::Result;
use crate::aggregate::{Accumulators, AggregateSpec, Groups, numbered};
use crate::debezium::change_field;
use crate::keyed::Keyed;
use crate::operator::{Begin, Operator, OperatorSpec, Snapshot};

/// What one stage computes.
#[derive(Debug)]
pub(crate) struct UpdatingAggregate {
    pub(crate) spec: Arc<AggregateSpec>,
    /// The layout with the change in its last column, when the input is changes itself.
    pub(crate) changes: Option<SchemaRef>,
    pub(crate) ttl_ns: i64,
}

impl UpdatingAggregate {
    /// Keys, results, change.
    fn output(&self) -> SchemaRef {
        let fields = self.spec.output.fields().iter().cloned().chain([Arc::new(change_field())]);
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

impl OperatorSpec for UpdatingAggregate {
    fn start(self: Arc<Self>, begin: Begin) -> Result<Box<dyn Operator>> {
        let ttl = Ttl::new(begin.clock, self.ttl_ns);
        let (spec, output) = (Arc::clone(&self.spec), self.output());
        let keys = 0..spec.keys;
        Ok(match &self.changes {
            None => Box::new(Sums {
                store: Keyed::new(Arc::clone(&spec.state_schema), keys)?,
                delta: None,
                rows: 0,
                fresh: Vec::new(),
                ttl,
                spec,
                output,
            }),
            Some(layout) => {
                let weighted = weighted_schema(layout);
                Box::new(Multisets {
                    store: Keyed::new(Arc::clone(&weighted), keys)?,
                    weighted,
                    pending: Vec::new(),
                    rows: 0,
                    restored: Vec::new(),
                    fresh: Vec::new(),
                    ttl,
                    spec,
                    output,
                })
            }
        })
    }

    fn input_keys(&self, _: usize) -> Range<usize> {
        0..self.spec.keys
    }

    fn state_keys(&self, _: usize) -> Range<usize> {
        0..self.spec.keys
    }
}

/// Over rows that only come.
struct Sums {
    spec: Arc<AggregateSpec>,
    output: SchemaRef,
    /// Keys and partial states.
    store: Keyed,
    /// What came since the last flush.
    delta: Option<Groups>,
    rows: usize,
    /// Keys and states as they were after each flush since the last snapshot.
    fresh: Vec<RecordBatch>,
    ttl: Ttl,
}

impl Sums {
    fn changed(&mut self) -> Result<Vec<RecordBatch>> {
        let Some(delta) = self.delta.take() else { return Ok(Vec::new()) };
        self.rows = 0;
        let spec = Arc::clone(&self.spec);
        let groups = delta.len();
        let delta = RecordBatch::try_new(Arc::clone(&spec.state_schema), delta.into_state()?)?;
        let keys = self.store.keys(&delta.columns()[..spec.keys], groups)?;
        let found = (0..groups).map(|row| self.store.find(&keys, row).next()).collect::<Vec<_>>();
        let slots = found.iter().copied().flatten().collect::<Vec<_>>();
        let before = self.store.gather(&slots)?;

        let of_before = (0..groups).filter(|&row| found[row].is_some()).collect::<Vec<_>>();
        let mut now = Accumulators::new(&spec)?;
        now.merge(&spec, &before, &of_before, groups)?;
        now.merge(&spec, &delta, &(0..groups).collect::<Vec<_>>(), groups)?;
        let mut columns = delta.columns()[..spec.keys].to_vec();
        columns.extend(now.into_state()?);
        let now = RecordBatch::try_new(Arc::clone(&spec.state_schema), columns)?;

        let mut places = Vec::with_capacity(groups);
        let mut at = 0..;
        for (row, slot) in found.iter().enumerate() {
            places.push((slot.and_then(|_| at.next()), Some(row)));
        }
        let rows = changes(&self.output, &self.results(&before)?, &self.results(&now)?, &places)?;

        self.store.remove(slots)?;
        self.fresh.push(now.clone());
        let slots = self.store.insert(now)?;
        self.ttl.touch(&slots);
        expire(&mut self.store, &mut self.ttl)?;
        Ok(rows)
    }

    /// Keys and results of keys and partial states.
    fn results(&self, state: &RecordBatch) -> Result<RecordBatch> {
        let groups = state.num_rows();
        let mut accumulators = Accumulators::new(&self.spec)?;
        accumulators.merge(&self.spec, state, &(0..groups).collect::<Vec<_>>(), groups)?;
        let mut columns = state.columns()[..self.spec.keys].to_vec();
        columns.extend(accumulators.into_results()?);
        Ok(RecordBatch::try_new(Arc::clone(&self.spec.output), columns)?)
    }
}

#[async_trait]
impl Operator for Sums {
    fn update(&mut self, _: usize, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        let delta = match &mut self.delta {
            Some(delta) => delta,
            empty => empty.insert(Groups::new(&self.spec)?),
        };
        delta.update(&self.spec, batch)?;
        self.rows = delta.len();
        if self.rows >= PENDING_ROWS_MAX { self.changed() } else { Ok(Vec::new()) }
    }

    async fn advance(&mut self, _: i64) -> Result<Vec<RecordBatch>> {
        Ok(Vec::new())
    }

    fn flush(&mut self) -> Result<Vec<RecordBatch>> {
        self.changed()
    }

    fn snapshot(&mut self, full: bool) -> Result<Snapshot> {
        let mut parts = std::mem::take(&mut self.fresh);
        if full {
            parts = self.store.all()?;
        }
        let parts = parts.into_iter().map(|part| (0, part)).collect();
        Ok(Snapshot { parts, whole: full, rows: self.store.len(), ..Snapshot::default() })
    }

    /// A key that comes again replaces what was put back of it before.
    fn restore(&mut self, _: usize, state: &RecordBatch) -> Result<()> {
        let state = RecordBatch::try_new(Arc::clone(&self.spec.state_schema), state.columns().to_vec())?;
        let columns = &state.columns()[..self.spec.keys];
        let (of, groups) = numbered(Arc::clone(&self.spec.key_schema), columns, state.num_rows())?;
        let mut last = vec![0_u32; groups];
        for (row, &group) in (0_u32..).zip(&of) {
            last[group] = row;
        }
        let state = take_record_batch(&state, &UInt32Array::from(last))?;
        let keys = self.store.keys(&state.columns()[..self.spec.keys], groups)?;
        let before = (0..groups).filter_map(|row| self.store.find(&keys, row).next()).collect::<Vec<_>>();
        self.store.remove(before)?;
        let slots = self.store.insert(state)?;
        self.ttl.touch(&slots);
        Ok(())
    }
}

/// Over changes.
struct Multisets {
    spec: Arc<AggregateSpec>,
    output: SchemaRef,
    /// The layout with a weight in place of the change.
    weighted: SchemaRef,
    store: Keyed,
    pending: Vec<RecordBatch>,
    rows: usize,
    /// Weighted changes of a checkpoint, until they are summed up.
    restored: Vec<RecordBatch>,
    /// Weighted changes since the last snapshot.
    fresh: Vec<RecordBatch>,
    ttl: Ttl,
}

impl Multisets {
    fn changed(&mut self) -> Result<Vec<RecordBatch>> {
        self.settle()?;
        let pending = std::mem::take(&mut self.pending);
        self.rows = 0;
        if pending.is_empty() {
            return Ok(Vec::new());
        }
        let delta = consolidated(&concat_batches(&self.weighted, &pending)?)?;
        self.fresh.push(delta.clone());
        let width = self.spec.keys;
        let (of, groups) = self.numbered(&delta.columns()[..width], delta.num_rows())?;
        let first = crate::aggregate::first_rows(&of, groups);
        let touched = take_record_batch(&delta, &first)?;
        let keys = self.store.keys(&touched.columns()[..width], groups)?;
        let slots = (0..groups).flat_map(|row| self.store.find(&keys, row)).collect::<Vec<_>>();
        let before = self.store.gather(&slots)?;
        let now = consolidated(&concat_batches(&self.weighted, [&before, &delta])?)?;
        // Less than none: what went had been forgotten.
        let there = weights(&now).iter().map(|w| Some(*w > 0)).collect();
        let now = arrow::compute::filter_record_batch(&now, &there)?;

        let (old, new) = (self.results(&before)?, self.results(&now)?);
        let columns = (0..width).map(|k| {
            let parts: [&dyn Array; 3] = [touched.column(k), old.column(k), new.column(k)];
            concat(&parts)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let all = groups + old.num_rows() + new.num_rows();
        let (of, _) = self.numbered(&columns, all)?;
        let mut places = vec![(None, None); groups];
        for row in 0..old.num_rows() {
            places[of[groups + row]].0 = Some(row);
        }
        for row in 0..new.num_rows() {
            places[of[groups + old.num_rows() + row]].1 = Some(row);
        }
        let rows = changes(&self.output, &old, &new, &places)?;

        self.store.remove(slots)?;
        let slots = self.store.insert(now)?;
        self.ttl.touch(&slots);
        expire(&mut self.store, &mut self.ttl)?;
        Ok(rows)
    }

    fn numbered(&self, keys: &[ArrayRef], rows: usize) -> Result<(Vec<usize>, usize)> {
        numbered(Arc::clone(&self.spec.key_schema), keys, rows)
    }

    fn results(&self, weighted: &RecordBatch) -> Result<RecordBatch> {
        let mut groups = Groups::new(&self.spec)?;
        let rows = expanded(weighted)?;
        if rows.num_rows() == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.spec.output)));
        }
        groups.update(&self.spec, &rows)?;
        let (mut columns, results) = groups.into_results()?;
        columns.extend(results);
        Ok(RecordBatch::try_new(Arc::clone(&self.spec.output), columns)?)
    }

    /// Sums up what a checkpoint held.
    fn settle(&mut self) -> Result<()> {
        let restored = std::mem::take(&mut self.restored);
        if restored.is_empty() {
            return Ok(());
        }
        let all = consolidated(&concat_batches(&self.weighted, &restored)?)?;
        let there = weights(&all).iter().map(|w| Some(*w > 0)).collect();
        let slots = self.store.insert(arrow::compute::filter_record_batch(&all, &there)?)?;
        self.ttl.touch(&slots);
        Ok(())
    }
}

#[async_trait]
impl Operator for Multisets {
    fn update(&mut self, _: usize, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        self.rows += batch.num_rows();
        self.pending.push(weigh(batch, &self.weighted)?);
        if self.rows >= PENDING_ROWS_MAX { self.changed() } else { Ok(Vec::new()) }
    }

    async fn advance(&mut self, _: i64) -> Result<Vec<RecordBatch>> {
        Ok(Vec::new())
    }

    fn flush(&mut self) -> Result<Vec<RecordBatch>> {
        self.changed()
    }

    fn snapshot(&mut self, full: bool) -> Result<Snapshot> {
        self.settle()?;
        let mut parts = std::mem::take(&mut self.fresh);
        if full {
            parts = self.store.all()?;
        }
        let parts = parts.into_iter().map(|part| (0, part)).collect();
        Ok(Snapshot { parts, whole: full, rows: self.store.len(), ..Snapshot::default() })
    }

    fn restore(&mut self, _: usize, state: &RecordBatch) -> Result<()> {
        self.restored.push(RecordBatch::try_new(Arc::clone(&self.weighted), state.columns().to_vec())?);
        Ok(())
    }
}

/// Forgets what was not touched for the time to live.
fn expire(store: &mut Keyed, ttl: &mut Ttl) -> Result<()> {
    let Some(before_ns) = ttl.due() else { return Ok(()) };
    let slots = 0..u32::try_from(store.slots()).unwrap_or(u32::MAX);
    let old = slots.filter(|&slot| store.holds(slot) && ttl.older(slot, before_ns)).collect::<Vec<_>>();
    store.remove(old)
}

/// What turns rows of `old` into rows of `new`, in pairs of places; pairs that are equal are left out.
fn changes(
    output: &SchemaRef,
    old: &RecordBatch,
    new: &RecordBatch,
    places: &[(Option<usize>, Option<usize>)],
) -> Result<Vec<RecordBatch>> {
    let fields = old.schema().fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let (old_rows, new_rows) =
        (converter.convert_columns(old.columns())?, converter.convert_columns(new.columns())?);
    let (mut rows, mut change) = (Vec::new(), Vec::new());
    for (number, &(before, after)) in (1_i64..).zip(places) {
        if let (Some(before), Some(after)) = (before, after)
            && old_rows.row(before) == new_rows.row(after)
        {
            continue;
        }
        if let Some(before) = before {
            rows.push((0, before));
            change.push(-number);
        }
        if let Some(after) = after {
            rows.push((1, after));
            change.push(number);
        }
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut columns = interleave_record_batch(&[old, new], &rows)?.columns().to_vec();
    columns.push(Arc::new(Int64Array::from(change)));
    Ok(vec![RecordBatch::try_new(Arc::clone(output), columns)?])
}
