//! What the person writes into the phone: cravings, lapses, moods, circumstances, a diary.

use chrono::Duration;
use crave_schemas::{Company, Context, Craving, Journal, Kind, Lapse, Location, Mood, Payload};

use super::delivery::{Channel, Planned};
use super::dice::{Deck, Dice};
use super::habit::{Day, SCRIPTS, Urge};
use super::person::Identity;
use super::script::Teller;
use super::words::days;
use super::zones;

/// A person's way of writing, from day to day.
#[derive(Debug)]
pub(super) struct Diary {
    tellers: Vec<Teller>,
    hard: Deck<'static>,
    plain: Deck<'static>,
    good: Deck<'static>,
    slept_badly: Deck<'static>,
    craved: Deck<'static>,
    tomorrow: Deck<'static>,
    /// How often a craving gets a note.
    talkative: f64,
    home: String,
    work: String,
}

impl Diary {
    pub(super) fn new(dice: &mut Dice) -> Self {
        Self {
            tellers: SCRIPTS.iter().map(|script| Teller::new(script)).collect(),
            hard: Deck::new(days::HARD),
            plain: Deck::new(days::PLAIN),
            good: Deck::new(days::GOOD),
            slept_badly: Deck::new(days::SLEPT_BADLY),
            craved: Deck::new(days::CRAVED),
            tomorrow: Deck::new(days::TOMORROW),
            talkative: dice.between(0.55, 0.85),
            home: cell(dice),
            work: cell(dice),
        }
    }

    /// Writes about one day.
    pub(super) fn day(
        &mut self,
        me: &Identity,
        day: Day,
        urges: &[Urge],
        dice: &mut Dice,
        out: &mut Vec<Planned>,
    ) {
        for urge in urges {
            self.craving(me, day, urge, dice, out);
        }
        self.moods(me, day, dice, out);
        self.circumstances(me, day, urges, dice, out);
        if dice.chance(0.2) {
            let text = self.journal(day, urges, dice);
            let minute = dice.between(1_290.0, 1_380.0);
            write(me, day, minute, Kind::Journal, Payload::Journal(Journal { text }), dice, out);
        }
    }

    fn craving(&mut self, me: &Identity, day: Day, urge: &Urge, dice: &mut Dice, out: &mut Vec<Planned>) {
        let Some(script) = SCRIPTS.get(urge.script) else { return };
        let trigger = script.triggers.get(urge.trigger);
        let note = match self.tellers.get_mut(urge.script) {
            Some(teller) if dice.chance(self.talkative) => {
                Some(teller.note(urge.trigger, urge.resisted, dice))
            }
            _ => None,
        };
        let label = trigger.map_or("", |t| t.label);
        let company = match label {
            "friends" | "party" => Some(Company::Friends),
            "work stress" | "coffee break" => Some(Company::Colleagues),
            _ if dice.chance(0.5) => Some(Company::Alone),
            _ if dice.chance(0.3) => Some(Company::Partner),
            _ => None,
        };
        let mood = if urge.stressful() {
            Some(dice.pick(&["stressed", "tense", "exhausted"]))
        } else if dice.chance(0.5) {
            Some(dice.pick(&["bored", "restless", "content", "low", "cheerful"]))
        } else {
            None
        };
        let craving = Craving {
            craving: script.craving.into(),
            intensity: urge.intensity,
            // Now and then people do not say why.
            trigger: (dice.chance(0.9)).then(|| label.into()),
            place: dice.chance(0.8).then(|| dice.pick(script.places).into()),
            mood: mood.map(Into::into),
            company,
            note,
            resisted: dice.chance(0.93).then_some(urge.resisted),
        };
        write(me, day, urge.minute, Kind::Craving, Payload::Craving(craving), dice, out);
        if !urge.resisted && dice.chance(0.7) {
            let amount = Some(dice.pick(script.amounts).into());
            let lapse = Lapse { craving: script.craving.into(), amount, note: None };
            let minute = urge.minute + dice.between(2.0, 25.0);
            write(me, day, minute, Kind::Lapse, Payload::Lapse(lapse), dice, out);
        }
    }

    fn moods(&mut self, me: &Identity, day: Day, dice: &mut Dice, out: &mut Vec<Planned>) {
        for (minute, likely) in [(560.0, 0.45), (1_190.0, 0.7)] {
            if !dice.chance(likely) {
                continue;
            }
            let valence = (dice.normal(2.6 - 5.2 * day.stress, 1.1) * 2.0).round() / 2.0;
            let valence = valence.clamp(-5.0, 5.0);
            let label = match valence {
                v if v <= -2.0 => dice.pick(&["stressed", "overwhelmed", "irritable"]),
                v if v < 1.0 => dice.pick(&["tired", "bored", "flat", "restless"]),
                v if v < 3.0 => dice.pick(&["okay", "calm", "content"]),
                _ => dice.pick(&["happy", "cheerful", "grateful"]),
            };
            let note = dice.chance(0.15).then(|| self.about(day, dice).to_owned());
            let mood = Mood { valence, label: Some(label.into()), note };
            let minute = minute + dice.normal(0.0, 50.0).clamp(-150.0, 150.0);
            write(me, day, minute, Kind::Mood, Payload::Mood(mood), dice, out);
        }
    }

    fn circumstances(
        &mut self,
        me: &Identity,
        day: Day,
        urges: &[Urge],
        dice: &mut Dice,
        out: &mut Vec<Planned>,
    ) {
        let mut tags = Vec::new();
        if dice.chance(0.7) {
            tags.push("coffee");
        }
        if day.works() && day.stress > 0.65 {
            tags.push("deadline");
        }
        if dice.chance(0.22) {
            tags.push("workout");
        }
        if dice.chance(0.15) {
            tags.push("hungry");
        }
        if urges.iter().any(|u| u.script == 2 && !u.resisted) {
            tags.push("alcohol");
        }
        if !tags.is_empty() && dice.chance(0.6) {
            // As `Payload::parse` leaves them, so that an event equals its own wire form read back.
            tags.sort_unstable();
            let context = Context { tags: tags.into_iter().map(Into::into).collect() };
            let minute = dice.between(1_080.0, 1_260.0);
            write(me, day, minute, Kind::Context, Payload::Context(context), dice, out);
        }
        if dice.chance(0.15) {
            let cell = if day.works() { self.work.clone() } else { self.home.clone() };
            let minute = dice.between(540.0, 720.0);
            write(me, day, minute, Kind::Location, Payload::Location(Location { cell }), dice, out);
        }
    }

    fn about(&mut self, day: Day, dice: &mut Dice) -> &'static str {
        match day.stress {
            s if s > 0.6 => self.hard.deal(dice),
            s if s > 0.3 => self.plain.deal(dice),
            _ => self.good.deal(dice),
        }
    }

    fn journal(&mut self, day: Day, urges: &[Urge], dice: &mut Dice) -> String {
        let mut sentences = vec![self.about(day, dice).to_owned()];
        if day.stress > 0.55 && dice.chance(0.5) {
            sentences.push(self.slept_badly.deal(dice).to_owned());
        }
        let strongest = urges.iter().max_by_key(|u| u.intensity);
        let script = strongest.and_then(|u| Some((SCRIPTS.get(u.script)?, u)));
        if let Some((script, urge)) = script {
            let trigger = script.triggers.get(urge.trigger).map_or("nothing in particular", |t| t.label);
            let sentence = self.craved.deal(dice);
            sentences.push(sentence.replace("{craving}", script.craving).replace("{trigger}", trigger));
            if let Some(teller) = self.tellers.get_mut(urge.script).filter(|_| dice.chance(0.5)) {
                sentences.push(teller.note(urge.trigger, urge.resisted, dice));
            }
        }
        if dice.chance(0.6) {
            sentences.push(self.tomorrow.deal(dice).to_owned());
        }
        sentences.join(" ")
    }
}

/// A made-up geohash of five characters.
fn cell(dice: &mut Dice) -> String {
    (0..5)
        .map(|_| dice.pick(&["b", "c", "d", "e", "f", "g", "h", "u", "v", "w", "x", "9", "8", "2"]))
        .collect()
}

fn write(
    me: &Identity,
    day: Day,
    minute: f64,
    kind: Kind,
    payload: Payload,
    dice: &mut Dice,
    out: &mut Vec<Planned>,
) {
    let (at, _) = zones::instant(me.zone, day.date, minute);
    let at = at + Duration::seconds(dice.whole(0, 59));
    let event = me.event(dice, Channel::Phone, kind, at, payload);
    out.push(Planned { ready: at, channel: Channel::Phone, event });
}
