// Asks for the token and tries it; also the page's face when the server can't be reached at the start.

import { Client } from "../api/client";
import { asApiError, sentence } from "../api/error";
import { h } from "../lib/dom";
import { mark } from "./mark";

/** `message` says why the person is here again, if they are; `done` gets a token the server accepted. */
export function signIn(message: string | null, done: (token: string) => void): HTMLElement {
  const input = h("input", {
    id: "token", testid: "signin-token", type: "password", autocomplete: "off", autocapitalize: "off",
    spellcheck: "false", required: true, "aria-describedby": "token-help token-error",
  });
  const submit = h("button", { type: "submit", class: "primary", testid: "signin-submit" }, "Sign in");
  const error = h("p", { class: "error", role: "alert", id: "token-error" }, message ?? "");
  const form = h(
    "form",
    { class: "signin-form", novalidate: true },
    h("label", { for: "token" }, "Your token"),
    input,
    error,
    submit,
    h(
      "p",
      { class: "help", id: "token-help" },
      "It was printed when your account or device was made. A link that ends in ",
      h("code", {}, "#token=…"),
      " signs you in by itself. The token stays in this tab and is gone when you close it.",
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt();
  });

  async function attempt(): Promise<void> {
    const token = input.value.trim();
    if (token === "") {
      error.textContent = "Paste your token first.";
      input.focus();
      return;
    }
    submit.disabled = true;
    error.textContent = "";
    try {
      await new Client(token, () => undefined).me();
      done(token);
    } catch (thrown) {
      const failure = asApiError(thrown);
      error.textContent = failure.status === 401 ? "The server does not know this token." : sentence(failure.message);
      input.setAttribute("aria-invalid", "true");
      input.select();
      input.focus();
    } finally {
      submit.disabled = false;
    }
  }

  return h(
    "main",
    { class: "signin" },
    h(
      "div",
      { class: "signin-card" },
      mark(),
      h("h1", {}, "Every craving is a wave."),
      h("p", { class: "signin-lead" }, "It rises, it crests, it passes. Sign in to see yours."),
      form,
    ),
    h("div", { class: "signin-sea", "aria-hidden": "true" }),
  );
}
