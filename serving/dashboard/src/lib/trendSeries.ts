// Turns the intensity answer into series to draw: one entry a day, missing days left missing. Pure.

import type { Hrv, Intensity, IntensityDay } from "../api/types";
import { wallClock } from "./format";

const DAY_S = 86_400;
const NOON_S = DAY_S / 2;

export interface Day {
  local_date: string;
  n: number;
  mean: number | null;
  max: number | null;
}

export interface TrendSeries {
  /** Noon of each local day, in seconds, as if the wall clock were UTC. */
  x: number[];
  days: Day[];
  /** Points of each measure apart: seconds of wall clock, milliseconds of variability. */
  sdnn: [x: number[], y: number[]];
  rmssd: [x: number[], y: number[]];
  range: [from: number, to: number];
  /** Cravings without a known local date. */
  lost: number;
}

/** One day of several cravings: means weighted by their counts. Rows without a local date have no day. */
export function mergeDays(rows: readonly IntensityDay[]): Map<string, Day> {
  const sums = new Map<string, { n: number; sum: number; weighed: number; max: number | null }>();
  for (const row of rows) {
    if (row.local_date === null) continue;
    const day = sums.get(row.local_date) ?? { n: 0, sum: 0, weighed: 0, max: null };
    day.n += row.n;
    if (row.mean_intensity !== null) {
      day.sum += row.mean_intensity * row.n;
      day.weighed += row.n;
    }
    if (row.max_intensity !== null) day.max = Math.max(day.max ?? 0, row.max_intensity);
    sums.set(row.local_date, day);
  }
  return new Map(
    [...sums].map(([local_date, { n, sum, weighed, max }]) => [local_date, { local_date, n, mean: weighed > 0 ? sum / weighed : null, max }]),
  );
}

/** The last `days` local days up to `today` (`2026-11-21`), wider where the rows reach further. */
export function trendSeries(intensity: Intensity, craving: string, days: number, today: string): TrendSeries {
  const rows = craving === "" ? intensity.days : intensity.days.filter((row) => row.craving === craving);
  const merged = mergeDays(rows);
  const seconds = (date: string): number => Date.parse(`${date}T00:00:00Z`) / 1000;
  const held = [...merged.keys()].map(seconds).filter(Number.isFinite);
  const last = held.reduce((a, b) => Math.max(a, b), seconds(today));
  const first = held.reduce((a, b) => Math.min(a, b), seconds(today) - (days - 1) * DAY_S);

  const x: number[] = [];
  const out: Day[] = [];
  for (let at = first; at <= last; at += DAY_S) {
    const local_date = new Date(at * 1000).toISOString().slice(0, 10);
    x.push(at + NOON_S);
    out.push(merged.get(local_date) ?? { local_date, n: 0, mean: null, max: null });
  }
  return {
    x, days: out, sdnn: points(intensity.hrv, "hrv_sdnn_ms"), rmssd: points(intensity.hrv, "hrv_rmssd_ms"),
    range: [first, last + DAY_S], lost: rows.reduce((sum, row) => sum + (row.local_date === null ? row.n : 0), 0),
  };
}

function points(hrv: readonly Hrv[], kind: Hrv["kind"]): [number[], number[]] {
  const of = hrv
    .filter((row) => row.kind === kind)
    .map((row) => [wallClock(new Date(row.event_time), null).getTime() / 1000, row.value] as const)
    .filter(([at]) => Number.isFinite(at))
    .sort((a, b) => a[0] - b[0]);
  return [of.map(([at]) => at), of.map(([, value]) => value)];
}
