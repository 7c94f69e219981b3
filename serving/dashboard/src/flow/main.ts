// The streaming jobs of a running server, for its operator: asked for each second, drawn anew. `crave flow top --page`
// serves it, and has the status of that server under `status`.

import "../styles/flow.css";
import { h, replace } from "../lib/dom";
import { drawn } from "./draw";
import { span, type Status } from "./status";

const EVERY_MS = 1_000;

const summary = h("p", { class: "summary", testid: "summary", role: "status" });
const trouble = h("ul", { class: "trouble", testid: "trouble" });
const jobs = h("div", { class: "jobs", testid: "jobs" });
(document.getElementById("app") ?? document.body).append(
  h("main", {}, h("h1", {}, "Streaming jobs"), summary, trouble, jobs),
);

let before: Status | null = null;

/** What a person should look into. */
function troubles(status: Status): string[] {
  const wrong = status.verified?.verdicts.filter((v) => v.differing + v.missing + v.extra > 0) ?? [];
  const dirty = Object.entries(status.dirty).filter(([, d]) => d.due > 0);
  return [
    ...status.waiting.map((reason) => `Not ready: ${reason}`),
    ...(status.pipeline.failure === null ? [] : [`Failed: ${status.pipeline.failure}`]),
    ...wrong.map((v) => `Verify failed: ${v.table} has rows that differ from its SQL in batch`),
    ...dirty.map(([table, d]) => `${table}: ${d.due} windows wait to be recomputed`),
  ];
}

function show(status: Status): void {
  const { epoch, checkpoint_at_ms: at, checkpoint_took_ms: took } = status.pipeline;
  const checkpoint = at === null ? "no checkpoint yet" : `checkpoint ${span(status.at_ms - at)} ago, took ${took} ms`;
  const verified = status.verified === null ? "not verified yet" : `verified ${span(status.at_ms - status.verified.at_ms)} ago`;
  summary.textContent = `Epoch ${epoch}, ${checkpoint}, ${verified}.`;
  replace(trouble, ...troubles(status).map((text) => h("li", {}, text)));
  const known = before;
  const ms = known === null ? 0 : status.at_ms - known.at_ms;
  replace(
    jobs,
    ...status.pipeline.jobs.map((job) => {
      const earlier = known?.pipeline.jobs.find((j) => j.job === job.job);
      return h("section", { testid: "job", "data-job": job.job }, h("h2", {}, job.job), h("div", { class: "scroll" }, drawn(job, earlier, ms, status.at_ms)));
    }),
  );
  before = status;
}

async function look(): Promise<void> {
  try {
    const answer = await fetch("status", { cache: "no-store" });
    if (!answer.ok) throw new Error(await answer.text());
    show((await answer.json()) as Status);
  } catch (error) {
    before = null;
    summary.textContent = `Nothing new is known: ${error instanceof Error ? error.message : String(error)}`;
  }
  setTimeout(() => void look(), EVERY_MS);
}

void look();
