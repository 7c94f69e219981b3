use chrono::DateTime;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{Measure, PartOfDay};

fn fact(role: Role, value: Value, unit: Option<&str>) -> Fact {
    Fact {
        id: Uuid::new_v5(&Uuid::NAMESPACE_OID, role.as_str().as_bytes()),
        label: role.as_str().into(),
        value,
        unit: unit.map(Into::into),
        subject: "sugar cravings".into(),
        period: "last 30 days".into(),
        when: "in the last 30 days".into(),
        query: String::new(),
        rows_n: 9,
        rows: Vec::new(),
        table_version: 1,
        as_of: DateTime::UNIX_EPOCH,
        measure: Measure::Note { event_id: String::new() },
    }
}

fn facts(of: &[(Role, Value, Option<&str>)]) -> Facts {
    of.iter().map(|(role, value, unit)| (*role, fact(*role, value.clone(), *unit))).collect()
}

fn query(ask: Ask, part: Option<PartOfDay>) -> Query {
    Query { ask, craving: Some("sugar".into()), part, weekdays: Vec::new(), weekdays_when: "", period: None }
}

fn night() -> Facts {
    let text = |text: &str| Value::Text(text.into());
    facts(&[
        (Role::Total, Value::Number(26.0), Some("cravings")),
        (Role::InSlot, Value::Number(21.0), Some("cravings")),
        (Role::SlotShare, Value::Number(81.0), Some("%")),
        (Role::Mean, Value::Number(6.4), Some("of 10")),
        (Role::MeanElsewhen, Value::Number(3.0), Some("of 10")),
        (Role::Trigger, text("stress after work"), None),
        (Role::TriggerN, Value::Number(14.0), Some("cravings")),
        (Role::TriggerShare, Value::Number(67.0), Some("%")),
        (Role::SdnnBefore, Value::Number(31.2), Some("ms")),
        (Role::SdnnUsual, Value::Number(45.0), Some("ms")),
        (Role::NoteA, text("12 hours at work, wired"), None),
        (Role::Previous, Value::Number(15.0), Some("cravings")),
        (Role::Change, Value::Number(40.0), Some("%")),
    ])
}

#[test]
fn the_night_is_told() {
    let (status, sentences) = compose(&query(Ask::Why, Some(PartOfDay::Night)), &night());
    assert_eq!(status, Status::Answered);
    let text: Vec<_> = sentences.iter().map(|sentence| sentence.text.as_str()).collect();
    assert_eq!(
        text,
        [
            "81 % of your sugar cravings in the last 30 days came at night: 21 of 26.",
            "What set them off most often at night was “stress after work”: 14 of 21 (67 %).",
            "They are stronger than at other times: 6.4 of 10 on average at night, against 3 of 10.",
            "Your heart rate variability (SDNN) in the hours before them was 31.2 ms on average, lower than your usual 45 ms.",
            "You wrote in the last 30 days: “12 hours at work, wired”",
            "You logged 21 at night in the last 30 days, more than in the same time before, which had 15, a change of 40 %.",
            "This goes together in your log; it does not prove that one causes the other.",
        ]
    );
    assert!(sentences.iter().rev().skip(1).all(|sentence| !sentence.citations.is_empty()));
}

#[test]
fn few_rows_are_not_compared() {
    let mut facts = night();
    facts.get_mut(&Role::MeanElsewhen).unwrap().rows_n = 2;
    facts.get_mut(&Role::SdnnBefore).unwrap().rows_n = 4;
    let (_, sentences) = compose(&query(Ask::Why, Some(PartOfDay::Night)), &facts);
    let text: String = sentences.iter().map(|sentence| sentence.text.as_str()).collect();
    assert!(text.contains("Their mean intensity at night is 6.4 of 10.") && !text.contains("SDNN"), "{text}");
}

#[test]
fn too_little_is_said() {
    let few = facts(&[(Role::Total, Value::Number(3.0), Some("cravings"))]);
    let (status, sentences) = compose(&query(Ask::Why, None), &few);
    assert_eq!(status, Status::NotEnoughData);
    assert_eq!(
        sentences[0].text,
        "You logged 3 sugar cravings in the last 30 days: too few to say anything about them."
    );
    let (status, _) = compose(&query(Ask::Count, None), &few);
    assert_eq!(status, Status::Answered, "a count may be small");
    let (status, sentences) = compose(&query(Ask::Count, None), &Facts::new());
    assert_eq!((status, sentences.len()), (Status::NotEnoughData, 1));
}

#[test]
fn a_template_with_a_number_of_its_own_is_refused() {
    let facts = night();
    let of = |name: &str| facts.get(&Role::from_name(name)?);
    assert_eq!(ground("about 80 % of {{total}}", of), Err(crate::Ungrounded::Digit));
    assert_eq!(ground("{{total}} and ٣ more", of), Err(crate::Ungrounded::Digit));
    assert!(matches!(ground("{{other}}", of), Err(crate::Ungrounded::Unknown(_))));
    assert!(matches!(ground("{{total", of), Err(crate::Ungrounded::Unknown(_))));
    assert!(matches!(ground("{{total.rows}}", of), Err(crate::Ungrounded::Unknown(_))));
}

/// Runs of digits, with the point inside them.
fn numbers(text: &str) -> Vec<String> {
    let run = text.split(|c: char| !(c.is_numeric() || c == '.'));
    run.map(|run| run.trim_matches('.').to_owned()).filter(|run| !run.is_empty()).collect()
}

fn any_role() -> impl Strategy<Value = Role> {
    let names = "total in_slot slot_share mean mean_elsewhen trigger trigger_n trigger_share part part_share weekday weekday_share resisted_share previous change rate rate_change sdnn_before sdnn_usual note_a note_b";
    let roles: Vec<Role> = names.split(' ').map(|name| Role::from_name(name).unwrap()).collect();
    proptest::sample::select(roles)
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Nothing),
        (-9_999_i32..99_999).prop_map(|n| Value::Number(f64::from(n) / 10.0)),
        "[a-z0-9{}. ]{0,20}".prop_map(Value::Text),
    ]
}

proptest! {
    /// AN-1: whatever the facts, each number of a sentence is in a fact that the sentence cites.
    #[test]
    fn every_number_comes_from_a_cited_fact(
        values in prop::collection::vec((any_role(), any_value()), 0..21),
        ask in prop::sample::select(vec![Ask::Why, Ask::Count, Ask::When, Ask::Trigger, Ask::Trend, Ask::Intensity, Ask::Resisted, Ask::Hrv]),
        slot in any::<bool>(),
    ) {
        let facts: Facts = values.into_iter().map(|(role, value)| (role, fact(role, value, Some("%")))).collect();
        let part = slot.then_some(PartOfDay::Night);
        let (_, sentences) = compose(&query(ask, part), &facts);
        for sentence in sentences {
            let cited = facts.values().filter(|fact| sentence.citations.contains(&fact.id));
            let said: String = cited.map(|fact| format!("{} {} {} ", fact.written(), fact.subject, fact.when)).collect();
            for number in numbers(&sentence.text) {
                prop_assert!(said.contains(&number), "{number} in {:?} is of no cited fact: {said}", sentence.text);
            }
        }
    }
}
