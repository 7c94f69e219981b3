// One thing loaded from the server: what is known of it now, and who wants to know.

import { type ApiError, asApiError, isAbort } from "../api/error";

export type State<T> =
  /** `previous` is what the last filters showed: dimmed, not torn down, while the new values come. */
  | { kind: "loading"; previous: T | null }
  | { kind: "ready"; value: T }
  /** `previous` is shown on, with the error beside it, when only a refresh failed. */
  | { kind: "failed"; error: ApiError; previous: T | null };

export class Resource<T> {
  private state: State<T> = { kind: "loading", previous: null };
  private readonly listeners = new Set<(state: State<T>) => void>();
  private inFlight: AbortController | null = null;

  constructor(private readonly fetcher: (signal: AbortSignal) => Promise<T>) {}

  subscribe(listener: (state: State<T>) => void): void {
    this.listeners.add(listener);
    listener(this.state);
  }

  /** Loads after the filters changed: the old value no longer answers the question, so it says "loading". */
  async load(): Promise<void> {
    this.set({ kind: "loading", previous: this.last() });
    await this.fetch(false);
  }

  /** Loads the same question again without a sign of loading. */
  async refresh(): Promise<void> {
    await this.fetch(this.state.kind !== "loading");
  }

  dispose(): void {
    this.inFlight?.abort();
    this.listeners.clear();
  }

  private last(): T | null {
    return this.state.kind === "ready" ? this.state.value : this.state.previous;
  }

  private async fetch(keepOnFailure: boolean): Promise<void> {
    this.inFlight?.abort();
    const mine = new AbortController();
    this.inFlight = mine;
    try {
      const value = await this.fetcher(mine.signal);
      if (this.inFlight === mine) this.set({ kind: "ready", value });
    } catch (error) {
      if (this.inFlight !== mine || isAbort(error)) return;
      this.set({ kind: "failed", error: asApiError(error), previous: keepOnFailure ? this.last() : null });
    }
  }

  private set(state: State<T>): void {
    this.state = state;
    for (const listener of this.listeners) listener(state);
  }
}
