//! Any bytes as any kind of document: text or a reason, and passages that lie within it.
#![no_main]

use crave_recall::document::{Format, extract, passages};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    // PDFs are read in a process of their own, by a library: what it does with bad ones is not ours.
    let format = if first % 2 == 0 { Format::Text } else { Format::ChatJson };
    if let Ok(text) = extract(format, rest) {
        for passage in passages(&text) {
            assert!(text.get(passage.bytes).is_some_and(|words| !words.trim().is_empty()));
        }
    }
});
