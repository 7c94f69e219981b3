//! A backend that lies as models do: none of it reaches the client, and the truth does.

use std::{collections::BTreeSet, sync::Mutex};

use chrono::{DateTime, Utc};
use crave_insight::{
    Ask, Backend, Coach, Fact, Found, Gate, Measure, PartOfDay, Period, Piece, Pieces, Prompt, Query, Rate,
    Result, Select, Sentence, Value,
    budget::{ByChars, Count},
    plan, speak,
};
use tokio::sync::mpsc;
use uuid::Uuid;

mod lies;
mod truths;

/// The facts of an answer, by name.
type Facts = Vec<(String, Fact)>;

const QUESTION: &str = "why do I crave sugar at night after the late shift?";

fn fact(name: &str, label: &str, value: Value, unit: Option<&str>, subject: &str, measure: Measure) -> Fact {
    Fact {
        id: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
        label: label.to_owned(),
        value,
        unit: unit.map(Into::into),
        subject: subject.to_owned(),
        period: "last 30 days".into(),
        when: "in the last 30 days".into(),
        query: String::new(),
        rows_n: 9,
        rows: Vec::new(),
        table_version: 1,
        as_of: DateTime::UNIX_EPOCH,
        measure,
    }
}

fn listening(sink: mpsc::Sender<Sentence>) -> Coach {
    Coach { sink: Some(sink), ..Coach::default() }
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000)
}

/// What the planner plans for a question about sugar, with these values.
fn planned(part: Option<PartOfDay>, values: &[(&str, Value)]) -> Facts {
    let query = Query {
        ask: Ask::Why,
        craving: Some("sugar".into()),
        part,
        weekdays: Vec::new(),
        weekdays_when: "",
        period: None,
    };
    let found =
        Found { trigger: Some("work stress".into()), part: Some("late_evening".into()), weekday: Some(5) };
    let planned = plan(&query, &Period::last_days(now(), 30), &found);
    let value = |name: &str| values.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
    let known = planned.into_iter().filter_map(|one| {
        let name = one.role.as_str();
        Some((name.to_owned(), fact(name, &one.label, value(name)?, one.unit, "sugar cravings", one.measure)))
    });
    known.collect()
}

fn number(number: f64) -> Value {
    Value::Number(number)
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// Of the night, which got worse.
fn night() -> Facts {
    let mut facts = planned(
        Some(PartOfDay::Night),
        &[
            ("total", number(40.0)),
            ("in_slot", number(18.0)),
            ("slot_share", number(45.0)),
            ("mean", number(7.2)),
            ("mean_elsewhen", number(5.1)),
            ("trigger", text("work stress")),
            ("trigger_n", number(9.0)),
            ("trigger_share", number(50.0)),
            ("resisted_share", number(30.0)),
            ("previous", number(12.0)),
            ("change", number(50.0)),
            ("sdnn_before", number(38.5)),
            ("sdnn_usual", number(45.2)),
        ],
    );
    let note = Measure::Note { event_id: "n".into() };
    facts.push((
        "note_a".into(),
        fact("note_a", "a note", text("12 hours at work, wired"), None, "sugar cravings", note),
    ));
    facts
}

/// Of any time, which got better.
fn whole() -> Facts {
    let mut facts = planned(
        None,
        &[
            ("total", number(18.0)),
            ("mean", number(4.4)),
            ("part", text("late in the evening")),
            ("part_share", number(39.0)),
            ("weekday", text("Friday")),
            ("weekday_share", number(28.0)),
            ("previous", number(24.0)),
            ("change", number(-25.0)),
            ("resisted_share", number(60.0)),
        ],
    );
    for (name, column, value, unit) in
        [("rate", Rate::PerWeek, 4.1, "a week"), ("rate_change", Rate::ChangePct, -12.0, "%")]
    {
        let measure = Measure::Trend {
            column,
            craving: "sugar".into(),
            grain: "month".into(),
            start: "2024-09-01".into(),
        };
        facts.push((
            name.into(),
            fact(name, "By calendar month", number(value), Some(unit), "sugar cravings", measure),
        ));
    }
    facts
}

/// Of two cravings.
fn two() -> Facts {
    let period = Period::last_days(now(), 30);
    let mut facts = Vec::new();
    for (craving, n, mean) in [("sugar", 18.0, 7.2), ("coffee", 7.0, 3.3)] {
        let of = Select {
            craving: Some(craving.into()),
            parts: Vec::new(),
            weekdays: Vec::new(),
            elsewhen: false,
            trigger: None,
            resisted: None,
            answered: false,
            since: period.since,
            until: period.until,
        };
        let subject = format!("{craving} cravings");
        let count = Measure::Count { of: of.clone() };
        for (name, value, unit, measure) in
            [("n", n, "cravings", count), ("mean", mean, "of 10", Measure::Intensity { of })]
        {
            let name = format!("{craving}_{name}");
            let fact = fact(&name, &subject, number(value), Some(unit), &subject, measure);
            facts.push((name, fact));
        }
    }
    facts
}

fn facts(of: &str) -> Facts {
    match of {
        "night" => night(),
        "whole" => whole(),
        _ => two(),
    }
}

fn named(facts: &Facts) -> Vec<(&str, &Fact)> {
    facts.iter().map(|(name, fact)| (name.as_str(), fact)).collect()
}

/// Says what it was told to say, in pieces of a few characters.
#[derive(Debug)]
struct Scripted {
    script: String,
    piece: usize,
    counter: ByChars,
    prompts: Mutex<Vec<Prompt>>,
}

impl Scripted {
    fn new(script: &str, piece: usize) -> Self {
        Self { script: script.to_owned(), piece, counter: ByChars::default(), prompts: Mutex::default() }
    }
}

impl Backend for Scripted {
    fn speak(&self, prompt: Prompt) -> Result<Pieces> {
        self.prompts.lock().unwrap().push(prompt);
        let (sender, pieces) = mpsc::channel(1);
        let chars: Vec<char> = self.script.chars().collect();
        let told: Vec<String> = chars.chunks(self.piece).map(|piece| piece.iter().collect()).collect();
        tokio::spawn(async move {
            for text in told {
                if sender.send(Piece::Text(text)).await.is_err() {
                    return;
                }
            }
            let _ = sender.send(Piece::Done { prompt_tokens: None, completion_tokens: None }).await;
        });
        Ok(pieces)
    }

    fn context(&self) -> usize {
        8_192
    }

    fn counter(&self) -> &dyn Count {
        &self.counter
    }

    fn model(&self) -> &str {
        "scripted"
    }

    fn is_remote(&self) -> bool {
        false
    }
}

const COMPOSED: &str = "The composer's own sentence.";

/// What reaches a client of `script`: in the answer, and in the stream.
async fn told(facts: &Facts, script: &str, piece: usize) -> (Vec<String>, Vec<String>, usize) {
    let named = named(facts);
    let backend = Scripted::new(script, piece);
    let composed = vec![Sentence::plain(COMPOSED)];
    let (sink, mut stream) = mpsc::channel(64);
    let (said, spoken) = speak(&backend, QUESTION, &named, composed, &listening(sink)).await.unwrap();
    let mut streamed = Vec::new();
    while let Some(sentence) = stream.recv().await {
        streamed.push(sentence.text);
    }
    (said.into_iter().map(|sentence| sentence.text).collect(), streamed, spoken.withheld_n)
}

#[tokio::test]
async fn no_lie_reaches_the_client() {
    let lies = lies::all();
    assert!(lies.len() >= 200, "{} lies", lies.len());
    assert_eq!(lies.iter().map(|lie| (lie.0, &lie.1)).collect::<BTreeSet<_>>().len(), lies.len(), "twice");
    let mut through = Vec::new();
    for (at, (of, lie)) in lies.iter().enumerate() {
        let facts = facts(of);
        // Alone, and between two true sentences.
        let truth = if *of == "two" {
            "You logged {{sugar_n.number}} sugar cravings."
        } else {
            "You logged {{total.number}} sugar cravings {{total.when}}."
        };
        let true_text = Gate::new(&named(&facts), &[QUESTION]).pass(truth).unwrap().text;
        for script in [lie.clone(), format!("{truth} {lie} {truth}\n")] {
            let (said, streamed, withheld_n) = told(&facts, &script, at % 7 + 1).await;
            assert_eq!(said, streamed, "{lie}");
            let lied = said.iter().any(|text| *text != true_text && text != COMPOSED);
            if lied || withheld_n == 0 {
                through.push(format!("{lie} => {said:?}"));
                break;
            }
        }
    }
    println!("{} lies, {} through", lies.len(), through.len());
    assert!(through.is_empty(), "{} through:\n{}", through.len(), through.join("\n"));
}

#[tokio::test]
async fn the_truth_is_told() {
    let truths = truths::all();
    assert!(truths.len() >= 200, "{} truths", truths.len());
    let mut withheld = Vec::new();
    for (of, truth) in &truths {
        let facts = facts(of);
        if let Err(why) = Gate::new(&named(&facts), &[QUESTION]).pass(truth) {
            withheld.push(format!("{truth} => {why}"));
        }
    }
    let passed = truths.len() - withheld.len();
    println!("{passed} of {} truths pass; withheld:\n{}", truths.len(), withheld.join("\n"));
    assert!(passed * 100 >= truths.len() * 95, "{passed} of {}:\n{}", truths.len(), withheld.join("\n"));
}

#[tokio::test]
async fn after_two_lies_the_composer_speaks() {
    let script = "You logged a dozen. It will stop. You logged {{total.number}} sugar cravings.";
    let (said, _, withheld_n) = told(&night(), script, 5).await;
    assert_eq!((said, withheld_n), (vec![COMPOSED.to_owned()], 2));
    let script = "You logged {{total.number}} sugar cravings {{total.when}}. What a great question!";
    let (said, _, withheld_n) = told(&night(), script, 5).await;
    assert_eq!(said.first().unwrap(), "You logged 40 sugar cravings in the last 30 days.");
    assert_eq!((said.len(), withheld_n), (2, 0), "{said:?}");
}

#[tokio::test]
async fn whoever_leaves_stops_the_model() {
    let facts = night();
    let named = named(&facts);
    let backend = Scripted::new(&"You logged {{total.number}} sugar cravings. ".repeat(9), 3);
    let (sink, stream) = mpsc::channel(1);
    drop(stream);
    let told = speak(&backend, QUESTION, &named, Vec::new(), &listening(sink)).await;
    assert!(matches!(told, Err(crave_insight::Error::Left)));
    let prompts = backend.prompts.lock().unwrap();
    let prompt = prompts.first().unwrap();
    assert!(prompt.messages.first().unwrap().content.contains("{{in_slot}}"));
    assert_eq!(prompt.messages.last().unwrap().content, QUESTION);
}
