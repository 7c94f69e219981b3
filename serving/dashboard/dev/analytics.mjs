// The analytics answers, computed from the fake person in the plainest way.
import { local } from "./person.mjs";

const DAY_MS = 86_400_000;
const mean = (rows) => (rows.length === 0 ? null : rows.reduce((sum, row) => sum + row.intensity, 0) / rows.length);
const period = (rows) => ({ n: rows.length, mean_intensity: mean(rows) });

function group(rows, key) {
  const groups = new Map();
  for (const row of rows) {
    const k = key(row);
    if (k === null) continue;
    if (!groups.has(k)) groups.set(k, []);
    groups.get(k).push(row);
  }
  return [...groups];
}

function within(rows, now, days, craving, shift = 0) {
  const end = now.getTime() - shift * days * DAY_MS;
  return rows.filter((row) => {
    const at = Date.parse(row.event_time);
    return at > end - days * DAY_MS && at <= end + (shift === 0 ? 300_000 : 0) && (!craving || row.craving === craving);
  });
}

export function summary({ cravings }, now, days, craving) {
  const rows = within(cravings, now, days, craving);
  const today = local(now.toISOString()).date;
  return {
    days, as_of: now.toISOString(), ...period(rows),
    resisted: rows.filter((row) => row.resisted === true).length, answered: rows.filter((row) => row.resisted !== null).length,
    previous: period(within(cravings, now, days, craving, 1)),
    by_craving: group(rows, (row) => row.craving).map(([name, of]) => ({ craving: name, ...period(of), resisted: of.filter((row) => row.resisted).length })),
    today: { local_date: today, ...period(rows.filter((row) => local(row.event_time).date === today)) },
  };
}

export function patterns({ cravings }, now, days, craving) {
  const rows = within(cravings, now, days, craving);
  const by = (name) => group(rows, (row) => row[name]).map(([value, of]) => ({ [name]: value, ...period(of) })).sort((a, b) => b.n - a.n);
  return {
    heatmap: group(rows, (row) => local(row.event_time).dow * 24 + local(row.event_time).hour)
      .map(([slot, of]) => ({ local_dow: Math.floor(slot / 24), local_hour: slot % 24, ...period(of) })),
    triggers: by("trigger"), places: by("place"),
  };
}

export function timeOfDay({ cravings }, now, days, craving) {
  const rows = within(cravings, now, days, craving);
  const part = (hour) => (hour < 6 ? "night" : hour < 12 ? "morning" : hour < 18 ? "afternoon" : "evening");
  return {
    hours: group(rows, (row) => local(row.event_time).hour).map(([hour, of]) => ({ local_hour: hour, ...period(of) })),
    day_parts: group(rows, (row) => part(local(row.event_time).hour)).map(([name, of]) => ({ day_part: name, ...period(of) })),
  };
}

export function intensity({ cravings, hrv }, now, days, craving) {
  const rows = within(cravings, now, days, craving);
  return {
    days: group(rows, (row) => `${local(row.event_time).date} ${row.craving}`).map(([key, of]) => ({
      local_date: key.slice(0, 10), craving: key.slice(11), ...period(of), max_intensity: Math.max(...of.map((row) => row.intensity)),
    })),
    hrv: hrv.filter((row) => Date.parse(row.event_time) > now.getTime() - days * DAY_MS),
  };
}
