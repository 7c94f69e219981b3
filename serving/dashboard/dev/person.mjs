// A fake person for development: sugar late in the evening, nicotine on work days, wine at weekends,
// days without anything, and a watch that measures every few hours. Never part of dist/.
import { randomUUID } from "node:crypto";
import { random } from "./random.mjs";

const DAY_MS = 86_400_000;
const NOTES = {
  sugar: ["Couch, series, chocolate in the cupboard.", "Slept badly, wanted something sweet at once.", "After the call with my mother.", null, null],
  nicotine: ["Deadline moved again.", "Everyone went out for a smoke.", null, null, null],
  alcohol: ["Friends ordered a round.", "A long week, wanted to switch off.", null],
};

/** Cravings and HRV of `days` days up to `now`, in this machine's local time. */
export function person(now, days = 400, seed = 7) {
  const next = random(seed);
  const pick = (list) => list[Math.floor(next() * list.length)];
  const cravings = [];
  const hrv = [];
  for (let back = days; back >= 0; back -= 1) {
    const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate() - back).getTime();
    const dow = new Date(midnight).getDay();
    const quiet = next() < 0.16;
    const add = (craving, hour, base, triggers, places) => {
      const at = new Date(midnight + hour * 3_600_000);
      if (at > now) return;
      const intensity = Math.max(0, Math.min(10, Math.round(base + (next() - 0.5) * 4 + Math.sin(back / 19))));
      cravings.push({
        event_id: randomUUID(), event_time: at.toISOString(), craving, intensity,
        trigger: next() < 0.8 ? pick(triggers) : null, place: next() < 0.7 ? pick(places) : null, mood: null,
        company: null, note: pick(NOTES[craving]), resisted: next() < 0.75 ? next() < 0.9 - intensity * 0.07 : null,
      });
    };
    if (!quiet) {
      if (next() < 0.72) add("sugar", 21 + next() * 2.8, 6.6, ["tiredness", "boredom", "television"], ["home"]);
      if (next() < 0.2) add("sugar", 15 + next() * 2, 4.2, ["tiredness", "coffee"], ["office", "home"]);
      if (dow > 0 && dow < 6 && next() < 0.4) add("nicotine", 9 + next() * 9, 5.2, ["stress", "coffee", "colleagues"], ["office", "street"]);
      if ((dow === 5 || dow === 6) && next() < 0.55) add("alcohol", 19 + next() * 4, 5, ["friends", "relief"], ["bar", "home"]);
    }
    for (let hour = next() * 3; hour < 24; hour += 2 + next() * 3) {
      const at = new Date(midnight + hour * 3_600_000);
      if (at > now || quiet) continue;
      hrv.push({ event_time: at.toISOString(), kind: "hrv_sdnn_ms", value: Math.round((hour < 6 ? 58 : 41) + (next() - 0.5) * 26) });
    }
  }
  return { cravings, hrv };
}

export function local(iso) {
  const at = new Date(iso);
  const two = (n) => String(n).padStart(2, "0");
  return {
    date: `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`, hour: at.getHours(), dow: at.getDay(),
    startOfDay: new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime(), DAY_MS,
  };
}
