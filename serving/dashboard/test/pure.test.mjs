// The pure parts, loaded from their TypeScript through Vite.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createServer } from "vite";

let vite;
const load = (path) => vite.ssrLoadModule(path);
before(async () => {
  vite = await createServer({ server: { middlewareMode: true, hmr: false, ws: false }, appType: "custom", logLevel: "error", optimizeDeps: { noDiscovery: true } });
});
after(() => vite.close());

describe("server-sent events", () => {
  const stream = ": hello\r\n\r\nevent: event\r\ndata: {\"a\":1,\r\ndata: \"b\":2}\r\n\r\nid: 7\ndata: plain\n\n: beat\n\nevent: lost\n\ndata:x\n\n";
  const expected = [{ event: "event", data: '{"a":1,\n"b":2}' }, { event: "message", data: "plain" }, { event: "message", data: "x" }];

  it("reads the same messages however the stream is cut", async () => {
    const { SseParser } = await load("/src/api/sse.ts");
    for (let size = 1; size <= stream.length; size += 1) {
      const parser = new SseParser();
      const got = [];
      for (let at = 0; at < stream.length; at += size) got.push(...parser.push(stream.slice(at, at + size)));
      assert.deepEqual(got, expected, `cut every ${size}`);
    }
  });
  it("refuses a line without end", async () => {
    const { SseParser } = await load("/src/api/sse.ts");
    const parser = new SseParser();
    assert.throws(() => parser.push("x".repeat(1_000_001)), RangeError);
  });
});

describe("feed", () => {
  it("backs off from one second to thirty", async () => {
    const { backoffMs } = await load("/src/api/feed.ts");
    assert.deepEqual([0, 1, 2, 3, 4, 5, 60].map((n) => backoffMs(n, 1)), [1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    assert.equal(backoffMs(2, 0), 3000);
  });
  it("takes only what is an event", async () => {
    const { parseFeedEvent } = await load("/src/api/feed.ts");
    for (const bad of ["", "null", "[]", "{", '{"event_id":1}', '{"event_id":"a","kind":"craving"}']) assert.equal(parseFeedEvent(bad), null, bad);
    assert.deepEqual(parseFeedEvent('{"event_id":"a","kind":"mood","event_time":"t","payload":7}').payload, {});
  });
  it("describes every kind, and bodies it did not expect", async () => {
    const { describe: words } = await load("/src/lib/describe.ts");
    const kinds = ["craving", "lapse", "mood", "journal", "context", "location", "hrv_sdnn_ms", "hrv_rmssd_ms", "heart_rate_bpm", "resting_heart_rate_bpm", "steps", "distance_m", "sleep", "workout", "activity_summary", "mindful", "correct", "retract", "later_kind"];
    for (const kind of kinds) for (const payload of [{}, { craving: 4, intensity: "x", tags: [1], stages: 2, value: null, note: {} }]) assert.ok(words({ kind, payload }).headline.length > 0, kind);
    assert.deepEqual(words({ kind: "craving", payload: { craving: "sugar", intensity: 7, trigger: "stress", resisted: false } }), { headline: "Sugar", details: ["stress", "gave in"], note: null, intensity: 7, family: "craving" });
  });
});

describe("session", () => {
  it("finds the token of a fragment", async () => {
    const { tokenOfFragment } = await load("/src/state/session.ts");
    assert.equal(tokenOfFragment("#token=abc.d-_~"), "abc.d-_~");
    assert.equal(tokenOfFragment("#a=1&token=x%2By"), "x+y");
    for (const none of ["", "#", "#token=", "#main", "#token=%20"]) assert.equal(tokenOfFragment(none), null, none);
  });
});

describe("format", () => {
  it("shows an event in its own wall clock", async () => {
    const { eventTime } = await load("/src/lib/format.ts");
    const now = new Date("2026-05-31T22:00:00Z");
    assert.equal(eventTime("2026-05-31T21:10:00Z", 120, now), "31 May, 23:10");
    assert.equal(eventTime("2026-05-31T22:10:00Z", 120, now), "00:10");
    assert.equal(eventTime("2025-05-31T21:10:00Z", 0, now), "31 May 2025, 21:10");
    assert.equal(eventTime("nonsense", 0, now), "time unknown");
  });
  it("finds the offset that a local hour implies, half hours by the browser alone", async () => {
    const { offsetOf } = await load("/src/lib/format.ts");
    assert.equal(offsetOf("2026-05-31T21:10:00Z", "2026-05-31", 23), 120);
    assert.equal(offsetOf("2026-05-31T21:00:00Z", "2026-05-31", 23), 120);
    assert.equal(offsetOf("2026-05-31T21:59:00Z", "2026-05-31", 14), -420);
    assert.equal(offsetOf("2026-05-31T21:10:00Z", "2020-01-01", 3), null);
  });
  it("says how late an event came", async () => {
    const { lateness } = await load("/src/lib/format.ts");
    const at = "2026-05-31T10:00:00Z";
    assert.equal(lateness(at, "2026-05-31T10:05:00Z"), null);
    assert.equal(lateness(at, "2026-05-31T10:40:00Z"), "arrived 40 min later");
    assert.equal(lateness(at, "2026-05-31T18:00:00Z"), "arrived 8 h later");
    assert.equal(lateness(at, "2029-05-31T18:00:00Z"), "arrived 1,096 days later");
  });
  it("compares with the period before in words", async () => {
    const { changeOfCount } = await load("/src/components/summary.ts");
    const words = (n, before) => changeOfCount({ n, days: 30, previous: { n: before } });
    assert.equal(words(10, 20), "10 fewer (−50 %) than the 30 days before");
    assert.equal(words(30, 20), "10 more (+50 %) than the 30 days before");
    assert.equal(words(20, 20), "as many as the 30 days before");
    assert.equal(words(3, 0), "none in the 30 days before");
  });
});

describe("heatmap", () => {
  it("shades from none to most, and never hides a one", async () => {
    const { level } = await load("/src/components/heatmap.ts");
    assert.deepEqual([0, 1, 50, 100].map((n) => level(n, 100)), [0, 1, 3, 6]);
    assert.equal(level(1, 10_000), 1);
    assert.equal(level(0, 0), 0);
  });
});

describe("trend", () => {
  const row = (local_date, craving, n, mean_intensity, max_intensity) => ({ local_date, craving, n, mean_intensity, max_intensity });
  it("weighs a day's cravings by their counts and leaves missing days missing", async () => {
    const { trendSeries } = await load("/src/lib/trendSeries.ts");
    const days = [row("2026-05-01", "sugar", 3, 6, 8), row("2026-05-01", "alcohol", 1, 2, 2), row("2026-05-04", "sugar", 1, 5, 5)];
    const all = trendSeries({ days, hrv: [] }, "", 5, "2026-05-05");
    assert.deepEqual(all.days.map((day) => [day.n, day.mean, day.max]), [[4, 5, 8], [0, null, null], [0, null, null], [1, 5, 5], [0, null, null]]);
    assert.deepEqual(trendSeries({ days, hrv: [] }, "alcohol", 5, "2026-05-05").days.map((day) => day.n), [1, 0, 0, 0, 0]);
  });
  it("counts what has no local day apart", async () => {
    const { trendSeries } = await load("/src/lib/trendSeries.ts");
    const series = trendSeries({ days: [row(null, "sugar", 3, 6, 8), row("2026-05-01", "sugar", 1, 5, 5)], hrv: [] }, "", 1, "2026-05-01");
    assert.deepEqual([series.lost, series.days.length, series.days[0].n], [3, 1, 1]);
  });
  it("keeps a day that is ahead of this browser's date, and the two measures of HRV apart", async () => {
    const { trendSeries } = await load("/src/lib/trendSeries.ts");
    const hrv = [{ event_time: "2026-05-01T10:00:00Z", kind: "hrv_rmssd_ms", value: 30 }, { event_time: "2026-05-01T08:00:00Z", kind: "hrv_sdnn_ms", value: 50 }, { event_time: "x", kind: "hrv_sdnn_ms", value: 1 }];
    const series = trendSeries({ days: [row("2026-05-02", "sugar", 1, 5, 5)], hrv }, "", 1, "2026-05-01");
    assert.deepEqual(series.days.map((day) => day.local_date), ["2026-05-01", "2026-05-02"]);
    assert.deepEqual([series.sdnn[1], series.rmssd[1]], [[50], [30]]);
  });
});

describe("tide", () => {
  it("never rises above or falls below the counts it connects, and meets itself at midnight", async () => {
    const { curvePath, dayPoints } = await load("/src/lib/curve.ts");
    const values = [8, 0, 0, 0, 9, 1, 0, 0, 0, 0, 4, 4, 4, 0, 0, 0, 0, 0, 3, 0, 7, 9, 9, 6];
    const points = dayPoints(values, 240);
    assert.equal(points[0].y, points.at(-1).y);
    const numbers = curvePath(points).split(/[MC ,]/).filter(Boolean).map(Number);
    const ys = numbers.filter((_, i) => i % 2 === 1);
    assert.ok(Math.min(...ys) >= 0 && Math.max(...ys) <= 9, `${Math.min(...ys)}..${Math.max(...ys)}`);
  });
});

describe("the operator's page", () => {
  const node = (extra) => ({ kind: "stage", name: "n", detail: "", inputs: [], tasks: 2, rows_in: 0, rows_out: 0, late_rows: 0, waited_ms: 0, watermark_ns: 0, state_rows: 0, state_bytes: 0, ...extra });

  it("takes rates from two looks, and none where counts began anew", async () => {
    const { rates } = await load("/src/flow/status.ts");
    const now = node({ rows_in: 500, rows_out: 100, waited_ms: 1_000 });
    assert.deepEqual(rates(node({}), now, 1_000), { rowsIn: 500, rowsOut: 100, waits: 0.5 });
    assert.equal(rates(undefined, now, 1_000), null);
    assert.equal(rates(now, node({}), 1_000), null);
    assert.equal(rates(now, now, 0), null);
  });
  it("places each node a step behind its inputs", async () => {
    const { places } = await load("/src/flow/status.ts");
    const nodes = [{ inputs: [] }, { inputs: [] }, { inputs: [0] }, { inputs: [1, 2] }, { inputs: [3] }];
    const at = [[0, 0], [0, 1], [1, 0], [2, 0], [3, 0]];
    assert.deepEqual(places(nodes), at.map(([column, row]) => ({ column, row })));
  });
  it("says how far time is behind", async () => {
    const { behind, bytes } = await load("/src/flow/status.ts");
    const now = Date.UTC(2026, 5, 1);
    assert.equal(behind((now - 600_000) * 1e6, now), "10 min behind");
    assert.equal(behind(-9223372036854775808, now), "no time yet");
    assert.equal(behind(9223372036854775807, now), "ended");
    assert.equal(bytes(6_656), "6.5 KiB");
  });
});
