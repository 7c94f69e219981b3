//! Any bytes: a report that sums up.
#![no_main]

use crave_connect::import::health_auto_export;
use crave_schemas::UserId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let now = chrono::DateTime::from_timestamp(1_780_000_000, 0).expect("a valid instant");
    let user = UserId::new("u1").expect("a valid id");
    assert!(health_auto_export::parse_bytes(bytes, &user, now).sums_up());
});
