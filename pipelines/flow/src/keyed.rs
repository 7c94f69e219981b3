//! Rows of state by key: found by key, replaced, dropped, and written to a checkpoint as batches.
//!
//! Rows lie in immutable parts; a *slot* is the stable number of a row while parts are merged under it. Nothing is
//! allocated a row: look-ups hash whole columns and compare Arrow's row format.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::hash_utils::{RandomState, create_hashes};

use arrow::row::{RowConverter, Rows, SortField};

use crate::Result;

/// No slot, or no row.
const NONE: u32 = u32::MAX;
/// A part with fewer rows than this is not worth rewriting for its dead ones.
const PART_ROWS_MIN: usize = 1024;

/// The keys of some rows, ready to be looked up.
pub(crate) struct Keys {
    rows: Option<Rows>,
    hashes: Vec<u64>,
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u64,
    /// The next slot of the same hash.
    next: u32,
    /// Where the row lies; `NONE` when the slot is free.
    part: u32,
    row: u32,
}

struct Part {
    rows: RecordBatch,
    keys: Option<Rows>,
    /// Slot of each row; `NONE` for a dropped one.
    slots: Vec<u32>,
    dead: usize,
}

/// See the head of the module.
pub(crate) struct Keyed {
    schema: SchemaRef,
    /// The key columns.
    columns: std::ops::Range<usize>,
    converter: Option<RowConverter>,
    heads: HashMap<u64, u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    parts: Vec<Part>,
    live: usize,
}

impl Keyed {
    /// No rows yet; `columns` of `schema` are the key (none: all rows share it).
    pub(crate) fn new(schema: SchemaRef, columns: std::ops::Range<usize>) -> Result<Self> {
        let fields = schema.fields()[columns.clone()].iter().map(|f| SortField::new(f.data_type().clone()));
        let converter = if columns.is_empty() { None } else { Some(RowConverter::new(fields.collect())?) };
        Ok(Self {
            schema,
            columns,
            converter,
            heads: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            parts: Vec::new(),
            live: 0,
        })
    }

    /// Rows held.
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    /// One more than the largest slot ever given out.
    pub(crate) const fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Hashes and encodes keys (columns as in the schema) of `rows` rows.
    pub(crate) fn keys(&self, keys: &[ArrayRef], rows: usize) -> Result<Keys> {
        let mut hashes = vec![0; rows];
        let Some(converter) = &self.converter else { return Ok(Keys { rows: None, hashes }) };
        create_hashes(keys, &RandomState::with_seed(1), &mut hashes)?;
        Ok(Keys { rows: Some(converter.convert_columns(keys)?), hashes })
    }

    /// The slots whose key equals that of row `row` of `keys`, the newest first.
    pub(crate) fn find<'a>(&'a self, keys: &'a Keys, row: usize) -> impl Iterator<Item = u32> + 'a {
        let hash = keys.hashes[row];
        let mut at = self.heads.get(&hash).copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            while at != NONE {
                let found = at;
                let slot = &self.slots[found as usize];
                at = slot.next;
                let part = &self.parts[slot.part as usize];
                let equal = match (&part.keys, &keys.rows) {
                    (Some(mine), Some(theirs)) => mine.row(slot.row as usize) == theirs.row(row),
                    _ => true,
                };
                if equal {
                    return Some(found);
                }
            }
            None
        })
    }

    /// Adds rows and gives their slots, in order.
    pub(crate) fn insert(&mut self, rows: RecordBatch) -> Result<Vec<u32>> {
        let count = rows.num_rows();
        if count == 0 {
            return Ok(Vec::new());
        }
        let Keys { rows: keys, hashes } = self.keys(&rows.columns()[self.columns.clone()], count)?;
        let part = u32::try_from(self.parts.len()).unwrap_or(NONE);
        let mut slots = Vec::with_capacity(count);
        for (row, hash) in (0_u32..).zip(hashes) {
            let next = self.heads.get(&hash).copied().unwrap_or(NONE);
            let slot = Slot { hash, next, part, row };
            let number = match self.free.pop() {
                Some(number) => {
                    self.slots[number as usize] = slot;
                    number
                }
                None => {
                    self.slots.push(slot);
                    u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
                }
            };
            self.heads.insert(hash, number);
            slots.push(number);
        }
        self.live += count;
        self.parts.push(Part { rows, keys, slots: slots.clone(), dead: 0 });
        self.merge()?;
        Ok(slots)
    }

    /// Drops rows.
    pub(crate) fn remove(&mut self, slots: impl IntoIterator<Item = u32>) -> Result<()> {
        let mut sparse = false;
        for number in slots {
            let slot = self.slots[number as usize];
            if slot.part == NONE {
                continue;
            }
            self.unlink(number, slot);
            let part = &mut self.parts[slot.part as usize];
            part.slots[slot.row as usize] = NONE;
            part.dead += 1;
            sparse |= part.slots.len() > PART_ROWS_MIN && part.dead * 2 > part.slots.len();
            self.slots[number as usize].part = NONE;
            self.free.push(number);
            self.live -= 1;
        }
        if self.live == 0 {
            self.parts.clear();
            self.slots.clear();
            self.free.clear();
            self.heads.clear();
        } else if sparse {
            for at in 0..self.parts.len() {
                if self.parts[at].dead * 2 > self.parts[at].slots.len() {
                    self.rewrite(at, 1)?;
                }
            }
        }
        Ok(())
    }

    fn unlink(&mut self, number: u32, slot: Slot) {
        let Some(head) = self.heads.get_mut(&slot.hash) else { return };
        if *head == number {
            if slot.next == NONE {
                self.heads.remove(&slot.hash);
            } else {
                *head = slot.next;
            }
            return;
        }
        let mut at = *head;
        while at != NONE {
            let next = self.slots[at as usize].next;
            if next == number {
                self.slots[at as usize].next = slot.next;
                return;
            }
            at = next;
        }
    }

    /// The rows of these slots, in their order.
    pub(crate) fn gather(&self, slots: &[u32]) -> Result<RecordBatch> {
        let places = slots.iter().map(|&s| self.slots[s as usize]).map(|s| (s.part as usize, s.row as usize));
        self.take(&places.collect::<Vec<_>>())
    }

    fn take(&self, places: &[(usize, usize)]) -> Result<RecordBatch> {
        if places.is_empty() {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let parts = self.parts.iter().map(|p| &p.rows).collect::<Vec<_>>();
        Ok(interleave_record_batch(&parts, places)?)
    }

    /// One value of a row that is held, not NULL.
    pub(crate) fn value<T: ArrowPrimitiveType>(&self, slot: u32, column: usize) -> T::Native {
        let slot = &self.slots[slot as usize];
        self.parts[slot.part as usize].rows.column(column).as_primitive::<T>().value(slot.row as usize)
    }

    /// Whether a slot holds a row.
    pub(crate) fn holds(&self, slot: u32) -> bool {
        self.slots.get(slot as usize).is_some_and(|s| s.part != NONE)
    }

    /// Every row held, by part.
    pub(crate) fn all(&self) -> Result<Vec<RecordBatch>> {
        let mut all = Vec::with_capacity(self.parts.len());
        for (at, part) in self.parts.iter().enumerate() {
            if part.dead == 0 {
                all.push(part.rows.clone());
                continue;
            }
            let kept = (0..part.slots.len()).filter(|&row| part.slots[row] != NONE).map(|row| (at, row));
            let kept = self.take(&kept.collect::<Vec<_>>())?;
            if kept.num_rows() > 0 {
                all.push(kept);
            }
        }
        Ok(all)
    }

    /// Merges the youngest parts as long as the next older one is not much larger: a row moves about log(n) times.
    fn merge(&mut self) -> Result<()> {
        let mut from = self.parts.len() - 1;
        let mut rows = self.parts[from].slots.len();
        while from > 0 && self.parts[from - 1].slots.len() <= 2 * rows {
            from -= 1;
            rows += self.parts[from].slots.len();
        }
        // A few small ones may stay, so that the youngest is not copied at every insert.
        if self.parts.len() - from > 4 { self.rewrite(from, self.parts.len() - from) } else { Ok(()) }
    }

    /// Puts the rows held of `count` parts into one, in their place; they are the last ones, or one.
    fn rewrite(&mut self, from: usize, count: usize) -> Result<()> {
        let mut places = Vec::new();
        let mut slots = Vec::new();
        for at in from..from + count {
            let held = self.parts[at].slots.iter().enumerate().filter(|(_, slot)| **slot != NONE);
            for (row, &slot) in held {
                places.push((at, row));
                slots.push(slot);
            }
        }
        let rows = self.take(&places)?;
        let keys = match &self.converter {
            Some(converter) => Some(converter.convert_columns(&rows.columns()[self.columns.clone()])?),
            None => None,
        };
        for (row, &slot) in (0_u32..).zip(&slots) {
            let slot = &mut self.slots[slot as usize];
            slot.part = u32::try_from(from).unwrap_or(NONE);
            slot.row = row;
        }
        self.parts.truncate(if count > 1 { from } else { self.parts.len() });
        let part = Part { rows, keys, slots, dead: 0 };
        if from < self.parts.len() {
            self.parts[from] = part;
        } else {
            self.parts.push(part);
        }
        Ok(())
    }
}

/// Whether any of the key columns is NULL, by row.
pub(crate) fn any_null(keys: &[ArrayRef], row: usize) -> bool {
    keys.iter().any(|k| k.is_null(row))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use proptest::prelude::*;

    use super::*;

    fn batch(rows: &[(Option<u8>, i64)]) -> RecordBatch {
        let keys = rows.iter().map(|r| r.0.map(|k| format!("k{k}"))).collect::<StringArray>();
        let values = rows.iter().map(|r| Some(r.1)).collect::<Int64Array>();
        let fields = vec![Field::new("k", DataType::Utf8, true), Field::new("v", DataType::Int64, true)];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(keys), Arc::new(values)]).unwrap()
    }

    proptest! {
        #[test]
        fn finds_what_a_map_would(
            steps in proptest::collection::vec((proptest::collection::vec((proptest::option::of(0u8..6), 0i64..100), 0..40), any::<bool>()), 1..30)
        ) {
            let mut keyed = Keyed::new(batch(&[]).schema(), 0..1).unwrap();
            let mut model: BTreeMap<Option<u8>, Vec<i64>> = BTreeMap::new();
            for (rows, replace) in steps {
                let new = batch(&rows);
                if replace {
                    // As an upsert does: the old rows of these keys go.
                    let keys = keyed.keys(&new.columns()[..1], new.num_rows()).unwrap();
                    let old = (0..rows.len()).flat_map(|i| keyed.find(&keys, i).collect::<Vec<_>>()).collect::<Vec<_>>();
                    keyed.remove(old).unwrap();
                    rows.iter().for_each(|r| { model.remove(&r.0); });
                }
                keyed.insert(new).unwrap();
                rows.iter().for_each(|r| model.entry(r.0).or_default().push(r.1));
                prop_assert_eq!(keyed.len(), model.values().map(Vec::len).sum::<usize>());
                let wanted = [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(9)];
                let keys = keyed.keys(&batch(&wanted.map(|k| (k, 0))).columns()[..1], wanted.len()).unwrap();
                for (i, key) in wanted.iter().enumerate() {
                    let slots = keyed.find(&keys, i).collect::<Vec<_>>();
                    prop_assert!(slots.iter().all(|s| keyed.holds(*s)));
                    let found = keyed.gather(&slots).unwrap();
                    let mut found = found.column(1).as_primitive::<Int64Type>().values().to_vec();
                    found.reverse();
                    let mut expected = model.get(key).cloned().unwrap_or_default();
                    found.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(found, expected);
                }
                let held: usize = keyed.all().unwrap().iter().map(RecordBatch::num_rows).sum();
                prop_assert_eq!(held, keyed.len());
            }
        }
    }
}
