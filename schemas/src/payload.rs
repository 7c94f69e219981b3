//! The body of each kind: fields, units, ranges, provenance.
//!
//! Labels (`craving`, `trigger`, `place`, `mood`, tags) are trimmed and lower-cased on the way in, so that
//! grouping by them works; free text is kept as it was written.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Kind, Refusal};

/// Longest label, in characters.
const LABEL_CHARS_MAX: usize = 48;
/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 4_000;
/// Longest journal text, in bytes.
const JOURNAL_BYTES_MAX: usize = 20_000;
/// Most tags of a context, and most stages of a sleep.
const ITEMS_MAX: usize = 64;
/// Longest span of one event: eight days (a forgotten timer, not a typo of years).
const SPAN_S_MAX: u32 = 8 * 86_400;

fn label(field: &str, text: &mut String) -> Result<(), Refusal> {
    let clean = text.trim().to_lowercase();
    let chars = clean.chars().count();
    if chars == 0 || chars > LABEL_CHARS_MAX || clean.chars().any(char::is_control) {
        return Err(Refusal::invalid(
            field,
            format!("must have 1 to {LABEL_CHARS_MAX} printable characters"),
        ));
    }
    *text = clean;
    Ok(())
}

fn optional_label(field: &str, text: &mut Option<String>) -> Result<(), Refusal> {
    if text.as_deref().is_some_and(|t| t.trim().is_empty()) {
        *text = None;
    }
    text.as_mut().map_or(Ok(()), |t| label(field, t))
}

fn free_text(field: &str, text: &str, bytes_max: usize) -> Result<(), Refusal> {
    if text.len() > bytes_max {
        return Err(Refusal::invalid(field, format!("must not be longer than {bytes_max} bytes")));
    }
    if text.contains('\0') {
        return Err(Refusal::invalid(field, "must not hold a NUL character"));
    }
    Ok(())
}

fn optional_note(text: &mut Option<String>) -> Result<(), Refusal> {
    if text.as_deref().is_some_and(|t| t.trim().is_empty()) {
        *text = None;
    }
    text.as_deref().map_or(Ok(()), |t| free_text("note", t, NOTE_BYTES_MAX))
}

fn range(field: &str, value: f64, low: f64, high: f64) -> Result<(), Refusal> {
    if value.is_finite() && (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(Refusal::invalid(field, format!("must be between {low} and {high}")))
    }
}

fn span(field: &str, seconds: Option<u32>) -> Result<(), Refusal> {
    match seconds {
        Some(s) if s > SPAN_S_MAX => {
            Err(Refusal::invalid(field, format!("must not exceed {SPAN_S_MAX} seconds")))
        }
        _ => Ok(()),
    }
}

/// Who was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Company {
    Alone,
    Friends,
    Family,
    Partner,
    Colleagues,
    Strangers,
}

/// An urge. Reported by the person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Craving {
    /// What is craved: `sugar`, `alcohol`, `nicotine`, … (1–48 characters).
    pub craving: String,
    /// Strength, 0 (none) to 10 (unbearable).
    #[schemars(range(max = 10))]
    pub intensity: u8,
    /// What set it off, as a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// Where, as a label: `home`, `office`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Mood as a label: `stressed`, `bored`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mood: Option<String>,
    /// Who was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<Company>,
    /// Free text, at most 4,000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether it was resisted; absent when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resisted: Option<bool>,
}

/// Giving in to a craving. Reported by the person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lapse {
    /// What: the same labels as [`Craving::craving`].
    pub craving: String,
    /// How much, in the person's own words (label).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// Free text, at most 4,000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A feeling. Reported by the person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mood {
    /// Pleasantness, −5 (very bad) to 5 (very good).
    #[schemars(range(min = -5, max = 5))]
    pub valence: f64,
    /// Name of the feeling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Free text, at most 4,000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A diary text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// The text, 1 to 20,000 bytes.
    pub text: String,
}

/// Circumstances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// 1 to 64 labels: `alcohol`, `coffee`, `hungry`, `workout`, …
    pub tags: Vec<String>,
}

/// A coarse place: never exact coordinates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// A geohash of at most five characters (about 5 km).
    pub cell: String,
}

/// One number measured by a sensor: HRV (ms), heart rate (beats a minute).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// In the unit that the kind names. HRV 0–1,000 ms; heart rate 20–300; resting heart rate 20–200.
    pub value: f64,
}

/// An amount gathered over a span: steps (count) or distance (metres).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Steps 0–200,000 or metres 0–500,000.
    pub value: f64,
    /// Length of the span that starts at `event_time`, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<u32>,
}

/// A stage of sleep. Core is Apple's name for light sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum SleepStage {
    InBed,
    Awake,
    /// Asleep, stage not told.
    Asleep,
    Core,
    Deep,
    Rem,
}

/// Time in one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StageSpan {
    /// The stage.
    pub stage: SleepStage,
    /// Seconds in it.
    pub duration_s: u32,
}

/// Sleep that begins at `event_time`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sleep {
    /// 1 to 64 stages.
    pub stages: Vec<StageSpan>,
}

/// A workout that begins at `event_time`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workout {
    /// What was done, as a label.
    pub activity: String,
    /// Length in seconds.
    pub duration_s: u32,
    /// Metres, 0–500,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_m: Option<f64>,
    /// Kilocalories, 0–20,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_kcal: Option<f64>,
}

/// The rings of one local day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ActivitySummary {
    /// The local day.
    pub date: NaiveDate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_energy_kcal: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_energy_goal_kcal: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exercise_min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exercise_goal_min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_h: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_goal_h: Option<f64>,
}

/// A mindful session that begins at `event_time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mindful {
    /// Length in seconds.
    pub duration_s: u32,
}

/// Replaces an event: the highest revision holds. One that comes before its target waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Correct {
    /// `event_id` of the original event.
    pub target: Uuid,
    /// 1, 2, …: of two corrections of one target the higher holds; the original is revision 0.
    #[schemars(range(min = 1))]
    pub revision: u32,
    /// Kind of the corrected event: the same as the target's.
    pub kind: Kind,
    /// When it really happened.
    pub event_time: DateTime<Utc>,
    /// Offset at that instant, minutes east of UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tz_offset_min: Option<i16>,
    /// The whole new payload of that kind.
    pub body: serde_json::Value,
}

/// Takes an event and all its corrections back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retract {
    /// `event_id` of the original event.
    pub target: Uuid,
}

/// The validated body of an event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Payload {
    Craving(Craving),
    Lapse(Lapse),
    Mood(Mood),
    Journal(Journal),
    Context(Context),
    Location(Location),
    Measure(Measure),
    Tally(Tally),
    Sleep(Sleep),
    Workout(Workout),
    ActivitySummary(ActivitySummary),
    Mindful(Mindful),
    Correct(Box<Correct>),
    Retract(Retract),
}

impl Payload {
    /// Reads and checks the JSON payload of `kind`; labels come out normalised.
    ///
    /// # Errors
    /// A [`Refusal`] whose field is relative to the payload.
    pub fn parse(kind: Kind, json: &str) -> Result<Self, Refusal> {
        let mut payload = match kind {
            Kind::Craving => Self::Craving(read(json)?),
            Kind::Lapse => Self::Lapse(read(json)?),
            Kind::Mood => Self::Mood(read(json)?),
            Kind::Journal => Self::Journal(read(json)?),
            Kind::Context => Self::Context(read(json)?),
            Kind::Location => Self::Location(read(json)?),
            Kind::HrvSdnnMs | Kind::HrvRmssdMs | Kind::HeartRateBpm | Kind::RestingHeartRateBpm => {
                Self::Measure(read(json)?)
            }
            Kind::Steps | Kind::DistanceM => Self::Tally(read(json)?),
            Kind::Sleep => Self::Sleep(read(json)?),
            Kind::Workout => Self::Workout(read(json)?),
            Kind::ActivitySummary => Self::ActivitySummary(read(json)?),
            Kind::Mindful => Self::Mindful(read(json)?),
            Kind::Correct => Self::Correct(Box::new(read(json)?)),
            Kind::Retract => Self::Retract(read(json)?),
        };
        payload.check(kind)?;
        Ok(payload)
    }

    fn check(&mut self, kind: Kind) -> Result<(), Refusal> {
        match self {
            Self::Craving(c) => {
                label("craving", &mut c.craving)?;
                range("intensity", f64::from(c.intensity), 0.0, 10.0)?;
                optional_label("trigger", &mut c.trigger)?;
                optional_label("place", &mut c.place)?;
                optional_label("mood", &mut c.mood)?;
                optional_note(&mut c.note)
            }
            Self::Lapse(l) => {
                label("craving", &mut l.craving)?;
                optional_label("amount", &mut l.amount)?;
                optional_note(&mut l.note)
            }
            Self::Mood(m) => {
                range("valence", m.valence, -5.0, 5.0)?;
                optional_label("label", &mut m.label)?;
                optional_note(&mut m.note)
            }
            Self::Journal(j) => {
                if j.text.trim().is_empty() {
                    return Err(Refusal::invalid("text", "must not be empty"));
                }
                free_text("text", &j.text, JOURNAL_BYTES_MAX)
            }
            Self::Context(c) => {
                count("tags", c.tags.len())?;
                c.tags.iter_mut().try_for_each(|t| label("tags", t))?;
                c.tags.sort_unstable();
                c.tags.dedup();
                Ok(())
            }
            Self::Location(l) => check_cell(&mut l.cell),
            Self::Measure(m) => match kind {
                Kind::HeartRateBpm => range("value", m.value, 20.0, 300.0),
                Kind::RestingHeartRateBpm => range("value", m.value, 20.0, 200.0),
                _ => range("value", m.value, 0.0, 1_000.0),
            },
            Self::Tally(t) => {
                span("duration_s", t.duration_s)?;
                range("value", t.value, 0.0, if kind == Kind::Steps { 200_000.0 } else { 500_000.0 })
            }
            Self::Sleep(s) => {
                count("stages", s.stages.len())?;
                s.stages.iter().try_for_each(|stage| span("stages", Some(stage.duration_s)))
            }
            Self::Workout(w) => {
                label("activity", &mut w.activity)?;
                span("duration_s", Some(w.duration_s))?;
                w.distance_m.map_or(Ok(()), |v| range("distance_m", v, 0.0, 500_000.0))?;
                w.energy_kcal.map_or(Ok(()), |v| range("energy_kcal", v, 0.0, 20_000.0))
            }
            Self::ActivitySummary(a) => [
                ("active_energy_kcal", a.active_energy_kcal, 20_000.0),
                ("active_energy_goal_kcal", a.active_energy_goal_kcal, 20_000.0),
                ("exercise_min", a.exercise_min, 1_440.0),
                ("exercise_goal_min", a.exercise_goal_min, 1_440.0),
                ("stand_h", a.stand_h, 25.0),
                ("stand_goal_h", a.stand_goal_h, 25.0),
            ]
            .into_iter()
            .try_for_each(|(field, value, high)| value.map_or(Ok(()), |v| range(field, v, 0.0, high))),
            Self::Mindful(m) => span("duration_s", Some(m.duration_s)),
            Self::Correct(c) => {
                range("revision", f64::from(c.revision), 1.0, f64::from(u32::MAX))?;
                if matches!(c.kind, Kind::Correct | Kind::Retract) {
                    return Err(Refusal::invalid(
                        "kind",
                        "a correction cannot be corrected; send a higher revision",
                    ));
                }
                let body = Self::parse(c.kind, &c.body.to_string()).map_err(|r| r.under("body"))?;
                c.body = body.to_value();
                Ok(())
            }
            Self::Retract(_) => Ok(()),
        }
    }

    /// The payload as a JSON value.
    #[must_use]
    pub fn to_value(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The payload as canonical JSON text: normalised labels, fields in the order of declaration.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(json).map_err(|error| crate::event::refusal_of(&error))
}

fn count(field: &str, items: usize) -> Result<(), Refusal> {
    if (1..=ITEMS_MAX).contains(&items) {
        Ok(())
    } else {
        Err(Refusal::invalid(field, format!("must have 1 to {ITEMS_MAX} entries")))
    }
}

fn check_cell(cell: &mut String) -> Result<(), Refusal> {
    *cell = cell.to_ascii_lowercase();
    let geohash =
        |b: u8| b.is_ascii_digit() || (b.is_ascii_lowercase() && !matches!(b, b'a' | b'i' | b'l' | b'o'));
    if (1..=5).contains(&cell.len()) && cell.bytes().all(geohash) {
        Ok(())
    } else {
        Err(Refusal::invalid("cell", "must be a geohash of 1 to 5 characters; finer places are not taken"))
    }
}
