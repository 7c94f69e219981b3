// Answers of the dev server: one real, computed from the fake person; one without data; one for a crisis.
import { local } from "./person.mjs";

const DISCLAIMER = "This informs; it does not diagnose or treat. Talk to a professional about your health.";

/** Keeps what it cited, so that GET /v1/citations/{id} can show the value as it was. */
export function insight(person, now, question, kept) {
  if (/kill myself|end my life|suicide/i.test(question)) {
    return {
      status: "crisis", citations: [], disclaimer: DISCLAIMER,
      sentences: [
        { text: "I'm glad you wrote this down. What you feel right now sounds very heavy, and you don't have to carry it alone.", citations: [] },
        { text: "Please talk to someone now. These people listen, day and night, and it costs nothing.", citations: [] },
      ],
      resources: [{ name: "Emergency number in Europe", contact: "112" }, { name: "Find a helpline in your country", contact: "https://findahelpline.com" }],
    };
  }
  const plain = (status, text, more = {}) => ({ status, sentences: [{ text, citations: [] }], citations: [], disclaimer: DISCLAIMER, ...more });
  if (/just had a cookie/i.test(question)) {
    return plain("proposed", "Shall I log this lapse: sugar, 7 of 10? It is stored once you confirm it.", { proposal: { id: "1" } });
  }
  if (question === "Yes") return plain("logged", "It is in your log as a lapse: sugar, 7 of 10.");
  const night = person.cravings.filter((row) => row.craving === "sugar" && local(row.event_time).hour >= 21 && Date.parse(row.event_time) > now.getTime() - 30 * 86_400_000);
  const all = person.cravings.filter((row) => row.craving === "sugar" && Date.parse(row.event_time) > now.getTime() - 30 * 86_400_000);
  if (all.length === 0) {
    return { status: "not_enough_data", sentences: [{ text: "There are no sugar cravings in your log for the last 30 days, so there is nothing to answer from.", citations: [] }], citations: [], disclaimer: DISCLAIMER };
  }
  const tired = night.filter((row) => row.trigger === "tiredness");
  const cite = (id, label, value, unit, rows) => {
    const key = `${id}-${kept.size + 1}`;
    kept.set(key, { id: key, label, value, unit, period: "last 30 days", query: "sugar_by_hour", as_of: now.toISOString(), table_version: 41, rows: rows.map((row) => ({ event_id: row.event_id, event_time: row.event_time, text: `${row.craving} ${row.intensity}/10${row.trigger ? `, ${row.trigger}` : ""}${row.note ? `: ${row.note}` : ""}` })) });
    return key;
  };
  const share = cite("c1", "Sugar cravings after 21:00", Math.round((night.length / all.length) * 100), "%", night);
  const strong = cite("c2", "Mean intensity at night", Math.round((night.reduce((s, r) => s + r.intensity, 0) / night.length) * 10) / 10, "of 10", night);
  const cause = cite("c3", "Night cravings with tiredness", tired.length, "cravings", tired);
  return {
    status: "answered", disclaimer: DISCLAIMER,
    sentences: [
      { text: `Most of your sugar cravings come late: ${kept.get(share).value} % of them start after 21:00.`, citations: [share] },
      { text: `They are stronger then than by day, with a mean intensity of ${kept.get(strong).value}.`, citations: [strong] },
      { text: `You named tiredness ${kept.get(cause).value} times, more often than anything else, mostly at home.`, citations: [cause, share] },
      { text: "This goes together in your log; it does not prove that one causes the other.", citations: [] },
    ],
    citations: [share, strong, cause].map((id) => {
      const { label, value, unit, period } = kept.get(id);
      return { id, label, value, unit, period };
    }),
  };
}

/** The citation as it was, and as it would be: here, any craving logged since changes a share. */
export function citation(kept, id, loggedSince) {
  const found = kept.get(id);
  if (!found) return null;
  const changed = loggedSince && found.unit === "%";
  return { ...found, value_now: changed ? found.value + 1 : found.value, changed };
}
