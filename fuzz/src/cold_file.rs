//! Any bytes as a file of cold memories, also with its checksums put right: told to be damaged, or its person's memories.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crave_recall::fuzz::cold_file(bytes));
