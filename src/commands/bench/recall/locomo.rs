//! The LoCoMo format: conversations of several sessions, and questions with the turns that answer them.
//!
//! Maharana et al., *Evaluating Very Long-Term Conversational Memory of LLM Agents*, ACL 2024. What is missing or
//! written otherwise in one entry spoils that entry alone, and is counted.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

/// A conversation with its questions.
#[derive(Debug, Default)]
pub(super) struct Sample {
    pub(super) turns: Vec<Turn>,
    pub(super) questions: Vec<Question>,
    /// Questions without text, or without evidence among the turns.
    pub(super) unusable: usize,
}

/// What somebody said.
#[derive(Debug, PartialEq)]
pub(super) struct Turn {
    pub(super) session: u32,
    /// Its place in the session, from 0.
    pub(super) place: u32,
    pub(super) at: DateTime<Utc>,
    pub(super) speaker: String,
    /// With the captions of what was shown.
    pub(super) text: String,
}

/// What is asked afterwards.
#[derive(Debug, PartialEq)]
pub(super) struct Question {
    pub(super) text: String,
    /// "1" to "5", or "none".
    pub(super) category: String,
    /// The turns that answer it.
    pub(super) evidence: Vec<usize>,
}

/// Reads a file: an array of samples, or one.
pub(super) fn parse(bytes: &[u8]) -> anyhow::Result<Vec<Sample>> {
    let file: Value = serde_json::from_slice(bytes).context("it is not JSON")?;
    let samples = match &file {
        Value::Array(samples) => samples.iter().map(sample).collect(),
        one => vec![sample(one)],
    };
    let samples: Vec<Sample> =
        samples.into_iter().filter(|sample: &Sample| !sample.turns.is_empty()).collect();
    anyhow::ensure!(
        samples.iter().any(|sample| !sample.questions.is_empty()),
        "it has no question with evidence: it must be a list of {{\"conversation\": {{\"session_1\": [{{\"speaker\", \"dia_id\", \
         \"text\"}}], …}}, \"qa\": [{{\"question\", \"evidence\": [\"D1:3\"], \"category\"}}]}}"
    );
    Ok(samples)
}

fn sample(value: &Value) -> Sample {
    let empty = Map::new();
    let conversation = value.get("conversation").and_then(Value::as_object).unwrap_or(&empty);
    let number = |name: &String| name.strip_prefix("session_")?.parse::<u32>().ok();
    let sessions: BTreeMap<u32, &Vec<Value>> =
        conversation.iter().filter_map(|(name, turns)| Some((number(name)?, turns.as_array()?))).collect();
    let mut sample = Sample::default();
    let mut by_id = HashMap::new();
    let mut begin = DateTime::UNIX_EPOCH;
    for (session, turns) in sessions {
        let told = conversation.get(&format!("session_{session}_date_time")).and_then(Value::as_str);
        // A session without a date is the day after the one before.
        begin = told.and_then(date).unwrap_or(begin + TimeDelta::days(1));
        for (place, turn) in (0_u32..).zip(turns) {
            let text = said(turn);
            if text.is_empty() {
                continue;
            }
            let id = turn.get("dia_id").and_then(Value::as_str).and_then(|id| ids(id).next());
            by_id.insert(id.unwrap_or((session, place + 1)), sample.turns.len());
            let speaker = turn.get("speaker").and_then(Value::as_str).unwrap_or_default().trim().to_owned();
            let at = begin + TimeDelta::minutes(i64::from(place));
            sample.turns.push(Turn { session, place, at, speaker, text });
        }
    }
    for asked in value.get("qa").and_then(Value::as_array).into_iter().flatten() {
        let text = asked.get("question").and_then(Value::as_str).unwrap_or_default().trim();
        let mut evidence: Vec<usize> = match asked.get("evidence") {
            Some(Value::String(one)) => ids(one).filter_map(|id| by_id.get(&id).copied()).collect(),
            Some(Value::Array(many)) => {
                let many = many.iter().filter_map(Value::as_str);
                many.flat_map(ids).filter_map(|id| by_id.get(&id).copied()).collect()
            }
            _ => Vec::new(),
        };
        evidence.sort_unstable();
        evidence.dedup();
        if text.is_empty() || evidence.is_empty() {
            sample.unusable += 1;
            continue;
        }
        let category = match asked.get("category") {
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(name)) => name.clone(),
            _ => "none".to_owned(),
        };
        sample.questions.push(Question { text: text.to_owned(), category, evidence });
    }
    sample
}

/// The text of a turn, with the caption of what was shown.
fn said(turn: &Value) -> String {
    let of = |name: &str| turn.get(name).and_then(Value::as_str).unwrap_or_default().trim();
    match (of("text"), of("blip_caption")) {
        (text, "") => text.to_owned(),
        ("", caption) => format!("[shares {caption}]"),
        (text, caption) => format!("{text} [shares {caption}]"),
    }
}

/// The ids of turns in a text: `D8:6; D9:17`, `D30:05`, `D:11:26`, `(D1:3)`.
fn ids(text: &str) -> impl Iterator<Item = (u32, u32)> + '_ {
    text.split('D').skip(1).filter_map(|rest| {
        let (session, rest) = rest.trim_start_matches(':').split_once(':')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        Some((session.trim().parse().ok()?, rest.get(..digits)?.parse().ok()?))
    })
}

/// `1:56 pm on 8 May, 2023`, and what else people write.
fn date(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let times = [
        "%I:%M %p on %d %B, %Y",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%Y/%m/%d %H:%M",
        "%Y/%m/%d (%a) %H:%M",
    ];
    let days = ["%Y-%m-%d", "%d %B, %Y", "%d %B %Y", "%B %d, %Y"];
    let zoned = DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
    let time = || times.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let day = || days.iter().find_map(|format| NaiveDate::parse_from_str(text, format).ok());
    zoned.or_else(|| time().or_else(|| day()?.and_hms_opt(12, 0, 0)).map(|at| at.and_utc()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_and_dates_are_read_as_people_write_them() {
        for (text, expected) in [
            ("D1:3", vec![(1, 3)]),
            ("D8:6; D9:17", vec![(8, 6), (9, 17)]),
            ("D9:1 D4:4 D4:6", vec![(9, 1), (4, 4), (4, 6)]),
            ("D30:05", vec![(30, 5)]),
            ("D:11:26", vec![(11, 26)]),
            ("D", vec![]),
            ("D1:x (D2:3)", vec![(2, 3)]),
        ] {
            assert_eq!(ids(text).collect::<Vec<_>>(), expected, "{text}");
        }
        let at = "2023-05-08T13:56:00Z".parse().ok();
        for text in ["1:56 pm on 8 May, 2023", "2023-05-08 13:56", "2023-05-08T13:56:00Z"] {
            assert_eq!(date(text), at, "{text}");
        }
        assert!(date("8 May, 2023").is_some() && date("soon").is_none());
    }

    #[test]
    fn what_is_missing_spoils_only_its_entry() {
        let file = json!([
            { "conversation": {
                "speaker_a": "Ada", "speaker_b": "Bob",
                "session_2": [{ "speaker": "Bob", "text": "Hm?", "blip_caption": "a cake" }, { "blip_caption": "a dog" }],
                "session_1": [{ "speaker": "Ada", "dia_id": "D1:1", "text": "Hi" }, { "speaker": "Bob", "dia_id": "D1:2" }, 7],
                "session_1_date_time": "1:56 pm on 8 May, 2023", "session_3_date_time": "never" },
              "qa": [
                { "question": "Who?", "evidence": ["D1:1; D2:1", "D9:9"], "category": 1 },
                { "question": "What?", "evidence": "D2:2" },
                { "question": "Why?", "evidence": [], "category": 3 },
                { "evidence": ["D1:1"] }, 5 ] },
            { "qa": [] },
        ]);
        let samples = parse(file.to_string().as_bytes()).unwrap();
        let [one] = samples.as_slice() else { panic!("{samples:?}") };
        let texts: Vec<&str> = one.turns.iter().map(|turn| turn.text.as_str()).collect();
        assert_eq!(texts, ["Hi", "Hm? [shares a cake]", "[shares a dog]"]);
        assert_eq!((one.turns[1].at - one.turns[0].at).num_days(), 1);
        let read: Vec<(&str, &[usize])> =
            one.questions.iter().map(|one| (one.category.as_str(), one.evidence.as_slice())).collect();
        assert_eq!(read, [("1", &[0, 1][..]), ("none", &[2])]);
        assert_eq!(one.unusable, 3);
        for bad in ["", "{}", "[]", "[[]]", "{\"conversation\": 3}"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
