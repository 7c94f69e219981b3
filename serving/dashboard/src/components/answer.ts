// An answer, sentence by sentence, each with the citations it rests on.

import type { Citation, Insight, Sentence } from "../api/types";
import { h } from "../lib/dom";
import { scalar } from "../lib/format";
import { crisis } from "./crisis";

/** `open` shows a citation's rows. */
export function answer(insight: Insight, open: (citation: Citation) => void): HTMLElement {
  if (insight.status === "crisis") {
    return h("div", { class: "answer", testid: "answer", "data-status": insight.status }, crisis(insight));
  }
  const numbers = new Map(insight.citations.map((citation, i) => [citation.id, { citation, number: i + 1 }]));
  const sentences = insight.sentences.map(({ text, citations }) => {
    const chips = citations.flatMap((id) => {
      const known = numbers.get(id);
      return known ? [chip(known.citation, known.number, open)] : [];
    });
    return line(text, chips);
  });
  return h(
    "div",
    { class: `answer ${insight.status}`, testid: "answer", "data-status": insight.status },
    ...(sentences.length > 0 ? sentences : [line(fallback(insight.status), [])]),
    insight.citations.length > 0 ? sources(insight.citations, open) : null,
  );
}

/** A sentence that was released while others are still to come; its sources follow with the whole answer. */
export function released({ text }: Sentence): HTMLElement {
  const shown = line(text, []);
  shown.classList.add("released");
  return shown;
}

function line(text: string, chips: HTMLElement[]): HTMLElement {
  // The chips keep to the last word, so that none begins a line alone.
  const cut = text.trimEnd().lastIndexOf(" ") + 1;
  const end = h("span", { class: "sentence-end" }, text.slice(cut));
  for (const chip of chips) end.append(" ", chip);
  return h("p", { class: "sentence", testid: "answer-sentence" }, text.slice(0, cut), end);
}

function fallback(status: Insight["status"]): string {
  return status === "out_of_scope" ? "This is not something your log can answer." : "There is not enough in your log to answer this yet.";
}

function chip(citation: Citation, number: number, open: (citation: Citation) => void): HTMLElement {
  const value = scalar(citation.value, citation.unit);
  const button = h("button", {
    type: "button", class: "chip", testid: "citation", "data-citation": citation.id, title: `${citation.label}: ${value}`,
    "aria-label": `Source ${number}: ${citation.label}, ${value}`, "aria-haspopup": "dialog",
  }, number);
  button.addEventListener("click", () => open(citation));
  return button;
}

function sources(citations: readonly Citation[], open: (citation: Citation) => void): HTMLElement {
  return h(
    "div",
    { class: "sources" },
    h("h3", {}, "What this rests on"),
    h("ol", {}, ...citations.map((citation, i) => {
      const button = h(
        "button",
        { type: "button", class: "source", testid: "citation-source", "data-citation": citation.id, "aria-haspopup": "dialog" },
        h("span", { class: "source-number", "aria-hidden": "true" }, i + 1),
        h("span", { class: "source-label" }, citation.label, citation.period ? h("small", {}, citation.period) : null),
        h("b", {}, scalar(citation.value, citation.unit)),
      );
      button.addEventListener("click", () => open(citation));
      return h("li", {}, button);
    })),
  );
}
