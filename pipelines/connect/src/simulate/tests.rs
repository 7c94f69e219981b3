use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{Duration, TimeZone as _, Timelike as _};
use crave_schemas::{Kind, Payload};
use proptest::prelude::*;

use super::*;

fn end() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 6, 1, 12, 0, 0).unwrap()
}

fn options(users: u32, days: u32, seed: u64) -> Options {
    Options { users, days, seed, end: end() }
}

fn run(options: Options) -> (Vec<Sent>, Truth) {
    let mut events = events(options);
    let sent = events.by_ref().collect();
    (sent, events.truth().clone())
}

/// The truth of one person, counted again from what was sent.
fn recount(sent: &[Sent], truth: &UserTruth) {
    let mine: Vec<_> = sent.iter().filter(|s| s.user_id.as_str() == truth.user_id).collect();
    let mut by_id = HashMap::new();
    let mut by_kind: BTreeMap<String, u64> = BTreeMap::new();
    for s in &mine {
        match by_id.insert(s.event.event_id, &s.event) {
            None => *by_kind.entry(s.event.kind.as_str().into()).or_default() += 1,
            Some(before) => assert_eq!(before, &s.event, "a copy is equal"),
        }
    }
    assert_eq!(truth.sent, mine.len() as u64);
    assert_eq!(truth.distinct, by_id.len() as u64);
    assert_eq!(truth.duplicates, truth.sent - truth.distinct);
    assert_eq!(truth.by_kind, by_kind);
    let count = |kind: Kind| by_kind.get(kind.as_str()).copied().unwrap_or_default();
    assert_eq!((truth.corrections, truth.retractions), (count(Kind::Correct), count(Kind::Retract)));

    // What holds at the end, the slow way: for each craving look for its corrections and retractions.
    let gone: BTreeSet<_> = by_id
        .values()
        .filter_map(|e| if let Payload::Retract(r) = &e.payload { Some(r.target) } else { None })
        .collect();
    let (mut cravings, mut intensities, mut hours) = (0, 0, vec![0; 24]);
    for event in by_id.values().filter(|e| e.kind == Kind::Craving && !gone.contains(&e.event_id.0)) {
        let last = by_id
            .values()
            .filter_map(|e| if let Payload::Correct(c) = &e.payload { Some(c) } else { None })
            .filter(|c| c.target == event.event_id.0)
            .max_by_key(|c| c.revision);
        let Payload::Craving(craving) = &event.payload else { panic!("not a craving") };
        let (at, offset, intensity) = match last {
            None => (event.event_time, event.tz_offset_min, u64::from(craving.intensity)),
            Some(c) => (c.event_time, c.tz_offset_min, c.body["intensity"].as_u64().unwrap()),
        };
        cravings += 1;
        intensities += intensity;
        hours[(at + Duration::minutes(offset.unwrap().into())).hour() as usize] += 1;
    }
    assert_eq!((truth.current.cravings, truth.current.intensity_sum), (cravings, intensities));
    assert_eq!(truth.current.by_hour, hours);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn equal_options_give_equal_valid_events_and_a_true_truth(users in 1u32..8, days in 0u32..40, seed in any::<u64>()) {
        let (sent, truth) = run(options(users, days, seed));
        prop_assert_eq!(&(sent.clone(), truth.clone()), &run(options(users, days, seed)));
        prop_assert_eq!(truth.users.len(), users as usize);
        for s in &sent {
            let read = Event::parse(s.event.to_json().as_bytes(), Some(&s.user_id), end()).unwrap();
            prop_assert_eq!(&read, &s.event);
            prop_assert!(s.event.event_time <= s.send_time && s.send_time <= end());
        }
        for user in &truth.users {
            recount(&sent, user);
        }
        let json = serde_json::to_string(&truth).unwrap();
        prop_assert_eq!(serde_json::from_str::<Truth>(&json).unwrap(), truth);
    }
}

#[test]
fn a_person_is_the_same_whoever_else_is_there() {
    let alone = person(&options(3, 30, 7), 2);
    let among = person(&options(50, 30, 7), 2);
    assert_eq!(alone, among);
    assert_ne!(alone.sent, person(&options(3, 30, 8), 2).sent);
}

#[test]
fn sends_are_in_order_and_ids_are_as_promised() {
    let (sent, truth) = run(options(7, 20, 1));
    for pair in sent.windows(2) {
        assert!(pair[0].user_id != pair[1].user_id || pair[0].send_time <= pair[1].send_time);
    }
    let ids: Vec<_> = truth.users.iter().map(|u| u.user_id.as_str()).collect();
    assert_eq!(ids[..2], ["sim-0001-night-sugar", "sim-0002-stress-nicotine"]);
    assert_eq!(ids[6], "sim-0007-night-sugar");
}

/// A year of six people: what was planted can be found.
#[test]
fn what_is_planted_can_be_found() {
    let (sent, truth) = run(options(6, 365, 42));
    for user in truth.users.iter().filter(|u| u.craving.is_some()) {
        let current = &user.current;
        let total: u64 = current.by_hour.iter().sum();
        assert!(total > 60, "{}: {total}", user.user_id);
        let peak: u64 = user.peak_hours.iter().map(|h| current.by_hour[usize::from(*h)]).sum();
        assert!(peak * 10 > total * 7, "{}: {peak} of {total}", user.user_id);
        let most = current.by_trigger.iter().max_by_key(|(_, n)| **n).unwrap().0;
        assert_eq!(Some(most), user.trigger.as_ref(), "{}", user.user_id);
        let craved = current.by_craving.iter().max_by_key(|(_, n)| **n).unwrap().0;
        assert_eq!(Some(craved), user.craving.as_ref());
    }
    let cravings = |archetype: &str| {
        sent.iter()
            .filter(|s| s.event.kind == Kind::Craving && s.user_id.as_str().ends_with(archetype))
            .collect::<Vec<_>>()
    };
    let month = |s: &Sent| chrono::Datelike::month(&s.event.event_time);
    let (winter, rest): (Vec<_>, Vec<_>) =
        cravings("winter-spike").into_iter().partition(|s| matches!(month(s), 12 | 1 | 2));
    assert!(winter.len() > 2 * rest.len(), "{} and {}", winter.len(), rest.len());
    let half = end() - Duration::days(182);
    let (late, early): (Vec<_>, Vec<_>) =
        cravings("recovery").into_iter().partition(|s| s.event.event_time > half);
    assert!(early.len() > 2 * late.len(), "{} and {}", early.len(), late.len());
}

#[test]
fn variability_dips_around_stress() {
    let person = person(&options(1, 365, 3), 0);
    let stressed: Vec<_> = person
        .sent
        .iter()
        .filter(|s| matches!(&s.event.payload, Payload::Craving(c) if c.trigger.as_deref() == Some("stress after work")))
        .map(|s| s.event.event_time)
        .collect();
    let (mut near, mut far) = (Vec::new(), Vec::new());
    let mut times = BTreeSet::new();
    for s in &person.sent {
        if let (Kind::HrvSdnnMs, Payload::Measure(m)) = (s.event.kind, &s.event.payload) {
            times.insert(s.event.event_time);
            let close = stressed.iter().any(|at| (*at - s.event.event_time).abs() < Duration::minutes(95));
            if close { near.push(m.value) } else { far.push(m.value) }
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    assert!(near.len() > 50 && mean(&near) < 0.75 * mean(&far), "{} of {}", mean(&near), mean(&far));
    let times: Vec<_> = times.into_iter().collect();
    assert!(times.windows(2).all(|w| (120..=300).contains(&(w[1] - w[0]).num_minutes())));
}

#[test]
fn answers_are_late_as_in_the_study_and_watches_by_hours() {
    let (sent, _) = run(options(6, 200, 5));
    let delays = |watch: bool| {
        let mut delays: Vec<i64> = sent
            .iter()
            .filter(|s| (s.event.source == crave_schemas::Source::Watch) == watch)
            .filter(|s| matches!(s.event.kind, Kind::Craving | Kind::Mood | Kind::HrvSdnnMs))
            .map(|s| (s.send_time - s.event.event_time).num_seconds())
            .collect();
        delays.sort_unstable();
        delays
    };
    let answers = delays(false);
    let at = |delays: &[i64], q: f64| delays[(delays.len() as f64 * q) as usize];
    assert!((7 * 60..11 * 60).contains(&at(&answers, 0.5)), "{}", at(&answers, 0.5));
    assert!((45 * 60..65 * 60).contains(&at(&answers, 0.9)), "{}", at(&answers, 0.9));
    assert!(at(&delays(true), 0.5) > 3_000, "{}", at(&delays(true), 0.5));
}

#[test]
fn the_world_is_covered() {
    let (sent, truth) = run(options(16, 370, 9));
    let offsets: BTreeSet<_> = sent.iter().filter_map(|s| s.event.tz_offset_min).collect();
    for offset in [-720, 840, 330, 345, 60, 120, 630, 660, -210, -150, 825] {
        assert!(offsets.contains(&offset), "{offset} is not among {offsets:?}");
    }
    assert!(truth.users.iter().all(|u| u.duplicates > 0));
    assert!(truth.users.iter().map(|u| u.corrections).sum::<u64>() > 20);
    assert!(truth.users.iter().map(|u| u.retractions).sum::<u64>() > 10);
    // Some corrections come before what they correct.
    let first: HashMap<_, _> = sent.iter().rev().map(|s| (s.event.event_id.0, s.send_time)).collect();
    let early = sent
        .iter()
        .filter(|s| matches!(&s.event.payload, Payload::Correct(c) if first[&c.target] > s.send_time));
    assert!(early.count() > 0);
}

#[test]
fn notes_are_varied_and_tell_the_cause() {
    let person = person(&options(1, 180, 11), 0);
    let mut notes: Vec<&str> = Vec::new();
    let mut seen = BTreeSet::new();
    for s in &person.sent {
        if let Payload::Craving(c) = &s.event.payload
            && let Some(note) = c.note.as_deref()
            && seen.insert(s.event.event_id)
        {
            assert!(!note.contains('{'), "{note}");
            notes.push(note);
        }
    }
    let distinct: BTreeSet<_> = notes.iter().collect();
    assert!(
        notes.len() > 60 && distinct.len() * 100 >= notes.len() * 97,
        "{} of {}",
        distinct.len(),
        notes.len()
    );
    let about_work = notes.iter().filter(|n| {
        [
            "work",
            "office",
            "boss",
            "deadline",
            "client",
            "stress",
            "tens",
            "desk",
            "spreadsheets",
            "release",
            "Budget",
        ]
        .iter()
        .any(|w| n.contains(w))
    });
    assert!(about_work.count() * 2 > notes.len());
}
