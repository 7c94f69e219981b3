// Weekday by hour, as a real table: a screen reader walks it, arrow keys move in it, colour only adds to it.

import type { HeatCell, Patterns } from "../api/types";
import type { Analytics } from "../state/analytics";
import { h, replace } from "../lib/dom";
import { DOW_MONDAY_FIRST, count, dowName, hourSpan, mean, periodName, plural, unplaced } from "../lib/format";
import { Panel } from "./panel";

const LEVELS = 6;
type Measure = "n" | "mean";
/** A cell whose place in the week is known. */
type Placed = HeatCell & { local_dow: number; local_hour: number };
const isPlaced = (cell: HeatCell): cell is Placed => cell.local_dow !== null && cell.local_hour !== null;

/** 0 for none, else 1 to 6: a share of the most for counts, of 10 for intensity. */
export function level(value: number, most: number): number {
  return value <= 0 || most <= 0 ? 0 : Math.min(LEVELS, Math.max(1, Math.ceil((value / most) * LEVELS)));
}

export function heatmap(analytics: Analytics): HTMLElement {
  const panel = new Panel({ title: "When they come", lead: "Weekday and hour, in your local time", testid: "heatmap", class: "heat-panel" });
  let measure: Measure = "n";
  let last: Patterns | null = null;

  const choice = h("fieldset", { class: "segments small" }, h("legend", { class: "sr" }, "Colour shows"));
  for (const [value, label] of [["n", "How often"], ["mean", "How strong"]] as const) {
    const radio = h("input", { type: "radio", name: "heat-measure", value, checked: value === measure });
    radio.addEventListener("change", () => {
      measure = value;
      if (last) draw(last);
    });
    choice.append(h("label", {}, radio, h("span", {}, label)));
  }
  panel.tools.append(choice);

  function draw(value: Patterns): string | null {
    last = value;
    const cells = value.heatmap.filter(isPlaced);
    const lost = unplaced(value.heatmap.reduce((sum, cell) => sum + (isPlaced(cell) ? 0 : cell.n), 0));
    if (!cells.some((cell) => cell.n > 0)) return lost || `No cravings logged in the ${periodName(analytics.filters.days)}.`;
    const focused = panel.body.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset : null;
    replace(panel.body, ...grid(cells, measure), lost === "" ? null : h("p", { class: "help" }, lost));
    if (focused?.dow) {
      panel.body.querySelector<HTMLElement>(`[data-dow="${focused.dow}"][data-hour="${focused.hour}"]`)?.focus();
    }
    return null;
  }
  analytics.patterns.subscribe((state) => panel.show(state, draw, () => void analytics.patterns.load()));
  return panel.root;
}

function describe(cell: Placed): string {
  const when = `${dowName(cell.local_dow)} ${hourSpan(cell.local_hour)}`;
  if (cell.n === 0) return `${when}: none`;
  return `${when}: ${plural(cell.n, "craving")}, mean intensity ${mean(cell.mean_intensity)}`;
}

function grid(cells: readonly Placed[], measure: Measure): HTMLElement[] {
  const known = new Map(cells.map((cell) => [cell.local_dow * 24 + cell.local_hour, cell]));
  const at = (dow: number, hour: number): Placed =>
    known.get(dow * 24 + hour) ?? { local_dow: dow, local_hour: hour, n: 0, mean_intensity: null };
  const most = cells.reduce((max, cell) => Math.max(max, cell.n), 0);
  const peak = cells.reduce((best, cell) => (cell.n > best.n ? cell : best));
  const hours = Array.from({ length: 24 }, (_, hour) => hour);

  const readout = h("p", { class: "readout", "aria-hidden": "true" });
  const rest = `Most often ${describe(peak)}`;
  readout.textContent = rest;

  const body = h("tbody");
  for (const dow of DOW_MONDAY_FIRST) {
    const row = h("tr", {}, h("th", { scope: "row", abbr: dowName(dow) }, h("span", { "aria-hidden": "true" }, dowName(dow).slice(0, 3)), h("span", { class: "sr" }, dowName(dow))));
    for (const hour of hours) {
      const cell = at(dow, hour);
      const shade = measure === "n" ? level(cell.n, most) : cell.n === 0 ? 0 : level(cell.mean_intensity ?? 0, 10) || 1;
      row.append(
        h("td", {
          class: `heat-${shade}`, testid: "heatmap-cell", "data-dow": dow, "data-hour": hour, "data-n": cell.n,
          tabindex: cell === peak || (peak.local_dow === dow && peak.local_hour === hour) ? 0 : -1, "aria-label": describe(cell),
        }),
      );
    }
    body.append(row);
  }
  const table = h(
    "table",
    { class: "heat", role: "grid", "aria-label": "Cravings by weekday and hour. Arrow keys move between hours and days.", "aria-readonly": "true" },
    h(
      "thead",
      {},
      h("tr", {}, h("td"), ...hours.map((hour) =>
        h("th", { scope: "col" }, h("span", { class: hour % 6 === 0 ? "" : hour % 3 === 0 ? "wide" : "sr" }, String(hour)), hour % 3 === 0 ? h("span", { class: "sr" }, " o'clock") : null))),
    ),
    body,
  );
  const cellOf = (event: Event): HTMLElement | null => (event.target as Element).closest<HTMLElement>("td[data-dow]");
  const say = (event: Event): void => {
    const cell = cellOf(event);
    readout.textContent = cell?.getAttribute("aria-label") ?? rest;
  };
  table.addEventListener("pointerover", say);
  table.addEventListener("pointerdown", say);
  table.addEventListener("focusin", say);
  table.addEventListener("pointerleave", () => (readout.textContent = rest));
  table.addEventListener("focusout", () => (readout.textContent = rest));
  table.addEventListener("keydown", (event) => move(table, cellOf(event), event));

  return [h("div", { class: "heat-frame" }, table), h("div", { class: "heat-foot" }, readout, legend(measure, most))];
}

function move(table: HTMLElement, from: HTMLElement | null, event: KeyboardEvent): void {
  if (!from) return;
  const row = DOW_MONDAY_FIRST.findIndex((dow) => String(dow) === from.dataset.dow);
  const hour = Number(from.dataset.hour);
  const to: Record<string, [number, number]> = {
    ArrowLeft: [row, hour - 1], ArrowRight: [row, hour + 1], ArrowUp: [row - 1, hour], ArrowDown: [row + 1, hour],
    Home: [row, 0], End: [row, 23],
  };
  const target = to[event.key];
  if (!target) return;
  event.preventDefault();
  const next = table.querySelector<HTMLElement>(`td[data-dow="${DOW_MONDAY_FIRST[target[0]]}"][data-hour="${target[1]}"]`);
  if (!next) return;
  from.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

function legend(measure: Measure, most: number): HTMLElement {
  // With few cravings only some shades occur: the legend shows those.
  const shades = measure === "n" && most < LEVELS ? Array.from({ length: most + 1 }, (_, n) => level(n, most)) : Array.from({ length: LEVELS + 1 }, (_, i) => i);
  const swatches = shades.map((shade) => h("i", { class: `heat-${shade}` }));
  return h(
    "p",
    { class: "heat-legend", "aria-hidden": "true" },
    measure === "n" ? "0" : "none",
    h("span", { class: "swatches" }, ...swatches),
    measure === "n" ? count(most) : "10",
  );
}
