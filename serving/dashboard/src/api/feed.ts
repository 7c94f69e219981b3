// Keeps the live feed open: reads it, notices when it falls silent, and connects again with backoff.

import type { Client } from "./client";
import { ApiError } from "./error";
import { SseParser } from "./sse";
import type { FeedEvent } from "./types";

export type Connection =
  | { state: "connecting" }
  | { state: "live" }
  | { state: "waiting"; retryInMs: number }
  | { state: "closed" };

const BACKOFF_MS_MIN = 1_000;
const BACKOFF_MS_MAX = 30_000;
/** The server sends a comment now and then; without even that for this long, the line is dead. */
const SILENCE_MS_MAX = 60_000;
/** A connection that held this long starts the backoff anew. */
const STEADY_MS = 5_000;

/** Doubles from one second to thirty; `jitter` in 0..1 spreads clients over the last quarter. */
export function backoffMs(attempt: number, jitter: number): number {
  const full = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(attempt, 10));
  return Math.round(full * (0.75 + 0.25 * jitter));
}

/** A message's data as an event, or null when it is not one. */
export function parseFeedEvent(data: string): FeedEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const raw = value as Record<string, unknown>;
  if (typeof raw.event_id !== "string" || typeof raw.kind !== "string" || typeof raw.event_time !== "string") return null;
  return {
    event_id: raw.event_id,
    kind: raw.kind,
    event_time: raw.event_time,
    received_at: typeof raw.received_at === "string" ? raw.received_at : null,
    tz_offset_min: typeof raw.tz_offset_min === "number" ? raw.tz_offset_min : null,
    payload: typeof raw.payload === "object" && raw.payload !== null ? (raw.payload as Record<string, unknown>) : {},
  };
}

export interface FeedHandlers {
  onEvent(event: FeedEvent): void;
  onConnection(connection: Connection): void;
}

/** Opens the feed; the returned function closes it for good. */
export function openFeed(client: Client, handlers: FeedHandlers): () => void {
  const closing = new AbortController();
  let wake: (() => void) | null = null;
  const onOnline = (): void => wake?.();
  window.addEventListener("online", onOnline);

  const run = async (): Promise<void> => {
    let attempt = 0;
    while (!closing.signal.aborted) {
      handlers.onConnection({ state: "connecting" });
      const opened = performance.now();
      try {
        await readOnce(client, closing.signal, handlers);
      } catch (error) {
        if (closing.signal.aborted || (error instanceof ApiError && error.status === 401)) break;
      }
      if (closing.signal.aborted) break;
      if (performance.now() - opened > STEADY_MS) attempt = 0;
      const retryInMs = backoffMs(attempt++, Math.random());
      handlers.onConnection({ state: "waiting", retryInMs });
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, retryInMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      wake = null;
    }
    handlers.onConnection({ state: "closed" });
  };
  void run();

  return () => {
    window.removeEventListener("online", onOnline);
    closing.abort();
    wake?.();
  };
}

async function readOnce(client: Client, closing: AbortSignal, handlers: FeedHandlers): Promise<void> {
  const silence = new AbortController();
  let watchdog = setTimeout(() => silence.abort(), SILENCE_MS_MAX);
  const heard = (): void => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => silence.abort(), SILENCE_MS_MAX);
  };
  try {
    const response = await client.feed(AbortSignal.any([closing, silence.signal]));
    if (!response.body) return;
    handlers.onConnection({ state: "live" });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new SseParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      for (const message of parser.push(value)) {
        const event = message.event === "event" ? parseFeedEvent(message.data) : null;
        if (event) handlers.onEvent(event);
      }
    }
  } finally {
    clearTimeout(watchdog);
    silence.abort();
  }
}
