// One job as a picture: boxes from its sources to its sinks.

import { svg } from "../lib/dom";
import { count } from "../lib/format";
import { behind, bytes, places, rates, type Job, type Node, type Place, type Rates } from "./status";

const WIDTH = 220;
const HEIGHT = 112;
const GAP_X = 36;
const GAP_Y = 18;
const LINE = 18;
const NAME_CHARS = 27;

const left = (place: Place): number => place.column * (WIDTH + GAP_X) + 1;
const top = (place: Place): number => place.row * (HEIGHT + GAP_Y) + 1;
const perSecond = (n: number): string => (n > 0 && n < 10 ? n.toFixed(1) : count(n));
const cut = (text: string): string => (text.length > NAME_CHARS ? `${text.slice(0, NAME_CHARS - 1)}…` : text);

function edge(from: Place, to: Place): SVGElement {
  const [x1, y1, x2, y2] = [left(from) + WIDTH, top(from) + HEIGHT / 2, left(to), top(to) + HEIGHT / 2];
  const half = (x1 + x2) / 2;
  return svg("path", { class: "edge", d: `M${x1} ${y1}C${half} ${y1} ${half} ${y2} ${x2} ${y2}` });
}

/** What a box says below its name. */
export function lines(node: Node, now: Rates | null, nowMs: number): string[] {
  const flow = now === null ? "…" : `${perSecond(now.rowsIn)} rows/s in`;
  const out = now === null || node.kind === "sink" ? "" : `, ${perSecond(now.rowsOut)} out`;
  const waits = now === null || node.kind === "sink" ? "" : `, waits ${Math.round(now.waits * 100)} %`;
  const all = [flow + out, behind(node.watermark_ns, nowMs) + waits];
  if (node.kind === "stage") {
    all.push(`${count(node.state_rows)} rows of state, ${bytes(node.state_bytes)}`, `${count(node.late_rows)} rows late`);
  } else {
    all.push(`${count(node.rows_in)} rows ${node.kind === "sink" ? "written" : "read"}`);
  }
  return all;
}

function box(node: Node, place: Place, now: Rates | null, nowMs: number): SVGElement {
  const busy = now === null || now.waits < 0.2 ? "" : now.waits < 0.6 ? " waits" : " stuck";
  const [x, y] = [left(place), top(place)];
  const text = (line: string, at: number, name: string): SVGElement => svg("text", { class: name, x: x + 12, y: y + 22 + at * LINE }, line);
  return svg(
    "g",
    { class: `node ${node.kind}${busy}`, testid: "node", "data-name": node.name, "data-rows-in": node.rows_in, "data-late": node.late_rows },
    svg("title", {}, `${node.name}: ${node.detail}`),
    svg("rect", { x, y, width: WIDTH, height: HEIGHT, rx: 10 }),
    text(cut(node.kind === "stage" ? node.name : `${node.kind} ${node.name}`), 0, "name"),
    ...lines(node, now, nowMs).map((line, at) => text(line, at + 1, "line")),
  );
}

/** The picture of a job; `before` is the same job `ms` ago. */
export function drawn(job: Job, before: Job | undefined, ms: number, nowMs: number): SVGSVGElement {
  const placed = places(job.nodes);
  const width = Math.max(0, ...placed.map((place) => left(place) + WIDTH)) + 1;
  const height = Math.max(0, ...placed.map((place) => top(place) + HEIGHT)) + 1;
  const at = (index: number): Place => placed[index] ?? { column: 0, row: 0 };
  return svg(
    "svg",
    { class: "graph", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `The job ${job.job}` },
    ...job.nodes.flatMap((node, index) => node.inputs.map((input) => edge(at(input), at(index)))),
    ...job.nodes.map((node, index) => box(node, at(index), rates(before?.nodes[index], node, ms), nowMs)),
  );
}
