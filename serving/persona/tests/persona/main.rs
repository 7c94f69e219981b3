//! Against the simulator's truth, against people without a pattern, and how well the confidence is calibrated.
//!
//! What it proves: planted habits that are as strong as the definitions ask are found, and weaker or shuffled ones are
//! not. It proves nothing about people: the simulator and the definitions have the same authors, two archetypes (winter,
//! recovery) were defined because the simulator plants them, and the shares in the definitions were set, knowing how
//! strong its habits are, between a full habit and one of half its strength.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Datelike as _, Duration, NaiveDate, Timelike as _, Utc};
use crave_connect::simulate::{Archetype as Planted, Options, Person, person};
use crave_persona::{Archetype, Classified, Craving, Logged, Unknown, archetypes, classify};
use crave_schemas::{EventId, Kind, Payload};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const DAYS: u32 = 364;
const USERS: u32 = 60;

fn end() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
}

/// A person's cravings as the table has them (corrections left out: they change few), and their logging.
fn told(person: &Person) -> (Vec<Craving>, Option<Logged>) {
    let mut taken_back = HashSet::new();
    for event in person.sent.iter().map(|s| &s.event) {
        if let Payload::Retract(retract) = &event.payload {
            taken_back.insert(EventId(retract.target));
        }
    }
    let (mut seen, mut cravings, mut days) = (HashSet::new(), Vec::new(), BTreeSet::new());
    for event in person.sent.iter().map(|s| &s.event) {
        if taken_back.contains(&event.event_id) || !seen.insert(event.event_id) {
            continue;
        }
        let local = event.event_time + Duration::minutes(event.tz_offset_min.unwrap_or(0).into());
        if matches!(event.kind, Kind::Craving | Kind::Lapse | Kind::Mood | Kind::Journal) {
            days.insert(local.date_naive());
        }
        if let Payload::Craving(craving) = &event.payload {
            let company = craving.company.map(|c| serde_json::to_value(c).unwrap().as_str().unwrap().into());
            cravings.push(Craving {
                event_id: event.event_id.to_string(),
                local_date: local.date_naive(),
                local_hour: local.hour().into(),
                local_dow: local.weekday().num_days_from_sunday().into(),
                craving: Some(craving.craving.clone()),
                intensity: Some(craving.intensity.into()),
                trigger: craving.trigger.clone(),
                company,
            });
        }
    }
    (cravings, logged(&days))
}

fn logged(days: &BTreeSet<NaiveDate>) -> Option<Logged> {
    let weeks: BTreeSet<_> = days.iter().map(|day| day.iso_week()).collect();
    Some(Logged { first: *days.first()?, last: *days.last()?, weeks: weeks.len() as i64 })
}

fn people() -> Vec<(Planted, Vec<Craving>, Option<Logged>)> {
    let options = Options { users: USERS, days: DAYS, seed: 4, end: end() };
    let simulated = (0..USERS).map(|number| person(&options, number));
    simulated
        .map(|person| {
            let (cravings, logged) = told(&person);
            (person.truth.archetype, cravings, logged)
        })
        .collect()
}

fn expected(planted: Planted) -> &'static str {
    match planted {
        Planted::NightSugar => "nighttime_binger",
        Planted::StressNicotine => "stress_craver",
        Planted::WeekendAlcohol => "alcohol_dopamine_seeker",
        Planted::WinterSpike => "winter_comfort_eater",
        Planted::Recovery => "steady_recoverer",
        Planted::Mixed => "unknown",
    }
}

fn name(classified: &Classified) -> &str {
    classified.found.as_ref().map_or("unknown", |found| &found.archetype)
}

/// A share of the cravings at any waking hour of any day, with any strength: their number and words stay.
fn shuffled(cravings: &[Craving], share: f64, dice: &mut ChaCha8Rng) -> Vec<Craving> {
    let days: Vec<NaiveDate> = (0..i64::from(DAYS)).map(|d| end().date_naive() - Duration::days(d)).collect();
    let strengths: Vec<_> = cravings.iter().map(|c| c.intensity).collect();
    let mut moved = cravings.to_vec();
    for craving in &mut moved {
        if dice.random::<f64>() < share {
            craving.local_date = days[dice.random_range(0..days.len())];
            craving.local_dow = craving.local_date.weekday().num_days_from_sunday().into();
            craving.local_hour = dice.random_range(7..24);
            craving.intensity = strengths[dice.random_range(0..strengths.len())];
        }
    }
    moved
}

#[test]
fn planted_habits_are_found() {
    let archetypes = archetypes().unwrap();
    let mut table: BTreeMap<(&str, String), u32> = BTreeMap::new();
    let (mut right, mut all) = (0, 0);
    for (planted, cravings, logged) in people() {
        let classified = classify(&archetypes, &cravings, logged, end().date_naive());
        let found = name(&classified);
        *table.entry((planted.as_str(), found.to_owned())).or_default() += 1;
        if found != expected(planted) {
            println!("{planted:?} of {} cravings: {classified:?}", cravings.len());
        }
        (right, all) = (right + usize::from(found == expected(planted)), all + 1);
        if let Ok(found) = &classified.found {
            let ids: HashSet<&str> = cravings.iter().map(|c| c.event_id.as_str()).collect();
            for seen in &found.signs {
                assert!(!seen.rows.is_empty() && seen.rows.iter().all(|id| ids.contains(id.as_str())));
            }
        }
    }
    println!("{right} of {all} right: {table:#?}");
    assert!(right * 100 >= all * 95, "{right} of {all}");
}

#[test]
fn people_without_a_pattern_stay_unknown() {
    let archetypes = archetypes().unwrap();
    let mut dice = ChaCha8Rng::seed_from_u64(9);
    let mut unknown: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let today = end().date_naive();
    for (_, cravings, whole) in people() {
        let mut count = |kind, cravings: &[Craving], logged, as_of| {
            let classified = classify(&archetypes, cravings, logged, as_of);
            let slot = unknown.entry(kind).or_default();
            *slot = (slot.0 + u32::from(classified.found.is_err()), slot.1 + 1);
        };
        for _ in 0..5 {
            count("times shuffled", &shuffled(&cravings, 1.0, &mut dice), whole, today);
            count("half strength", &shuffled(&cravings, 0.5, &mut dice), whole, today);
        }
        // Two months told, two not, and so on.
        let kept: Vec<Craving> =
            cravings.iter().filter(|c| c.local_date.month0() / 2 % 2 == 0).cloned().collect();
        let days = kept.iter().map(|c| c.local_date).collect();
        count("logging gaps", &kept, logged(&days), today);
        let stopped = today - Duration::days(60);
        let kept: Vec<Craving> = cravings.iter().filter(|c| c.local_date < stopped).cloned().collect();
        let days = kept.iter().map(|c| c.local_date).collect();
        count("logging stopped", &kept, logged(&days), today);
    }
    for (kind, (unknown, all)) in unknown {
        println!("{kind}: {unknown} of {all} unknown");
        assert!(unknown * 100 >= all * 95, "{kind}: {unknown} of {all}");
    }
}

/// People whose true share of night cravings is drawn evenly: of those said to be night bingers with a confidence, that
/// many truly have the share that the definition asks.
#[test]
fn the_confidence_is_calibrated() {
    let night: Vec<Archetype> =
        archetypes().unwrap().into_iter().filter(|a| a.id == "nighttime_binger").collect();
    let mut dice = ChaCha8Rng::seed_from_u64(1);
    let mut bins: HashMap<usize, (f64, u32, u32)> = HashMap::new();
    let today = end().date_naive();
    for number in 0..4_000 {
        let (truth, n) = (dice.random::<f64>(), dice.random_range(30..120));
        let cravings: Vec<Craving> = (0..n)
            .map(|i| {
                let day = today - Duration::days(i % 84);
                Craving {
                    event_id: format!("{number}-{i}"),
                    local_date: day,
                    local_hour: if dice.random::<f64>() < truth { 22 } else { 12 },
                    local_dow: day.weekday().num_days_from_sunday().into(),
                    craving: Some("sugar".into()),
                    intensity: Some(5),
                    trigger: None,
                    company: None,
                }
            })
            .collect();
        let logged = Logged { first: today - Duration::days(83), last: today, weeks: 12 };
        let classified = classify(&night, &cravings, Some(logged), today);
        let candidate = classified.found.as_ref().ok().or(classified.others.first()).unwrap();
        let bin = bins.entry(((candidate.confidence * 10.0) as usize).min(9)).or_default();
        *bin = (bin.0 + candidate.confidence, bin.1 + u32::from(truth >= 0.7), bin.2 + 1);
    }
    println!("confidence     n  said  true");
    for at in 0..10 {
        let Some((said, held, n)) = bins.get(&at) else { continue };
        let (said, held) = (said / f64::from(*n), f64::from(*held) / f64::from(*n));
        println!("0.{at} to {:.1} {n:>6} {said:>5.2} {held:>5.2}", f64::from(at as u32 + 1) / 10.0);
        let error = (said * (1.0 - said) / f64::from(*n)).sqrt();
        assert!((said - held).abs() < 4.0 * error + 0.02, "{said} said, {held} true of {n}");
    }
}

#[test]
fn thin_or_old_evidence_is_named() {
    let archetypes = archetypes().unwrap();
    let today = end().date_naive();
    let why = |n: i64, first: i64, last: i64, weeks: i64| {
        let row = |i: i64| Craving {
            event_id: i.to_string(),
            local_date: today - Duration::days(last),
            local_hour: 12,
            local_dow: 1,
            craving: Some("sugar".into()),
            intensity: None,
            trigger: None,
            company: None,
        };
        let cravings: Vec<Craving> = (0..n).map(row).collect();
        let day = |ago| today - Duration::days(ago);
        classify(&archetypes, &cravings, Some(Logged { first: day(first), last: day(last), weeks }), today)
            .found
    };
    assert_eq!(why(29, 60, 0, 9), Err(Unknown::FewCravings));
    assert_eq!(why(100, 120, 29, 13), Err(Unknown::Silence));
    assert_eq!(why(100, 120, 0, 8), Err(Unknown::Gaps));
    assert_eq!(why(100, 120, 0, 17), Err(Unknown::NoPattern));
    assert_eq!(classify(&archetypes, &[], None, today).found, Err(Unknown::FewCravings));
}
