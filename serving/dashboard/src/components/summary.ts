// Four numbers and how they compare with the period before. Fewer is not called better: logging is the work.

import type { Analytics } from "../state/analytics";
import type { Summary } from "../api/types";
import { h, replace } from "../lib/dom";
import { count, mean, percent, periodName, plural } from "../lib/format";
import { errorLine } from "./panel";

export function summary(analytics: Analytics): HTMLElement {
  const list = h("dl", { class: "stats" });
  const problem = h("div", { class: "stats-problem" });
  const root = h("section", { class: "summary", "aria-label": "Summary", testid: "summary" }, list, problem);

  const today = stat("Today", "today");
  const n = stat("Cravings", "n");
  const intensity = stat("Mean intensity", "mean");
  const resisted = stat("Resisted", "resisted");
  for (const s of [n, intensity, resisted, today]) list.append(s.root);

  analytics.summary.subscribe((state) => {
    const value = state.kind === "ready" ? state.value : state.previous;
    root.setAttribute("aria-busy", String(state.kind === "loading"));
    replace(problem, state.kind === "failed" ? errorLine(state.error, () => void analytics.summary.load()) : null);
    if (value === null) {
      for (const s of [n, intensity, resisted, today]) s.set("–", state.kind === "loading" ? "loading…" : "not known");
      return;
    }
    n.set(count(value.n), changeOfCount(value));
    intensity.set(mean(value.mean_intensity), changeOfMean(value), value.mean_intensity === null ? "" : "of 10");
    resisted.set(
      value.answered > 0 ? percent(value.resisted / value.answered) : "–",
      value.answered > 0 ? `${count(value.resisted)} of ${count(value.answered)} that say` : "none says yet",
    );
    today.set(
      count(value.today.n),
      value.today.n === 0 ? "none logged so far" : `mean intensity ${mean(value.today.mean_intensity)}`,
    );
  });
  return root;
}

interface Stat {
  root: HTMLElement;
  set(value: string, note: string, unit?: string): void;
}

function stat(label: string, name: string): Stat {
  const value = h("span", { class: "stat-value", testid: `summary-${name}` }, "–");
  const unit = h("span", { class: "stat-unit" });
  const note = h("dd", { class: "stat-note" });
  return {
    root: h("div", { class: "stat" }, h("dt", {}, label), h("dd", { class: "stat-line" }, value, unit), note),
    set(v, n, u = "") {
      value.textContent = v;
      unit.textContent = u;
      note.textContent = n;
    },
  };
}

/** The change on the previous period, in words. */
export function changeOfCount({ n, previous, days }: Pick<Summary, "n" | "previous" | "days">): string {
  if (previous.n === 0) return n === 0 ? `none in the ${periodName(days)}` : `none in the ${days} days before`;
  const change = n - previous.n;
  if (change === 0) return `as many as the ${days} days before`;
  const share = percent(Math.abs(change) / previous.n);
  return `${plural(Math.abs(change), change > 0 ? "more" : "fewer", change > 0 ? "more" : "fewer")} (${change > 0 ? "+" : "−"}${share}) than the ${days} days before`;
}

function changeOfMean({ mean_intensity: now, previous }: Summary): string {
  if (now === null) return "nothing to average";
  if (previous.mean_intensity === null) return "nothing to compare with";
  const change = Math.round((now - previous.mean_intensity) * 10) / 10;
  if (change === 0) return "as before";
  return `${mean(Math.abs(change))} ${change > 0 ? "higher" : "lower"} than before (${mean(previous.mean_intensity)})`;
}
