//! Any bytes: an answer; and what is accepted survives its own canonical form.
#![no_main]

use crave_schemas::{Event, UserId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let now = chrono::DateTime::from_timestamp(1_780_000_000, 0).expect("a valid instant");
    let user = UserId::new("u1").expect("a valid id");
    if let Ok(event) = Event::parse(bytes, Some(&user), now) {
        let again = Event::parse(event.to_json().as_bytes(), None, now).expect("the canonical form is valid");
        assert_eq!(again.body_hash(), event.body_hash());
    }
});
