// The ask box: a conversation with one's own log. What was asked stays above; the newest answer comes sentence by sentence
// with its evidence, the disclaimer always beside it.

import type { Client } from "../api/client";
import { asApiError, isAbort } from "../api/error";
import type { Analytics } from "../state/analytics";
import type { Citation } from "../api/types";
import { h, replace } from "../lib/dom";
import { answer, released } from "./answer";
import { errorLine, Panel } from "./panel";
import { thumbs } from "./thumbs";

const QUESTION_CHARS_MAX = 1_000;
/** Turns that stay on the page; the server keeps them all. */
const TURNS_SHOWN_MAX = 20;
const DISCLAIMER = "Crave Wave informs; it does not diagnose or treat.";

export function ask(client: Client, analytics: Analytics, open: (citation: Citation) => void): HTMLElement {
  const panel = new Panel({ title: "Ask your log", class: "ask" });
  const input = h("textarea", {
    testid: "ask-input", rows: 1, maxlength: QUESTION_CHARS_MAX, "aria-label": "Your question",
    placeholder: "Ask a question", enterkeyhint: "send",
  });
  const send = h("button", { type: "submit", class: "primary", testid: "ask-send" }, "Ask");
  const form = h("form", { class: "ask-form" }, input, send);
  const suggestions = h("div", { class: "suggestions", role: "group", "aria-label": "Suggested questions" });
  const output = h("div", { class: "ask-output", role: "log", "aria-live": "polite", testid: "turns" });
  const anew = h("button", { type: "button", class: "quiet", testid: "ask-anew", hidden: true }, "New conversation");
  const disclaimer = h("p", { class: "disclaimer", testid: "disclaimer" }, DISCLAIMER);
  panel.tools.append(anew);
  replace(panel.body, form, suggestions, output, disclaimer);

  let inFlight: AbortController | null = null;
  let conversation: string | null = null;

  anew.addEventListener("click", () => {
    inFlight?.abort();
    conversation = null;
    replace(output);
    anew.hidden = true;
    suggestions.hidden = false;
    input.focus();
  });

  async function put(question: string): Promise<void> {
    inFlight?.abort();
    const mine = new AbortController();
    inFlight = mine;
    panel.root.setAttribute("aria-busy", "true");
    const asked = h("p", { class: "asked" }, question);
    const said = h("div", { class: "said" });
    const thinking = h("p", { class: "thinking" }, "Looking through your log", h("i", {}), h("i", {}), h("i", {}));
    const turn = h("section", { class: "turn", testid: "turn" }, asked, said, thinking);
    // The newest is on top, beside the box it was typed into.
    output.prepend(turn);
    while (output.childElementCount > TURNS_SHOWN_MAX) output.lastElementChild?.remove();
    anew.hidden = false;
    try {
      conversation ??= await client.begin(mine.signal);
      const { answer: insight } = await client.say(conversation, question, mine.signal, (sentence) => {
        thinking.firstChild!.textContent = "There is more";
        said.append(released(sentence));
      });
      const isCrisis = insight.status === "crisis";
      suggestions.hidden = isCrisis;
      if (isCrisis) asked.remove();
      const below = insight.proposal ? confirm() : insight.id && !isCrisis ? thumbs(client, insight.id) : null;
      replace(said, answer(insight, open), below);
      thinking.remove();
      disclaimer.textContent = insight.disclaimer || DISCLAIMER;
      if (inFlight === mine && input.value.trim() === question) input.value = "";
    } catch (error) {
      thinking.remove();
      if (isAbort(error)) return turn.remove();
      const retry = (): void => {
        turn.remove();
        void put(question);
      };
      replace(said, errorLine(asApiError(error), retry));
    } finally {
      if (inFlight === mine) panel.root.removeAttribute("aria-busy");
    }
  }

  /** Asks whether to log what was proposed; the answer is a message like any other. */
  function confirm(): HTMLElement {
    const choices = h("div", { class: "suggestions", role: "group", "aria-label": "Log it?" });
    for (const [label, words, testid] of [["Log it", "Yes", "confirm-yes"], ["Don't", "No", "confirm-no"]] as const) {
      const button = h("button", { type: "button", class: "suggestion", testid }, label);
      button.addEventListener("click", () => {
        choices.remove();
        void put(words);
      });
      choices.append(button);
    }
    return choices;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const question = input.value.trim();
    if (question === "") return input.focus();
    void put(question);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  input.addEventListener("input", () => {
    input.style.blockSize = "auto";
    input.style.blockSize = `${Math.min(input.scrollHeight + 2, 160)}px`;
  });

  function suggest(questions: readonly string[]): void {
    replace(suggestions, ...questions.map((question) => {
      const button = h("button", { type: "button", class: "suggestion", testid: "suggestion" }, question);
      button.addEventListener("click", () => {
        input.value = question;
        void put(question);
      });
      return button;
    }));
  }
  suggest(questionsFor(null));
  analytics.summary.subscribe((state) => {
    if (state.kind !== "ready" || analytics.filters.craving !== "") return;
    const top = [...state.value.by_craving].sort((a, b) => b.n - a.n)[0]?.craving ?? null;
    suggest(questionsFor(top));
  });
  return panel.root;
}

/** Questions about what this person logs most; sugar where nothing is known. */
export function questionsFor(craving: string | null): string[] {
  const what = craving ?? "sugar";
  return [`Why do I crave ${what} at night?`, `What sets off my ${what} cravings?`, "When do I resist best?", "How has this month been?"];
}
