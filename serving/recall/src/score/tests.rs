use chrono::Duration;
use proptest::prelude::*;

use super::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn candidate(name: &'static str, age_days: f64, cosine: Option<f32>, bm25: f32) -> Candidate<&'static str> {
    let key = name.bytes().fold(0, |key, byte| (key << 8) | u128::from(byte));
    #[allow(clippy::cast_possible_truncation)]
    let event_time = now() - Duration::seconds((age_days * 86_400.0) as i64);
    Candidate { item: name, key, event_time, cosine, bm25, ..Candidate::default() }
}

/// With all stages and for a question that names nothing.
fn ranked<T>(candidates: Vec<Candidate<T>>, weights: &Weights, k: usize) -> Vec<Scored<T>> {
    let asked = Asked::default();
    let search =
        Search { asked: &asked, idf: &[], told: &[], as_of: now(), weights, stages: Stages::default() };
    rank(candidates, &search, k)
}

fn order(candidates: Vec<Candidate<&'static str>>) -> Vec<&'static str> {
    ranked(candidates, &Weights::default(), 10).into_iter().map(|scored| scored.item).collect()
}

/// Each stage decides between two memories: the first is first with it, and is not without it.
#[test]
fn each_stage_earns_its_place() {
    let since_june = Asked::read("what happened in June?", now(), 0);
    let june = (now() - since_june.period.as_ref().unwrap().since).num_days() - 3;
    let june = f64::from(i32::try_from(june).unwrap());
    let named = Asked { wants_time: true, ..Asked::default() };
    let plain = |name, cosine| candidate(name, 1.0, Some(cosine), 1.0);
    let vector = |x: f32| Some(vec![x, (1.0 - x * x).sqrt()]);
    type Case =
        (Stage, Asked, Vec<Candidate<&'static str>>, &'static [&'static str], &'static [&'static str]);
    let cases: Vec<Case> = vec![
        (
            Stage::Neighbours,
            named.clone(),
            vec![
                Candidate { place: Some((1, 4)), ..plain("answer", 0.3) },
                Candidate { place: Some((1, 3)), ..plain("question", 0.6) },
                Candidate { place: Some((2, 4)), ..plain("elsewhere", 0.5) },
            ],
            &["answer", "question", "elsewhere"],
            &["question", "elsewhere", "answer"],
        ),
        (
            Stage::People,
            Asked::default(),
            vec![Candidate { by_named: true, ..plain("hers", 0.4) }, plain("his", 0.5)],
            &["hers", "his"],
            &["his", "hers"],
        ),
        (
            Stage::Period,
            since_june,
            vec![candidate("june", june, Some(0.4), 1.0), candidate("another", june + 60.0, Some(0.5), 1.0)],
            &["june", "another"],
            &["another", "june"],
        ),
        (
            Stage::Rerank,
            named,
            vec![Candidate { tells_time: true, ..plain("on friday", 0.4) }, plain("soon", 0.5)],
            &["on friday", "soon"],
            &["soon", "on friday"],
        ),
        (
            Stage::Recency,
            Asked::default(),
            vec![
                candidate("best", 1.0, Some(0.9), 1.0),
                candidate("new", 1.0, Some(0.5), 1.0),
                candidate("old", 2000.0, Some(0.55), 1.0),
            ],
            &["best", "new", "old"],
            &["best", "old", "new"],
        ),
        (
            Stage::Importance,
            Asked::default(),
            vec![Candidate { importance: Some(1.0), ..plain("peak", 0.5) }, plain("day", 0.51)],
            &["peak", "day"],
            &["day", "peak"],
        ),
        (
            Stage::Emotion,
            Asked::default(),
            vec![Candidate { emotion: Some(0.9), ..plain("sad too", 0.5) }, plain("another", 0.51)],
            &["sad too", "another"],
            &["another", "sad too"],
        ),
        (
            Stage::Gate,
            Asked::default(),
            vec![candidate("near", 1.0, Some(0.21), 0.0), candidate("far and old", 90.0, Some(0.22), 0.0)],
            &["near"],
            &["far and old", "near"],
        ),
        (
            Stage::Diversity,
            Asked::default(),
            vec![
                Candidate { meaning: vector(1.0), ..plain("one", 0.6) },
                Candidate { meaning: vector(0.0), ..plain("other", 0.58) },
                Candidate { meaning: vector(0.999), ..plain("repeat", 0.59) },
            ],
            &["one", "other", "repeat"],
            &["one", "repeat", "other"],
        ),
    ];
    for (stage, asked, candidates, with, without) in cases {
        let order = |stages: Stages| -> Vec<&str> {
            let weights = Weights::default();
            let search =
                Search { asked: &asked, idf: &[], told: &[], as_of: now(), weights: &weights, stages };
            rank(candidates.clone(), &search, 10).into_iter().map(|one| one.item).collect()
        };
        // Recency would decide between the old and the new of the gate's case.
        let all = Stages::default();
        let all = if stage == Stage::Gate { all.without(Stage::Recency) } else { all };
        assert_eq!(order(all), with, "with {stage}");
        assert_eq!(order(all.without(stage)), without, "without {stage}");
    }
}

#[test]
fn neighbours_bring_in_what_fits_by_itself_in_nothing() {
    let question =
        Candidate { place: Some((1, 3)), words: 0b11, ..candidate("question", 1.0, Some(0.6), 3.0) };
    let answer = Candidate { place: Some((1, 4)), ..candidate("answer", 1.0, Some(0.1), 0.0) };
    let asked = Asked::default();
    let weights = Weights::default();
    let search = Search {
        asked: &asked,
        idf: &[1.0, 3.0],
        told: &[1.0, 1.0],
        as_of: now(),
        weights: &weights,
        stages: Stages::default(),
    };
    let hits = rank(vec![answer.clone(), question.clone()], &search, 10);
    let answer_parts = hits.iter().find(|hit| hit.item == "answer").unwrap().parts;
    assert_eq!((answer_parts.neighbours, answer_parts.coverage), (Some(0.6), 1.0));
    let told = Search { told: &[1.0, 0.0], ..search };
    let half = Candidate { words: 0b10, ..question.clone() };
    assert_eq!(rank(vec![half], &told, 1)[0].parts.coverage.total_cmp(&0.0), std::cmp::Ordering::Equal);
    let alone = Search { stages: search.stages.without(Stage::Neighbours), ..search };
    assert_eq!(rank(vec![answer, question], &alone, 10).len(), 1);
}

#[test]
fn the_weight_of_time_is_that_of_sql() {
    let weights = Weights { half_life_days: 100.0, floor: 0.1, ..Weights::default() };
    for (age, weight) in [(0.0, 1.0), (30.0, 1.0), (130.0, 0.5), (230.0, 0.25), (3650.0, 0.1)] {
        let scored = ranked(vec![candidate("a", age, None, 1.0)], &weights, 1).remove(0);
        assert!((scored.parts.time - weight).abs() < 1e-9, "{age} days");
        assert!((scored.parts.age_days - age).abs() < 1e-9);
    }
}

#[test]
fn orders() {
    type Case = (&'static str, Vec<Candidate<&'static str>>, &'static [&'static str]);
    let cases: &[Case] = &[
        ("nothing", vec![], &[]),
        (
            "both lists beat one",
            vec![
                candidate("words", 1.0, Some(0.3), 5.0),
                candidate("both", 1.0, Some(0.8), 4.0),
                candidate("sense", 1.0, Some(0.7), 0.0),
            ],
            &["both", "words", "sense"],
        ),
        (
            "without a model words alone decide",
            vec![
                candidate("a", 1.0, None, 1.0),
                candidate("b", 1.0, None, 2.0),
                candidate("c", 1.0, None, 0.0),
            ],
            &["b", "a"],
        ),
        (
            "far in meaning and no word in common is no answer",
            vec![candidate("far", 1.0, Some(0.1), 0.0), candidate("near", 1.0, Some(0.5), 0.0)],
            &["near"],
        ),
        (
            "of equals the newer is first",
            vec![candidate("old", 90.0, Some(0.5), 1.0), candidate("new", 40.0, Some(0.5), 1.0)],
            &["new", "old"],
        ),
        (
            "within 30 days age decides nothing but ties",
            vec![candidate("better", 29.0, Some(0.6), 2.0), candidate("newer", 0.0, Some(0.5), 1.0)],
            &["better", "newer"],
        ),
        (
            "what has not happened yet is unknown",
            vec![candidate("future", -1.0, Some(0.9), 9.0), candidate("past", 1.0, Some(0.4), 0.0)],
            &["past"],
        ),
    ];
    for (what, candidates, expected) in cases {
        assert_eq!(&order(candidates.clone()), expected, "{what}");
    }
}

#[test]
fn the_right_memory_of_years_ago_beats_recent_ones_that_do_not_fit() {
    let mut candidates = vec![candidate("needle", 900.0, Some(0.8), 9.0)];
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        // Recent, vaguely related, no word in common: ranks 2 to 11 by meaning.
        candidates.push(candidate(name, 2.0, Some(0.21 + f32::from(name.as_bytes()[0] - b'a') * 0.01), 0.0));
    }
    let order = order(candidates);
    assert!(order[..3].contains(&"needle"), "{order:?}");
}

#[test]
fn parts_explain_the_score() {
    let scored = ranked(vec![candidate("a", 210.0, Some(0.5), 2.0)], &Weights::default(), 1).remove(0);
    let parts = scored.parts;
    assert_eq!((parts.dense_rank, parts.lexical_rank), (Some(1), Some(1)));
    assert_eq!((parts.dense, parts.lexical), (Some(0.5), 2.0));
    assert!((parts.relevance - 1.0).abs() < 1e-12 && (parts.time - 0.5).abs() < 1e-9, "{parts:?}");
    assert!((scored.score - 1.0).abs() < 1e-12, "age takes nothing from what fits best");
}

fn some_candidates() -> impl Strategy<Value = Vec<Candidate<u32>>> {
    let one =
        (-10.0_f64..4000.0, proptest::option::of(-1.0_f32..1.0), prop_oneof![Just(0.0_f32), 0.0_f32..20.0]);
    proptest::collection::vec(one, 0..40).prop_map(|all| {
        let build = |(item, (age, cosine, bm25)): (u32, (f64, Option<f32>, f32))| {
            #[allow(clippy::cast_possible_truncation)]
            let event_time = now() - Duration::milliseconds((age * 86_400_000.0) as i64);
            Candidate { item, key: u128::from(item), event_time, cosine, bm25, ..Candidate::default() }
        };
        (0..).zip(all).map(build).collect()
    })
}

proptest! {
    #[test]
    fn scores_are_bounded_sorted_and_explained(candidates in some_candidates(), k in 0_usize..50) {
        let weights = Weights::default();
        let scored = ranked(candidates.clone(), &weights, k);
        prop_assert!(scored.len() <= k.min(candidates.len()));
        prop_assert!(scored.is_sorted_by(|a, b| a.score >= b.score));
        for one in &scored {
            let parts = one.parts;
            prop_assert!(one.score > 0.0 && one.score <= 1.0);
            prop_assert!((weights.floor..=1.0).contains(&parts.time) && parts.age_days >= 0.0);
            let told = parts.relevance * (1.0 - (1.0 - parts.time) * (1.0 - parts.relevance));
            prop_assert!((one.score - told).abs() < 1e-12);
            prop_assert!(parts.dense_rank.is_some() || parts.lexical_rank.is_some());
        }
    }

    #[test]
    fn the_order_of_candidates_changes_nothing(candidates in some_candidates(), seed in any::<u64>()) {
        let mut shuffled = candidates.clone();
        shuffled.sort_by_key(|one| u64::from(one.item).wrapping_mul(seed | 1));
        let weights = Weights::default();
        prop_assert_eq!(ranked(candidates, &weights, 40), ranked(shuffled, &weights, 40));
    }

    #[test]
    fn fewer_hits_are_a_prefix_of_more(candidates in some_candidates(), k in 0_usize..20) {
        let weights = Weights::default();
        let (few, many) = (ranked(candidates.clone(), &weights, k), ranked(candidates, &weights, k + 10));
        prop_assert_eq!(&few[..], &many[..few.len()]);
    }
}
