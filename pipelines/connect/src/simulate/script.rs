//! How a habit is spoken about: labels and sentences, and the note that is made of them.

use super::dice::{Deck, Dice};

/// What sets a craving off, with the sentences in which people say so.
#[derive(Debug)]
pub(super) struct Trigger {
    /// The label.
    pub(super) label: &'static str,
    /// How often, relative to the others.
    pub(super) weight: f64,
    /// Whether it is stress, which the watch sees.
    pub(super) stress: bool,
    /// What happened. `{who}` is a person's name.
    pub(super) causes: &'static [&'static str],
}

/// The words of one habit. `{thing}` stands for one of `things`.
#[derive(Debug)]
pub(super) struct Script {
    /// What is craved.
    pub(super) craving: &'static str,
    pub(super) triggers: &'static [Trigger],
    pub(super) things: &'static [&'static str],
    /// How the urge feels.
    pub(super) wants: &'static [&'static str],
    /// How it went when it was resisted.
    pub(super) resisted: &'static [&'static str],
    /// How it went when not.
    pub(super) gave_in: &'static [&'static str],
    pub(super) places: &'static [&'static str],
    pub(super) amounts: &'static [&'static str],
}

const NAMES: &[&str] = &["Jonas", "Mira", "Sam", "Priya", "Lena", "Tomás", "Aiko", "Dana", "Omar", "Ruth"];

/// Tells notes of one script without repeating itself soon.
#[derive(Debug)]
pub(super) struct Teller {
    causes: Vec<Deck<'static>>,
    things: Deck<'static>,
    wants: Deck<'static>,
    resisted: Deck<'static>,
    gave_in: Deck<'static>,
    names: Deck<'static>,
}

impl Teller {
    pub(super) fn new(script: &'static Script) -> Self {
        Self {
            causes: script.triggers.iter().map(|t| Deck::new(t.causes)).collect(),
            things: Deck::new(script.things),
            wants: Deck::new(script.wants),
            resisted: Deck::new(script.resisted),
            gave_in: Deck::new(script.gave_in),
            names: Deck::new(NAMES),
        }
    }

    /// A note about a craving set off by the trigger with this index. It always tells the cause.
    pub(super) fn note(&mut self, trigger: usize, resisted: bool, dice: &mut Dice) -> String {
        let cause = self.causes.get_mut(trigger).map(|deck| deck.deal(dice)).unwrap_or_default();
        let mut note = String::with_capacity(160);
        note.push_str(cause);
        if dice.chance(0.85) {
            note.push(' ');
            note.push_str(self.wants.deal(dice));
        }
        if dice.chance(0.6) {
            note.push(' ');
            note.push_str(if resisted { self.resisted.deal(dice) } else { self.gave_in.deal(dice) });
        }
        if note.contains("{who}") {
            note = note.replace("{who}", self.names.deal(dice));
        }
        if note.contains("{thing}") {
            note = note.replace("{thing}", self.things.deal(dice));
        }
        note
    }
}
