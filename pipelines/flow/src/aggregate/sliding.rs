//! Puts hopping windows together at a cost that hardly grows with width / slide.
//!
//! Two stacks (Tangwongsan, Hirzel, Schneider: "Low-latency sliding-window aggregation in worst-case constant
//! time", DEBS 2017, section 2): in front of an instant, the *flip*, lie merged states of ever fewer panes up to it,
//! made once; behind it one merged state that grows pane by pane. A window is one of the former and the latter. To
//! save memory only each √n-th of the former is kept; the panes before it are merged one by one.
//!
//! All of it is derived from the panes: nothing here is part of a checkpoint.

use arrow::array::RecordBatch;

use super::AggregateSpec;
use super::groups::Groups;
use super::panes::windowed;
use crate::Result;

/// Frozen parts of the panes of a window: start of the pane, parts; in order of time.
pub(super) type PaneParts<'a> = [(i64, &'a [RecordBatch])];

/// Merged states that neighbouring windows share.
#[derive(Default)]
pub(super) struct Sliding {
    /// All panes from `.0` to the flip, merged; the earliest start last.
    front: Vec<(i64, RecordBatch)>,
    flip: i64,
    /// All panes from the flip to `back_to`, merged.
    back: Option<RecordBatch>,
    back_to: i64,
}

impl Sliding {
    /// Forgets everything, as a pane that was merged has changed.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The groups of the window from `start` to `end`, whose panes are `panes`. Windows come in order of time.
    pub(super) fn window(
        &mut self,
        spec: &AggregateSpec,
        (start, end): (i64, i64),
        panes: &PaneParts<'_>,
    ) -> Result<Groups> {
        if self.flip <= start || self.back_to > end {
            self.turn(spec, end, panes)?;
        } else if self.back_to < end {
            self.grow(spec, end, panes)?;
        }
        while self.front.last().is_some_and(|(from, _)| *from < start) {
            self.front.pop();
        }
        let merged_from = self.front.last().map_or(self.flip, |(from, _)| *from);
        let mut groups = Groups::new(spec)?;
        for (_, parts) in panes.iter().take_while(|(from, _)| *from < merged_from) {
            merge(&mut groups, spec, parts)?;
        }
        for state in self.front.last().map(|(_, state)| state).into_iter().chain(&self.back) {
            groups.merge(spec, state)?;
        }
        Ok(groups)
    }

    /// Makes `end` the flip.
    fn turn(&mut self, spec: &AggregateSpec, end: i64, panes: &PaneParts<'_>) -> Result<()> {
        self.clear();
        (self.flip, self.back_to) = (end, end);
        // The window at hand is not asked for again: its first pane is in no later one.
        let later = panes.get(1..).unwrap_or_default();
        let share = later.len().isqrt().max(1);
        for panes in later.rchunks(share) {
            let mut groups = Groups::new(spec)?;
            if let Some((_, state)) = self.front.last() {
                groups.merge(spec, state)?;
            }
            for (_, parts) in panes {
                merge(&mut groups, spec, parts)?;
            }
            if let Some((from, _)) = panes.first() {
                self.front.push((*from, state(spec, groups)?));
            }
        }
        Ok(())
    }

    /// Merges the panes up to `end` into the back.
    fn grow(&mut self, spec: &AggregateSpec, end: i64, panes: &PaneParts<'_>) -> Result<()> {
        let mut groups = Groups::new(spec)?;
        if let Some(back) = &self.back {
            groups.merge(spec, back)?;
        }
        for (_, parts) in panes.iter().filter(|(from, _)| *from >= self.back_to) {
            merge(&mut groups, spec, parts)?;
        }
        self.back = if groups.len() > 0 { Some(state(spec, groups)?) } else { None };
        self.back_to = end;
        Ok(())
    }
}

fn merge(groups: &mut Groups, spec: &AggregateSpec, parts: &[RecordBatch]) -> Result<()> {
    parts.iter().try_for_each(|part| groups.merge(spec, part))
}

/// Groups as a batch in the state schema; its bounds are of no window.
fn state(spec: &AggregateSpec, groups: Groups) -> Result<RecordBatch> {
    let rows = groups.len();
    windowed(&spec.state_schema, (0, 0), &groups.into_state()?, rows)
}
