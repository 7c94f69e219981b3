// The shore between sky and page: the person's own day, as a wave of cravings by hour.

import type { TimeOfDay } from "../api/types";
import type { Analytics } from "../state/analytics";
import { curvePath, dayPoints, type Point, valueAt } from "../lib/curve";
import { h, replace, svg } from "../lib/dom";
import { hour, hourSpan, periodName, plural, unplaced } from "../lib/format";

const WIDTH = 1200;
const HEIGHT = 150;
/** Where the sea lies when nothing is logged, and how high the highest wave stands above it. */
const CALM = 18;
const CREST = HEIGHT - CALM - 6;

export function tide(analytics: Analytics): HTMLElement {
  const sea = svg("svg", { class: "sea", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" });
  const marks = h("div", { class: "tide-marks", "aria-hidden": "true" });
  const words = h("p", { class: "sr" });
  const caption = h("p", { class: "tide-caption" });
  const root = h(
    "section",
    { class: "tide", "aria-label": "Your day as a wave", testid: "tide" },
    h("div", { class: "tide-sea" }, sea, marks),
    h("div", { class: "tide-hours", "aria-hidden": "true" }, ...[0, 3, 6, 9, 12, 15, 18, 21].map((x) => h("span", {}, hour(x)))),
    caption,
    words,
  );

  analytics.timeOfDay.subscribe((state) => {
    root.setAttribute("aria-busy", String(state.kind === "loading"));
    const value = state.kind === "ready" ? state.value : state.previous;
    const period = periodName(analytics.filters.days);
    draw(sea, marks, value, new Date());
    words.textContent = value ? describe(value) : "";
    if (state.kind === "failed") caption.textContent = "The hours of your day could not be loaded.";
    else if (value === null) caption.textContent = "Reading the tide…";
    else if (total(value) === 0) caption.textContent = `Calm water: no cravings logged in the ${period}.`;
    else caption.textContent = `Your day as a wave: cravings by local hour, ${period}. ${unplaced(lost(value))}`;
  });
  return root;
}

function total(value: TimeOfDay): number {
  return value.hours.reduce((sum, hours) => sum + hours.n, 0);
}

function lost(value: TimeOfDay): number {
  return value.hours.reduce((sum, { local_hour, n }) => sum + (local_hour === null ? n : 0), 0);
}

function crestOf(value: TimeOfDay): { local_hour: number; n: number } | null {
  return value.hours.reduce<{ local_hour: number; n: number } | null>(
    (best, { local_hour, n }) => (local_hour !== null && n > (best?.n ?? 0) ? { local_hour, n } : best),
    null,
  );
}

function describe(value: TimeOfDay): string {
  const crest = crestOf(value);
  return crest ? `Most cravings come at ${hourSpan(crest.local_hour)}: ${plural(crest.n, "craving")} of ${total(value)}.` : "";
}

function draw(sea: SVGSVGElement, marks: HTMLElement, value: TimeOfDay | null, now: Date): void {
  const byHour = new Array<number>(24).fill(0);
  for (const { local_hour, n } of value?.hours ?? []) if (local_hour !== null && local_hour >= 0 && local_hour < 24) byHour[local_hour] = n;
  const highest = Math.max(1, ...byHour);
  const heights = byHour.map((n) => CALM + (n / highest) * CREST);
  const scaled = (share: number): Point[] =>
    dayPoints(heights.map((y) => CALM + (y - CALM) * share), WIDTH).map(({ x, y }) => ({ x, y: HEIGHT - y }));
  const shore = scaled(1);
  const line = curvePath(shore);
  const below = `L${WIDTH},${HEIGHT}L0,${HEIGHT}Z`;
  replace(
    sea,
    svg("path", { class: "sea-front", d: line + below }),
    svg("path", { class: "sea-deep", d: curvePath(scaled(0.62)) + below }),
    svg("path", { class: "sea-floor", d: curvePath(scaled(0.3)) + below }),
    svg("path", { class: "sea-line", d: line }),
  );

  const place = (element: HTMLElement, x: number, y: number): HTMLElement => {
    element.style.left = `${(x / WIDTH) * 100}%`;
    element.style.bottom = `${((HEIGHT - y) / HEIGHT) * 100}%`;
    return element;
  };
  const crest = value ? crestOf(value) : null;
  const nowX = ((now.getHours() + now.getMinutes() / 60) / 24) * WIDTH;
  const crestX = crest ? ((crest.local_hour + 0.5) / 24) * WIDTH : 0;
  const side = crestX < WIDTH * 0.15 ? "start" : crestX > WIDTH * 0.85 ? "end" : "middle";
  replace(
    marks,
    value ? place(h("span", { class: "tide-now" }, h("span", {}, "now")), nowX, valueAt(shore, nowX)) : null,
    crest
      ? place(
          h("span", { class: `tide-crest at-${side}` }, h("b", {}, hourSpan(crest.local_hour)), ` ${plural(crest.n, "craving")}`),
          crestX, HEIGHT - (CALM + CREST),
        )
      : null,
  );
}
