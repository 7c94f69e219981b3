//! People change their minds: corrections and retractions of what they wrote.

use chrono::{DateTime, Duration, Utc};
use crave_schemas::{Correct, Event, Kind, Payload, Retract};

use super::delivery::Channel;
use super::dice::Dice;
use super::person::Identity;
use super::{Sent, zones};

/// How often a craving is corrected.
const CORRECTED: f64 = 0.015;
/// How often a correction is corrected again.
const CORRECTED_AGAIN: f64 = 0.15;
/// How often a correction overtakes its target, whose upload hangs.
const OVERTAKEN: f64 = 0.1;
/// How often something written is taken back.
const TAKEN_BACK: f64 = 0.006;

/// Adds corrections and retractions to what was sent.
pub(super) fn revise(sent: &mut Vec<Sent>, me: &Identity, end: DateTime<Utc>, dice: &mut Dice) {
    let mut added = Vec::new();
    for target in sent.iter_mut() {
        if !matches!(target.event.kind, Kind::Craving | Kind::Mood | Kind::Context) {
            continue;
        }
        if target.event.kind == Kind::Craving && dice.chance(CORRECTED) {
            correct(target, me, end, dice, &mut added);
        }
        if dice.chance(TAKEN_BACK) {
            let at = target.send_time + Duration::minutes(dice.whole(2, 2_880));
            let payload = Payload::Retract(Retract { target: target.event.event_id.0 });
            push(me, Kind::Retract, at, payload, end, dice, &mut added);
        }
    }
    sent.append(&mut added);
    sent.sort_by_key(|s| s.send_time);
}

fn correct(target: &mut Sent, me: &Identity, end: DateTime<Utc>, dice: &mut Dice, added: &mut Vec<Sent>) {
    let Payload::Craving(original) = &target.event.payload else { return };
    let mut body = original.clone();
    let mut at = target.send_time;
    let mut happened = target.event.event_time;
    let revisions = if dice.chance(CORRECTED_AGAIN) { 2 } else { 1 };
    for revision in 1..=revisions {
        let change = if dice.chance(0.5) { 2 } else { -2 };
        body.intensity = body.intensity.saturating_add_signed(change).clamp(1, 10);
        if dice.chance(0.3) {
            happened -= Duration::minutes(dice.whole(5, 50));
        }
        at += Duration::minutes(dice.whole(1, 1_200));
        let payload = Payload::Correct(Box::new(Correct {
            target: target.event.event_id.0,
            revision,
            kind: Kind::Craving,
            event_time: happened,
            tz_offset_min: Some(zones::offset_min(me.zone, happened)),
            body: Payload::Craving(body.clone()).to_value(),
        }));
        push(me, Kind::Correct, at, payload, end, dice, added);
    }
    let overtaken = at + Duration::minutes(dice.whole(1, 30));
    if overtaken <= end && dice.chance(OVERTAKEN) {
        target.send_time = overtaken;
    }
}

fn push(
    me: &Identity,
    kind: Kind,
    at: DateTime<Utc>,
    payload: Payload,
    end: DateTime<Utc>,
    dice: &mut Dice,
    added: &mut Vec<Sent>,
) {
    let event: Event = me.event(dice, Channel::Phone, kind, at, payload);
    let send_time = at + Duration::seconds(dice.whole(1, 90));
    if send_time <= end {
        added.push(Sent { user_id: me.user_id.clone(), send_time, event });
    }
}
