// Steps through light, dark and the system's choice.

import { h } from "../lib/dom";
import { nextTheme, type Theme, theme } from "../state/theme";

const SIGNS: Record<Theme, string> = { auto: "◐", light: "☀", dark: "☾" };
const NAMES: Record<Theme, string> = { auto: "as the system", light: "light", dark: "dark" };

export function themeButton(): HTMLElement {
  const sign = h("span", { "aria-hidden": "true" });
  const button = h("button", { type: "button", class: "ghost icon", testid: "theme" }, sign);
  const show = (now: Theme): void => {
    sign.textContent = SIGNS[now];
    button.setAttribute("aria-label", `Colours: ${NAMES[now]}. Change.`);
    button.title = `Colours: ${NAMES[now]}`;
  };
  show(theme());
  button.addEventListener("click", () => show(nextTheme()));
  return button;
}
