// The sign of Crave Wave: a wave that rises, crests and passes.

import { h, svg } from "../lib/dom";

export function mark(): HTMLElement {
  return h(
    "span",
    { class: "mark" },
    svg(
      "svg",
      { viewBox: "0 0 40 28", width: 34, height: 24, "aria-hidden": "true", focusable: "false" },
      svg("path", { d: "M1,21 C8,21 9,4 19,4 C26,4 29,9 28,13 C27.4,15.4 24,15.6 23.4,13.2", class: "mark-crest" }),
      svg("path", { d: "M17,13 C19,20 28,22 39,18", class: "mark-back" }),
      svg("path", { d: "M1,26 C9,26 12,23 20,24.6 C28,26.2 32,26 39,24", class: "mark-sea" }),
    ),
    h("span", { class: "mark-name" }, "Crave Wave"),
  );
}
