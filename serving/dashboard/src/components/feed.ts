// The live feed: what just came in, newest on top, at most a hundred rows.

import type { CravingRow, FeedEvent } from "../api/types";
import { h, replace } from "../lib/dom";
import { describe } from "../lib/describe";
import { eventTime, lateness, offsetOf, plural } from "../lib/format";
import { emptyLine, Panel } from "./panel";

const ROWS_MAX = 100;

export interface FeedView {
  root: HTMLElement;
  /** An event as it arrives: to the top. */
  push(event: FeedEvent): void;
  /** Cravings logged before the page opened: below what is live, and only those not shown yet. */
  fill(rows: readonly CravingRow[]): void;
  dispose(): void;
}

export function feed(connection: HTMLElement): FeedView {
  const panel = new Panel({ title: "Coming in", testid: "feed", class: "feed-panel" });
  panel.tools.append(connection);
  const list = h("ol", { class: "feed", tabindex: 0, "aria-label": "Latest events, newest first" });
  const news = h("p", { class: "sr", role: "status" });
  const hint = emptyLine("Nothing has come in yet. What a device sends, or you log here, shows up within a second.");
  replace(panel.body, list, hint, news);

  const byId = new Map<string, HTMLElement>();
  /** By id, oldest first, never more than can be shown. */
  const waiting = new Map<string, FeedEvent>();
  let frame = 0;
  let unsaid = 0;
  let sayTimer: ReturnType<typeof setTimeout> | undefined;

  /** A watch that uploads a day sends thousands: they are drawn once a frame, and only those that can stay. */
  function flush(): void {
    frame = 0;
    const batch = [...waiting.values()];
    waiting.clear();
    const now = new Date();
    for (const event of batch) {
      byId.get(event.event_id)?.remove();
      const item = row(event, now, true);
      byId.set(event.event_id, item);
      list.prepend(item);
    }
    trim();
    clearTimeout(sayTimer);
    sayTimer = setTimeout(() => {
      news.textContent = `${plural(unsaid, "new event")}. Latest: ${describe(batch.at(-1) ?? { kind: "event", payload: {} }).headline}`;
      unsaid = 0;
    }, 1_500);
  }

  function trim(): void {
    while (list.childElementCount > ROWS_MAX) {
      const last = list.lastElementChild as HTMLElement;
      byId.delete(last.dataset.eventId ?? "");
      last.remove();
    }
    hint.hidden = list.childElementCount > 0;
  }

  return {
    root: panel.root,
    push(event) {
      waiting.delete(event.event_id);
      waiting.set(event.event_id, event);
      const [oldest] = waiting.keys();
      if (waiting.size > ROWS_MAX && oldest !== undefined) waiting.delete(oldest);
      unsaid += 1;
      // A hidden tab gets no frames: a timer does there.
      if (frame === 0) frame = document.hidden ? window.setTimeout(flush, 250) : requestAnimationFrame(flush);
    },
    fill(rows) {
      const now = new Date();
      const unseen = rows.filter((r) => !byId.has(r.event_id)).sort((a, b) => Date.parse(b.event_time) - Date.parse(a.event_time));
      for (const r of unseen) {
        const item = row(asEvent(r), now, false);
        byId.set(r.event_id, item);
        list.append(item);
      }
      trim();
    },
    dispose() {
      cancelAnimationFrame(frame);
      clearTimeout(sayTimer);
    },
  };
}

/** A row of the log as an event. */
function asEvent(r: CravingRow): FeedEvent {
  const { craving, intensity, trigger, place, mood, company, note, resisted } = r;
  return {
    event_id: r.event_id, kind: "craving", event_time: r.event_time, received_at: null, tz_offset_min: offsetOf(r.event_time, r.local_date, r.local_hour),
    payload: { craving, intensity, trigger, place, mood, company, note, resisted },
  };
}

function row(event: FeedEvent, now: Date, live: boolean): HTMLElement {
  const d = describe(event);
  const late = lateness(event.event_time, event.received_at);
  return h(
    "li",
    { class: `feed-item ${d.family}${live ? " live" : ""}`, testid: "feed-item", "data-event-id": event.event_id, "data-kind": event.kind },
    h(
      "div",
      { class: "feed-line" },
      h("span", { class: "feed-what" }, d.headline),
      d.intensity === null ? null : pips(d.intensity),
      h("time", { datetime: event.event_time }, eventTime(event.event_time, event.tz_offset_min, now)),
    ),
    d.details.length > 0 || late ? h("p", { class: "feed-details" }, [...d.details, ...(late ? [late] : [])].join(" · ")) : null,
    d.note === null ? null : h("p", { class: "feed-note" }, d.note),
  );
}

/** An intensity as a short bar with its number. */
function pips(intensity: number): HTMLElement {
  const fill = h("i", {});
  fill.style.inlineSize = `${Math.min(10, Math.max(0, intensity)) * 10}%`;
  return h("span", { class: "pips" }, h("span", { class: "pips-track", "aria-hidden": "true" }, fill), h("span", { class: "sr" }, "intensity "), h("b", {}, intensity), h("span", { class: "sr" }, " of 10"));
}
