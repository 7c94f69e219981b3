// The two choices every chart obeys: how far back, and which craving.

import { PERIODS_DAYS, type Analytics } from "../state/analytics";
import { h, replace } from "../lib/dom";
import { title } from "../lib/format";

const PERIOD_LABELS: Record<number, [short: string, long: string]> = {
  7: ["7 days", "7 days"], 30: ["30 days", "30 days"], 90: ["90 days", "90 days"], 365: ["1 year", "365 days"],
};

export function filters(analytics: Analytics): HTMLElement {
  const periods = h("fieldset", { class: "segments" }, h("legend", { class: "sr" }, "Period"));
  for (const days of PERIODS_DAYS) {
    const [short, long] = PERIOD_LABELS[days] ?? [String(days), String(days)];
    const radio = h("input", {
      type: "radio", name: "period", value: days, "aria-label": long, testid: `period-${days}`,
      checked: days === analytics.filters.days,
    });
    radio.addEventListener("change", () => analytics.setFilters({ days }));
    periods.append(h("label", {}, radio, h("span", { "aria-hidden": "true" }, short)));
  }

  const select = h("select", { "aria-label": "Craving", testid: "craving" }, h("option", { value: "" }, "All cravings"));
  select.addEventListener("change", () => analytics.setFilters({ craving: select.value }));

  const known = new Set<string>();
  analytics.summary.subscribe((state) => {
    if (state.kind !== "ready") return;
    const before = known.size;
    for (const { craving } of state.value.by_craving) known.add(craving);
    if (known.size === before) return;
    const chosen = analytics.filters.craving;
    replace(
      select,
      h("option", { value: "" }, "All cravings"),
      ...[...known].sort().map((c) => h("option", { value: c }, title(c))),
    );
    select.value = chosen;
  });

  return h("div", { class: "filters" }, periods, select);
}
