// Starts the page: takes the token, then shows either the sign-in or the page.

import "uplot/dist/uPlot.min.css";
import "./styles/index.css";
import { Client } from "./api/client";
import { page, type Page } from "./components/page";
import { signIn } from "./components/signIn";
import { forgetToken, keepToken, takeTokenFromAddress, token } from "./state/session";
import { applyTheme } from "./state/theme";

let shown: Page | null = null;

function clear(): HTMLElement {
  shown?.dispose();
  shown = null;
  const app = document.getElementById("app") ?? document.body;
  app.replaceChildren();
  return app;
}

function showSignIn(message: string | null): void {
  forgetToken();
  const app = clear();
  app.append(signIn(message, (accepted) => {
    keepToken(accepted);
    showPage(accepted);
  }));
  app.querySelector<HTMLElement>("#token")?.focus();
}

function showPage(accepted: string): void {
  const app = clear();
  let over = false;
  const client = new Client(accepted, () => {
    if (over) return;
    over = true;
    showSignIn("The server no longer accepts this token. Sign in again.");
  });
  shown = page(client, () => showSignIn(null));
  app.append(shown.root);
}

function start(): void {
  const now = token();
  if (now === null) showSignIn(null);
  else showPage(now);
}

applyTheme();
takeTokenFromAddress();
start();
window.addEventListener("hashchange", () => {
  if (takeTokenFromAddress()) start();
});
