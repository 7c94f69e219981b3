//! Any table under a map, and any map: a report that sums up, or a map that is refused.
#![no_main]

use crave_connect::import::csv_map::{CsvMap, parse_bytes};
use crave_schemas::UserId;
use libfuzzer_sys::fuzz_target;

const MAP: &str = include_str!("../../pipelines/connect/maps/welltory-hrv.toml");

fuzz_target!(|bytes: &[u8]| {
    let now = chrono::DateTime::from_timestamp(1_780_000_000, 0).expect("a valid instant");
    let user = UserId::new("u1").expect("a valid id");
    let map = CsvMap::parse(MAP).expect("our own map is valid");
    assert!(parse_bytes(bytes, &map, &user, now).sums_up());
    if let Some(map) = std::str::from_utf8(bytes).ok().and_then(|text| CsvMap::parse(text).ok()) {
        assert!(parse_bytes(bytes, &map, &user, now).sums_up());
    }
});
