// Speaks to the server: every request carries the bearer token, a 401 ends the session.

import { ApiError } from "./error";
import { SseParser } from "./sse";
import type {
  CitationDetail, CravingPage, EventReply, Intensity, Me, Patterns, Reply, Sentence, Summary, Thumb, TimeOfDay, WireCraving,
} from "./types";

const TIMEOUT_MS = 20_000;
/** A model may speak slowly. */
const ANSWER_TIMEOUT_MS = 300_000;

export interface Filters {
  days: number;
  /** Empty: all cravings. */
  craving: string;
}

interface Call {
  method?: "GET" | "POST" | "PUT";
  body?: unknown;
  signal?: AbortSignal;
  timeoutMs?: number;
}

export class Client {
  constructor(
    private readonly token: string,
    private readonly onUnauthorized: () => void,
  ) {}

  me(): Promise<Me> {
    return this.json("/v1/me", {});
  }

  summary(filters: Filters, signal: AbortSignal): Promise<Summary> {
    return this.json(`/v1/analytics/summary?${query(filters)}`, { signal });
  }

  patterns(filters: Filters, signal: AbortSignal): Promise<Patterns> {
    return this.json(`/v1/analytics/patterns?${query(filters)}`, { signal });
  }

  timeOfDay(filters: Filters, signal: AbortSignal): Promise<TimeOfDay> {
    return this.json(`/v1/analytics/time-of-day?${query(filters)}`, { signal });
  }

  intensity(filters: Filters, signal: AbortSignal): Promise<Intensity> {
    return this.json(`/v1/analytics/intensity?${query(filters)}`, { signal });
  }

  latestCravings(limit: number, signal: AbortSignal): Promise<CravingPage> {
    return this.json(`/v1/cravings?limit=${limit}`, { signal });
  }

  postEvent(event: WireCraving): Promise<EventReply> {
    return this.json("/v1/events", { method: "POST", body: event });
  }

  /** Begins a conversation; returns its id. */
  async begin(signal: AbortSignal): Promise<string> {
    return (await this.json<{ id: string }>("/v1/conversations", { method: "POST", signal })).id;
  }

  /** Says something within a conversation; `onSentence` gets each sentence of the answer when it is released. */
  async say(conversation: string, text: string, signal: AbortSignal, onSentence: (sentence: Sentence) => void): Promise<Reply> {
    const response = await fetch(`/v1/conversations/${encodeURIComponent(conversation)}/messages`, {
      method: "POST",
      headers: { ...this.headers(), Accept: "text/event-stream", "Content-Type": "application/json" },
      body: JSON.stringify({ text }),
      cache: "no-store",
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
    });
    await this.check(response);
    const cutOff = new ApiError("unavailable", "the answer was cut off; ask again", response.status);
    if (response.body === null) throw cutOff;
    const parser = new SseParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      for (const { event, data } of parser.push(read.value)) {
        if (event === "sentence") onSentence(JSON.parse(data) as Sentence);
        else if (event === "done") return JSON.parse(data) as Reply;
      }
    }
    throw cutOff;
  }

  judge(answer: string, thumb: Thumb): Promise<unknown> {
    return this.json(`/v1/answers/${encodeURIComponent(answer)}/feedback`, { method: "PUT", body: { thumb } });
  }

  citation(id: string, signal: AbortSignal): Promise<CitationDetail> {
    return this.json(`/v1/citations/${encodeURIComponent(id)}`, { signal });
  }

  /** The live feed's response, its body still streaming. */
  async feed(signal: AbortSignal): Promise<Response> {
    const response = await fetch("/v1/feed", {
      headers: { ...this.headers(), Accept: "text/event-stream" },
      cache: "no-store",
      signal,
    });
    await this.check(response);
    return response;
  }

  private headers(): Record<string, string> {
    return { Authorization: `Bearer ${this.token}` };
  }

  private async json<T>(path: string, call: Call): Promise<T> {
    const timeout = AbortSignal.timeout(call.timeoutMs ?? TIMEOUT_MS);
    const init: RequestInit = {
      method: call.method ?? "GET",
      headers: { ...this.headers(), Accept: "application/json" },
      cache: "no-store",
      signal: call.signal ? AbortSignal.any([call.signal, timeout]) : timeout,
    };
    if (call.body !== undefined) {
      init.body = JSON.stringify(call.body);
      init.headers = { ...init.headers, "Content-Type": "application/json" };
    }
    const response = await fetch(path, init);
    await this.check(response);
    return (await response.json()) as T;
  }

  private async check(response: Response): Promise<void> {
    if (response.ok) return;
    if (response.status === 401) this.onUnauthorized();
    throw await failure(response);
  }
}

/** The offset tells the server which local day is today. */
function query({ days, craving }: Filters): string {
  const params = new URLSearchParams({ days: String(days), tz_offset_min: String(-new Date().getTimezoneOffset()) });
  if (craving !== "") params.set("craving", craving);
  return params.toString();
}

async function failure(response: Response): Promise<ApiError> {
  const fallback = `the server answered with status ${response.status}`;
  try {
    const { error } = (await response.json()) as { error?: { kind?: string; message?: string; field?: string } };
    return new ApiError(error?.kind ?? "internal", error?.message ?? fallback, response.status, error?.field ?? null);
  } catch {
    return new ApiError("internal", fallback, response.status);
  }
}
