//! Any bytes as a GGUF file: a header that is refused, or tensors that lie within the file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crave_lora::fuzz::gguf(bytes));
