// Says whether the live feed is connected.

import type { Connection } from "../api/feed";
import { h } from "../lib/dom";

export interface ConnectionView {
  root: HTMLElement;
  show(connection: Connection): void;
}

export function connectionView(): ConnectionView {
  const label = h("span", {}, "Connecting");
  const root = h("p", { class: "connection", role: "status", testid: "connection", "data-state": "connecting" }, h("i", { "aria-hidden": "true" }), label);
  return {
    root,
    show(connection) {
      root.dataset.state = connection.state;
      label.textContent = words(connection);
    },
  };
}

function words(connection: Connection): string {
  switch (connection.state) {
    case "live": return "Live";
    case "connecting": return "Connecting";
    case "waiting": return `Reconnecting in ${Math.max(1, Math.round(connection.retryInMs / 1000))} s`;
    case "closed": return "Not connected";
  }
}
