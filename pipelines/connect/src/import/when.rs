//! Reads times as phones write them.
//!
//! HealthKit exports `2014-09-13 10:27:54 +0100`; iOS 8 wrote `20140913102754+0100`; phones whose clock shows
//! twelve hours, or whose locale has digits or markers of its own, write `2022-10-01 4:17:18 PM +0100` with a
//! narrow no-break space (U+202F) before the marker, `下午4:17:18`, Arabic digits or a Buddhist year (Apple QA1480
//! tells why: the exporter's date formatter follows the user's settings). Year first, always; a date that begins
//! with the day is ambiguous and refused.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

/// Longest time, in characters.
const CHARS_MAX: usize = 64;

/// Before noon, as written in the locales whose twelve-hour clock is in use.
const BEFORE_NOON: &[&str] =
    &["am", "上午", "凌晨", "早上", "午前", "오전", "ص", "πμ", "fm", "sa", "öö", "ap", "de", "vorm"];
/// After noon.
const AFTER_NOON: &[&str] =
    &["pm", "下午", "晚上", "午後", "오후", "م", "μμ", "em", "ch", "ös", "ip", "du", "nachm"];

/// A wall clock's reading, with the offset where it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The reading.
    pub(crate) local: NaiveDateTime,
    /// Minutes east of UTC.
    pub(crate) offset_min: Option<i32>,
    /// Whether only a day was written.
    pub(crate) day_only: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number { value: u64, digits: usize },
    Word(String),
    Sign(char),
}

/// Reads a time; `None` when it is none.
pub(crate) fn read(text: &str) -> Option<Written> {
    let tokens = tokens(text)?;
    let mut at = Cursor { tokens: &tokens, next: 0 };
    let (date, clock) = at.date()?;
    let mut noon = at.marker();
    let clock = match clock {
        Some(clock) => Some(clock),
        None => at.clock()?,
    };
    noon = noon.or_else(|| at.marker());
    let offset_min = at.offset()?;
    // Some locales write the marker last.
    noon = noon.or_else(|| at.marker());
    if at.next != tokens.len() || (clock.is_none() && (noon.is_some() || offset_min.is_some())) {
        return None;
    }
    let time = match clock {
        None => NaiveTime::MIN,
        Some(clock) => clock.on_dial(noon)?,
    };
    Some(Written { local: date.and_time(time), offset_min, day_only: clock.is_none() })
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens: Vec<Token> = Vec::with_capacity(16);
    let mut glued = false;
    for (i, c) in text.trim().chars().enumerate() {
        if i >= CHARS_MAX {
            return None;
        }
        // Direction marks carry no meaning; a dot after a letter belongs to "a.m.".
        if matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{feff}') {
            continue;
        }
        if c == '.' && matches!(tokens.last(), Some(Token::Word(_))) {
            continue;
        }
        if c.is_whitespace() {
            glued = false;
            continue;
        }
        if let Some(digit) = digit(c) {
            match tokens.last_mut() {
                Some(Token::Number { value, digits }) if glued => {
                    *value = value.checked_mul(10)?.checked_add(digit)?;
                    *digits += 1;
                }
                _ => tokens.push(Token::Number { value: digit, digits: 1 }),
            }
            glued = true;
        } else if c.is_alphabetic() || !c.is_ascii() && c.is_alphanumeric() {
            let lower: String = c.to_lowercase().collect();
            match tokens.last_mut() {
                // "a. m." is one word.
                Some(Token::Word(word)) if glued || word.chars().count() == 1 => word.push_str(&lower),
                _ => tokens.push(Token::Word(lower)),
            }
            glued = true;
        } else {
            tokens.push(Token::Sign(if c == '\u{2212}' { '-' } else { c }));
            glued = false;
        }
    }
    Some(tokens)
}

/// The value of a decimal digit in the scripts that iOS locales use.
fn digit(c: char) -> Option<u64> {
    const ZEROS: &[char] = &['0', '٠', '۰', '०', '০', '๐', '၀', '０'];
    ZEROS.iter().find_map(|&zero| {
        let value = u64::from(u32::from(c).wrapping_sub(u32::from(zero)));
        (value < 10).then_some(value)
    })
}

#[derive(Clone, Copy, Debug)]
struct ClockTime {
    hour: u64,
    minute: u64,
    second: u64,
    micros: u64,
}

impl ClockTime {
    fn on_dial(self, noon: Option<bool>) -> Option<NaiveTime> {
        let hour = match noon {
            None => self.hour,
            Some(_) if self.hour > 12 => return None,
            Some(after) => self.hour % 12 + if after { 12 } else { 0 },
        };
        let small = |value: u64| u32::try_from(value).ok();
        NaiveTime::from_hms_micro_opt(
            small(hour)?,
            small(self.minute)?,
            small(self.second)?,
            small(self.micros)?,
        )
    }
}

struct Cursor<'a> {
    tokens: &'a [Token],
    next: usize,
}

impl Cursor<'_> {
    fn number(&mut self) -> Option<(u64, usize)> {
        match self.tokens.get(self.next) {
            Some(&Token::Number { value, digits }) => {
                self.next += 1;
                Some((value, digits))
            }
            _ => None,
        }
    }

    fn sign(&mut self, any: &[char]) -> Option<char> {
        match self.tokens.get(self.next) {
            Some(&Token::Sign(c)) if any.contains(&c) => {
                self.next += 1;
                Some(c)
            }
            _ => None,
        }
    }

    fn word(&mut self, known: &[&str]) -> bool {
        let found = matches!(self.tokens.get(self.next), Some(Token::Word(w)) if known.contains(&w.as_str()));
        self.next += usize::from(found);
        found
    }

    /// `Some(false)` before noon, `Some(true)` after it.
    fn marker(&mut self) -> Option<bool> {
        if self.word(AFTER_NOON) { Some(true) } else { self.word(BEFORE_NOON).then_some(false) }
    }

    fn date(&mut self) -> Option<(NaiveDate, Option<ClockTime>)> {
        let (value, digits) = self.number()?;
        let (year, month, day, clock) = match digits {
            4 => {
                let sign = self.sign(&['-', '/', '.'])?;
                let (month, _) = self.number()?;
                self.sign(&[sign])?;
                let (day, _) = self.number()?;
                self.word(&["t"]);
                (value, month, day, None)
            }
            8 => (value / 10_000, value / 100 % 100, value % 100, None),
            14 => {
                let (date, time) = (value / 1_000_000, value % 1_000_000);
                let clock = ClockTime {
                    hour: time / 10_000,
                    minute: time / 100 % 100,
                    second: time % 100,
                    micros: 0,
                };
                (date / 10_000, date / 100 % 100, date % 100, Some(clock))
            }
            _ => return None,
        };
        // Thai phones count years from the Buddha's death; nobody exports data of the 25th century.
        let year = i32::try_from(if (2400..2800).contains(&year) { year - 543 } else { year }).ok()?;
        let date = NaiveDate::from_ymd_opt(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?;
        Some((date, clock))
    }

    /// The time of day; `Some(None)` when there is none, `None` when it is broken.
    fn clock(&mut self) -> Option<Option<ClockTime>> {
        let Some((hour, digits)) = self.number() else { return Some(None) };
        if digits > 2 {
            return None;
        }
        let sign = self.sign(&[':', '.'])?;
        let (minute, _) = self.number()?;
        let mut clock = ClockTime { hour, minute, second: 0, micros: 0 };
        if self.sign(&[sign]).is_some() {
            clock.second = self.number()?.0;
            if self.sign(&['.', ',']).is_some() {
                let (fraction, digits) = self.number()?;
                let scale = u32::try_from(digits).ok().filter(|d| *d <= 9)?;
                clock.micros = fraction * 1_000_000 / 10_u64.pow(scale);
            }
        }
        Some(Some(clock))
    }

    /// The offset; `Some(None)` when there is none, `None` when it is broken.
    fn offset(&mut self) -> Option<Option<i32>> {
        let named = self.word(&["z", "utc", "gmt"]);
        let Some(sign) = self.sign(&['+', '-']) else { return Some(named.then_some(0)) };
        let (value, digits) = self.number()?;
        let minutes = match digits {
            4 if value % 100 < 60 => value / 100 * 60 + value % 100,
            1 | 2 if self.sign(&[':']).is_some() => {
                let (minutes, _) = self.number()?;
                (minutes < 60).then_some(value * 60 + minutes)?
            }
            1 | 2 => value * 60,
            _ => return None,
        };
        let minutes = i32::try_from(minutes).ok().filter(|m| *m <= 18 * 60)?;
        Some(Some(if sign == '-' { -minutes } else { minutes }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_documented_form_is_read() {
        for (text, local, offset) in [
            ("2014-09-13 10:27:54 +0100", "2014-09-13T10:27:54", Some(60)),
            ("2014-09-13 10:27:54 -0930", "2014-09-13T10:27:54", Some(-570)),
            ("20150616071916-0700", "2015-06-16T07:19:16", Some(-420)),
            ("2015-06-16T07:19:16Z", "2015-06-16T07:19:16", Some(0)),
            ("2015-06-16T07:19:16.250+05:45", "2015-06-16T07:19:16.250", Some(345)),
            ("2022-10-01 4:17:18 PM +0100", "2022-10-01T16:17:18", Some(60)),
            ("2022-10-01 4:17:18\u{202f}PM +0100", "2022-10-01T16:17:18", Some(60)),
            ("2022-10-01 12:00:01\u{a0}am +0100", "2022-10-01T00:00:01", Some(60)),
            ("2022-10-01 12:30:00 p.\u{202f}m. +0200", "2022-10-01T12:30:00", Some(120)),
            ("2022-10-01 下午4:17:18 +0800", "2022-10-01T16:17:18", Some(480)),
            ("2022-10-01 오전 4:17:18 +0900", "2022-10-01T04:17:18", Some(540)),
            ("2022/10/01 16.17.18 GMT+3", "2022-10-01T16:17:18", Some(180)),
            ("٢٠٢٢-١٠-٠١ ١٦:١٧:١٨ +٠٣٠٠", "2022-10-01T16:17:18", Some(180)),
            ("\u{200f}2022-10-01 4:17:18 م +0300", "2022-10-01T16:17:18", Some(180)),
            ("2565-10-01 16:17:18 +0700", "2022-10-01T16:17:18", Some(420)),
            ("2020-04-29  22:33:33", "2020-04-29T22:33:33", None),
            ("2020-04-29 22:33", "2020-04-29T22:33:00", None),
            ("2024-02-06", "2024-02-06T00:00:00", None),
        ] {
            let written = read(text).unwrap_or_else(|| panic!("not read: {text}"));
            assert_eq!(written.local, local.parse::<NaiveDateTime>().unwrap(), "{text}");
            assert_eq!(written.offset_min, offset, "{text}");
            assert_eq!(
                written.day_only,
                !text.contains(':') && !text.contains('.') && text.len() == 10,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            " ",
            "yesterday",
            "13/09/2014 10:27:54 +0100",
            "2014-13-01 10:00:00 +0000",
            "2014-02-30 10:00:00 +0000",
            "2014-09-13 25:00:00 +0100",
            "2014-09-13 13:00:00 PM +0100",
            "2014-09-13 10:27:54 +01000",
            "2014-09-13 10:27:54 +9900",
            "2014-09-13 10:27:54 +0100 and more",
            "2014-09-13 PM",
            "2014-09-13 +0100",
            "99999999999999999999999999",
            "2014-09-13 10:27:54.1234567890123 +0100",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&"2".repeat(1_000)), None);
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text in ".{0,80}") {
            let _ = read(&text);
        }
    }
}
