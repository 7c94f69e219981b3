// The sheet behind a citation: the value as it was, whether the data has changed since, and the rows it came from.

import type { Client } from "../api/client";
import { asApiError, isAbort } from "../api/error";
import type { Citation, CitationDetail } from "../api/types";
import { h, replace } from "../lib/dom";
import { eventTime, plural, scalar } from "../lib/format";
import { errorLine } from "./panel";

/** The sheet shows so many rows and says how many more there are. */
const ROWS_SHOWN_MAX = 200;

export interface CitationPanel {
  root: HTMLDialogElement;
  open(citation: Citation): void;
}

export function citationPanel(client: Client): CitationPanel {
  const close = h("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
  const heading = h("h2", { id: "citation-title" }, "Where this comes from");
  const body = h("div", { class: "sheet-body" });
  const root = h("dialog", { class: "sheet", testid: "citation-panel", "aria-labelledby": "citation-title" }, h("header", {}, heading, close), body);
  let inFlight: AbortController | null = null;

  close.addEventListener("click", () => root.close());
  root.addEventListener("click", (event) => {
    if (event.target === root) root.close();
  });
  root.addEventListener("close", () => inFlight?.abort());

  async function load(citation: Citation): Promise<void> {
    inFlight?.abort();
    const mine = new AbortController();
    inFlight = mine;
    heading.textContent = citation.label;
    root.setAttribute("aria-busy", "true");
    replace(body, h("p", { class: "sheet-value" }, scalar(citation.value, citation.unit)), h("div", { class: "skeleton", role: "status" }, h("span", { class: "sr" }, "Loading…")));
    try {
      const detail = await client.citation(citation.id, mine.signal);
      if (inFlight === mine) replace(body, ...content(detail, new Date()));
    } catch (error) {
      if (inFlight === mine && !isAbort(error)) replace(body, errorLine(asApiError(error), () => void load(citation)));
    } finally {
      if (inFlight === mine) root.removeAttribute("aria-busy");
    }
  }
  return {
    root,
    open(citation) {
      if (!root.open) root.showModal();
      void load(citation);
    },
  };
}

function content(detail: CitationDetail, now: Date): HTMLElement[] {
  const rows = detail.rows.slice(0, ROWS_SHOWN_MAX);
  const facts: [string, string | null][] = [
    ["Period", detail.period],
    ["Query", detail.query],
    ["Computed", detail.as_of === null ? null : eventTime(detail.as_of, null, now)],
    ["Table version", detail.table_version === null ? null : String(detail.table_version)],
  ];
  return [
    h("p", { class: "sheet-value", testid: "citation-value" }, scalar(detail.value, detail.unit)),
    detail.changed
      ? h("p", { class: "freshness changed", testid: "citation-changed" }, `Your data has changed since: it would be ${scalar(detail.value_now, detail.unit)} now.`)
      : h("p", { class: "freshness", testid: "citation-changed" }, "Your data has not changed this since."),
    h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => (value ? [h("div", {}, h("dt", {}, name), h("dd", {}, value))] : []))),
    h("h3", {}, detail.rows.length === 0 ? "No rows" : `From ${plural(detail.rows.length, "entry", "entries")} of your log`),
    detail.rows.length === 0
      ? h("p", { class: "empty" }, "This number was counted over a period in which nothing was logged.")
      : h("ol", { class: "sheet-rows" }, ...rows.map((row) =>
          h("li", { testid: "citation-row", "data-event-id": row.event_id }, h("time", { datetime: row.event_time }, eventTime(row.event_time, null, now)), h("span", {}, row.text)))),
    ...(detail.rows.length > rows.length ? [h("p", { class: "help" }, `and ${plural(detail.rows.length - rows.length, "more", "more")}`)] : []),
  ];
}
