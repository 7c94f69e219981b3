use std::collections::BTreeMap;

use chrono::TimeZone as _;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::import::{ImportItem, Reason};

const WELLTORY_HRV: &str = include_str!("../../../maps/welltory-hrv.toml");
const WELLTORY_SLEEP: &str = include_str!("../../../maps/welltory-sleep.toml");
const WELLTORY_WEARABLES: &str = include_str!("../../../maps/welltory-wearables.toml");

const DIARY: &str = r##"
name = "diary"
delimiter = ";"
comment = "#"
decimal = ","
blank = ["NA"]
[time]
columns = ["day", "clock"]
formats = ["%d.%m.%Y %H:%M"]
zone = "Europe/Berlin"
zone_column = "tz"
[[event]]
kind = "craving"
when = ["what"]
unless = ["deleted"]
[event.fields]
craving = { column = "what", values = { "Süßes" = "sugar" } }
intensity = { column = "strength", type = "integer", scale = 0.1 }
resisted = { column = "gave_in", type = "bool", values = { ja = "false", nein = "true" } }
note = { column = "note" }
place = { const = "home" }
[[event]]
kind = "context"
when = ["tags"]
fields = { tags = { column = "tags", type = "tags", split = "+" } }
[[event]]
kind = "sleep"
when = ["rem_h"]
[[event.fields.stages.list]]
when = ["rem_h"]
fields = { stage = { const = "rem" }, duration_s = { column = "rem_h", type = "integer", scale = 3600 } }
[[event.fields.stages.list]]
when = ["deep_h"]
fields = { stage = { const = "deep" }, duration_s = { column = "deep_h", type = "integer", scale = 3600 } }
"##;
const HEADER: &str = "day;clock;tz;what;strength;gave_in;note;tags;deleted;rem_h;deep_h\n";

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 1, 12, 0, 0).unwrap()
}

fn user() -> UserId {
    UserId::new("u1").unwrap()
}

fn diary() -> CsvMap {
    CsvMap::parse(DIARY).unwrap()
}

fn read(rows: &str) -> Vec<ImportItem> {
    let text = format!("{HEADER}{rows}");
    items(text.as_bytes(), &diary(), Some(&user()), now()).unwrap().collect()
}

#[test]
fn a_row_becomes_its_events() {
    let items = read("24.12.2025;21:30;;Süßes;72;ja;\"after; dinner\";TV + stress+;;1,5;\n");
    let payloads: Vec<_> = items.iter().map(|i| i.what.as_ref().unwrap().payload.to_value()).collect();
    assert_eq!(
        payloads,
        [
            json!({"craving": "sugar", "intensity": 7, "resisted": false, "note": "after; dinner", "place": "home"}),
            json!({"tags": ["stress", "tv"]}),
            json!({"stages": [{"stage": "rem", "duration_s": 5400}]}),
        ]
    );
    let event = items[0].what.as_ref().unwrap();
    assert_eq!(event.event_time, Utc.with_ymd_and_hms(2025, 12, 24, 20, 30, 0).unwrap());
    assert_eq!((event.tz_offset_min, event.tz), (Some(60), Some(chrono_tz::Europe::Berlin)));
    assert!(items.iter().all(|i| (i.record, i.at) == (1, 2)), "one row, on line two");
}

#[test]
fn bad_rows_are_refused_by_reason_and_line_and_the_next_is_read() {
    let good = "24.12.2025;21:30;+02:00;Süßes;70;NA;;;;;\n";
    for (bad, label, field, reason) in [
        ("24.12.2025;21:30;;Süßes\n", "row", "", "wrong_columns"),
        ("x;24.12.2025;21:30;;Süßes;72;ja;note;;;;\n", "row", "", "wrong_columns"),
        // Shifted by one but as many columns: it shows where a cell does not fit its column.
        (";24.12.2025;21:30;;Süßes;72;ja;note;;;\n", "context", "tz", "bad_time"),
        ("24.12.2025;21:30;;Süßes;viel;ja;;;;;\n", "craving", "strength", "bad_number"),
        ("24.12.2025;21:30;;Süßes;7.2;ja;;;;;\n", "craving", "strength", "bad_number"),
        ("24.12.2025;21:30;;Süßes;inf;ja;;;;;\n", "craving", "strength", "bad_number"),
        ("24.12.2025;21:30;;Süßes;1e300;ja;;;;;\n", "craving", "strength", "bad_number"),
        ("24.12.2025;21:30;;Süßes;720;ja;;;;;\n", "craving", "payload.intensity", "invalid"),
        ("24.12.2025;21:30;;Süßes;NA;ja;;;;;\n", "craving", "payload.intensity", "missing"),
        ("24.12.2025;21:30;;Süßes;72;vielleicht;;;;;\n", "craving", "gave_in", "bad_value"),
        ("2025-12-24;21:30;;Süßes;72;ja;;;;;\n", "craving", "day", "bad_time"),
        ("24.12.2025;21:30;Mars/Olympus;Süßes;72;ja;;;;;\n", "craving", "tz", "bad_time"),
        (";;;Süßes;72;ja;;;;;\n", "craving", "day", "missing"),
        ("24.12.2035;21:30;;Süßes;72;ja;;;;;\n", "craving", "event_time", "future"),
        ("24.12.2025;21:30;;Süßes;72;ja;;;yes;;\n", "row", "", "nothing_to_import"),
    ] {
        let items = read(&format!("{bad}{good}# a comment\n"));
        let rejected = items[0].what.as_ref().expect_err(bad);
        let got = (items[0].label.as_ref(), rejected.field.as_str(), rejected.reason.as_str());
        assert_eq!(got, (label, field, reason), "{bad}: {rejected}");
        assert_eq!((items.len(), items[1].at), (2, 3), "{bad}");
        assert_eq!(items[1].what.as_ref().unwrap().tz_offset_min, Some(120), "{bad}");
    }
}

#[test]
fn bytes_that_are_not_utf8_cost_their_cell_only() {
    let mut text = HEADER.as_bytes().to_vec();
    text.extend(b"24.12.2025;21:30;;S\xfc\xdfes;72;ja;;tv;;;\n");
    let items: Vec<_> = items(text.as_slice(), &diary(), Some(&user()), now()).unwrap().collect();
    assert_eq!(items[0].what.as_ref().unwrap_err().reason, Reason::Encoding);
    assert!(items[1].what.is_ok());
}

#[test]
fn an_open_quote_is_bounded() {
    let text = format!("{HEADER}24.12.2025;\"{}", "a;b\n".repeat(3_000_000));
    let items: Vec<_> = items(text.as_bytes(), &diary(), Some(&user()), now()).unwrap().collect();
    let rejected = items.last().unwrap().what.as_ref().unwrap_err();
    assert_eq!((rejected.reason, rejected.last), (Reason::TooLarge, true));
}

#[test]
fn files_that_do_not_fit_the_map_are_told_at_once() {
    let error = |text: &str, user: Option<&UserId>| {
        items(text.as_bytes(), &diary(), user, now()).expect_err("taken").to_string()
    };
    assert!(error("", Some(&user())).contains("empty"));
    assert!(error("day,clock\n", Some(&user())).contains("is not in the header"));
    assert!(error(&HEADER.replace("note", "what"), Some(&user())).contains("stands twice"));
    assert!(error(HEADER, None).contains("whose rows"));
    let marked = format!("\u{feff}{HEADER}");
    assert!(items(marked.as_bytes(), &diary(), Some(&user()), now()).is_ok());
}

#[test]
fn wrong_maps_are_told_at_once() {
    for (from, to, expected) in [
        ("name = \"diary\"", "name = \" \"", "name must not be empty"),
        ("delimiter = \";\"", "delimiter = \"¦\"", "delimiter must be an ASCII character"),
        ("%d.%m.%Y", "%Q", "is not a time format"),
        ("[time]", "[clock]", "cannot be read"),
        ("zone = \"Europe/Berlin\"", "zone = \"Berlin\"", "cannot be read"),
        ("kind = \"context\"", "kind = \"retract\"", "corrections cannot be imported"),
        ("kind = \"context\"", "kind = \"weather\"", "cannot be read"),
        ("{ const = \"home\" }", "{ const = \"home\", column = \"x\" }", "one of column, const and list"),
        ("{ const = \"home\" }", "{}", "one of column, const and list"),
        ("scale = 0.1", "scale = nan", "scale must be finite"),
        ("type = \"tags\", split", "split", "split needs"),
        ("columns = [\"day\", \"clock\"]", "columns = []", "columns must not be empty"),
    ] {
        let error = CsvMap::parse(&DIARY.replace(from, to)).expect_err(to);
        assert!(error.to_string().contains(expected), "{to}: {error}");
    }
}

#[test]
fn the_shipped_maps_read_what_they_are_for() {
    let hrv = CsvMap::parse(WELLTORY_HRV).unwrap();
    let rows = "user_code,rr_code,measurement_datetime,bpm,sdnn,rmssd,tags\n\
        a1,r1,2020-04-21 21:23:08,75,45.802,54.174,COVID-19; Workout\n\
        a1,r1,2020-04-21 21:23:08,75,45.802,54.174,COVID-19; Workout\n\
        a2,r2,2020-04-21 21:23:08,75,45.802,,\n\
        ,r3,2020-04-21 21:23:08,75,45.802,,\n";
    let report = dry_run(items(rows.as_bytes(), &hrv, None, now()).unwrap());
    assert!(report.sums_up());
    assert_eq!((report.records, report.read, report.accepted, report.duplicate), (4, 11, 6, 4));
    assert_eq!(report.refused, BTreeMap::from([("bad_user".to_owned(), 1)]));

    let sleep = CsvMap::parse(WELLTORY_SLEEP).unwrap();
    let rows = "user_code,sleep_begin,sleep_duration,sleep_awake_duration,sleep_rem_duration,sleep_light_duration,sleep_deep_duration\n\
        a1,2020-01-04 01:27:25,26695.000,,,21480.000,\n\
        a1,2020-01-05 01:27:25,26695.000,60,,,\n";
    let stages: Vec<_> = items(rows.as_bytes(), &sleep, None, now())
        .unwrap()
        .map(|i| i.what.unwrap().payload.to_value()["stages"].clone())
        .collect();
    assert_eq!(stages[0], json!([{"stage": "core", "duration_s": 21480}]));
    assert_eq!(
        stages[1],
        json!([{"stage": "asleep", "duration_s": 26695}, {"stage": "awake", "duration_s": 60}])
    );

    let wearables = CsvMap::parse(WELLTORY_WEARABLES).unwrap();
    let rows = "user_code,day,resting_pulse,steps_count\na1,2020-04-26,,\na1,2020-04-27,61,8574\n";
    let report = dry_run(items(rows.as_bytes(), &wearables, None, now()).unwrap());
    assert_eq!((report.accepted, report.refused.get("nothing_to_import")), (2, Some(&1)));
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut text = HEADER.as_bytes().to_vec();
        text.extend(&bytes);
        prop_assert!(parse_bytes(&bytes, &diary(), &user(), now()).sums_up());
        prop_assert!(parse_bytes(&text, &diary(), &user(), now()).sums_up());
    }

    #[test]
    fn any_map_gets_an_answer(text in ".{0,200}", at in 0usize..2_000, byte in any::<char>()) {
        let _ = CsvMap::parse(&text);
        let mut map: Vec<char> = DIARY.chars().collect();
        let at = at % map.len();
        map[at] = byte;
        let _ = CsvMap::parse(&map.into_iter().collect::<String>());
    }
}
