// An event of any kind in a few words. Pure; the words go to the page as text only.

import type { FeedEvent } from "../api/types";
import { plural, scalar, title } from "./format";

export interface Description {
  headline: string;
  details: string[];
  note: string | null;
  /** Only for cravings: 0 to 10. */
  intensity: number | null;
  /** Which colour and sign: what the person reports, or what a sensor measures. */
  family: "craving" | "told" | "measured" | "change";
}

const MEASURES: Record<string, [name: string, unit: string]> = {
  hrv_sdnn_ms: ["HRV, SDNN", "ms"], hrv_rmssd_ms: ["HRV, RMSSD", "ms"], heart_rate_bpm: ["Heart rate", "bpm"],
  resting_heart_rate_bpm: ["Resting heart rate", "bpm"], steps: ["Steps", ""], distance_m: ["Distance", "m"],
};

const text = (value: unknown): string | null => (typeof value === "string" && value.trim() !== "" ? value.trim() : null);
const number = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);

export function describe({ kind, payload: p }: Pick<FeedEvent, "kind" | "payload">): Description {
  const told = (headline: string, details: (string | null)[] = [], note: unknown = null): Description => ({
    headline, details: details.filter((d) => d !== null), note: text(note), intensity: null, family: "told",
  });
  const measure = MEASURES[kind];
  if (measure) return { ...told(`${measure[0]} ${scalar(number(p.value), measure[1] || null)}`), family: "measured" };

  switch (kind) {
    case "craving": {
      const resisted = p.resisted === true ? "resisted" : p.resisted === false ? "gave in" : null;
      return {
        ...told(title(text(p.craving) ?? "craving"), [text(p.trigger), text(p.place), text(p.mood), text(p.company), resisted], p.note),
        intensity: number(p.intensity), family: "craving",
      };
    }
    case "lapse": return told(`Lapse: ${text(p.craving) ?? "unnamed"}`, [text(p.amount)], p.note);
    case "mood": return told(`Mood: ${text(p.label) ?? scalar(number(p.valence))}`, [], p.note);
    case "journal": return told("Journal", [], p.text);
    case "context": return told("Context", Array.isArray(p.tags) ? p.tags.slice(0, 8).map(text) : []);
    case "location": return told("Coarse place", [text(p.cell)]);
    case "workout": return { ...told(title(text(p.activity) ?? "workout"), [minutes(p.duration_s)]), family: "measured" };
    case "mindful": return { ...told("Mindful time", [minutes(p.duration_s)]), family: "measured" };
    case "sleep": return { ...told("Sleep", [Array.isArray(p.stages) ? plural(p.stages.length, "stage") : null]), family: "measured" };
    case "activity_summary": return { ...told("Activity of the day"), family: "measured" };
    case "correct": return { ...told("A correction", ["an earlier entry was changed"]), family: "change" };
    case "retract": return { ...told("A retraction", ["an earlier entry was taken back"]), family: "change" };
    default: return told(title(kind.replaceAll("_", " ")));
  }
}

function minutes(seconds: unknown): string | null {
  const s = number(seconds);
  return s === null ? null : `${Math.max(1, Math.round(s / 60))} min`;
}

/** Whether an event of this kind changes what the charts show. */
export function changesCharts(kind: string): boolean {
  return ["craving", "hrv_sdnn_ms", "hrv_rmssd_ms", "correct", "retract"].includes(kind);
}
