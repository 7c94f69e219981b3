// Development only: serves dist/ and the API's contract for a fake person, under the real page's CSP.
// Tokens: `dev` a person with a year of data, `empty` a person without any, `broken` every answer is an error.
//   node dev/server.mjs [port] [ms between live events, 0 for none]
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { intensity, patterns, summary, timeOfDay } from "./analytics.mjs";
import { citation, insight } from "./insights.mjs";
import { local, person } from "./person.mjs";

const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
export const CSP = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const BODY_BYTES_MAX = 1_000_000;

/** Starts on `port` (0: any free one); returns the server and what tests need to reach inside. */
export async function start({ port = 0, everyMs = 0, sentenceMs = 0, clock = () => new Date() } = {}) {
  const people = { dev: person(clock()), empty: { cravings: [], hrv: [] }, broken: null };
  const feeds = new Set();
  const kept = new Map();
  const seen = new Map();
  let logged = false;
  let turns = 0;
  const judged = [];

  const publish = (event) => {
    for (const feed of feeds) feed.write(`event: event\ndata: ${JSON.stringify(event)}\n\n`);
  };
  const json = (response, status, value) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(value));
  };
  const refuse = (response, status, kind, message) => json(response, status, { error: { kind, message } });

  function accept(who, wire) {
    const { event_id, payload } = wire;
    const refused = (field, reason) => ({ event_id, status: "refused", code: "invalid", field, reason });
    const body = JSON.stringify(wire);
    if (seen.has(event_id)) return seen.get(event_id) === body ? { event_id, status: "duplicate" } : refused("event_id", "was used for another body");
    if (!payload?.craving) return refused("payload.craving", "must have 1 to 48 printable characters");
    if (!Number.isInteger(payload.intensity) || payload.intensity < 0 || payload.intensity > 10) return refused("payload.intensity", "must be between 0 and 10");
    if (!/[+-]\d\d:\d\d$/.test(wire.event_time)) return refused("event_time", "must be RFC 3339 with an offset");
    seen.set(event_id, body);
    logged = true;
    const event_time = new Date(wire.event_time).toISOString();
    who.cravings.push({ event_id, event_time, trigger: null, place: null, mood: null, company: null, note: null, resisted: null, ...payload });
    publish({ event_id, kind: wire.kind, event_time, received_at: clock().toISOString(), tz_offset_min: wire.tz_offset_min, payload });
    return { event_id, status: "accepted" };
  }

  /** Releases a sentence at a time. */
  async function say(response, insight) {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    const event = (name, data) => response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
    for (const sentence of insight.sentences) {
      event("sentence", sentence);
      await new Promise((resolve) => setTimeout(resolve, sentenceMs));
    }
    turns += 1;
    event("done", { turn: turns, answer: { id: randomUUID(), ...insight }, recalled: [], learned: [] });
    response.end();
  }

  async function api(request, response, url) {
    const who = people[request.headers.authorization?.replace(/^Bearer /, "")];
    if (who === undefined) return refuse(response, 401, "unauthorized", "send a valid bearer token");
    if (url.pathname === "/v1/me") return json(response, 200, { user_id: "fake-person" });
    if (who === null) return refuse(response, 503, "unavailable", "the lake is down; try again in a minute");
    const days = Number(url.searchParams.get("days") ?? 30);
    const craving = url.searchParams.get("craving");
    const now = clock();
    const route = `${request.method} ${url.pathname}`;
    const answers = { summary, patterns, "time-of-day": timeOfDay, intensity };
    const analytics = route.startsWith("GET /v1/analytics/") ? answers[url.pathname.slice("/v1/analytics/".length)] : null;
    if (analytics) return json(response, 200, analytics(who, now, days, craving));
    if (route === "GET /v1/feed") {
      response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
      response.write(": hello\n\n");
      feeds.add(response);
      const beat = setInterval(() => response.write(": still here\n\n"), 15_000);
      return request.on("close", () => (clearInterval(beat), feeds.delete(response)));
    }
    if (route === "GET /v1/cravings") {
      const items = [...who.cravings].sort((a, b) => b.event_time.localeCompare(a.event_time)).slice(0, Number(url.searchParams.get("limit") ?? 50));
      return json(response, 200, { items: items.map((row) => ({ ...row, local_date: local(row.event_time).date, local_hour: local(row.event_time).hour })), next_cursor: null });
    }
    if (request.method === "GET" && url.pathname.startsWith("/v1/citations/")) {
      const found = citation(kept, decodeURIComponent(url.pathname.slice("/v1/citations/".length)), logged);
      return found ? json(response, 200, found) : refuse(response, 404, "not_found", "no such citation");
    }
    if (request.method === "PUT" && /^\/v1\/answers\/[^/]+\/feedback$/.test(url.pathname)) {
      let text = "";
      for await (const chunk of request) text += chunk;
      judged.push(JSON.parse(text).thumb);
      return json(response, 200, JSON.parse(text));
    }
    if (request.method === "POST") {
      let text = "";
      for await (const chunk of request) if ((text += chunk).length > BODY_BYTES_MAX) return refuse(response, 413, "invalid", "the body is too large");
      const body = text === "" ? {} : JSON.parse(text);
      if (url.pathname === "/v1/conversations") return json(response, 201, { id: randomUUID(), created_at: now.toISOString(), turns: 0, summary: "", branch_of: null });
      if (/^\/v1\/conversations\/[^/]+\/messages$/.test(url.pathname)) return say(response, insight(who, now, String(body.text), kept));
      if (url.pathname === "/v1/insights") return json(response, 200, insight(who, now, String(body.question), kept));
      if (url.pathname === "/v1/events") {
        const result = accept(who, body);
        const counts = { accepted: 0, duplicate: 0, refused: 0, [result.status]: 1 };
        return json(response, 200, { ...counts, results: [result] });
      }
    }
    return refuse(response, 404, "not_found", "no such route");
  }

  function file(response, path) {
    const at = normalize(join(DIST, path === "/" ? "index.html" : path));
    if (!at.startsWith(DIST) || !existsSync(at) || !statSync(at).isFile()) return refuse(response, 404, "not_found", "no such file");
    response.writeHead(200, { "content-type": TYPES[extname(at)] ?? "application/octet-stream", "content-security-policy": CSP, "x-content-type-options": "nosniff" });
    createReadStream(at).pipe(response);
  }

  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    if (!url.pathname.startsWith("/v1/")) return file(response, url.pathname);
    api(request, response, url).catch((error) => refuse(response, 400, "invalid", String(error.message)));
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));

  const timer = everyMs > 0 ? setInterval(() => publish(sensed(clock())), everyMs) : null;
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    publish,
    judged,
    dropFeeds: () => feeds.forEach((feed) => feed.destroy()),
    revoke: (token) => delete people[token],
    stop: () => (clearInterval(timer), server.closeAllConnections(), new Promise((resolve) => server.close(resolve))),
  };
}

function sensed(now) {
  return { event_id: randomUUID(), kind: "hrv_sdnn_ms", event_time: now.toISOString(), received_at: now.toISOString(), tz_offset_min: -now.getTimezoneOffset(), payload: { value: 30 + Math.round(Math.random() * 30) } };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await start({ port: Number(process.argv[2] ?? 8787), everyMs: Number(process.argv[3] ?? 8_000) });
  console.log(`${url}/#token=dev (also: empty, broken)`);
}
