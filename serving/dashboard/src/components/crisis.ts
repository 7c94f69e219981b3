// The answer to someone in crisis: plain words and people to reach. No charts, no numbers, nothing to analyse.

import type { Insight } from "../api/types";
import { h } from "../lib/dom";

export function crisis(insight: Insight): HTMLElement {
  return h(
    "div",
    { class: "crisis", testid: "crisis", tabindex: -1 },
    ...insight.sentences.map(({ text }) => h("p", { testid: "answer-sentence" }, text)),
    h(
      "ul",
      { class: "resources" },
      ...(insight.resources ?? []).map(({ name, contact }) => h("li", { testid: "resource" }, h("span", {}, name), reach(contact))),
    ),
  );
}

/** A phone number or an address becomes a link; anything else stays words. */
function reach(contact: string): HTMLElement {
  const trimmed = contact.trim();
  if (/^\+?[\d\s()/-]{3,24}$/.test(trimmed)) return h("a", { href: `tel:${trimmed.replace(/[^\d+]/g, "")}` }, trimmed);
  if (/^https:\/\/[^\s]+$/.test(trimmed)) return h("a", { href: trimmed, rel: "noopener noreferrer", target: "_blank" }, trimmed.replace(/^https:\/\//, ""));
  return h("b", {}, trimmed);
}
