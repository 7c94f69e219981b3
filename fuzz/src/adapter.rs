//! Any bytes as the two files of an adapter, the first two saying where one ends: refused, or changes that fit the base.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, files)) = bytes.split_first_chunk() else { return };
    let length = usize::from(u16::from_le_bytes(*length)).min(files.len());
    let (config, weights) = files.split_at(length);
    crave_lora::fuzz::adapter(config, weights);
});
