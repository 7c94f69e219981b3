//! Sentences from facts, without a model. Pure.
//!
//! Each sentence is a template that passes [`ground`]; one that lacks a fact is left out, never filled in.

use std::collections::HashMap;

use crate::{Ask, Fact, Query, Role, Sentence, Status, Value, ground};

#[cfg(test)]
mod tests;

/// Fewer cravings than this say nothing about causes, times or trends.
pub(crate) const ENOUGH: f64 = 5.0;
/// Means closer than this are the same to a person.
const INTENSITY_STEP: f64 = 0.3;
/// A change of SDNN smaller than this share is within its noise.
const SDNN_STEP: f64 = 0.03;

/// A note that explains a craving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its event.
    pub event_id: String,
    /// The person's own words, cut where they are long.
    pub quote: String,
}

type Facts = HashMap<Role, Fact>;

/// The answer in sentences.
#[must_use]
pub fn compose<'a>(query: &'a Query, facts: &'a Facts) -> (Status, Vec<Sentence>) {
    let told = Telling { query, facts };
    let slot = if query.has_slot() { Role::InSlot } else { Role::Total };
    let n = told.number(slot).unwrap_or_default();
    let enough = if query.ask == Ask::Count { told.number(Role::Total) > Some(0.0) } else { n >= ENOUGH };
    if !enough {
        return (Status::NotEnoughData, told.too_little(n));
    }
    let blocks: &[Block<'a>] = match query.ask {
        Ask::Why => &[
            Telling::share,
            Telling::trigger,
            Telling::strength,
            Telling::heart,
            |t| t.note(Role::NoteA),
            |t| t.note(Role::NoteB),
            Telling::trend,
            Telling::caveat,
        ],
        Ask::Count => &[Telling::count, Telling::trend, Telling::trigger],
        Ask::When => &[Telling::share, Telling::part, Telling::weekday, Telling::trigger],
        Ask::Trigger => &[
            Telling::trigger,
            |t| t.note(Role::NoteA),
            |t| t.note(Role::NoteB),
            Telling::share,
            Telling::caveat,
        ],
        Ask::Trend => &[Telling::trend, Telling::rate, Telling::strength, Telling::resisted],
        Ask::Intensity => &[Telling::strength, Telling::count, Telling::trigger],
        Ask::Resisted => &[Telling::resisted, Telling::count, Telling::trigger],
        Ask::Hrv => &[Telling::heart, Telling::count, Telling::caveat],
    };
    let sentences: Vec<_> = blocks.iter().filter_map(|block| block(&told)).collect();
    if sentences.iter().all(|sentence| sentence.citations.is_empty()) {
        return (Status::NotEnoughData, told.too_little(n));
    }
    (Status::Answered, sentences)
}

/// Says one sentence, where the facts for it are there.
type Block<'a> = fn(&Telling<'a>) -> Option<Sentence>;

struct Telling<'a> {
    query: &'a Query,
    facts: &'a Facts,
}

impl Telling<'_> {
    fn number(&self, role: Role) -> Option<f64> {
        self.facts.get(&role)?.value.number()
    }

    /// Whether a fact rests on enough rows to be compared.
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn rests_on_enough(&self, role: Role) -> bool {
        self.facts.get(&role).is_some_and(|fact| fact.rows_n as f64 >= ENOUGH)
    }

    /// Fills a template; `None` when a fact it names is missing or says nothing.
    fn say(&self, template: &str) -> Option<Sentence> {
        let known = |name: &str| {
            let fact = self.facts.get(&Role::from_name(name)?)?;
            (fact.value != Value::Nothing).then_some(fact)
        };
        match ground(template, known) {
            Ok(sentence) => Some(sentence),
            Err(crate::Ungrounded::Unknown(_)) => None,
            Err(error) => {
                tracing::error!(%error, "a template of ours is not grounded");
                None
            }
        }
    }

    fn at(&self) -> String {
        let when = self.query.slot_when();
        if when.is_empty() { when } else { format!(" {when}") }
    }

    fn n(&self) -> &'static str {
        if self.query.has_slot() { "in_slot" } else { "total" }
    }

    fn too_little(&self, n: f64) -> Vec<Sentence> {
        let n = match n {
            0.0 => self.say(&format!("There are no {{{{{n}.subject}}}}{at} in your log {{{{{n}.when}}}}, so there is nothing to answer from.", n = self.n(), at = self.at())),
            _ => self.say(&format!(
                "You logged {{{{{n}.number}}}} {{{{{n}.subject}}}}{at} {{{{{n}.when}}}}: too few to say anything about them.",
                n = self.n(),
                at = self.at()
            )),
        };
        let more = Sentence::plain("Log some more, or ask about a longer time.");
        n.into_iter().chain([more]).collect()
    }

    fn count(&self) -> Option<Sentence> {
        self.say(&format!(
            "You logged {{{{{n}.number}}}} {{{{{n}.subject}}}}{at} {{{{{n}.when}}}}.",
            n = self.n(),
            at = self.at()
        ))
    }

    fn share(&self) -> Option<Sentence> {
        if !self.query.has_slot() {
            return self.count();
        }
        self.say(&format!(
            "{{{{slot_share}}}} of your {{{{total.subject}}}} {{{{total.when}}}} came {}: {{{{in_slot.number}}}} of {{{{total.number}}}}.",
            self.query.slot_when()
        ))
    }

    fn part(&self) -> Option<Sentence> {
        self.say("Most of them come {{part}}: {{part_share}}.")
    }

    fn weekday(&self) -> Option<Sentence> {
        self.say("The day with the most is {{weekday}}, with {{weekday_share}}.")
    }

    fn trigger(&self) -> Option<Sentence> {
        let at = self.at();
        self.say(&format!(
            "What set them off most often{at} was “{{{{trigger}}}}”: {{{{trigger_n.number}}}} of {{{{{}.number}}}} ({{{{trigger_share}}}}).",
            self.n()
        ))
    }

    fn strength(&self) -> Option<Sentence> {
        let mean = self.number(Role::Mean)?;
        let elsewhen = self.number(Role::MeanElsewhen).filter(|_| self.rests_on_enough(Role::MeanElsewhen));
        let at = self.at();
        let Some(elsewhen) = elsewhen else {
            return self.say(&format!("Their mean intensity{at} is {{{{mean}}}}."));
        };
        let how = match mean - elsewhen {
            d if d >= INTENSITY_STEP => "stronger than",
            d if d <= -INTENSITY_STEP => "weaker than",
            _ => "about as strong as",
        };
        self.say(&format!(
            "They are {how} at other times: {{{{mean}}}} on average{at}, against {{{{mean_elsewhen}}}}."
        ))
    }

    fn heart(&self) -> Option<Sentence> {
        if !self.rests_on_enough(Role::SdnnBefore) || !self.rests_on_enough(Role::SdnnUsual) {
            return None;
        }
        let (before, usual) = (self.number(Role::SdnnBefore)?, self.number(Role::SdnnUsual)?);
        let how = match before / usual.max(f64::EPSILON) - 1.0 {
            d if d <= -SDNN_STEP => "lower than",
            d if d >= SDNN_STEP => "higher than",
            _ => "about the same as",
        };
        self.say(&format!(
            "Your heart rate variability (SDNN) in the hours before them was {{{{sdnn_before}}}} on average, {how} your usual {{{{sdnn_usual}}}}."
        ))
    }

    fn note(&self, role: Role) -> Option<Sentence> {
        let note = role.as_str();
        self.say(&format!("You wrote {{{{{note}.when}}}}: “{{{{{note}}}}}”"))
    }

    fn trend(&self) -> Option<Sentence> {
        let n = self.number(if self.query.has_slot() { Role::InSlot } else { Role::Total })?;
        let before = self.number(Role::Previous)?;
        let at = self.at();
        let how = match n.total_cmp(&before) {
            std::cmp::Ordering::Less => "fewer than",
            std::cmp::Ordering::Equal => "as many as",
            std::cmp::Ordering::Greater => "more than",
        };
        let change =
            if n.total_cmp(&before).is_eq() || before < ENOUGH { "" } else { ", a change of {{change}}" };
        self.say(&format!(
            "You logged {{{{{n}.number}}}}{at} {{{{{n}.when}}}}, {how} in the same time before, which had {{{{previous.number}}}}{change}.",
            n = self.n()
        ))
    }

    fn rate(&self) -> Option<Sentence> {
        let whole = "By calendar month: {{rate.number}} a week {{rate.when}}, a change of {{rate_change}} against the month before.";
        self.say(whole).or_else(|| self.say("By calendar month: {{rate.number}} a week {{rate.when}}."))
    }

    fn resisted(&self) -> Option<Sentence> {
        self.say(&format!("You resisted {{{{resisted_share}}}} of those{} of which you say so.", self.at()))
    }

    #[allow(clippy::unnecessary_wraps, reason = "one of the blocks")]
    fn caveat(&self) -> Option<Sentence> {
        Some(Sentence::plain("This goes together in your log; it does not prove that one causes the other."))
    }
}
