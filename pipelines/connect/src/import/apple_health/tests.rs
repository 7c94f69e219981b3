use std::io::{Cursor, Write as _};

use chrono::TimeZone as _;
use crave_schemas::{Event, Kind};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::import::{ImportItem, Reason};

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 1, 12, 0, 0).unwrap()
}

fn user() -> UserId {
    UserId::new("u1").unwrap()
}

fn read(xml: &str) -> Vec<ImportItem> {
    items(xml.as_bytes(), &user(), now()).collect()
}

fn whole(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<HealthData locale=\"en_GB\">\n{body}\n</HealthData>\n"
    )
}

/// The events of an export none of whose records is refused.
fn events(body: &str) -> Vec<Event> {
    read(&whole(body))
        .into_iter()
        .map(|item| item.what.unwrap_or_else(|r| panic!("{}: {r}", item.label)))
        .collect()
}

const STEPS: &str = r#"<Record type="HKQuantityTypeIdentifierStepCount" sourceName="Phone" unit="count" startDate="2024-01-01 10:00:00 +0100" endDate="2024-01-01 10:05:00 +0100" value="42"/>"#;

fn record(kind: &str, unit: &str, value: &str) -> String {
    format!(
        r#"<Record type="{kind}" sourceName="Ana's Watch" sourceVersion="9.1" device="&lt;&lt;HKDevice: 0x1&gt;&gt;" unit="{unit}" creationDate="2024-01-01 11:00:00 +0100" startDate="2024-01-01 10:00:00 +0100" endDate="2024-01-01 10:30:00 +0100" value="{value}"/>"#
    )
}

#[test]
fn records_become_events() {
    for (kind, unit, value, event_kind, payload) in [
        (
            "HKQuantityTypeIdentifierHeartRateVariabilitySDNN",
            "ms",
            "41.5",
            Kind::HrvSdnnMs,
            json!({"value": 41.5}),
        ),
        (
            "HKQuantityTypeIdentifierHeartRateVariabilitySDNN",
            "s",
            "0.0415",
            Kind::HrvSdnnMs,
            json!({"value": 41.5}),
        ),
        (
            "HKQuantityTypeIdentifierHeartRateVariabilityRMSSD",
            "ms",
            "30",
            Kind::HrvRmssdMs,
            json!({"value": 30.0}),
        ),
        ("HKQuantityTypeIdentifierHeartRate", "count/min", "61", Kind::HeartRateBpm, json!({"value": 61.0})),
        (
            "HKQuantityTypeIdentifierRestingHeartRate",
            "count/s",
            "1",
            Kind::RestingHeartRateBpm,
            json!({"value": 60.0}),
        ),
        (
            "HKQuantityTypeIdentifierStepCount",
            "count",
            "329",
            Kind::Steps,
            json!({"value": 329.0, "duration_s": 1800}),
        ),
        (
            "HKQuantityTypeIdentifierDistanceWalkingRunning",
            "km",
            "0.00288",
            Kind::DistanceM,
            json!({"value": 2.88, "duration_s": 1800}),
        ),
        (
            "HKQuantityTypeIdentifierDistanceWalkingRunning",
            "mi",
            "1",
            Kind::DistanceM,
            json!({"value": 1609.344, "duration_s": 1800}),
        ),
        (
            "HKCategoryTypeIdentifierSleepAnalysis",
            "",
            "HKCategoryValueSleepAnalysisInBed",
            Kind::Sleep,
            json!({"stages": [{"stage": "in_bed", "duration_s": 1800}]}),
        ),
        (
            "HKCategoryTypeIdentifierSleepAnalysis",
            "",
            "HKCategoryValueSleepAnalysisAsleep",
            Kind::Sleep,
            json!({"stages": [{"stage": "asleep", "duration_s": 1800}]}),
        ),
        (
            "HKCategoryTypeIdentifierSleepAnalysis",
            "",
            "HKCategoryValueSleepAnalysisAsleepUnspecified",
            Kind::Sleep,
            json!({"stages": [{"stage": "asleep", "duration_s": 1800}]}),
        ),
        (
            "HKCategoryTypeIdentifierSleepAnalysis",
            "",
            "HKCategoryValueSleepAnalysisAsleepREM",
            Kind::Sleep,
            json!({"stages": [{"stage": "rem", "duration_s": 1800}]}),
        ),
        (
            "HKCategoryTypeIdentifierSleepAnalysis",
            "",
            "2",
            Kind::Sleep,
            json!({"stages": [{"stage": "awake", "duration_s": 1800}]}),
        ),
        (
            "HKCategoryTypeIdentifierMindfulSession",
            "",
            "HKCategoryValueNotApplicable",
            Kind::Mindful,
            json!({"duration_s": 1800}),
        ),
    ] {
        let event = events(&record(kind, unit, value)).remove(0);
        assert_eq!((event.kind, event.payload.to_value()), (event_kind, payload), "{kind} {unit}");
        assert_eq!(event.event_time, Utc.with_ymd_and_hms(2024, 1, 1, 9, 0, 0).unwrap());
        assert_eq!(event.tz_offset_min, Some(60));
        assert_eq!(event.device_id.unwrap().as_str(), "ana-s-watch");
        assert_eq!(event.app_version.as_deref(), Some("9.1"));
    }
}

#[test]
fn bad_records_are_refused_by_reason_and_the_next_is_read() {
    let record = |attributes: &str| {
        format!(r#"<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="W" {attributes}/>"#)
    };
    let time = r#"startDate="2024-01-01 10:00:00 +0100" endDate="2024-01-01 10:00:00 +0100""#;
    for (bad, field, reason) in [
        (record(&format!(r#"{time} unit="count/min""#)), "value", "missing"),
        (record(&format!(r#"{time} unit="count/min" value="6O""#)), "value", "bad_number"),
        (record(&format!(r#"{time} unit="count/min" value="NaN""#)), "value", "bad_number"),
        (record(&format!(r#"{time} unit="count/min" value="7""#)), "payload.value", "invalid"),
        (record(&format!(r#"{time} unit="furlong" value="60""#)), "unit", "bad_unit"),
        (record(r#"unit="count/min" value="60""#), "startDate", "missing"),
        (record(r#"startDate="soon" unit="count/min" value="60""#), "startDate", "bad_time"),
        (record(r#"startDate="2024-01-01 10:00:00" unit="count/min" value="60""#), "startDate", "bad_time"),
        (
            record(r#"startDate="2034-01-01 10:00:00 +0100" unit="count/min" value="60""#),
            "event_time",
            "future",
        ),
        (
            record(r#"startDate="1969-12-31 10:00:00 +0100" unit="count/min" value="60""#),
            "event_time",
            "invalid",
        ),
        (
            record(r#"startDate="2024-01-01 10:00:00 +1700" unit="count/min" value="60""#),
            "tz_offset_min",
            "invalid",
        ),
        (record(&format!(r#"{time} unit="count/min" value="&bomb;""#)), "value", "malformed"),
        (STEPS.replace("10:05:00", "09:05:00"), "endDate", "bad_time"),
        (STEPS.replace("Phone", "<Phone>"), "", "malformed"),
        (STEPS.replace("StepCount", "BodyMass"), "type", "unsupported_type"),
        (STEPS.replace("type=", "kind="), "type", "missing"),
        (self::record("HKCategoryTypeIdentifierSleepAnalysis", "", "Snoozing"), "value", "bad_value"),
        ("<ClinicalRecord type=\"Immunization\"/>".into(), "ClinicalRecord", "unsupported_type"),
        ("<ActivitySummary dateComponents=\"yesterday\"/>".into(), "dateComponents", "bad_time"),
        ("<ActivitySummary activeEnergyBurned=\"1\"/>".into(), "dateComponents", "missing"),
    ] {
        let items = read(&whole(&format!("{bad}\n{STEPS}")));
        let rejected = items[0].what.as_ref().expect_err(&bad);
        assert_eq!((rejected.field.as_str(), rejected.reason.as_str()), (field, reason), "{bad}: {rejected}");
        assert!(!rejected.last);
        assert_eq!(items.iter().filter(|i| i.what.is_ok()).count(), 1, "{bad}");
    }
}

#[test]
fn workouts_tell_totals_as_attributes_or_as_children() {
    let open = r#"<Workout workoutActivityType="HKWorkoutActivityTypeTraditionalStrengthTraining" duration="31.73680251737436" durationUnit="min" sourceName="W" startDate="2016-04-02 10:40:38 +0100" endDate="2016-04-02 11:12:22 +0100""#;
    let old = format!(
        r#"{open} totalDistance="2" totalDistanceUnit="km" totalEnergyBurned="139.5" totalEnergyBurnedUnit="Cal"/>"#
    );
    let new = format!(
        r#"{open}>
        <MetadataEntry key="HKTimeZone" value="Asia/Tokyo"/>
        <WorkoutEvent type="HKWorkoutEventTypeSegment" date="2016-04-02 10:40:38 +0100"/>
        <WorkoutActivity uuid="1"><WorkoutStatistics type="HKQuantityTypeIdentifierActiveEnergyBurned" sum="9999" unit="kcal"/></WorkoutActivity>
        <WorkoutStatistics type="HKQuantityTypeIdentifierActiveEnergyBurned" sum="139.5" unit="kcal"/>
        <WorkoutStatistics type="HKQuantityTypeIdentifierDistanceWalkingRunning" sum="2" unit="km"/>
        <WorkoutStatistics type="HKQuantityTypeIdentifierHeartRate" average="120" unit="count/min"/>
        <WorkoutRoute><FileReference path="/workout-routes/route.gpx"/></WorkoutRoute>
        </Workout>"#
    );
    let (old, new) = (events(&old).remove(0), events(&new).remove(0));
    let expected = json!({"activity": "traditional strength training", "duration_s": 1904, "distance_m": 2000.0, "energy_kcal": 139.5});
    assert_eq!(old.payload.to_value(), expected);
    assert_eq!(new.payload.to_value(), expected);
    assert_eq!(old.event_id, new.event_id, "one workout, exported by two versions of iOS");
    assert_eq!((old.tz_offset_min, old.tz), (Some(60), None));
    assert_eq!((new.tz_offset_min, new.tz), (Some(540), Some(chrono_tz::Asia::Tokyo)));
}

#[test]
fn summaries_keep_their_day() {
    let event = events(r#"<ActivitySummary dateComponents="2016-04-14" activeEnergyBurned="700.698" activeEnergyBurnedGoal="680" activeEnergyBurnedUnit="kcal" appleExerciseTime="89" appleExerciseTimeGoal="30" appleStandHours="16" appleStandHoursGoal="12"/>"#).remove(0);
    assert_eq!(
        event.payload.to_value(),
        json!({"date": "2016-04-14", "active_energy_kcal": 700.698, "active_energy_goal_kcal": 680.0,
            "exercise_min": 89.0, "exercise_goal_min": 30.0, "stand_h": 16.0, "stand_goal_h": 12.0})
    );
    assert_eq!(event.tz_offset_min, None);
    // The second of June has begun at UTC+14 when it is noon of the first at Greenwich.
    assert_eq!(events(r#"<ActivitySummary dateComponents="2026-06-02"/>"#).len(), 1);
}

#[test]
fn beat_lists_and_locales_do_not_break_hrv() {
    let beats =
        ["4:17:18.57 pm", "8:00:01.00 AM", "00:00:00.001", "8:00:01,00\u{202f}a.\u{a0}m.", "下午4:17:18.57"]
            .map(|time| format!(r#"<InstantaneousBeatsPerMinute bpm="57" time="{time}"/>"#))
            .concat();
    let body = format!(
        r#"<Record type="HKQuantityTypeIdentifierHeartRateVariabilitySDNN" sourceName="Anas Apple Watch" unit="ms" startDate="2024-01-01 4:17:18{nnbsp}PM +0100" endDate="2024-01-01 4:18:18{nnbsp}PM +0100" value="33.7">
        <MetadataEntry key="HKAlgorithmVersion" value="2"/>
        <HeartRateVariabilityMetadataList>{beats}</HeartRateVariabilityMetadataList>
        </Record>{STEPS}"#,
        nnbsp = '\u{202f}'
    );
    let events = events(&body);
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].event_time, Utc.with_ymd_and_hms(2024, 1, 1, 15, 17, 18).unwrap());
}

#[test]
fn any_prologue_is_skipped() {
    let broken_dtd = r#"<?xml version="1.0"?><!DOCTYPE HealthData [ <!-- HealthKit Export Version: 12 -->
        <!ELEMENT HealthData (ExportDate,Me,(Record)*)> <!ATTLIST HealthData locale CDATA #REQUIRED
        <!ELEMENT Record (MetadataEntry|<!ATTLIST> device CDATA #IMPLIED ]>"#;
    let bomb = r#"<!DOCTYPE HealthData [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>"#;
    for prologue in ["", "\u{feff}", "<?xml version=\"1.0\"?>", broken_dtd, bomb] {
        let items = read(&format!("{prologue}<HealthData>{STEPS}</HealthData>"));
        assert_eq!(items.len(), 1, "{prologue}");
        assert!(items[0].what.is_ok());
        let at = usize::try_from(items[0].at).unwrap();
        assert_eq!(at, prologue.len() + "<HealthData>".len(), "positions count from the start of the file");
    }
}

#[test]
fn what_is_no_export_says_so() {
    for (text, reason) in [
        ("", Reason::Malformed),
        ("not xml at all", Reason::Malformed),
        ("<ClinicalDocument xmlns=\"urn:hl7-org:v3\"></ClinicalDocument>", Reason::Malformed),
        ("<HealthDataX/>", Reason::Malformed),
        ("<HealthData><!x></HealthData>", Reason::Malformed),
        ("<HealthData>", Reason::Truncated),
        ("<HealthData><Record type=\"a", Reason::Truncated),
        ("<HealthData><!-- ", Reason::Truncated),
        ("<HealthData><Record type=\"a/></HealthData>", Reason::Truncated),
    ] {
        let items = read(text);
        let rejected = items.last().unwrap().what.as_ref().unwrap_err();
        assert_eq!((rejected.reason, rejected.last), (reason, true), "{text}: {rejected}");
        assert!(!parse_bytes(text.as_bytes(), &user(), now()).complete, "{text}");
    }
}

#[test]
fn hostile_sizes_are_bounded() {
    let deep = whole(&"<a>".repeat(100_000));
    let wide = whole(&format!("<Record type=\"{}\"/>", "x".repeat(3_000_000)));
    for (text, reason) in [(deep, Reason::Malformed), (wide, Reason::TooLarge)] {
        let items = read(&text);
        assert_eq!(items.last().unwrap().what.as_ref().unwrap_err().reason, reason);
        assert!(items.len() < 4);
    }
    let long_name = whole(&STEPS.replace("Phone", &"Ł".repeat(100_000)));
    assert_eq!(read(&long_name).len(), 1);
}

#[test]
fn exports_of_ios_8_are_read() {
    let body = r#"<Record type="HKQuantityTypeIdentifierStepCount" source="Withings" unit="count" creationDate="20150616071919-0700" startDate="20150616071820-0700" endDate="20150616071820-0700" Health Mate App Version="2.6.0" Withings Link="withings-bd2://x?a=1&amp;b=2" value="17"/>"#;
    let event = events(body).remove(0);
    assert_eq!(event.payload.to_value()["value"], 17.0);
    assert_eq!(event.device_id.unwrap().as_str(), "withings");
}

/// Three records, one of them twice: once inside its correlation, once beside it.
fn bracketed() -> String {
    let pressure = STEPS.replace("StepCount", "BloodPressureSystolic");
    whole(&format!(
        "<ExportDate value=\"x\"/><Me/><Correlation type=\"c\">{STEPS}{pressure}</Correlation>{STEPS}"
    ))
}

#[test]
fn a_record_told_twice_is_a_duplicate() {
    let report = parse_bytes(bracketed().as_bytes(), &user(), now());
    assert!(report.complete && report.sums_up());
    assert_eq!((report.read, report.accepted, report.duplicate, report.records), (3, 1, 1, 3));
    assert_eq!(report.refused, [("unsupported_type".to_owned(), 1)].into());
    assert_eq!(serde_json::to_value(&report).unwrap()["refused"], json!({"unsupported_type": 1}));
}

#[test]
fn a_second_export_from_another_zone_gives_the_same_ids() {
    let here = events(STEPS).remove(0);
    let moved = STEPS.replace("10:00:00 +0100", "18:00:00 +0900").replace("10:05:00 +0100", "18:05:00 +0900");
    let there = events(&moved).remove(0);
    assert_eq!(here.event_id, there.event_id);
    assert_eq!(here.event_time, there.event_time);
}

#[test]
fn a_file_cut_anywhere_gives_what_is_before_the_cut() {
    let text = whole(
        &format!("{STEPS}\n{}\n", record("HKQuantityTypeIdentifierHeartRate", "count/min", "61")).repeat(3),
    );
    let end = text.rfind("</HealthData>").unwrap() + "</HealthData>".len();
    let full = read(&text).len();
    for cut in 0..text.len() {
        if !text.is_char_boundary(cut) {
            continue;
        }
        let items = read(&text[..cut]);
        let whole_records = text[..cut].matches("/>").count();
        let good = items.iter().filter(|i| i.what.is_ok()).count();
        assert_eq!(good, whole_records.min(full), "cut at {cut}");
        let last = items.last().unwrap().what.as_ref();
        assert_eq!(last.is_err_and(|r| r.last), cut < end, "cut at {cut}");
    }
}

#[test]
fn resuming_skips_what_was_acknowledged() {
    let text = whole(&STEPS.repeat(5));
    let rest: Vec<_> = crate::import::after(items(text.as_bytes(), &user(), now()), 3).collect();
    assert_eq!(rest.iter().map(|i| i.record).collect::<Vec<_>>(), [4, 5]);
}

fn zipped(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn packed_exports_are_opened() {
    let text = whole(&STEPS.replace("Phone", "Téléphone"));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    for packed in [
        text.clone().into_bytes(),
        gzip.finish().unwrap(),
        zipped(&[
            ("apple_health_export/export_cda.xml", "<ClinicalDocument/>"),
            ("apple_health_export/export.xml", &text),
        ]),
        zipped(&[
            ("apple_health_export/electrocardiograms/e.csv", "a,b"),
            ("apple_health_export/exportación.xml", &text),
        ]),
        zipped(&[("vienti.xml", &text)]),
    ] {
        let report = parse_bytes(&packed, &user(), now());
        assert_eq!((report.accepted, report.complete), (1, true), "{report:?}");
    }
    for (packed, expected) in [
        (zipped(&[("photos/cat.xml", "<cat/>")]), "holds no Apple Health export"),
        (b"PK nonsense".to_vec(), "holds no Apple Health export"),
    ] {
        let error = open(Cursor::new(packed)).err().expect("not opened");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), crate::Kind::Invalid);
    }
}

#[test]
fn cut_and_damaged_archives_give_what_is_there() {
    // Enough records, each different, that half of the compressed bytes hold many of them.
    let body: String = (10..60)
        .map(|minute| {
            STEPS
                .replace("10:00:00", &format!("10:00:{minute}"))
                .replace("\"42", &format!("\"{}", minute * 977))
        })
        .collect();
    let text = whole(&body);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zip =
        zipped(&[("apple_health_export/first.gpx", "<gpx/>"), ("apple_health_export/export.xml", &text)]);
    for packed in [gzip, zip.clone()] {
        let half = parse_bytes(&packed[..packed.len() * 2 / 3], &user(), now());
        assert!(half.accepted > 5 && half.accepted < 50, "{half:?}");
        assert!(!half.complete && half.sums_up());
        assert_eq!(half.refused.values().sum::<u64>(), 1, "{half:?}");
        for cut in 0..packed.len() {
            assert!(parse_bytes(&packed[..cut], &user(), now()).sums_up());
        }
    }
    let mut damaged = zip;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    let report = parse_bytes(&damaged, &user(), now());
    assert!(report.sums_up());
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut text = b"<HealthData>".to_vec();
        text.extend(&bytes);
        prop_assert!(parse_bytes(&bytes, &user(), now()).sums_up());
        prop_assert!(parse_bytes(&text, &user(), now()).sums_up());
    }

    /// A byte of a good export changed: whatever it does, it sums up and loses at most its own record and the next.
    #[test]
    fn a_changed_byte_costs_little(at in 0usize..10_000, byte in any::<u8>()) {
        let mut bytes = whole(&STEPS.repeat(6)).into_bytes();
        let start = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<HealthData locale=\"en_GB\">\n".len();
        let room = bytes.len() - start - "</HealthData>\n".len() - 1;
        bytes[start + at % room] = byte;
        let report = parse_bytes(&bytes, &user(), now());
        prop_assert!(report.sums_up());
        if report.complete {
            prop_assert!(report.accepted + report.duplicate >= 4, "{report:?}");
        }
    }
}
