//! What a fact is about, as words that must or must not stand beside it. Pure.

use crave_recall::words::{any, same, words};

use super::lexicon::{BEFORE, DAYS, HEART, OTHERWISE, PARTS, RESIST, STRENGTH, TIMES, TRIGGER, WHOLE};
use crate::{Fact, Measure, Rate, Select, Value, measure::Column, question};

/// Whose cravings a fact is about.
pub(super) fn select(fact: &Fact) -> Option<&Select> {
    match &fact.measure {
        Measure::Count { of }
        | Measure::Share { of, .. }
        | Measure::Intensity { of }
        | Measure::Change { of, .. }
        | Measure::Top { of, .. }
        | Measure::SdnnBefore { of } => Some(of),
        _ => None,
    }
}

/// Whether `part` is counted within `whole`: `{{in_slot}} of {{total}}`.
pub(super) fn within(part: &Fact, whole: &Fact) -> bool {
    let Measure::Count { of: whole } = &whole.measure else { return false };
    match &part.measure {
        Measure::Share { among, .. } => among == whole,
        Measure::Count { of } => of != whole && narrower(of, whole),
        _ => false,
    }
}

fn narrower(of: &Select, whole: &Select) -> bool {
    let all = |own: &[String], outer: &[String]| outer.is_empty() || own == outer;
    of.since == whole.since
        && of.until == whole.until
        && of.elsewhen == whole.elsewhen
        && (whole.craving.is_none() || of.craving == whole.craving)
        && all(&of.parts, &whole.parts)
        && (whole.weekdays.is_empty() || of.weekdays == whole.weekdays)
        && (whole.trigger.is_none() || of.trigger == whole.trigger)
        && (whole.resisted.is_none() || of.resisted == whole.resisted)
        && (!whole.answered || of.answered || of.resisted.is_some())
}

/// The words beside a fact.
#[derive(Debug)]
pub(super) struct Beside<'a> {
    /// Those of its own part of the sentence.
    pub(super) own: &'a [String],
    /// Those, and what is said before them in the sentence.
    pub(super) near: &'a [String],
    /// All of the sentence's.
    pub(super) all: &'a [String],
    /// Texts that the sentence quotes from facts.
    pub(super) quoted: &'a [&'a str],
}

/// What else the answer speaks of, so that a fact must be told from it.
#[derive(Debug)]
pub(super) struct Others {
    /// Facts of another craving are there.
    pub(super) subjects: bool,
    /// The fact is about the time before that of another.
    pub(super) before: bool,
}

/// Why the words do not fit the fact; `None` when they do.
pub(super) fn misfit(fact: &Fact, beside: &Beside<'_>, others: &Others) -> Option<&'static str> {
    let has = |words: &[String], patterns: &[&str]| any(words, patterns);
    let of = select(fact);
    let craving = match &fact.measure {
        Measure::Trend { craving, .. } => Some(craving.as_str()),
        Measure::SdnnUsual { .. } => None,
        _ => of.and_then(|of| of.craving.as_deref()),
    };
    let named = question::named(beside.own);
    match craving {
        Some(own) if named.iter().any(|name| !question::alike(own, name)) => return Some("another craving"),
        Some(own) if others.subjects && !question::mentions(beside.near, own) => {
            return Some("which craving is not said");
        }
        None if of.is_some() && !named.is_empty() => return Some("one craving of all"),
        _ => {}
    }
    if let Some(of) = of {
        if let Some(why) = day(of, beside) {
            return Some(why);
        }
        if of.elsewhen != has(beside.own, OTHERWISE) {
            return Some("the other times");
        }
        let trigger = |text: &str| {
            let text = words(text);
            !text.is_empty() && beside.own.windows(text.len()).any(|window| window == text)
        };
        match &of.trigger {
            Some(own) if !trigger(own) && !beside.quoted.contains(&own.as_str()) => {
                return Some("what set them off is not said");
            }
            Some(_) => {}
            None if !matches!(fact.measure, Measure::Top { by: Column::Trigger, .. })
                && has(beside.own, TRIGGER) =>
            {
                return Some("what set them off");
            }
            None => {}
        }
        if (of.resisted == Some(true)) != has(beside.own, RESIST) {
            return Some("whether they were resisted");
        }
    }
    kind(fact, beside).or_else(|| time(fact, beside, others))
}

/// Parts of the day and weekdays.
fn day(of: &Select, beside: &Beside<'_>) -> Option<&'static str> {
    let group = group(&of.parts);
    let whole = any(beside.own, WHOLE);
    for (name, its) in PARTS {
        let shared = |word: &&str| group.is_some_and(|own| own != *name && words_of(own).contains(word));
        let own: Vec<&str> = its.iter().filter(|word| !shared(word)).copied().collect();
        if group != Some(*name) && any(if whole { beside.own } else { beside.near }, &own) {
            return Some("another part of the day");
        }
    }
    if of.elsewhen {
        return None;
    }
    let quoted = |its: &dyn Fn(&[String]) -> bool| beside.quoted.iter().any(|text| its(&words(text)));
    if let Some(group) = group {
        let its = |words: &[String]| any(words, words_of(group));
        if !its(beside.near) && !quoted(&its) {
            return Some("the part of the day is not said");
        }
    }
    let names: Vec<&str> =
        of.weekdays.iter().filter_map(|day| DAYS.get(usize::from(*day))).copied().collect();
    let weekend = of.weekdays == [0, 6] || of.weekdays == [6, 0];
    let week = of.weekdays.len() == 5 && !of.weekdays.contains(&0) && !of.weekdays.contains(&6);
    let is = |word: &String| {
        names.iter().any(|name| same(word, name))
            || weekend && word.starts_with("weekend")
            || week && (word == "weekday" || word == "weekdays" || word == "workdays")
    };
    let any_day = |word: &String| {
        DAYS.iter().any(|name| same(word, name))
            || word.starts_with("weekend")
            || matches!(word.as_str(), "weekday" | "weekdays" | "workdays")
    };
    if beside.own.iter().any(|word| any_day(word) && !is(word)) {
        return Some("another day of the week");
    }
    let its = |words: &[String]| words.iter().any(is);
    if !of.weekdays.is_empty() && !its(beside.near) && !quoted(&its) {
        return Some("the day of the week is not said");
    }
    None
}

fn words_of(group: &str) -> &'static [&'static str] {
    PARTS.iter().find(|(name, _)| *name == group).map_or(&[], |(_, words)| words)
}

/// What the values of `day_part` are together.
fn group(parts: &[String]) -> Option<&'static str> {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        [] => None,
        ["morning"] => Some("morning"),
        ["afternoon"] => Some("afternoon"),
        ["evening"] | ["late_evening"] | ["evening", "late_evening"] => Some("evening"),
        _ => Some("night"),
    }
}

/// What is measured.
fn kind(fact: &Fact, beside: &Beside<'_>) -> Option<&'static str> {
    let has = |patterns| any(beside.own, patterns);
    let is_strength = matches!(fact.measure, Measure::Intensity { .. });
    let is_heart = matches!(fact.measure, Measure::SdnnBefore { .. } | Measure::SdnnUsual { .. });
    let is_note = matches!(fact.measure, Measure::Note { .. });
    if is_note {
        let said = any(beside.near, &["you wrote|write|said|say|noted|note", "your ?own words|note"])
            && !any(beside.near, super::lexicon::SPEAKERS);
        return (!said).then_some("whose words these are");
    }
    if (is_strength && !any(beside.all, STRENGTH)) || (!is_strength && has(STRENGTH)) {
        return Some("how strong they are");
    }
    if (is_heart && !any(beside.all, HEART)) || (!is_heart && has(HEART)) {
        return Some("what the heart did");
    }
    if is_heart && has(RESIST) {
        return Some("whether they were resisted");
    }
    match &fact.measure {
        Measure::Change { .. } | Measure::Trend { column: Rate::ChangePct, .. }
            if !any(beside.all, &["chang*"])
                && !any(beside.all, super::lexicon::UP)
                && !any(beside.all, super::lexicon::DOWN) =>
        {
            Some("that it is a change")
        }
        Measure::Share { .. } | Measure::Count { .. } if has(&["chang*|average*|mean"]) => {
            Some("that it is a plain number")
        }
        Measure::Trend { column: Rate::PerWeek, .. } if !has(&["week|weekly"]) => Some("by the week"),
        _ => None,
    }
}

/// Of which time.
fn time(fact: &Fact, beside: &Beside<'_>, others: &Others) -> Option<&'static str> {
    let mut own = words(&fact.when);
    own.extend(words(&fact.period));
    let rate = matches!(fact.measure, Measure::Trend { .. });
    let allowed = |word: &String| {
        own.iter().any(|one| same(one, word)) || rate && (same(word, "week") || same(word, "month"))
    };
    let times = |word: &&String| TIMES.contains(&word.as_str());
    if beside.own.iter().filter(times).any(|word| !allowed(word)) {
        return Some("another time");
    }
    let before = any(beside.own, BEFORE);
    match &fact.measure {
        Measure::SdnnBefore { .. } => {
            (!any(beside.near, &["before|prior|preceding"])).then_some("before what")
        }
        Measure::SdnnUsual { .. } => {
            let usual = any(beside.own, &["usual|usually|overall|all|baseline|typical"]);
            (before || !usual).then_some("what is usual")
        }
        Measure::Change { .. } => None,
        Measure::Trend { column: Rate::ChangePct, .. } => {
            (!any(beside.own, &["month"])).then_some("against which month")
        }
        Measure::Top { .. } | Measure::Note { .. } => None,
        _ => (before != others.before).then_some("the time before"),
    }
}

/// The number that a comparison is made by.
pub(super) fn number(fact: &Fact) -> Option<f64> {
    match fact.value {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

/// Whether a fact is itself a change.
pub(super) fn is_change(fact: &Fact) -> bool {
    matches!(fact.measure, Measure::Change { .. } | Measure::Trend { column: Rate::ChangePct, .. })
}
