use chrono::TimeZone as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 1, 12, 0, 0).unwrap()
}

fn craving() -> Value {
    json!({
        "event_id": "6f1c1c3e-8f0a-4a51-9d8b-0a5f6a2f9e11",
        "source": "watch",
        "kind": "craving",
        "event_time": "2026-05-31T23:10:00+02:00",
        "payload": {"craving": " Sugar ", "intensity": 7, "note": "after dinner"}
    })
}

fn parse(value: &Value) -> Result<Event, Refusal> {
    Event::parse(value.to_string().as_bytes(), Some(&UserId::new("u1").unwrap()), now())
}

#[test]
fn a_good_event_is_normalised() {
    let event = parse(&craving()).unwrap();
    assert_eq!(event.tz_offset_min, Some(120));
    assert_eq!(event.user_id.as_str(), "u1");
    let Payload::Craving(body) = &event.payload else { panic!("not a craving") };
    assert_eq!((body.craving.as_str(), body.intensity), ("sugar", 7));
}

#[test]
fn zulu_leaves_the_offset_unknown() {
    let mut event = craving();
    event["event_time"] = json!("2026-05-31T21:10:00Z");
    assert_eq!(parse(&event).unwrap().tz_offset_min, None);
}

#[test]
fn bad_fields_are_named() {
    let cases: &[(&str, Value, &str, Code)] = &[
        ("/payload/intensity", json!(11), "payload.intensity", Code::Invalid),
        ("/payload/intensity", json!("7"), "payload", Code::Invalid),
        ("/payload/company", json!("dog"), "payload", Code::Invalid),
        ("/payload/craving", json!("   "), "payload.craving", Code::Invalid),
        ("/payload/sugar", json!(1), "payload.sugar", Code::UnknownField),
        ("/kind", json!("crave"), "kind", Code::Invalid),
        ("/source", json!("fridge"), "source", Code::Invalid),
        ("/event_id", json!("1"), "event_id", Code::Invalid),
        ("/event_time", json!("yesterday"), "event_time", Code::Invalid),
        ("/event_time", json!("2026-06-01T12:05:01Z"), "event_time", Code::Future),
        ("/event_time", json!("1970-01-01T00:00:00Z"), "event_time", Code::Invalid),
        ("/tz_offset_min", json!(900), "tz_offset_min", Code::Invalid),
        ("/tz_offset_min", json!("x"), "tz_offset_min", Code::Invalid),
        ("/tz", json!("Mars/Olympus"), "tz", Code::Invalid),
        ("/schema_version", json!(2), "schema_version", Code::Version),
        ("/user_id", json!("somebody-else"), "user_id", Code::Forbidden),
        ("/device_id", json!("a b"), "device_id", Code::Invalid),
        ("/extra", json!(1), "extra", Code::UnknownField),
    ];
    for (pointer, value, field, code) in cases {
        let mut event = craving();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        event.pointer_mut(parent).unwrap()[key] = value.clone();
        let refusal = parse(&event).expect_err(pointer);
        assert_eq!((refusal.field.as_str(), refusal.code), (*field, *code), "{pointer}: {refusal}");
    }
    for key in ["event_id", "source", "kind", "event_time", "payload"] {
        let mut event = craving();
        event.as_object_mut().unwrap().remove(key);
        let refusal = parse(&event).expect_err(key);
        assert_eq!((refusal.field.as_str(), refusal.code), (key, Code::Missing));
    }
}

#[test]
fn a_refusal_never_repeats_a_value() {
    let mut event = craving();
    event["payload"]["company"] = json!("my secret friend");
    assert!(!parse(&event).unwrap_err().to_string().contains("secret"));
}

#[test]
fn corrections_carry_a_whole_valid_body() {
    let mut event = craving();
    event["kind"] = json!("correct");
    event["payload"] = json!({"target": "6f1c1c3e-8f0a-4a51-9d8b-0a5f6a2f9e12", "revision": 1, "kind": "craving",
        "event_time": "2026-05-31T21:10:00Z", "body": {"craving": "Sugar", "intensity": 12}});
    assert_eq!(parse(&event).unwrap_err().field, "payload.body.intensity");
    event["payload"]["body"]["intensity"] = json!(3);
    let Payload::Correct(c) = parse(&event).unwrap().payload else { panic!("not a correction") };
    assert_eq!(c.body["craving"], "sugar");
}

#[test]
fn extremes_of_time_zones_are_taken() {
    for offset in [-720, -570, 0, 345, 765, 840] {
        let mut event = craving();
        event["tz_offset_min"] = json!(offset);
        assert_eq!(parse(&event).unwrap().tz_offset_min, Some(offset));
    }
}

proptest! {
    /// Whatever the bytes: an answer, never a panic.
    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Event::parse(&bytes, None, now());
    }

    /// One byte of a good event changed: an answer, and what is accepted survives its own canonical form.
    #[test]
    fn canonical_form_is_a_fixed_point(at in 0usize..250, byte in any::<u8>()) {
        let mut bytes = craving().to_string().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(event) = Event::parse(&bytes, Some(&UserId::new("u1").unwrap()), now()) {
            let again = Event::parse(event.to_json().as_bytes(), None, now()).unwrap();
            prop_assert_eq!(again.body_hash(), event.body_hash());
            prop_assert_eq!(again, event);
        }
    }
}
