// What `crave flow top --json` prints, and what two of them say together. Pure.

export interface Node {
  kind: "source" | "stage" | "sink";
  name: string;
  detail: string;
  inputs: number[];
  tasks: number;
  rows_in: number;
  rows_out: number;
  late_rows: number;
  waited_ms: number;
  watermark_ns: number;
  state_rows: number;
  state_bytes: number;
}

export interface Job {
  job: string;
  nodes: Node[];
}

export interface Verdict {
  table: string;
  differing: number;
  missing: number;
  extra: number;
}

export interface Status {
  at_ms: number;
  pipeline: { jobs: Job[]; epoch: number; checkpoint_at_ms: number | null; checkpoint_took_ms: number; failure: string | null };
  waiting: string[];
  verified: { at_ms: number; verdicts: Verdict[] } | null;
  dirty: Record<string, { due: number; open: number }>;
}

export interface Rates {
  rowsIn: number;
  rowsOut: number;
  /** Share of the time that its tasks waited for room in the next channel. */
  waits: number;
}

/** What happened between two looks; null where counts began anew, as after a restart. */
export function rates(before: Node | undefined, now: Node, ms: number): Rates | null {
  if (before === undefined || ms <= 0) return null;
  const grown = (of: (node: Node) => number): number => (of(now) - of(before)) / (ms / 1000);
  const [rowsIn, rowsOut, waited] = [grown((n) => n.rows_in), grown((n) => n.rows_out), grown((n) => n.waited_ms)];
  if (rowsIn < 0 || rowsOut < 0 || waited < 0) return null;
  return { rowsIn, rowsOut, waits: Math.min(1, waited / 1000 / Math.max(1, now.tasks)) };
}

/** How far a node's time is behind, in words. */
export function behind(watermarkNs: number, nowMs: number): string {
  if (watermarkNs < -9e18) return "no time yet";
  if (watermarkNs > 9e18) return "ended";
  return `${span(nowMs - watermarkNs / 1e6)} behind`;
}

/** A span of time in its largest unit. */
export function span(ms: number): string {
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.floor(s)} s`;
  if (s < 7_200) return `${Math.floor(s / 60)} min`;
  return s < 172_800 ? `${Math.floor(s / 3_600)} h` : `${Math.floor(s / 86_400)} d`;
}

export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  return n < 1 << 20 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / (1 << 20)).toFixed(1)} MiB`;
}

export interface Place {
  column: number;
  row: number;
}

/** Where the nodes of a job stand: a column is a step from a source, a row the place among those of its column. */
export function places(nodes: readonly Pick<Node, "inputs">[]): Place[] {
  const found: Place[] = [];
  const rows: number[] = [];
  for (const node of nodes) {
    // Inputs stand before what they lead to.
    const column = Math.max(-1, ...node.inputs.map((input) => found[input]?.column ?? -1)) + 1;
    const row = rows[column] ?? 0;
    rows[column] = row + 1;
    found.push({ column, row });
  }
  return found;
}
