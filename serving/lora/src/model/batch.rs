//! Rows of different requests, laid out for one pass: sorted by adapter slot, so that each adapter's tokens lie together.

use crate::{Error, Result};

/// The next tokens of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which of the batch's adapters it takes; `None` (slot −1) is the base.
    pub slot: Option<usize>,
    /// Position of the first of `tokens` in its context.
    pub position: usize,
    /// One token in decode, a chunk of the prompt in prefill; not empty.
    pub tokens: Vec<u32>,
    /// Cache blocks of the row, in the order of positions: enough for all positions so far and for `tokens`.
    pub blocks: Vec<u32>,
    /// Whether the logits after the last token are wanted.
    pub logits: bool,
}

/// Tokens `start .. start + len` of the flat batch, which take adapter `slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) slot: usize,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// A run of tokens whose keys and values go to neighbouring slots of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) start: usize,
    pub(crate) len: usize,
    pub(crate) cache_slot: usize,
}

/// Row numbers sorted by slot (base first, equal slots in their order), and the tokens of each adapter.
pub(crate) fn arrange(rows: &[Row]) -> (Vec<usize>, Vec<Segment>) {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|at| rows[*at].slot);
    let mut segments: Vec<Segment> = Vec::new();
    let mut start = 0;
    for row in order.iter().map(|at| &rows[*at]) {
        let len = row.tokens.len();
        match (row.slot, segments.last_mut()) {
            (Some(slot), Some(last)) if last.slot == slot => last.len += len,
            (Some(slot), _) => segments.push(Segment { slot, start, len }),
            (None, _) => {}
        }
        start += len;
    }
    (order, segments)
}

/// Where the keys of `row` go, whose tokens begin at `start` of the flat batch.
pub(crate) fn writes(row: &Row, start: usize, block_tokens: usize) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut done = 0;
    while done < row.tokens.len() {
        let position = row.position + done;
        let within = position % block_tokens;
        let len = (block_tokens - within).min(row.tokens.len() - done);
        let cache_slot = row.blocks[position / block_tokens] as usize * block_tokens + within;
        writes.push(Write { start: start + done, len, cache_slot });
        done += len;
    }
    writes
}

/// What a pass relies on.
pub(crate) struct Bounds {
    pub(crate) vocab: usize,
    pub(crate) positions: usize,
    pub(crate) blocks: usize,
    pub(crate) block_tokens: usize,
    pub(crate) adapters: usize,
}

/// Refuses rows that would read or write where they must not.
pub(crate) fn check(rows: &[Row], bounds: &Bounds) -> Result<()> {
    let wrong = |why: String| Err(Error::invalid("row", why));
    for row in rows {
        let end = row.position + row.tokens.len();
        if row.tokens.is_empty() {
            return wrong("has no tokens".to_owned());
        }
        if let Some(token) = row.tokens.iter().find(|token| **token as usize >= bounds.vocab) {
            return wrong(format!("has token {token}; the vocabulary has {}", bounds.vocab));
        }
        if end > bounds.positions {
            return wrong(format!("ends at position {end}; the context has {}", bounds.positions));
        }
        if row.blocks.len() * bounds.block_tokens < end {
            return wrong(format!("ends at position {end} but has {} cache blocks", row.blocks.len()));
        }
        if let Some(block) = row.blocks.iter().find(|block| **block as usize >= bounds.blocks) {
            return wrong(format!("names cache block {block} of {}", bounds.blocks));
        }
        if let Some(slot) = row.slot.filter(|slot| *slot >= bounds.adapters) {
            return wrong(format!("names adapter {slot} of {}", bounds.adapters));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(slot: Option<usize>, position: usize, tokens: usize) -> Row {
        Row { slot, position, tokens: vec![0; tokens], blocks: vec![7, 3, 5], logits: true }
    }

    #[test]
    fn rows_are_sorted_by_slot_and_the_base_is_in_no_segment() {
        let rows =
            [row(Some(1), 0, 3), row(None, 0, 2), row(Some(0), 0, 1), row(Some(1), 0, 4), row(None, 0, 1)];
        let (order, segments) = arrange(&rows);
        assert_eq!(order, [1, 4, 2, 0, 3]);
        assert_eq!(segments, [Segment { slot: 0, start: 3, len: 1 }, Segment { slot: 1, start: 4, len: 7 }]);
        assert_eq!(arrange(&[]), (vec![], vec![]));
    }

    #[test]
    fn a_chunk_is_written_block_by_block() {
        let write = |start, len, cache_slot| Write { start, len, cache_slot };
        assert_eq!(writes(&row(None, 3, 6), 10, 4), [write(10, 1, 31), write(11, 4, 12), write(15, 1, 20)]);
        assert_eq!(writes(&row(None, 4, 1), 0, 4), [write(0, 1, 12)]);
    }

    #[test]
    fn rows_out_of_bounds_are_refused() {
        let bounds = Bounds { vocab: 10, positions: 12, blocks: 8, block_tokens: 4, adapters: 1 };
        let good = row(Some(0), 3, 6);
        assert!(check(std::slice::from_ref(&good), &bounds).is_ok());
        for bad in [
            row(None, 0, 0),
            row(None, 8, 5),
            row(Some(1), 0, 1),
            Row { tokens: vec![10], ..good.clone() },
            Row { blocks: vec![8, 0, 1], ..good.clone() },
            Row { blocks: vec![0, 1], ..good },
        ] {
            assert!(check(std::slice::from_ref(&bad), &bounds).is_err(), "{bad:?}");
        }
    }
}
