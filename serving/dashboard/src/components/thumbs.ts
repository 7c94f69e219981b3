// Whether an answer helped: one thumb an answer, which can be changed.

import type { Client } from "../api/client";
import { asApiError, sentence } from "../api/error";
import type { Thumb } from "../api/types";
import { h } from "../lib/dom";

const LABELS: Record<Thumb, string> = { up: "This helped", down: "This did not help" };

export function thumbs(client: Client, answer: string): HTMLElement {
  const said = h("span", { class: "thumbs-said", role: "status" });
  const buttons = (["up", "down"] as const).map((thumb) => {
    const button = h("button", { type: "button", class: "quiet", testid: `thumb-${thumb}`, "aria-pressed": "false" }, LABELS[thumb]);
    button.addEventListener("click", () => void judge(thumb, button));
    return button;
  });

  async function judge(thumb: Thumb, pressed: HTMLElement): Promise<void> {
    try {
      await client.judge(answer, thumb);
      for (const button of buttons) button.setAttribute("aria-pressed", String(button === pressed));
      said.textContent = "Thank you.";
    } catch (error) {
      said.textContent = sentence(asApiError(error).message);
    }
  }
  return h("div", { class: "thumbs", testid: "thumbs" }, ...buttons, said);
}
