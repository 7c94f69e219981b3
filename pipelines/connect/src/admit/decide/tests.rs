use chrono::TimeZone as _;
use crave_schemas::Code;
use serde_json::json;

use super::*;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 1, 12, 0, 0).unwrap()
}

fn craving(id: u8, intensity: u8) -> String {
    json!({"event_id": format!("6f1c1c3e-8f0a-4a51-9d8b-0a5f6a2f9e{id:02x}"), "user_id": "u1", "source": "watch",
        "kind": "craving", "event_time": "2026-05-31T21:10:00Z", "payload": {"craving": "sugar", "intensity": intensity}})
    .to_string()
}

fn retract(id: u8, target: u8) -> String {
    json!({"event_id": format!("6f1c1c3e-8f0a-4a51-9d8b-0a5f6a2f9e{id:02x}"), "user_id": "u1", "source": "watch",
        "kind": "retract", "event_time": "2026-05-31T21:10:00Z",
        "payload": {"target": format!("6f1c1c3e-8f0a-4a51-9d8b-0a5f6a2f9e{target:02x}")}})
    .to_string()
}

/// Runs one pass over `texts` of one partition, against an index kept between passes.
fn pass(index: &mut HashMap<IdKey, IdEntry>, texts: &[&str]) -> (Admission, Counts) {
    let stored = texts.iter().enumerate().map(|(i, text)| Stored {
        offset: i as u64,
        record: Record { key: "u1".into(), value: text.as_bytes().to_vec() },
    });
    let read = read(stored.collect(), 0, 1, now());
    let known: Vec<_> = read.keys().iter().map(|key| index.get(key).copied()).collect();
    let (admission, counts) = read.decide(&known, now());
    index.extend(admission.ids.iter().copied());
    (admission, counts)
}

fn counts(admitted: u64, duplicate: u64, dead: u64) -> Counts {
    Counts { admitted, duplicate, dead, forwarded: 0 }
}

#[test]
fn each_id_is_admitted_once_within_and_across_passes() {
    let mut index = HashMap::new();
    let (a, b) = (craving(1, 5), craving(2, 6));
    assert_eq!(pass(&mut index, &[&a, &a, &b]).1, counts(2, 1, 0));
    assert_eq!(pass(&mut index, &[&b, &a]).1, counts(0, 2, 0));
}

#[test]
fn the_same_id_with_another_body_is_a_conflict() {
    let mut index = HashMap::new();
    let (admission, made) = pass(&mut index, &[&craving(1, 5), &craving(1, 6)]);
    assert_eq!(made, counts(1, 0, 1));
    let letter: DeadLetter = serde_json::from_slice(&admission.records[1].2.value).unwrap();
    assert_eq!(letter.refusal.code, Code::Conflict);
    assert_eq!(letter.bytes().unwrap(), craving(1, 6).into_bytes());
    assert_eq!(pass(&mut index, &[&craving(1, 5)]).1, counts(0, 1, 0), "the first body still holds");
}

#[test]
fn a_refused_id_may_come_again_good_but_never_hides_an_admitted_one() {
    let mut index = HashMap::new();
    assert_eq!(pass(&mut index, &[&craving(1, 50)]).1, counts(0, 0, 1));
    assert_eq!(index.values().next().unwrap().state, IdState::Dead);
    assert_eq!(pass(&mut index, &[&craving(1, 5)]).1, counts(1, 0, 0));
    assert_eq!(pass(&mut index, &[&craving(1, 50)]).1, counts(0, 0, 1));
    assert_eq!(index.values().next().unwrap().state, IdState::Admitted);
}

#[test]
fn a_retracted_event_stays_known() {
    let mut index = HashMap::new();
    assert_eq!(pass(&mut index, &[&craving(1, 5), &retract(2, 1)]).1, counts(2, 0, 0));
    let states: Vec<_> = index.values().filter(|e| e.state == IdState::Retracted).collect();
    assert_eq!(states.len(), 1);
    assert_eq!(pass(&mut index, &[&craving(1, 5)]).1, counts(0, 1, 0));
}

#[test]
fn an_erased_id_is_refused_without_its_text() {
    let mut index = HashMap::new();
    pass(&mut index, &[&craving(1, 5)]);
    index.values_mut().for_each(|entry| entry.state = IdState::Erased);
    let (admission, made) = pass(&mut index, &[&craving(1, 5)]);
    assert_eq!(made, counts(0, 0, 1));
    assert!(!String::from_utf8_lossy(&admission.records[0].2.value).contains("sugar"));
}

#[test]
fn what_is_no_event_is_kept_byte_for_byte() {
    let raw = vec![0xff, 0xfe, b'{'];
    let stored = vec![Stored { offset: 7, record: Record { key: String::new(), value: raw.clone() } }];
    let (admission, made) = read(stored, 0, 1, now()).decide(&[], now());
    assert_eq!((made, admission.position), (counts(0, 0, 1), 8));
    let letter: DeadLetter = serde_json::from_slice(&admission.records[0].2.value).unwrap();
    assert_eq!(letter.bytes().unwrap(), raw);
}

#[test]
fn a_record_in_the_wrong_partition_is_passed_on() {
    let owner = partition_of("u1", 4);
    let other = (owner + 1) % 4;
    let stored =
        vec![Stored { offset: 0, record: Record { key: "?".into(), value: craving(1, 5).into_bytes() } }];
    let (admission, made) = read(stored, other, 4, now()).decide(&[], now());
    assert_eq!(made.forwarded, 1);
    assert_eq!((admission.records[0].0, admission.records[0].1), (Topic::Inbox, owner));
}
