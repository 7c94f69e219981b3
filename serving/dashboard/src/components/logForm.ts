// Logs a craving from the page. One entry has one id until it is accepted: sending it again adds nothing.

import type { Client } from "../api/client";
import { asApiError, sentence } from "../api/error";
import type { WireCraving } from "../api/types";
import type { Analytics } from "../state/analytics";
import { h, replace } from "../lib/dom";
import { localIso } from "../lib/format";
import { uuid } from "../lib/uuid";
import { Panel } from "./panel";

declare const __APP_VERSION__: string;

const LABEL_CHARS_MAX = 48;
/** The server's bound is 4,000 bytes; a UTF-16 unit is at most three. */
const NOTE_CHARS_MAX = 1_300;
const USUAL = ["sugar", "alcohol", "nicotine", "caffeine", "salty snacks"];
const FEELINGS = ["none", "faint", "faint", "mild", "mild", "clear", "strong", "strong", "very strong", "nearly too much", "unbearable"];

export interface LogForm {
  root: HTMLElement;
  focus(): void;
}

export function logForm(client: Client, analytics: Analytics, logged: () => void): LogForm {
  const panel = new Panel({ title: "Log a craving", class: "log" });
  const what = h("input", { id: "log-what", name: "craving", required: true, maxlength: LABEL_CHARS_MAX, list: "log-cravings", autocomplete: "off", testid: "log-craving", "aria-describedby": "log-result" });
  const cravings = h("datalist", { id: "log-cravings" }, ...USUAL.map((value) => h("option", { value })));
  const slider = h("input", { id: "log-intensity", name: "intensity", type: "range", min: 0, max: 10, step: 1, value: 5, testid: "log-intensity" });
  const level = h("output", { for: "log-intensity", class: "level" });
  const trigger = h("input", { id: "log-trigger", name: "trigger", maxlength: LABEL_CHARS_MAX, list: "log-triggers", autocomplete: "off", testid: "log-trigger" });
  const triggers = h("datalist", { id: "log-triggers" });
  const note = h("textarea", { id: "log-note", name: "note", rows: 2, maxlength: NOTE_CHARS_MAX, testid: "log-note" });
  const resisted = h("fieldset", { class: "segments wide" }, h("legend", {}, "Did you resist?"));
  for (const [value, label] of [["", "Not yet known"], ["yes", "Yes"], ["no", "No"]] as const) {
    resisted.append(h("label", {}, h("input", { type: "radio", name: "resisted", value, checked: value === "", testid: `log-resisted-${value || "open"}` }), h("span", {}, label)));
  }
  const submit = h("button", { type: "submit", class: "primary", testid: "log-submit" }, "Log it");
  const result = h("p", { id: "log-result", class: "log-result", role: "status", testid: "log-result" });
  const optional = (): HTMLElement => h("small", {}, "optional");
  const form = h(
    "form",
    { class: "log-form", testid: "log-form", novalidate: true },
    h("div", { class: "field" }, h("label", { for: "log-what" }, "What do you crave?"), what, cravings),
    h("div", { class: "field" }, h("label", { for: "log-intensity" }, "How strong is it?"), h("div", { class: "slider" }, slider, level)),
    h("div", { class: "field" }, h("label", { for: "log-trigger" }, "What set it off? ", optional()), trigger, triggers),
    h("div", { class: "field" }, h("label", { for: "log-note" }, "Note ", optional()), note),
    resisted, submit, result,
  );
  replace(panel.body, form);

  const showLevel = (): void => {
    const value = Number(slider.value);
    replace(level, h("b", {}, value), ` ${FEELINGS[value] ?? ""}`);
    slider.style.setProperty("--share", `${value * 10}%`);
    slider.setAttribute("aria-valuetext", `${value} of 10, ${FEELINGS[value] ?? ""}`);
  };
  slider.addEventListener("input", showLevel);
  showLevel();

  /** What was sent and not yet accepted, by its content. */
  let pending: { content: string; event: WireCraving } | null = null;

  function entry(): WireCraving {
    const answered = form.querySelector<HTMLInputElement>("input[name=resisted]:checked")?.value;
    const payload: WireCraving["payload"] = { craving: what.value.trim(), intensity: Number(slider.value) };
    if (trigger.value.trim() !== "") payload.trigger = trigger.value.trim();
    if (note.value.trim() !== "") payload.note = note.value.trim();
    if (answered) payload.resisted = answered === "yes";
    const content = JSON.stringify(payload);
    if (pending?.content === content) return pending.event;
    const { iso, offsetMin } = localIso(new Date());
    const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const event: WireCraving = {
      event_id: uuid(), source: "api", app_version: __APP_VERSION__, kind: "craving", event_time: iso,
      tz_offset_min: offsetMin, ...(tz ? { tz } : {}), payload,
    };
    pending = { content, event };
    return event;
  }

  function say(text: string, kind: "good" | "bad" | "" = ""): void {
    result.className = `log-result ${kind}`.trim();
    result.textContent = text;
  }

  async function post(): Promise<void> {
    if (what.value.trim() === "") {
      say("Say what you crave first.", "bad");
      what.setAttribute("aria-invalid", "true");
      return what.focus();
    }
    what.removeAttribute("aria-invalid");
    submit.disabled = true;
    say("Logging…");
    try {
      const event = entry();
      const [outcome] = (await client.postEvent(event)).results;
      if (outcome?.status === "refused") {
        pending = null;
        const field = outcome.field?.replace(/^payload\./, "");
        return say(`Not logged: ${field ? `${field} ` : ""}${sentence(outcome.reason ?? "the server refused it")}`, "bad");
      }
      pending = null;
      say(`Logged: ${event.payload.craving}, ${event.payload.intensity} of 10.`, "good");
      form.reset();
      showLevel();
      logged();
    } catch (error) {
      say(`Not logged yet. ${sentence(asApiError(error).message)} What you wrote is still here; logging it again never counts it twice.`, "bad");
    } finally {
      submit.disabled = false;
    }
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void post();
  });

  analytics.summary.subscribe((state) => {
    if (state.kind !== "ready" || analytics.filters.craving !== "") return;
    const mine = [...state.value.by_craving].sort((a, b) => b.n - a.n).map((row) => row.craving);
    const known = [...new Set([...mine, ...USUAL])].slice(0, 20);
    replace(cravings, ...known.map((value) => h("option", { value })));
  });
  analytics.patterns.subscribe((state) => {
    if (state.kind === "ready") replace(triggers, ...state.value.triggers.slice(0, 20).map((row) => h("option", { value: row.trigger })));
  });

  return {
    root: panel.root,
    focus() {
      panel.root.scrollIntoView({ block: "center" });
      what.focus({ preventScroll: true });
    },
  };
}
