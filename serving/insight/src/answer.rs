//! What goes out: an answer, its citations, and what a citation opens.

use chrono::{DateTime, Utc};
use crave_schemas::{EventId, UserId};
use serde::Serialize;
use uuid::Uuid;

use crate::{Crisis, Fact, Spoken, Value, intent::Draft};

/// Goes with every answer.
pub const DISCLAIMER: &str =
    "This informs; it does not diagnose or treat. Talk to a professional about your health.";

/// Asks for a strength.
pub(crate) const HOW_STRONG: &str = "How strong is it, as a number out of 10? Then I can log it.";

/// What kind of answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// From the person's data.
    Answered,
    /// There is too little of it.
    NotEnoughData,
    /// The vetted answer to someone in crisis.
    Crisis,
    /// Not a question about the person's own log.
    OutOfScope,
    /// An event is proposed, or its strength asked for.
    Proposed,
    /// An event was proposed and confirmed; it is in the log.
    Logged,
}

/// A sentence and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// The sentence.
    pub text: String,
    /// Ids of its citations.
    pub citations: Vec<Uuid>,
}

impl Sentence {
    /// A sentence that claims nothing about the data.
    #[must_use]
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), citations: Vec::new() }
    }
}

/// A fact as an answer shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Citation {
    /// Opens it: `GET /v1/citations/{id}`.
    pub id: Uuid,
    /// What it is.
    pub label: String,
    /// What it says.
    pub value: Value,
    /// In what.
    pub unit: Option<String>,
    /// Of which time.
    pub period: Option<String>,
}

impl From<&Fact> for Citation {
    fn from(fact: &Fact) -> Self {
        Self {
            id: fact.id,
            label: fact.label.clone(),
            value: fact.value.clone(),
            unit: fact.unit.clone(),
            period: Some(fact.period.clone()).filter(|period| !period.is_empty()),
        }
    }
}

/// Where help is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// Who.
    pub name: &'static str,
    /// A telephone number or an address.
    pub contact: &'static str,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Its id: `PUT /v1/answers/{id}/feedback`.
    pub id: Uuid,
    /// Its kind.
    pub status: Status,
    /// Its sentences.
    pub sentences: Vec<Sentence>,
    /// What they cite.
    pub citations: Vec<Citation>,
    /// [`DISCLAIMER`].
    pub disclaimer: &'static str,
    /// Where help is, in a crisis.
    #[serde(skip_serializing_if = "<[Resource]>::is_empty")]
    pub resources: &'static [Resource],
    /// An event to log, if the person confirms it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
    /// Who spoke, where a model did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spoken: Option<Spoken>,
}

/// An event that a message told of. It is stored only once the person confirms it: by a plain "yes" as the next message
/// of the conversation, or by sending `event` to `POST /v1/events` as it is. Its `event_id` is the proposal's, so that a second confirmation changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// Its id, which is the event's.
    pub id: EventId,
    /// The event as intake takes it.
    pub event: Event,
}

/// The event of a [`Proposal`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// The proposal's id.
    pub event_id: EventId,
    /// What kind of program sends it.
    pub source: &'static str,
    /// `craving` or `lapse`.
    pub kind: &'static str,
    /// When the message came.
    pub event_time: DateTime<Utc>,
    /// Minutes that the person's clock is east of UTC.
    pub tz_offset_min: i64,
    /// What it tells.
    pub payload: serde_json::Value,
}

impl Answer {
    /// Proposes to log what the person told in `words` at an instant, `offset_min` minutes east of UTC; asks for the
    /// strength where a craving does not say it. The same words at the same instant are the same event.
    #[must_use]
    pub fn proposed(user: &UserId, draft: &Draft, words: &str, at: DateTime<Utc>, offset_min: i64) -> Self {
        let mut payload = serde_json::json!({ "craving": draft.craving });
        if draft.kind == "craving" {
            let Some(intensity) = draft.intensity else {
                return Self::plain(Status::Proposed, &[HOW_STRONG]);
            };
            payload["intensity"] = intensity.into();
            if let Some(resisted) = draft.resisted {
                payload["resisted"] = resisted.into();
            }
        }
        let at_us = at.timestamp_micros();
        let id = EventId::derived(user, format!("said/{at_us}/{words}").as_bytes());
        let event_time = DateTime::from_timestamp_micros(at_us).unwrap_or(at);
        let event = Event {
            event_id: id,
            source: "api",
            kind: draft.kind,
            event_time,
            tz_offset_min: offset_min,
            payload,
        };
        let text = format!("Shall I log this {draft}? It is stored once you confirm it.");
        Self { proposal: Some(Proposal { id, event }), ..Self::plain(Status::Proposed, &[text.as_str()]) }
    }

    /// An answer of sentences that claim nothing about the data.
    #[must_use]
    pub fn plain(status: Status, sentences: &[&str]) -> Self {
        let sentences = sentences.iter().map(|text| Sentence::plain(*text)).collect();
        Self {
            id: Uuid::now_v7(),
            status,
            sentences,
            citations: Vec::new(),
            disclaimer: DISCLAIMER,
            resources: &[],
            proposal: None,
            spoken: None,
        }
    }

    /// The text, a piece a sentence, and where help is; together they are [`Self::text`].
    #[must_use]
    pub fn pieces(&self) -> Vec<String> {
        let sentences =
            self.sentences.iter().enumerate().map(|(i, sentence)| {
                if i == 0 { sentence.text.clone() } else { format!(" {}", sentence.text) }
            });
        let help = self.resources.iter().map(|help| format!("\n{}: {}", help.name, help.contact));
        sentences.chain(help).collect()
    }

    /// The answer as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.pieces().concat()
    }

    /// The vetted answer: nothing is computed, retrieved or generated.
    #[must_use]
    pub fn crisis(crisis: Crisis) -> Self {
        let (sentences, resources): (&[&str], &'static [Resource]) = match crisis {
            Crisis::SelfHarm => (
                &[
                    "I'm glad you wrote this down. What you feel right now sounds very heavy, and you don't have to carry it alone.",
                    "If you might act on it, call your local emergency number now, and move away from anything you could hurt yourself with.",
                    "Please talk to someone today. These people listen, day and night, and it costs nothing.",
                ],
                &[EMERGENCY_EUROPE, EMERGENCY_AMERICA, LIFELINE, SAMARITANS, HELPLINES],
            ),
            Crisis::Overdose => (
                &[
                    "This can be an emergency. Call your local emergency number now, even if you feel all right.",
                    "Say what was taken, how much and when, and keep the packaging at hand.",
                    "Stay with someone if you can. If a person does not wake up, lay them on their side and stay until help comes.",
                ],
                &[EMERGENCY_EUROPE, EMERGENCY_AMERICA, POISON, HELPLINES],
            ),
            Crisis::Violence => (
                &[
                    "Nobody should be hurt. If you or someone else is in danger now, get to a safe place and call your local emergency number.",
                    "If you fear that you may hurt someone, put distance between you and them and call for help before anything happens.",
                    "These people listen in confidence, and it costs nothing.",
                ],
                &[EMERGENCY_EUROPE, EMERGENCY_AMERICA, HELPLINES],
            ),
        };
        Self { resources, ..Self::plain(Status::Crisis, sentences) }
    }
}

const EMERGENCY_EUROPE: Resource = Resource { name: "Emergency number in Europe", contact: "112" };
const EMERGENCY_AMERICA: Resource = Resource { name: "Emergency number in North America", contact: "911" };
const LIFELINE: Resource =
    Resource { name: "Suicide and Crisis Lifeline, United States and Canada", contact: "988" };
const SAMARITANS: Resource = Resource { name: "Samaritans, United Kingdom and Ireland", contact: "116 123" };
const POISON: Resource = Resource { name: "Poison Help, United States", contact: "1-800-222-1222" };
const HELPLINES: Resource =
    Resource { name: "Find a helpline in your country", contact: "https://findahelpline.com" };

/// What a citation opens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detail {
    /// The citation, as it was.
    #[serde(flatten)]
    pub citation: Citation,
    /// The SQL whose answer it is.
    pub query: String,
    /// When it was computed.
    pub as_of: DateTime<Utc>,
    /// From which version of the table.
    pub table_version: u64,
    /// What it would say now, over the same period.
    pub value_now: Value,
    /// Whether value or rows are others now.
    pub changed: bool,
    /// The rows it rests on, as they are now.
    pub rows: Vec<DetailRow>,
}

/// A row a fact rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DetailRow {
    /// The event.
    pub event_id: String,
    /// When it happened.
    pub event_time: DateTime<Utc>,
    /// What it says, in a line.
    pub text: String,
}
