//! A join over all time: each row of one side meets all rows of the other that came before or come later.
//!
//! State is the multiset of rows of each side, by key. What changed since the last barrier is joined as
//! ΔL ⋈ R + (L + ΔL) ⋈ ΔR. In an outer join a row is padded with NULLs while its key has no row on the other
//! side: it is taken back when the first one comes, and given again when the last one goes.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat, concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::common::JoinType;
use datafusion::physical_expr::PhysicalExpr;

use super::ttl::Ttl;
use super::weighted::{consolidated, only_comes, weigh, weighted_schema, weights};
use super::{OUTPUT_ROWS, PENDING_ROWS_MAX};
use crate::Result;
use crate::aggregate::{first_rows, numbered};
use crate::keyed::{Keyed, any_null};
use crate::operator::{Begin, Operator, OperatorSpec, Snapshot};

/// What one stage computes. The layout of a side holds the keys, its columns, and the change.
#[derive(Debug)]
pub(crate) struct UpdatingJoin {
    pub(crate) kind: JoinType,
    pub(crate) keys: usize,
    /// NULL keys are equal to each other.
    pub(crate) nulls_meet: bool,
    /// Of an inner join: what joined rows must fulfil besides.
    pub(crate) filter: Option<Arc<dyn PhysicalExpr>>,
    pub(crate) layouts: [SchemaRef; 2],
    /// Columns of the left side, of the right side, change.
    pub(crate) output: SchemaRef,
    pub(crate) ttl_ns: i64,
}

impl UpdatingJoin {
    /// Whether rows of a side are kept without a partner.
    fn pads(&self, side: usize) -> bool {
        match self.kind {
            JoinType::Full => true,
            JoinType::Left => side == 0,
            JoinType::Right => side == 1,
            _ => false,
        }
    }
}

impl OperatorSpec for UpdatingJoin {
    fn start(self: Arc<Self>, begin: Begin) -> Result<Box<dyn Operator>> {
        let side = |layout: &SchemaRef| -> Result<Side> {
            let schema = weighted_schema(layout);
            Ok(Side {
                store: Keyed::new(Arc::clone(&schema), 0..self.keys)?,
                schema,
                ttl: Ttl::new(Arc::clone(&begin.clock), self.ttl_ns),
                pending: Vec::new(),
                restored: Vec::new(),
                fresh: Vec::new(),
            })
        };
        let key_schema = Arc::new(Schema::new(self.layouts[0].fields()[..self.keys].to_vec()));
        let sides = [side(&self.layouts[0])?, side(&self.layouts[1])?];
        Ok(Box::new(Join { sides, key_schema, rows: 0, spec: self }))
    }

    fn input_keys(&self, _: usize) -> Range<usize> {
        0..self.keys
    }

    fn state_keys(&self, _: usize) -> Range<usize> {
        0..self.keys
    }
}

struct Side {
    /// Keys, columns, weight.
    schema: SchemaRef,
    store: Keyed,
    ttl: Ttl,
    pending: Vec<RecordBatch>,
    /// Weighted changes of a checkpoint, until they are summed up.
    restored: Vec<RecordBatch>,
    /// Weighted changes since the last snapshot.
    fresh: Vec<RecordBatch>,
}

impl Side {
    /// What changed since the last time; equal rows are summed up when some go.
    fn take_delta(&mut self) -> Result<RecordBatch> {
        let delta = concat_batches(&self.schema, &std::mem::take(&mut self.pending))?;
        if only_comes(&delta) { Ok(delta) } else { consolidated(&delta) }
    }

    fn apply(&mut self, delta: RecordBatch, keys: usize) -> Result<()> {
        let slots = if only_comes(&delta) {
            self.store.insert(delta)?
        } else {
            let rows = delta.num_rows();
            let found = self.store.keys(&delta.columns()[..keys], rows)?;
            let mut old = (0..rows).flat_map(|row| self.store.find(&found, row)).collect::<Vec<_>>();
            old.sort_unstable();
            old.dedup();
            let now = consolidated(&concat_batches(&self.schema, [&self.store.gather(&old)?, &delta])?)?;
            // Less than none: what went had been forgotten.
            let there = weights(&now).iter().map(|w| Some(*w > 0)).collect();
            self.store.remove(old)?;
            self.store.insert(filter_record_batch(&now, &there)?)?
        };
        self.ttl.touch(&slots);
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        let restored = std::mem::take(&mut self.restored);
        if restored.is_empty() {
            return Ok(());
        }
        let mut all = concat_batches(&self.schema, &restored)?;
        if !only_comes(&all) {
            all = consolidated(&all)?;
            let there = weights(&all).iter().map(|w| Some(*w > 0)).collect();
            all = filter_record_batch(&all, &there)?;
        }
        let slots = self.store.insert(all)?;
        self.ttl.touch(&slots);
        Ok(())
    }
}

struct Join {
    spec: Arc<UpdatingJoin>,
    key_schema: SchemaRef,
    sides: [Side; 2],
    rows: usize,
}

/// The keys that changed, and what stood on each side of them.
struct Touched {
    keys: RecordBatch,
    /// By side and key.
    there: [Vec<bool>; 2],
    /// By side: rows that may have to be taken back, with their key.
    padded: [Option<(RecordBatch, Vec<usize>)>; 2],
}

impl Join {
    fn changed(&mut self) -> Result<Vec<RecordBatch>> {
        self.settle()?;
        if self.rows == 0 {
            return Ok(Vec::new());
        }
        self.rows = 0;
        let spec = Arc::clone(&self.spec);
        let mut out = Output { spec: &spec, rows: Vec::new() };
        let mut deltas = Vec::with_capacity(2);
        for side in 0..2 {
            let delta = self.sides[side].take_delta()?;
            deltas.push(self.known(side, delta, &mut out)?);
        }
        let outer = spec.pads(0) || spec.pads(1);
        let touched = if outer { Some(self.touched(&deltas)?) } else { None };
        for (side, delta) in deltas.iter().enumerate() {
            self.meet(side, delta, &mut out)?;
            if delta.num_rows() > 0 {
                self.sides[side].fresh.push(delta.clone());
                self.sides[side].apply(delta.clone(), spec.keys)?;
            }
        }
        if let Some(touched) = touched {
            for side in (0..2).filter(|&side| spec.pads(side)) {
                self.pad(side, &deltas[side], &touched, &mut out)?;
            }
        }
        let rows = out.rows;
        self.expire()?;
        Ok(rows)
    }

    /// The rows with a key; those with a NULL in it meet nobody.
    fn known(&self, side: usize, delta: RecordBatch, out: &mut Output<'_>) -> Result<RecordBatch> {
        let keys = &delta.columns()[..self.spec.keys];
        if self.spec.nulls_meet || keys.iter().all(|k| k.null_count() == 0) {
            return Ok(delta);
        }
        let known = (0..delta.num_rows()).map(|row| Some(!any_null(keys, row))).collect::<BooleanArray>();
        if self.spec.pads(side) {
            let alone = filter_record_batch(&delta, &arrow::compute::not(&known)?)?;
            out.padded(side, &alone, 1)?;
        }
        Ok(filter_record_batch(&delta, &known)?)
    }

    /// Joins changes of one side with the rows of the other.
    fn meet(&self, side: usize, delta: &RecordBatch, out: &mut Output<'_>) -> Result<()> {
        let other = &self.sides[1 - side].store;
        let keys = other.keys(&delta.columns()[..self.spec.keys], delta.num_rows())?;
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for row in 0..delta.num_rows() {
            for slot in other.find(&keys, row) {
                mine.push(u32::try_from(row).unwrap_or(u32::MAX));
                theirs.push(slot);
            }
            if mine.len() >= OUTPUT_ROWS {
                out.joined(side, delta, &std::mem::take(&mut mine), &other.gather(&theirs)?)?;
                theirs.clear();
            }
        }
        out.joined(side, delta, &mine, &other.gather(&theirs)?)
    }

    fn touched(&self, deltas: &[RecordBatch]) -> Result<Touched> {
        let width = self.spec.keys;
        let columns = (0..width)
            .map(|k| concat(&[deltas[0].column(k).as_ref(), deltas[1].column(k).as_ref()]))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = deltas[0].num_rows() + deltas[1].num_rows();
        let (of, groups) = numbered(Arc::clone(&self.key_schema), &columns, rows)?;
        let all = RecordBatch::try_new(Arc::clone(&self.key_schema), columns)?;
        let keys = take_record_batch(&all, &first_rows(&of, groups))?;
        let mut touched =
            Touched { there: [self.there(0, &keys)?, self.there(1, &keys)?], keys, padded: [None, None] };
        for side in (0..2).filter(|&side| self.spec.pads(side)) {
            let alone = |key: usize| !touched.there[1 - side][key];
            touched.padded[side] = Some(self.rows_of(side, &touched.keys, alone)?);
        }
        Ok(touched)
    }

    /// Whether a side has rows of each key.
    fn there(&self, side: usize, keys: &RecordBatch) -> Result<Vec<bool>> {
        let store = &self.sides[side].store;
        let found = store.keys(keys.columns(), keys.num_rows())?;
        Ok((0..keys.num_rows()).map(|key| store.find(&found, key).next().is_some()).collect())
    }

    /// The rows of one side of some of the keys, each with its key.
    fn rows_of(
        &self,
        side: usize,
        keys: &RecordBatch,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<(RecordBatch, Vec<usize>)> {
        let store = &self.sides[side].store;
        let found = store.keys(keys.columns(), keys.num_rows())?;
        let (mut slots, mut of) = (Vec::new(), Vec::new());
        for key in (0..keys.num_rows()).filter(|&key| wanted(key)) {
            for slot in store.find(&found, key) {
                slots.push(slot);
                of.push(key);
            }
        }
        Ok((store.gather(&slots)?, of))
    }

    /// Gives and takes back rows of one side that stand alone.
    fn pad(&self, side: usize, delta: &RecordBatch, touched: &Touched, out: &mut Output<'_>) -> Result<()> {
        let before = &touched.there[1 - side];
        let now = self.there(1 - side, &touched.keys)?;
        if let Some((rows, of)) = &touched.padded[side] {
            let met = of.iter().map(|&key| Some(now[key])).collect();
            out.padded(side, &filter_record_batch(rows, &met)?, -1)?;
        }
        let (rows, _) = self.rows_of(side, &touched.keys, |key| before[key] && !now[key])?;
        out.padded(side, &rows, 1)?;
        let width = self.spec.keys;
        let columns = (0..width)
            .map(|k| concat(&[touched.keys.column(k).as_ref(), delta.column(k).as_ref()]))
            .collect::<Result<Vec<_>, _>>()?;
        let keys = touched.keys.num_rows();
        let (of, _) = numbered(Arc::clone(&self.key_schema), &columns, keys + delta.num_rows())?;
        let alone = of[keys..].iter().map(|&key| Some(!before[key] && !now[key])).collect();
        out.padded(side, &filter_record_batch(delta, &alone)?, 1)
    }

    fn settle(&mut self) -> Result<()> {
        self.sides.iter_mut().try_for_each(Side::settle)
    }

    /// Forgets keys that neither side was touched at for the time to live.
    fn expire(&mut self) -> Result<()> {
        let (left, right) = (self.sides[0].ttl.due(), self.sides[1].ttl.due());
        let Some(before_ns) = left.or(right) else { return Ok(()) };
        let mut gone = [Vec::new(), Vec::new()];
        for (side, gone) in gone.iter_mut().enumerate() {
            let Side { store, ttl, .. } = &self.sides[side];
            let other = &self.sides[1 - side];
            let slots = 0..u32::try_from(store.slots()).unwrap_or(u32::MAX);
            let old = slots.filter(|&s| store.holds(s) && ttl.older(s, before_ns)).collect::<Vec<_>>();
            let rows = store.gather(&old)?;
            let keys = &rows.columns()[..self.spec.keys];
            let (mine, theirs) = (store.keys(keys, old.len())?, other.store.keys(keys, old.len())?);
            for (row, &slot) in old.iter().enumerate() {
                let rest = store.find(&mine, row).all(|s| ttl.older(s, before_ns))
                    && other.store.find(&theirs, row).all(|s| other.ttl.older(s, before_ns));
                if rest {
                    gone.push(slot);
                }
            }
        }
        let [left, right] = gone;
        self.sides[0].store.remove(left)?;
        self.sides[1].store.remove(right)
    }
}

#[async_trait]
impl Operator for Join {
    fn update(&mut self, input: usize, batch: &RecordBatch) -> Result<Vec<RecordBatch>> {
        self.rows += batch.num_rows();
        let side = &mut self.sides[input];
        side.pending.push(weigh(batch, &side.schema)?);
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
        let mut all = Snapshot { whole: full, ..Snapshot::default() };
        for (table, side) in self.sides.iter_mut().enumerate() {
            let fresh = std::mem::take(&mut side.fresh);
            let parts = if full { side.store.all()? } else { fresh };
            all.parts.extend(parts.into_iter().map(|part| (table, part)));
            all.rows += side.store.len();
        }
        Ok(all)
    }

    fn restore(&mut self, table: usize, state: &RecordBatch) -> Result<()> {
        let side = &mut self.sides[table];
        side.restored.push(RecordBatch::try_new(Arc::clone(&side.schema), state.columns().to_vec())?);
        Ok(())
    }
}

/// Rows on their way out.
struct Output<'a> {
    spec: &'a UpdatingJoin,
    rows: Vec<RecordBatch>,
}

impl Output<'_> {
    /// Rows `mine` of `delta` beside the rows `theirs` of the other side.
    fn joined(&mut self, side: usize, delta: &RecordBatch, mine: &[u32], theirs: &RecordBatch) -> Result<()> {
        if mine.is_empty() {
            return Ok(());
        }
        let mine = take_record_batch(delta, &UInt32Array::from_iter_values(mine.iter().copied()))?;
        let sums = weights(&mine).iter().zip(weights(theirs)).map(|(a, b)| a * b).collect::<Vec<_>>();
        let (mine, theirs) = (self.columns(&mine), self.columns(theirs));
        let columns = if side == 0 { [mine, theirs] } else { [theirs, mine] };
        self.push(columns.concat(), &sums, true)
    }

    /// Rows of one side beside NULLs, their weights times `sign`.
    fn padded(&mut self, side: usize, rows: &RecordBatch, sign: i64) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let sums = weights(rows).iter().map(|w| w * sign).collect::<Vec<_>>();
        let mine = self.columns(rows);
        let fields = self.spec.output.fields();
        let others = fields.len() - 1 - mine.len();
        let range = if side == 0 { mine.len()..mine.len() + others } else { 0..others };
        let theirs = fields[range].iter().map(|f| new_null_array(f.data_type(), rows.num_rows())).collect();
        let columns = if side == 0 { [mine, theirs] } else { [theirs, mine] };
        self.push(columns.concat(), &sums, false)
    }

    /// The columns without keys and weight.
    fn columns(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        rows.columns()[self.spec.keys..rows.num_columns() - 1].to_vec()
    }

    /// Adds rows, each as often as it comes or goes.
    fn push(&mut self, mut columns: Vec<ArrayRef>, sums: &[i64], filter: bool) -> Result<()> {
        let (mut rows, mut change) = (Vec::new(), Vec::new());
        let mut number = 0_i64;
        for (row, &sum) in (0_u32..).zip(sums) {
            for _ in 0..sum.unsigned_abs() {
                number += 1;
                rows.push(row);
                change.push(number * sum.signum());
            }
        }
        columns.push(Arc::new(Int64Array::from_iter_values(sums.iter().copied())));
        let all = RecordBatch::try_new(Arc::clone(&self.spec.output), columns)?;
        let all = take_record_batch(&all, &UInt32Array::from(rows))?;
        let mut columns = all.columns().to_vec();
        columns.pop();
        columns.push(Arc::new(Int64Array::from(change)));
        let mut all = RecordBatch::try_new(Arc::clone(&self.spec.output), columns)?;
        if let Some(predicate) = self.spec.filter.as_ref().filter(|_| filter) {
            let keep = predicate.evaluate(&all)?.into_array(all.num_rows())?;
            all = filter_record_batch(&all, keep.as_boolean())?;
        }
        if all.num_rows() > 0 {
            self.rows.push(all);
        }
        Ok(())
    }
}
