//! Chats: Telegram's JSON as lines of text, and the times that lines of a chat begin with.
//!
//! A line of a chat reads `[12.03.24, 21:15:03] Ana: text` (WhatsApp on iOS), `12/03/24, 9:15 PM - Ana: text` (WhatsApp on
//! Android) or `2024-03-12 21:15:03 Ana: text` (ours, from Telegram). Times are those on the writer's wall.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use serde::Deserialize;

use super::Unreadable;

/// The parts of Telegram's export that hold text.
#[derive(Deserialize)]
struct Export {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    date: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    text: Text,
}

/// Plain, or in pieces where a part is bold, a link or a mention.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Pieces(Vec<Piece>),
}

impl Default for Text {
    fn default() -> Self {
        Self::Plain(String::new())
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Plain(String),
    Marked { text: String },
}

/// A line a message, those without text (photos, calls) left out.
pub(super) fn from_json(json: &str) -> Result<String, Unreadable> {
    let export: Export =
        serde_json::from_str(json).map_err(|error| Unreadable::NotChat(error.to_string()))?;
    let mut lines = String::new();
    for message in export.messages {
        let text = match message.text {
            Text::Plain(text) => text,
            Text::Pieces(pieces) => pieces
                .into_iter()
                .map(|piece| match piece {
                    Piece::Plain(text) | Piece::Marked { text } => text,
                })
                .collect(),
        };
        if text.trim().is_empty() {
            continue;
        }
        let from = message.from.as_deref().unwrap_or("?");
        lines.push_str(&format!("{} {from}: {}\n", message.date.replace('T', " "), text.trim()));
    }
    Ok(lines)
}

/// Where a line begins that tells its time, and that time; in order.
///
/// Whether `03/04` is March or April is told by the whole chat: a part above 12 is a day; without one, the day comes first
/// unless times are written with AM and PM.
pub(super) fn moments(text: &str) -> Vec<(usize, NaiveDateTime)> {
    let mut at = 0;
    let mut found = Vec::new();
    for line in text.split_inclusive('\n') {
        found.extend(stamp(line).map(|stamp| (at, stamp)));
        at += line.len();
    }
    let day_first = match found.iter().find_map(|(_, s)| s.day_first()) {
        Some(told) => told,
        None => !found.iter().any(|(_, s)| s.twelve_hours),
    };
    found.into_iter().filter_map(|(at, stamp)| Some((at, stamp.time(day_first)?))).collect()
}

/// A date and a time as they stand in a line.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    /// Year first, or two numbers of which one is the day.
    date: [u32; 3],
    year_first: bool,
    time: NaiveTime,
    twelve_hours: bool,
}

impl Stamp {
    fn day_first(&self) -> Option<bool> {
        match (self.year_first, self.date) {
            (false, [first, _, _]) if first > 12 => Some(true),
            (false, [_, second, _]) if second > 12 => Some(false),
            _ => None,
        }
    }

    fn time(&self, day_first: bool) -> Option<NaiveDateTime> {
        let [a, b, c] = self.date;
        let (year, month, day) = match (self.year_first, day_first) {
            (true, _) => (a, b, c),
            (false, true) => (c, b, a),
            (false, false) => (c, a, b),
        };
        let year = if year < 100 { year + 2000 } else { year };
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
        (1990..2200).contains(&year).then(|| date.and_time(self.time))
    }
}

/// Reads the beginning of a line.
fn stamp(line: &str) -> Option<Stamp> {
    // Marks that keep the direction of writing, which iOS puts first.
    let line = line.trim_start_matches(['\u{200e}', '\u{200f}', '\u{feff}', '[']);
    let (first, rest) = number(line)?;
    let separator = rest.chars().next().filter(|c| "./-".contains(*c))?;
    let (second, rest) = number(rest.strip_prefix(separator)?)?;
    let (third, rest) = number(rest.strip_prefix(separator)?)?;
    let rest = rest.trim_start_matches([',', ' ', 'T', '\u{202f}']);
    let (hour, rest) = number(rest)?;
    let (minute, rest) = number(rest.strip_prefix([':', '.'])?)?;
    let (second_of_minute, rest) = match rest.strip_prefix([':', '.']).and_then(number) {
        Some((seconds, rest)) => (seconds, rest),
        None => (0, rest),
    };
    let half = rest.trim_start_matches([' ', '\u{202f}', '\u{a0}']).get(..2).unwrap_or_default();
    let (hour, twelve_hours) = match half.to_ascii_lowercase().as_str() {
        "am" if (1..=12).contains(&hour) => (hour % 12, true),
        "pm" if (1..=12).contains(&hour) => (hour % 12 + 12, true),
        _ => (hour, false),
    };
    let time = NaiveTime::from_hms_opt(hour, minute, second_of_minute)?;
    Some(Stamp { date: [first, second, third], year_first: first > 31, time, twelve_hours })
}

/// A number of at most four digits, and what follows it.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text.get(..end).filter(|digits| (1..=4).contains(&digits.len()))?.parse().ok()?;
    Some((number, text.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(text: &str) -> Vec<String> {
        moments(text).iter().map(|(_, at)| at.format("%Y-%m-%d %H:%M:%S").to_string()).collect()
    }

    #[test]
    fn lines_tell_their_time() {
        let table: &[(&str, &[&str])] = &[
            ("[12.03.24, 21:15:03] Ana: hi", &["2024-03-12 21:15:03"]),
            ("\u{200e}[12.03.24, 21:15:03] Ana: hi", &["2024-03-12 21:15:03"]),
            ("12/03/24, 21:15 - Ana: hi", &["2024-03-12 21:15:00"]),
            ("3/12/24, 9:15 PM - Ana: hi", &["2024-03-12 21:15:00"]),
            ("3/12/24, 12:05\u{202f}AM - Ana: hi", &["2024-03-12 00:05:00"]),
            // One day above 12 tells it for all.
            (
                "03/04/24, 10:00 - A: x\n03/13/24, 10:00 - A: x",
                &["2024-03-04 10:00:00", "2024-03-13 10:00:00"],
            ),
            ("2024-03-12 21:15:03 Ana: hi\nmore\n", &["2024-03-12 21:15:03"]),
            ("Dear diary, 12.03.24 was long", &[]),
            ("12.03.24 99:00 - x", &[]),
            ("12.13.24, 10:00 x\n13.12.24, 10:00 x", &["2024-12-13 10:00:00"]),
            ("1234567 apples", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(&times(text), expected, "{text:?}");
        }
    }

    #[test]
    fn telegram_becomes_lines() {
        let json = r#"{"name": "Ana", "messages": [
            {"id": 1, "type": "message", "date": "2024-03-12T21:15:03", "from": "Ana", "text": "no wine today"},
            {"id": 2, "type": "service", "date": "2024-03-12T21:16:03"},
            {"id": 3, "type": "message", "date": "2024-03-12T21:17:03", "from": null,
             "text": ["see ", {"type": "link", "text": "this"}, "!"]}]}"#;
        let text = from_json(json).unwrap();
        assert_eq!(text, "2024-03-12 21:15:03 Ana: no wine today\n2024-03-12 21:17:03 ?: see this!\n");
        assert_eq!(times(&text).len(), 2);
        assert!(from_json("[1]").is_err());
    }
}
