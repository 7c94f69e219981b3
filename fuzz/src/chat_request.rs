//! Any bytes as the body of a chat completion request: refused in OpenAI's words, or a request.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crave_api::fuzz::chat_request(bytes));
