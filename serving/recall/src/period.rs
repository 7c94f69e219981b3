//! Which time a question means, in the person's local days. Pure.

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::words::find;

/// A time, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// After this.
    pub since: DateTime<Utc>,
    /// Up to and with this.
    pub until: DateTime<Utc>,
    /// For a heading: `last 30 days`.
    pub label: String,
    /// As part of a sentence: `in the last 30 days`.
    pub when: String,
}

impl Period {
    /// The last `days`, up to five minutes after `now`, which is how far ahead a device's clock may be.
    #[must_use]
    pub fn last_days(now: DateTime<Utc>, days: i64) -> Self {
        let until = now + TimeDelta::minutes(5);
        let label = format!("last {days} days");
        Self { since: until - TimeDelta::days(days), until, when: format!("in the {label}"), label }
    }

    /// All there is.
    #[must_use]
    pub fn all(now: DateTime<Utc>) -> Self {
        let until = now + TimeDelta::minutes(5);
        Self {
            since: DateTime::UNIX_EPOCH,
            until,
            label: "all your log".into(),
            when: "in all your log".into(),
        }
    }

    /// Whether there can be anything before it.
    #[must_use]
    pub fn has_before(&self) -> bool {
        self.since.timestamp() > 0
    }

    /// The time of the same length before.
    #[must_use]
    pub fn before(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        (self.since - (self.until - self.since), self.since)
    }
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// The local calendar of the person.
#[derive(Clone, Copy)]
struct Calendar {
    now: DateTime<Utc>,
    offset: TimeDelta,
}

impl Calendar {
    fn today(self) -> NaiveDate {
        (self.now + self.offset).date_naive()
    }

    /// The instant just before a local day begins, for `since` is exclusive.
    fn begin(self, date: NaiveDate) -> DateTime<Utc> {
        (date.and_time(NaiveTime::MIN) - self.offset).and_utc() - TimeDelta::microseconds(1)
    }

    fn from(self, first: NaiveDate, label: impl Into<String>, preposition: &str) -> Period {
        let label = label.into();
        let until = self.now + TimeDelta::minutes(5);
        Period { since: self.begin(first), until, when: with(preposition, &label), label }
    }

    fn between(
        self,
        first: NaiveDate,
        end: NaiveDate,
        label: impl Into<String>,
        preposition: &str,
    ) -> Period {
        let label = label.into();
        let until = self.begin(end).min(self.now + TimeDelta::minutes(5));
        Period { since: self.begin(first), until, when: with(preposition, &label), label }
    }
}

fn with(preposition: &str, label: &str) -> String {
    if preposition.is_empty() { label.to_owned() } else { format!("{preposition} {label}") }
}

/// The period that a question of these `words` names, asked at `now` by someone `offset_min` minutes east of UTC.
#[must_use]
pub fn read(words: &[String], now: DateTime<Utc>, offset_min: i64) -> Option<Period> {
    let offset = TimeDelta::minutes(offset_min.clamp(-840, 840));
    let calendar = Calendar { now, offset };
    let today = calendar.today();
    let has = |pattern: &str| find(words, pattern).is_some();
    if let Some(period) = last_n(words, now) {
        return Some(period);
    }
    if has("today|tonight") {
        return Some(calendar.from(today, "today", ""));
    }
    if has("yesterday") {
        return Some(calendar.between(today.pred_opt()?, today, "yesterday", ""));
    }
    let monday = today.checked_sub_days(Days::new(today.weekday().num_days_from_monday().into()))?;
    if has("this|current week") {
        return Some(calendar.from(monday, "this week", ""));
    }
    if has("last|previous|past week") {
        return Some(calendar.between(monday.checked_sub_days(Days::new(7))?, monday, "last week", ""));
    }
    let first = today.with_day(1)?;
    if has("this|current month") {
        return Some(calendar.from(first, "this month", ""));
    }
    if has("last|previous|past month") {
        return Some(calendar.between(first.checked_sub_months(Months::new(1))?, first, "last month", ""));
    }
    let new_year = first.with_month(1)?;
    if has("this|current year") {
        return Some(calendar.from(new_year, "this year", ""));
    }
    if has("last|previous|past year") {
        return Some(calendar.between(new_year.with_year(today.year() - 1)?, new_year, "last year", ""));
    }
    let named = season(words, calendar, today).or_else(|| month(words, calendar, today));
    named.or_else(|| year(words, calendar, today)).or_else(|| {
        let ever =
            has("ever|overall|always|altogether") || has("all time") || has("since ?the beginning|start");
        ever.then(|| Period::all(now))
    })
}

/// `last 3 months`, `past two weeks`.
fn last_n(words: &[String], now: DateTime<Utc>) -> Option<Period> {
    let (_, at) = find(words, "last|past|previous")?;
    let number = words.get(at)?;
    const WORDS: [&str; 12] =
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    let n = number.parse::<i64>().ok().or_else(|| {
        let place = WORDS.iter().position(|word| word == number)?;
        i64::try_from(place + 1).ok()
    })?;
    let (unit, days) = match words.get(at + 1)?.as_str() {
        "day" | "days" => ("days", 1),
        "week" | "weeks" => ("weeks", 7),
        "month" | "months" => ("months", 30),
        "year" | "years" => ("years", 365),
        _ => return None,
    };
    let period = Period::last_days(now, n.checked_mul(days).filter(|days| (1..=36_600).contains(days))?);
    let label = format!("last {n} {unit}");
    Some(Period { when: format!("in the {label}"), label, ..period })
}

/// `in 2019`, `since 2019`.
fn year(words: &[String], calendar: Calendar, today: NaiveDate) -> Option<Period> {
    let (at, after) = find(words, "in|of|during|since|from")?;
    let (year, before) = match year_at(words, after, today) {
        Some(year) => (year, words.get(at)?.as_str()),
        // The next such word, if any.
        None => return words.get(after..).and_then(|rest| self::year(rest, calendar, today)),
    };
    let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
    Some(match before {
        "since" | "from" => calendar.from(first, format!("since {year}"), ""),
        _ => calendar.between(first, first.checked_add_months(Months::new(12))?, year.to_string(), "in"),
    })
}

/// The year at a place: not before 1970 and not to come.
fn year_at(words: &[String], at: usize, today: NaiveDate) -> Option<i32> {
    let year = words.get(at)?.parse::<i32>().ok()?;
    (1970..=today.year()).contains(&year).then_some(year)
}

/// `this winter`, `last summer`, `since autumn`, `summer 2019`: meteorological seasons of the northern half.
fn season(words: &[String], calendar: Calendar, today: NaiveDate) -> Option<Period> {
    let table = [("winter", 12), ("spring", 3), ("summer", 6), ("autumn|fall", 9)];
    let (name, month, at, after) = table.iter().find_map(|(pattern, month)| {
        let (at, after) = find(words, pattern)?;
        Some((pattern.split('|').next()?, *month, at, after))
    })?;
    let before = at.checked_sub(1).and_then(|at| words.get(at)).map(String::as_str);
    let of = usize::from(words.get(after).is_some_and(|word| word == "of"));
    let mut first = NaiveDate::from_ymd_opt(today.year(), month, 1)?;
    if let Some(year) = year_at(words, after + of, today) {
        first = first.with_year(year)?;
        let end = first.checked_add_months(Months::new(3))?;
        return Some(calendar.between(first, end, format!("{name} {year}"), "in"));
    }
    if first > today {
        first = first.with_year(today.year() - 1)?;
    }
    let mut end = first.checked_add_months(Months::new(3))?;
    if before == Some("last") && end > today {
        first = first.with_year(first.year() - 1)?;
        end = first.checked_add_months(Months::new(3))?;
    }
    Some(match before {
        Some("since") => calendar.from(first, format!("since {name}"), ""),
        Some("last") => calendar.between(first, end, format!("last {name}"), ""),
        Some("this") if end > today => calendar.from(first, format!("this {name}"), ""),
        _ => calendar.between(first, end, format!("{name} {}", first.year()), "in"),
    })
}

/// `since March`, `in June`.
fn month(words: &[String], calendar: Calendar, today: NaiveDate) -> Option<Period> {
    let (at, number) = words.iter().enumerate().find_map(|(at, word)| {
        let number = MONTHS.iter().position(|month| {
            word == month || (word.len() >= 3 && *month != "may" && month.get(..3) == Some(word.as_str()))
        })?;
        Some((at, u32::try_from(number).ok()? + 1))
    })?;
    // "may" is a month after "since", "in" or "of", and a verb elsewhere.
    let before = at.checked_sub(1).and_then(|at| words.get(at)).map(String::as_str);
    if !matches!(before, Some("since" | "in" | "of" | "during" | "from" | "last" | "this")) {
        return None;
    }
    let year = year_at(words, at + 1, today);
    let mut first = NaiveDate::from_ymd_opt(year.unwrap_or(today.year()), number, 1)?;
    if first > today {
        first = first.with_year(today.year() - 1)?;
    }
    let name = first.format("%B %Y").to_string();
    Some(if before == Some("since") || before == Some("from") {
        calendar.from(first, format!("since {name}"), "")
    } else {
        calendar.between(first, first.checked_add_months(Months::new(1))?, name, "in")
    })
}

/// Local weekdays that a question names, 0 = Sunday, and how a sentence says them; empty for all.
#[must_use]
pub fn weekdays(words: &[String]) -> (Vec<u8>, &'static str) {
    let table: &[(&str, &[u8], &str)] = &[
        ("weekend|weekends", &[0, 6], "at weekends"),
        ("weekday|weekdays|workday|workdays", &[1, 2, 3, 4, 5], "on weekdays"),
        ("sunday|sundays", &[0], "on Sundays"),
        ("monday|mondays", &[1], "on Mondays"),
        ("tuesday|tuesdays", &[2], "on Tuesdays"),
        ("wednesday|wednesdays", &[3], "on Wednesdays"),
        ("thursday|thursdays", &[4], "on Thursdays"),
        ("friday|fridays", &[5], "on Fridays"),
        ("saturday|saturdays", &[6], "on Saturdays"),
    ];
    // "Which weekday" asks for one, it does not name any.
    if find(words, "which|what weekday|day").is_some() {
        return (Vec::new(), "");
    }
    let named: Vec<_> = table.iter().filter(|(pattern, ..)| find(words, pattern).is_some()).collect();
    match named.as_slice() {
        [] => (Vec::new(), ""),
        [(_, days, when)] => (days.to_vec(), when),
        several => {
            let mut days: Vec<u8> = several.iter().flat_map(|(_, days, _)| days.iter().copied()).collect();
            days.sort_unstable();
            days.dedup();
            (days, "on those days")
        }
    }
}
