// The page after sign-in: puts the components in their places and lets new events reach them.

import type { Client } from "../api/client";
import { type Connection, openFeed } from "../api/feed";
import { Analytics } from "../state/analytics";
import { h } from "../lib/dom";
import { changesCharts } from "../lib/describe";
import { ask } from "./ask";
import { causes } from "./causes";
import { citationPanel } from "./citationPanel";
import { connectionView } from "./connection";
import { feed } from "./feed";
import { filters } from "./filters";
import { heatmap } from "./heatmap";
import { logForm } from "./logForm";
import { mark } from "./mark";
import { persona } from "./persona";
import { summary } from "./summary";
import { themeButton } from "./themeButton";
import { tide } from "./tide";
import { trend } from "./trend";

const FEED_FILL_ROWS = 20;
/** A tab that comes back after this long asks for everything again. */
const AWAY_MS = 60_000;

export interface Page {
  root: HTMLElement;
  dispose(): void;
}

export function page(client: Client, signOut: () => void): Page {
  const closing = new AbortController();
  const analytics = new Analytics(client);
  const sheet = citationPanel(client);
  const connection = connectionView();
  const feedView = feed(connection.root);
  const trendView = trend(analytics);
  const log = logForm(client, analytics, () => analytics.refreshSoon());

  const logButton = h("button", { type: "button", class: "primary jump" }, "Log a craving");
  logButton.addEventListener("click", () => log.focus());
  const outButton = h("button", { type: "button", class: "ghost", testid: "sign-out" }, "Sign out");
  outButton.addEventListener("click", signOut);

  const root = h(
    "div",
    { class: "page" },
    h("a", { class: "skip", href: "#main" }, "Skip to the charts"),
    h(
      "header",
      { class: "sky" },
      h("div", { class: "bar-top" }, h("h1", {}, mark()), h("div", { class: "bar-tools" }, themeButton(), outButton)),
      h("div", { class: "sky-row" }, filters(analytics), logButton),
      summary(analytics),
      tide(analytics),
    ),
    h(
      "main",
      { id: "main", tabindex: -1 },
      h("div", { class: "column" }, ask(client, analytics, (citation) => sheet.open(citation)), trendView.root, heatmap(analytics), causes(analytics)),
      h("div", { class: "column side" }, log.root, feedView.root, persona(analytics)),
    ),
    h("footer", { class: "foot" }, h("p", {}, "Crave Wave informs; it does not diagnose or treat. In an emergency call your local emergency number.")),
    sheet.root,
  );

  async function fillFeed(): Promise<void> {
    try {
      feedView.fill((await client.latestCravings(FEED_FILL_ROWS, closing.signal)).items);
    } catch {
      // The live part works without it, and the charts say what is wrong.
    }
  }

  let wasLive = false;
  const onConnection = (state: Connection): void => {
    connection.show(state);
    if (state.state !== "live") return;
    void fillFeed();
    // Events of the gap were missed: the charts hold them.
    if (wasLive) analytics.refresh();
    wasLive = true;
  };
  const closeFeed = openFeed(client, {
    onConnection,
    onEvent(event) {
      feedView.push(event);
      if (changesCharts(event.kind)) analytics.refreshSoon();
    },
  });

  let hiddenAtMs = 0;
  const onVisibility = (): void => {
    if (document.hidden) hiddenAtMs = performance.now();
    else if (hiddenAtMs > 0 && performance.now() - hiddenAtMs > AWAY_MS) analytics.refresh();
  };
  document.addEventListener("visibilitychange", onVisibility);
  analytics.load();

  return {
    root,
    dispose() {
      closing.abort();
      closeFeed();
      document.removeEventListener("visibilitychange", onVisibility);
      feedView.dispose();
      trendView.dispose();
      analytics.dispose();
    },
  };
}
