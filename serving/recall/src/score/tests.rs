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
    Candidate { item: name, key, event_time, cosine, bm25 }
}

fn order(candidates: Vec<Candidate<&'static str>>) -> Vec<&'static str> {
    rank(candidates, now(), &Weights::default(), 10).into_iter().map(|scored| scored.item).collect()
}

#[test]
fn the_weight_of_time_is_that_of_sql() {
    let weights = Weights { half_life_days: 100.0, floor: 0.1, ..Weights::default() };
    for (age, weight) in [(0.0, 1.0), (30.0, 1.0), (130.0, 0.5), (230.0, 0.25), (3650.0, 0.1)] {
        let scored = rank(vec![candidate("a", age, None, 1.0)], now(), &weights, 1).remove(0);
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
    let scored = rank(vec![candidate("a", 210.0, Some(0.5), 2.0)], now(), &Weights::default(), 1).remove(0);
    let parts = scored.parts;
    assert_eq!((parts.dense_rank, parts.lexical_rank), (Some(1), Some(1)));
    assert_eq!((parts.dense, parts.lexical), (Some(0.5), 2.0));
    assert!((parts.relevance - 1.0).abs() < 1e-12 && (parts.time - 0.5).abs() < 1e-9, "{parts:?}");
    assert!((scored.score - parts.relevance * parts.time).abs() < 1e-12);
}

fn some_candidates() -> impl Strategy<Value = Vec<Candidate<u32>>> {
    let one =
        (-10.0_f64..4000.0, proptest::option::of(-1.0_f32..1.0), prop_oneof![Just(0.0_f32), 0.0_f32..20.0]);
    proptest::collection::vec(one, 0..40).prop_map(|all| {
        let build = |(item, (age, cosine, bm25)): (u32, (f64, Option<f32>, f32))| {
            #[allow(clippy::cast_possible_truncation)]
            let event_time = now() - Duration::milliseconds((age * 86_400_000.0) as i64);
            Candidate { item, key: u128::from(item), event_time, cosine, bm25 }
        };
        (0..).zip(all).map(build).collect()
    })
}

proptest! {
    #[test]
    fn scores_are_bounded_sorted_and_explained(candidates in some_candidates(), k in 0_usize..50) {
        let weights = Weights::default();
        let scored = rank(candidates.clone(), now(), &weights, k);
        prop_assert!(scored.len() <= k.min(candidates.len()));
        prop_assert!(scored.is_sorted_by(|a, b| a.score >= b.score));
        for one in &scored {
            let parts = one.parts;
            prop_assert!(one.score > 0.0 && one.score <= 1.0);
            prop_assert!((weights.floor..=1.0).contains(&parts.time) && parts.age_days >= 0.0);
            prop_assert!((one.score - parts.relevance * parts.time).abs() < 1e-12);
            prop_assert!(parts.dense_rank.is_some() || parts.lexical_rank.is_some());
        }
    }

    #[test]
    fn the_order_of_candidates_changes_nothing(candidates in some_candidates(), seed in any::<u64>()) {
        let mut shuffled = candidates.clone();
        shuffled.sort_by_key(|one| u64::from(one.item).wrapping_mul(seed | 1));
        let weights = Weights::default();
        prop_assert_eq!(rank(candidates, now(), &weights, 40), rank(shuffled, now(), &weights, 40));
    }

    #[test]
    fn fewer_hits_are_a_prefix_of_more(candidates in some_candidates(), k in 0_usize..20) {
        let weights = Weights::default();
        let (few, many) = (rank(candidates.clone(), now(), &weights, k), rank(candidates, now(), &weights, k + 10));
        prop_assert_eq!(&few[..], &many[..few.len()]);
    }
}
