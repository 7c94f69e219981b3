// The intensity trend: charts, a line of words that follows the cursor or the arrow keys, and the same as a table.

import type uPlot from "uplot";
import type { Intensity } from "../api/types";
import type { Analytics } from "../state/analytics";
import { onThemeChange } from "../state/theme";
import { h, replace } from "../lib/dom";
import { count, dateOf, longDate, mean, periodName, plural, unplaced, wallClock, yearDate } from "../lib/format";
import { type Day, type TrendSeries, trendSeries } from "../lib/trendSeries";
import { Panel } from "./panel";
import { hrvChart, intensityChart } from "./trendCharts";

export interface TrendView {
  root: HTMLElement;
  dispose(): void;
}

export function trend(analytics: Analytics): TrendView {
  const panel = new Panel({ title: "How strong they are", lead: "Mean intensity of each day; a day without a craving is a gap", testid: "trend" });
  const view = chartView();
  let last: Intensity | null = null;

  function draw(value: Intensity): string | null {
    last = value;
    const today = wallClock(new Date(), null).toISOString().slice(0, 10);
    const series = trendSeries(value, analytics.filters.craving, analytics.filters.days, today);
    const empty = series.days.every((day) => day.n === 0) && series.sdnn[0].length + series.rmssd[0].length === 0;
    if (empty) {
      view.clear();
      return unplaced(series.lost) || `No cravings logged in the ${periodName(analytics.filters.days)}.`;
    }
    if (!panel.body.contains(view.root)) replace(panel.body, view.root);
    view.draw(series);
    return null;
  }
  analytics.intensity.subscribe((state) => panel.show(state, draw, () => void analytics.intensity.load()));

  const redraw = (): void => {
    if (last) draw(last);
  };
  const stopTheme = onThemeChange(redraw);
  let width = 0;
  const observer = new ResizeObserver(() => {
    if (view.root.clientWidth === width) return;
    width = view.root.clientWidth;
    view.resize();
  });
  observer.observe(view.root);
  return {
    root: panel.root,
    dispose() {
      stopTheme();
      observer.disconnect();
      view.clear();
    },
  };
}

function chartView(): { root: HTMLElement; draw(series: TrendSeries): void; resize(): void; clear(): void } {
  const readout = h("p", { class: "readout" });
  const spoken = h("p", { class: "sr", role: "status" });
  const lost = h("p", { class: "help" });
  const upper = h("div", {});
  const lower = h("div", {});
  const hrvTitle = h("div", { class: "legend hrv-legend" });
  const stage = h("div", { class: "trend-stage", role: "img", tabindex: 0 }, upper, hrvTitle, lower);
  const table = h("details", { class: "as-table" }, h("summary", {}, "As a table"));
  const legend = h(
    "div",
    { class: "legend" },
    h("span", {}, h("i", { class: "key line" }), "mean intensity"),
    h("span", {}, h("i", { class: "key block" }), "cravings a day"),
  );
  const root = h("div", { class: "trend-view" }, h("div", { class: "trend-top" }, legend, readout), stage, spoken, lost, table);

  let charts: uPlot[] = [];
  let series: TrendSeries | null = null;

  const hover = (chart: uPlot): void => {
    const { left } = chart.cursor;
    if (!series || left === undefined || left < 0) {
      readout.textContent = "";
      return;
    }
    const day = series.days[dayAt(series, chart.posToVal(left, "x"))];
    readout.textContent = day ? words(day, series) : "";
  };
  const width = (): number => Math.max(240, stage.clientWidth || root.clientWidth || 600);

  stage.addEventListener("keydown", (event) => {
    const chart = charts[0];
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -7, PageDown: 7 }[event.key];
    if (!chart || !series || step === undefined) return;
    event.preventDefault();
    const { left } = chart.cursor;
    const from = left === undefined || left < 0 ? series.x.length : dayAt(series, chart.posToVal(left, "x"));
    const to = Math.min(series.x.length - 1, Math.max(0, from + step));
    chart.setCursor({ left: chart.valToPos(series.x[to] ?? 0, "x"), top: 10 });
    const day = series.days[to];
    spoken.textContent = day ? words(day, series) : "";
  });
  /** A year is 365 rows: they are made only for who opens the table. */
  const fillTable = (): void => {
    table.querySelector(".table-frame")?.remove();
    if (table.open && series) table.append(dayTable(series));
  };
  table.addEventListener("toggle", fillTable);

  function clear(): void {
    for (const chart of charts) chart.destroy();
    charts = [];
    replace(upper);
    replace(lower);
  }

  return {
    root, clear,
    draw(next) {
      series = next;
      clear();
      const hasHrv = next.sdnn[0].length + next.rmssd[0].length > 0;
      const hasDays = next.days.some((day) => day.n > 0);
      legend.hidden = !hasDays;
      charts = hasDays ? [intensityChart(upper, next, width(), hover)] : [];
      if (!hasDays) replace(upper, h("p", { class: "empty" }, "No cravings logged in these days; your heart rate variability is below."));
      if (hasHrv) charts.push(hrvChart(lower, next, width(), hover));
      lost.textContent = unplaced(next.lost);
      replace(hrvTitle, ...hrvLegend(next));
      stage.setAttribute("aria-label", `${summarise(next)} Left and right arrow keys read the days.`);
      readout.textContent = "";
      fillTable();
    },
    resize() {
      for (const chart of charts) chart.setSize({ width: width(), height: chart.height });
    },
  };
}

function dayAt(series: TrendSeries, x: number): number {
  return Math.min(series.x.length - 1, Math.max(0, Math.floor((x - series.range[0]) / 86_400)));
}

function hrvOf([xs, ys]: [number[], number[]], from: number): number[] {
  return ys.filter((_, i) => (xs[i] ?? 0) >= from && (xs[i] ?? 0) < from + 86_400);
}

function words(day: Day, series: TrendSeries): string {
  const from = dateOf(day.local_date).getTime() / 1000;
  const parts = [day.n === 0 ? "no cravings" : `mean ${mean(day.mean)}, highest ${day.max ?? "–"}, ${plural(day.n, "craving")}`];
  for (const [name, points] of [["SDNN", series.sdnn], ["RMSSD", series.rmssd]] as const) {
    const values = hrvOf(points, from);
    if (values.length > 0) parts.push(`${name} ${count(Math.min(...values))}${values.length > 1 ? `–${count(Math.max(...values))}` : ""} ms`);
  }
  return `${longDate(dateOf(day.local_date))}: ${parts.join(" · ")}`;
}

function summarise({ days }: TrendSeries): string {
  const held = days.filter((day) => day.mean !== null);
  const values = held.map((day) => day.mean ?? 0);
  if (values.length === 0) return "Heart rate variability; no cravings in these days.";
  return `Daily mean intensity over ${count(days.length)} days: cravings on ${plural(held.length, "day")}, from ${mean(Math.min(...values))} to ${mean(Math.max(...values))} of 10.`;
}

function hrvLegend({ sdnn, rmssd }: TrendSeries): HTMLElement[] {
  const keys: HTMLElement[] = [];
  if (sdnn[0].length > 0) keys.push(h("span", {}, h("i", { class: "key dot" }), "HRV, SDNN (ms)"));
  if (rmssd[0].length > 0) keys.push(h("span", {}, h("i", { class: "key ring" }), "HRV, RMSSD (ms), not comparable with SDNN"));
  return keys;
}

function dayTable(series: TrendSeries): HTMLElement {
  const rows = series.days.filter((day) => day.n > 0).reverse();
  return h(
    "div",
    { class: "table-frame", tabindex: 0, role: "region", "aria-label": "Days as a table" },
    h(
      "table",
      { class: "plain" },
      h("thead", {}, h("tr", {}, ...["Day", "Cravings", "Mean", "Highest"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...rows.map((day) => h("tr", {}, h("th", { scope: "row" }, yearDate(dateOf(day.local_date))), h("td", {}, count(day.n)), h("td", {}, mean(day.mean)), h("td", {}, day.max ?? "–")))),
    ),
  );
}
