//! How much a thing of the past still counts.

/// Up to this age a thing counts fully.
pub const FULL_WEIGHT_DAYS: f64 = 30.0;

/// The weight of something `age_days` old: 1 up to [`FULL_WEIGHT_DAYS`], then halved every `half_life_days`,
/// never below `floor`. An age below 0 (a clock ahead) counts as 0.
///
/// A half-life that is not above 0 makes everything older weigh `floor`. NaN in gives NaN out.
#[must_use]
pub fn recency_weight(age_days: f64, half_life_days: f64, floor: f64) -> f64 {
    if age_days.is_nan() || half_life_days.is_nan() || floor.is_nan() {
        return f64::NAN;
    }
    if age_days <= FULL_WEIGHT_DAYS {
        return 1.0;
    }
    if half_life_days <= 0.0 {
        return floor;
    }
    (-(age_days - FULL_WEIGHT_DAYS) / half_life_days).exp2().max(floor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_of_the_design() {
        let table = [
            (-3.0, 7.0, 0.0, 1.0),
            (0.0, 7.0, 0.0, 1.0),
            (30.0, 7.0, 0.0, 1.0),
            (37.0, 7.0, 0.0, 0.5),
            (44.0, 7.0, 0.0, 0.25),
            (44.0, 7.0, 0.3, 0.3),
            (31.0, 0.0, 0.1, 0.1),
        ];
        for (age, half_life, floor, expected) in table {
            assert!((recency_weight(age, half_life, floor) - expected).abs() < 1e-12, "{age}");
        }
        assert!(recency_weight(f64::NAN, 7.0, 0.0).is_nan());
    }

    proptest! {
        #[test]
        fn it_never_grows_with_age(a in 0.0f64..4000.0, b in 0.0f64..4000.0, h in 0.1f64..400.0, floor in 0.0f64..1.0) {
            let (young, old) = (a.min(b), a.max(b));
            let (young, old) = (recency_weight(young, h, floor), recency_weight(old, h, floor));
            prop_assert!(old <= young && old >= floor && young <= 1.0);
        }

        #[test]
        fn past_the_full_days_one_half_life_halves(age in 30.0f64..300.0, h in 1.0f64..400.0) {
            let now = recency_weight(age, h, 0.0);
            let later = recency_weight(age + h, h, 0.0);
            prop_assert!((later - now / 2.0).abs() <= 1e-9 * now);
        }
    }
}
