//! How events reach the platform: late, in batches, and sometimes twice.

use chrono::{DateTime, Duration, Utc};
use crave_schemas::Event;

use super::Sent;
use super::dice::Dice;
use super::person::Identity;

/// Answers: half of them within nine minutes …
const ANSWER_MEDIAN_S: f64 = 540.0;
/// … nine tenths within 52 (the logarithm of 52 / 9 over the 90 % quantile of the normal distribution) …
const ANSWER_SIGMA: f64 = 1.368_4;
/// … and all within 5.6 hours.
const ANSWER_MAX_S: f64 = 20_160.0;

/// Which device sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Phone,
    Watch,
}

/// An event on a device.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    /// From when on it could be sent.
    pub(super) ready: DateTime<Utc>,
    pub(super) channel: Channel,
    pub(super) event: Event,
}

/// Sends everything once, in the order of sending; what would go out after `end` stays on the device.
pub(super) fn first(
    mut planned: Vec<Planned>,
    me: &Identity,
    end: DateTime<Utc>,
    dice: &mut Dice,
) -> Vec<Sent> {
    planned.sort_by_key(|p| p.ready);
    let mut sync = planned.first().map_or(end, |p| p.ready);
    let mut sent = Vec::with_capacity(planned.len());
    for Planned { ready, channel, event } in planned {
        let send_time = match channel {
            Channel::Phone => ready + answer_delay(dice),
            Channel::Watch => {
                while sync < ready {
                    let hours = dice.lognormal(2.0, 0.8).clamp(0.25, 14.0);
                    // Hours of a day, so the cast is exact.
                    sync += Duration::seconds((hours * 3_600.0) as i64);
                }
                sync
            }
        };
        if send_time <= end {
            sent.push(Sent { user_id: me.user_id.clone(), send_time, event });
        }
    }
    sent.sort_by_key(|s| s.send_time);
    sent
}

/// How long after it happened a person writes something down.
pub(super) fn answer_delay(dice: &mut Dice) -> Duration {
    let seconds = dice.lognormal(ANSWER_MEDIAN_S, ANSWER_SIGMA).clamp(3.0, ANSWER_MAX_S);
    // Within some hours, so the cast is exact.
    Duration::seconds(seconds as i64)
}

/// Sends some of it again, as devices do whose first attempt got no answer: single events, and now and then all that
/// went out in one batch. Returns how many copies were added.
pub(super) fn again(sent: &mut Vec<Sent>, end: DateTime<Utc>, dice: &mut Dice) -> u64 {
    let mut copies = Vec::new();
    let mut i = 0;
    while i < sent.len() {
        let batch = sent[i..].iter().take_while(|s| s.send_time == sent[i].send_time).count();
        let retry = sent[i].send_time + Duration::seconds(dice.whole(20, 5_400));
        if retry <= end && dice.chance(if batch > 1 { 0.04 } else { 0.02 }) {
            copies.extend(sent[i..i + batch].iter().map(|s| Sent { send_time: retry, ..s.clone() }));
        }
        i += batch;
    }
    let count = copies.len() as u64;
    sent.extend(copies);
    count
}
