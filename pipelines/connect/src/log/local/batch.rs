//! The stored form of a batch of records, and its key.

use super::super::{Offset, Record};

/// `(partition, first offset)`, big-endian, so that the store's order is the log's.
pub(super) fn key(partition: u32, first: Offset) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&partition.to_be_bytes());
    key[4..].copy_from_slice(&first.to_be_bytes());
    key
}

/// The first offset in a key.
pub(super) fn offset_of(key: &[u8]) -> Option<Offset> {
    key.get(4..12)?.try_into().ok().map(u64::from_be_bytes)
}

/// `count`, then for each record key and value, each behind its length; all lengths little-endian u32.
pub(super) fn encode<'a>(records: impl ExactSizeIterator<Item = &'a Record>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + records.len() * 400);
    put(&mut out, records.len());
    for record in records {
        put(&mut out, record.key.len());
        out.extend_from_slice(record.key.as_bytes());
        put(&mut out, record.value.len());
        out.extend_from_slice(&record.value);
    }
    out
}

fn put(out: &mut Vec<u8>, length: usize) {
    // A batch is bounded by the writer's queue, far below 4 GiB.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

/// `None` when the bytes are not a whole batch.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Vec<Record>> {
    let count = take_length(&mut bytes)?;
    let mut records = Vec::with_capacity(count.min(65_536));
    for _ in 0..count {
        let key = String::from_utf8(take(&mut bytes)?.to_vec()).ok()?;
        let value = take(&mut bytes)?.to_vec();
        records.push(Record { key, value });
    }
    bytes.is_empty().then_some(records)
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    usize::try_from(u32::from_le_bytes(*head)).ok()
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_length(bytes)?;
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn batches_survive_the_store(pairs in proptest::collection::vec((".{0,9}", proptest::collection::vec(any::<u8>(), 0..50)), 0..9)) {
            let records: Vec<_> = pairs.into_iter().map(|(key, value)| Record { key, value }).collect();
            prop_assert_eq!(decode(&encode(records.iter())), Some(records));
        }

        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
