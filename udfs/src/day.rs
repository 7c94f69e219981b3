//! Names for parts of a day and of a year.

/// The part of the day of a local hour (0–23): `night` 0–5, `morning` 5–12, `afternoon` 12–17, `evening`
/// 17–21, `late_evening` 21–24, each without its end. Late evening stands alone because that is where cravings
/// gather. `None` outside 0–23.
#[must_use]
pub const fn day_part(hour: i64) -> Option<&'static str> {
    match hour {
        0..=4 => Some("night"),
        5..=11 => Some("morning"),
        12..=16 => Some("afternoon"),
        17..=20 => Some("evening"),
        21..=23 => Some("late_evening"),
        _ => None,
    }
}

/// The meteorological season of a month (1–12); `south` for the southern hemisphere. `None` outside 1–12.
#[must_use]
pub const fn season(month: i64, south: bool) -> Option<&'static str> {
    let northern = match month {
        12 | 1 | 2 => 0,
        3..=5 => 1,
        6..=8 => 2,
        9..=11 => 3,
        _ => return None,
    };
    let names = ["winter", "spring", "summer", "autumn"];
    Some(names[if south { (northern + 2) % 4 } else { northern }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hour_has_one_part() {
        let table = [
            (0, "night"),
            (4, "night"),
            (5, "morning"),
            (11, "morning"),
            (12, "afternoon"),
            (16, "afternoon"),
            (17, "evening"),
            (20, "evening"),
            (21, "late_evening"),
            (23, "late_evening"),
        ];
        for (hour, part) in table {
            assert_eq!(day_part(hour), Some(part), "{hour}");
        }
        assert_eq!((day_part(-1), day_part(24)), (None, None));
    }

    #[test]
    fn seasons_turn_round_in_the_south() {
        let table = [
            (1, "winter", "summer"),
            (4, "spring", "autumn"),
            (7, "summer", "winter"),
            (10, "autumn", "spring"),
        ];
        for (month, north, south) in table {
            assert_eq!((season(month, false), season(month, true)), (Some(north), Some(south)));
        }
        assert_eq!((season(12, false), season(0, false), season(13, true)), (Some("winter"), None, None));
    }
}
