// The place where a persona will be. Until one is assigned it says so, and what one will need.

import type { Analytics } from "../state/analytics";
import { h, replace } from "../lib/dom";
import { count, periodName } from "../lib/format";
import { Panel } from "./panel";

export function persona(analytics: Analytics): HTMLElement {
  const panel = new Panel({ title: "Your persona", testid: "persona", class: "persona" });
  const n = h("b", {}, "–");
  const answered = h("b", {}, "–");
  const triggers = h("b", {}, "–");
  const hrv = h("b", {}, "–");
  const period = h("p", { class: "help" });

  replace(
    panel.body,
    h("p", { class: "persona-none" }, "None assigned yet."),
    h(
      "p",
      {},
      "Crave Wave does not sort people into types yet, and will not guess. When it does, a persona will come with its evidence, with how sure it is, and with a button to say that it is wrong.",
    ),
    h("h3", {}, "What it will need from your log"),
    h(
      "ul",
      { class: "needs" },
      h("li", {}, n, h("span", {}, "cravings, spread over several weeks")),
      h("li", {}, answered, h("span", {}, "of them say whether you resisted")),
      h("li", {}, triggers, h("span", {}, "of them name a trigger")),
      h("li", {}, hrv, h("span", {}, "heart rate variability readings (optional)")),
    ),
    period,
  );
  analytics.summary.subscribe((state) => {
    if (state.kind !== "ready") return;
    n.textContent = count(state.value.n);
    answered.textContent = count(state.value.answered);
    period.textContent = `Counted over the ${periodName(analytics.filters.days)}${analytics.filters.craving ? `, ${analytics.filters.craving} only` : ""}.`;
  });
  analytics.patterns.subscribe((state) => {
    if (state.kind === "ready") triggers.textContent = count(state.value.triggers.reduce((sum, row) => sum + (row.trigger ? row.n : 0), 0));
  });
  analytics.intensity.subscribe((state) => {
    if (state.kind === "ready") hrv.textContent = count(state.value.hrv.length);
  });
  return panel.root;
}
