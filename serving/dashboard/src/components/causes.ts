// What goes with the cravings: triggers and places, most frequent first, as plain bars with their numbers.

import type { Period } from "../api/types";
import type { Analytics } from "../state/analytics";
import { h, replace } from "../lib/dom";
import { count, mean, periodName, title } from "../lib/format";
import { Panel } from "./panel";

const ROWS_MAX = 6;

export function causes(analytics: Analytics): HTMLElement {
  const panel = new Panel({ title: "What goes with them", lead: "As you logged it; a pattern is not yet a cause", testid: "causes" });
  analytics.patterns.subscribe((state) =>
    panel.show(
      state,
      ({ triggers, places }) => {
        if (triggers.length + places.length === 0) {
          return `No triggers or places logged in the ${periodName(analytics.filters.days)}. Adding them shows what sets a craving off.`;
        }
        replace(
          panel.body,
          h(
            "div",
            { class: "bars-pair" },
            bars("Triggers", triggers.map((row) => ({ ...row, label: row.trigger }))),
            bars("Places", places.map((row) => ({ ...row, label: row.place }))),
          ),
        );
        return null;
      },
      () => void analytics.patterns.load(),
    ),
  );
  return panel.root;
}

function bars(name: string, rows: (Period & { label: string })[]): HTMLElement {
  const top = rows.filter((row) => row.label).sort((a, b) => b.n - a.n).slice(0, ROWS_MAX);
  const most = Math.max(1, ...top.map((row) => row.n));
  const list = h("ol", { class: "bars" });
  for (const row of top) {
    const bar = h("span", { class: "bar", "aria-hidden": "true" });
    bar.style.inlineSize = `${(row.n / most) * 100}%`;
    list.append(
      h(
        "li",
        {},
        h("span", { class: "bar-label" }, title(row.label)),
        h("span", { class: "bar-number" }, h("b", {}, count(row.n)), h("span", { class: "sr" }, " cravings, mean intensity "), h("span", { class: "bar-mean" }, mean(row.mean_intensity))),
        h("span", { class: "bar-track" }, bar),
      ),
    );
  }
  return h(
    "div",
    {},
    h("h3", {}, name, h("span", { class: "bar-key", "aria-hidden": "true" }, "n, mean intensity")),
    top.length > 0 ? list : h("p", { class: "empty" }, "None logged."),
  );
}
