//! Which facts an answer needs. Pure.

use serde_json::Value as Json;

use crate::{Ask, Measure, PartOfDay, Period, Query, Select, measure::Column};

/// The part a fact plays in an answer; its name is what templates call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Role {
    Total,
    InSlot,
    SlotShare,
    Mean,
    MeanElsewhen,
    Trigger,
    TriggerN,
    TriggerShare,
    Part,
    PartShare,
    Weekday,
    WeekdayShare,
    ResistedShare,
    Previous,
    Change,
    SdnnBefore,
    SdnnUsual,
    Rate,
    RateChange,
    NoteA,
    NoteB,
}

impl Role {
    const NAMES: [(Self, &'static str); 21] = [
        (Self::Total, "total"),
        (Self::InSlot, "in_slot"),
        (Self::SlotShare, "slot_share"),
        (Self::Mean, "mean"),
        (Self::MeanElsewhen, "mean_elsewhen"),
        (Self::Trigger, "trigger"),
        (Self::TriggerN, "trigger_n"),
        (Self::TriggerShare, "trigger_share"),
        (Self::Part, "part"),
        (Self::PartShare, "part_share"),
        (Self::Weekday, "weekday"),
        (Self::WeekdayShare, "weekday_share"),
        (Self::ResistedShare, "resisted_share"),
        (Self::Previous, "previous"),
        (Self::Change, "change"),
        (Self::SdnnBefore, "sdnn_before"),
        (Self::SdnnUsual, "sdnn_usual"),
        (Self::Rate, "rate"),
        (Self::RateChange, "rate_change"),
        (Self::NoteA, "note_a"),
        (Self::NoteB, "note_b"),
    ];

    /// The role of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, own)| *own == name).map(|(role, _)| *role)
    }

    /// Its name in templates.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(role, _)| *role == self).map_or("", |(_, name)| name)
    }
}

/// What a first look at the cravings in question found: the most frequent value of each column, as in the tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// What set them off.
    pub trigger: Option<String>,
    /// The part of the day.
    pub part: Option<String>,
    /// The weekday.
    pub weekday: Option<u8>,
}

/// A fact to compute.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Its part in the answer.
    pub role: Role,
    /// Its heading.
    pub label: String,
    /// Its unit.
    pub unit: Option<&'static str>,
    /// Its SQL.
    pub measure: Measure,
    /// Its value, where it had to be known to plan the others.
    pub known: Option<Json>,
}

/// The cravings a question is about: all of them, and those at the time of day and on the weekdays it names.
#[must_use]
pub(crate) fn selects(query: &Query, period: &Period) -> (Select, Select) {
    let all = Select {
        craving: query.craving.clone(),
        parts: Vec::new(),
        weekdays: Vec::new(),
        elsewhen: false,
        trigger: None,
        resisted: None,
        answered: false,
        since: period.since,
        until: period.until,
    };
    let parts = query.part.map(PartOfDay::parts).unwrap_or_default();
    let slot = Select { parts, weekdays: query.weekdays.clone(), ..all.clone() };
    (all, slot)
}

/// The facts that can answer `query` over `period`.
#[must_use]
pub fn plan(query: &Query, period: &Period, found: &Found) -> Vec<Planned> {
    let (all, slot) = selects(query, period);
    let has_slot = query.has_slot();
    let (subject, at) = (capital(&query.subject()), query.slot_label());
    let mut plan = Vec::with_capacity(16);
    let known = |measure: &Measure| match measure {
        Measure::Top { by: Column::Trigger, .. } => found.trigger.clone().map(Json::from),
        Measure::Top { by: Column::DayPart, .. } => found.part.clone().map(Json::from),
        Measure::Top { by: Column::LocalDow, .. } => found.weekday.map(Json::from),
        _ => None,
    };
    let mut add = |role, label: String, unit, measure| {
        let known = known(&measure);
        plan.push(Planned { role, label, unit, measure, known });
    };

    add(Role::Total, subject.clone(), Some("cravings"), Measure::Count { of: all.clone() });
    add(
        Role::Mean,
        format!("{subject}{at}: mean intensity"),
        Some("of 10"),
        Measure::Intensity { of: slot.clone() },
    );
    if has_slot {
        add(Role::InSlot, format!("{subject}{at}"), Some("cravings"), Measure::Count { of: slot.clone() });
        let share = Measure::Share { of: slot.clone(), among: all };
        add(Role::SlotShare, format!("{subject}{at}: share of all"), Some("%"), share);
        let elsewhen = Select { elsewhen: true, ..slot.clone() };
        let label = format!("{subject} at other times: mean intensity");
        add(Role::MeanElsewhen, label, Some("of 10"), Measure::Intensity { of: elsewhen });
    } else {
        if let Some(part) = &found.part {
            let of = Select { parts: vec![part.clone()], ..all.clone() };
            let top = Measure::Top { by: Column::DayPart, of: all.clone() };
            add(Role::Part, format!("{subject}: most frequent part of the day"), None, top);
            let share = Measure::Share { of, among: all.clone() };
            add(Role::PartShare, format!("{subject} {}: share of all", part_when(part)), Some("%"), share);
        }
        if let Some(weekday) = found.weekday {
            let of = Select { weekdays: vec![weekday], ..all.clone() };
            let top = Measure::Top { by: Column::LocalDow, of: all.clone() };
            add(Role::Weekday, format!("{subject}: most frequent weekday"), None, top);
            let label = format!("{subject} on {}s: share of all", weekday_name(weekday));
            add(Role::WeekdayShare, label, Some("%"), Measure::Share { of, among: all });
        }
    }
    if let Some(trigger) = &found.trigger {
        let of = Select { trigger: Some(trigger.clone()), ..slot.clone() };
        let top = Measure::Top { by: Column::Trigger, of: slot.clone() };
        add(Role::Trigger, format!("{subject}{at}: most frequent trigger"), None, top);
        let label = format!("{subject}{at} set off by “{trigger}”");
        add(Role::TriggerN, label.clone(), Some("cravings"), Measure::Count { of: of.clone() });
        let share = Measure::Share { of, among: slot.clone() };
        add(Role::TriggerShare, format!("{label}: share"), Some("%"), share);
    }
    let among = Select { answered: true, ..slot.clone() };
    let of = Select { resisted: Some(true), ..slot.clone() };
    let label = format!("{subject}{at} resisted, of those that say so");
    add(Role::ResistedShare, label, Some("%"), Measure::Share { of, among });
    if period.has_before() {
        let (since, until) = period.before();
        let before = Select { since, until, ..slot.clone() };
        let label = format!("{subject}{at} in the same time before");
        add(Role::Previous, label, Some("cravings"), Measure::Count { of: before.clone() });
        let label = format!("{subject}{at}: change against the time before");
        add(Role::Change, label, Some("%"), Measure::Change { of: slot.clone(), before });
    }
    if matches!(query.ask, Ask::Why | Ask::Hrv) {
        let label = format!("SDNN in the hours before {}{at}", query.subject());
        add(Role::SdnnBefore, label, Some("ms"), Measure::SdnnBefore { of: slot });
        let usual = Measure::SdnnUsual { since: period.since, until: period.until };
        add(Role::SdnnUsual, "SDNN, all readings".to_owned(), Some("ms"), usual);
    }
    plan
}

impl Query {
    /// Whether it names a time of day or weekdays.
    #[must_use]
    pub fn has_slot(&self) -> bool {
        self.part.is_some() || !self.weekdays.is_empty()
    }

    /// What it is about: `sugar cravings`.
    #[must_use]
    pub fn subject(&self) -> String {
        self.craving.as_ref().map_or_else(|| "cravings".to_owned(), |craving| format!("{craving} cravings"))
    }

    /// Its time of day and weekdays as part of a sentence; without digits.
    #[must_use]
    pub fn slot_when(&self) -> String {
        let part = self.part.map_or("", PartOfDay::when);
        [part, self.weekdays_when].into_iter().filter(|when| !when.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// The same for a heading, with hours and a space before; empty when it names none.
    fn slot_label(&self) -> String {
        let hours = self.part.map_or_else(String::new, |part| format!(" {} ({})", part.when(), part.hours()));
        let days =
            if self.weekdays_when.is_empty() { String::new() } else { format!(" {}", self.weekdays_when) };
        format!("{hours}{days}")
    }
}

/// A value of `day_part` as part of a sentence.
#[must_use]
pub(crate) fn part_when(part: &str) -> &'static str {
    match part {
        "morning" => "in the morning",
        "afternoon" => "in the afternoon",
        "evening" => "in the early evening",
        "late_evening" => "late in the evening",
        _ => "in the small hours",
    }
}

/// The name of a weekday, 0 = Sunday.
#[must_use]
pub(crate) fn weekday_name(weekday: u8) -> &'static str {
    const NAMES: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    NAMES.get(usize::from(weekday) % 7).copied().unwrap_or("Sunday")
}

/// A value as the tables give it, as a fact shows it: rounded, and labels as words.
#[must_use]
pub(crate) fn shown(measure: &Measure, value: &Json) -> crate::Value {
    use crate::Value;
    match (measure, value) {
        (Measure::Top { by: Column::DayPart, .. }, Json::String(part)) => {
            Value::Text(part_when(part).to_owned())
        }
        (Measure::Top { by: Column::LocalDow, .. }, Json::Number(day)) => {
            let day =
                day.as_u64().or_else(|| day.as_f64().map(|day| day.max(0.0) as u64)).unwrap_or_default();
            Value::Text(weekday_name(u8::try_from(day % 7).unwrap_or_default()).to_owned())
        }
        (_, Json::String(text)) => Value::Text(text.clone()),
        (_, Json::Number(number)) => {
            let scale = 10_f64.powi(measure.decimals());
            number.as_f64().filter(|number| number.is_finite()).map_or(Value::Nothing, |number| {
                // Adding zero turns -0 into 0.
                Value::Number((number * scale).round() / scale + 0.0)
            })
        }
        _ => Value::Nothing,
    }
}

pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
