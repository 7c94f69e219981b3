// The four analytics answers behind the charts, the filters they share, and when they are asked again.

import type { Client, Filters } from "../api/client";
import type { Intensity, Patterns, Summary, TimeOfDay } from "../api/types";
import { Resource } from "./resource";

export const PERIODS_DAYS = [7, 30, 90, 365] as const;

/** After the last new event: once soon, and once when its table must have been committed. */
const REFRESH_AFTER_MS = [1_200, 5_000];
/** A steady stream of events must not put the first refresh off for ever. */
const REFRESH_WAIT_MS_MAX = 6_000;

export class Analytics {
  filters: Filters = { days: 30, craving: "" };
  readonly summary: Resource<Summary>;
  readonly patterns: Resource<Patterns>;
  readonly timeOfDay: Resource<TimeOfDay>;
  readonly intensity: Resource<Intensity>;
  private timers: ReturnType<typeof setTimeout>[] = [];
  private firstAskedMs: number | null = null;

  constructor(client: Client) {
    this.summary = new Resource((signal) => client.summary(this.filters, signal));
    this.patterns = new Resource((signal) => client.patterns(this.filters, signal));
    this.timeOfDay = new Resource((signal) => client.timeOfDay(this.filters, signal));
    this.intensity = new Resource((signal) => client.intensity(this.filters, signal));
  }

  setFilters(change: Partial<Filters>): void {
    this.filters = { ...this.filters, ...change };
    this.load();
  }

  load(): void {
    for (const resource of this.all()) void resource.load();
  }

  refresh(): void {
    this.firstAskedMs = null;
    for (const resource of this.all()) void resource.refresh();
  }

  /** Asks for a refresh when events stop coming, or after a while if they don't. */
  refreshSoon(): void {
    const now = performance.now();
    this.firstAskedMs ??= now;
    const latest = this.firstAskedMs + REFRESH_WAIT_MS_MAX - now;
    this.cancel();
    this.timers = REFRESH_AFTER_MS.map((ms) => setTimeout(() => this.refresh(), Math.max(0, Math.min(ms, latest))));
  }

  dispose(): void {
    this.cancel();
    for (const resource of this.all()) resource.dispose();
  }

  private all(): Resource<unknown>[] {
    return [this.summary, this.timeOfDay, this.patterns, this.intensity] as Resource<unknown>[];
  }

  private cancel(): void {
    for (const timer of this.timers) clearTimeout(timer);
    this.timers = [];
  }
}
