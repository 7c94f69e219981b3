// A card with a heading, and the four faces of whatever is inside: loading, content, empty, error.

import { type ApiError, sentence } from "../api/error";
import type { State } from "../state/resource";
import { type Child, h, replace, uniqueId } from "../lib/dom";

export interface PanelOptions {
  title: string;
  /** A line under the title that says what is shown. */
  lead?: string;
  testid?: string;
  class?: string;
}

export class Panel {
  readonly root: HTMLElement;
  readonly body = h("div", { class: "panel-body" });
  /** At the right of the title: switches that belong to the panel. */
  readonly tools = h("div", { class: "panel-tools" });
  private readonly notice = h("div", { class: "panel-notice", role: "status" });

  constructor(options: PanelOptions) {
    const id = uniqueId("panel");
    this.root = h(
      "section",
      { class: `panel ${options.class ?? ""}`.trim(), "aria-labelledby": id, testid: options.testid },
      h(
        "header",
        { class: "panel-head" },
        h("div", {}, h("h2", { id }, options.title), options.lead ? h("p", { class: "lead" }, options.lead) : null),
        this.tools,
      ),
      this.notice,
      this.body,
    );
  }

  /** Shows a resource's state; `draw` fills the body, or returns a sentence that says why it is empty. */
  show<T>(state: State<T>, draw: (value: T) => string | null, retry: () => void): void {
    const busy = state.kind === "loading";
    this.root.setAttribute("aria-busy", String(busy));
    replace(this.notice);
    if (state.kind === "ready") return this.content(draw(state.value));
    if (state.previous !== null) {
      if (state.kind === "failed") replace(this.notice, errorLine(state.error, retry, "Not up to date. "));
      return;
    }
    if (busy) replace(this.body, h("div", { class: "skeleton", role: "status" }, h("span", { class: "sr" }, "Loading…")));
    else replace(this.body, errorLine(state.error, retry));
  }

  private content(empty: string | null): void {
    if (empty !== null) replace(this.body, emptyLine(empty));
  }
}

export function emptyLine(text: string, ...more: Child[]): HTMLElement {
  return h("p", { class: "empty" }, text, ...more);
}

export function errorLine(error: ApiError, retry: (() => void) | null, before = ""): HTMLElement {
  const line = h("p", { class: "error", role: "alert" }, `${before}${sentence(error.message)} `);
  if (retry) {
    const again = h("button", { type: "button", class: "quiet" }, "Try again");
    again.addEventListener("click", retry);
    line.append(again);
  }
  return line;
}
