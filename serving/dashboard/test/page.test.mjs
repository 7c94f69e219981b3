// The built page in headless Chromium against the dev server, under the page's real CSP.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { start } from "../dev/server.mjs";
import { launch } from "./chromium.mjs";

const SHOTS = fileURLToPath(new URL("../test-shots/", import.meta.url));
const at = (id) => `[data-testid="${id}"]`;
const craving = (extra = {}) => ({ event_id: crypto.randomUUID(), kind: "craving", event_time: new Date().toISOString(), received_at: new Date().toISOString(), tz_offset_min: 60, payload: { craving: "salt", intensity: 4 }, ...extra });

let browser;
let server;
let context;
let page;
let complaints;

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  browser = await launch();
});
after(() => browser.close());
beforeEach(async () => {
  server = await start();
  complaints = [];
  await open({});
});
afterEach(async () => {
  await context.close();
  await server.stop();
});

async function open(options) {
  await context?.close();
  context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...options });
  page = await context.newPage();
  page.setDefaultTimeout(8_000);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource|ERR_/.test(message.text())) complaints.push(message.text());
  });
}

async function enter(token = "dev") {
  await page.goto(`${server.url}/#token=${token}`);
  await page.waitForSelector(at("summary-n"));
}
const live = () => page.waitForSelector(`${at("connection")}[data-state="live"]`);
const text = (id) => page.locator(at(id)).first().textContent();
const items = () => page.locator(at("feed-item"));
const calm = () => assert.deepEqual(complaints, []);

describe("sign-in", () => {
  it("takes the token out of the address bar", async () => {
    await enter();
    await page.waitForSelector(at("heatmap-cell"));
    assert.equal(await page.evaluate(() => location.href), `${server.url}/`);
    await page.reload();
    await page.waitForSelector(at("heatmap-cell"));
    calm();
  });
  it("tells a wrong token, then takes a right one", async () => {
    await page.goto(server.url);
    await page.fill(at("signin-token"), "wrong");
    await page.click(at("signin-submit"));
    await page.getByText("does not know this token").waitFor();
    await page.fill(at("signin-token"), "dev");
    await page.click(at("signin-submit"));
    await page.waitForSelector(at("heatmap-cell"));
    calm();
  });
  it("comes back when the server no longer accepts the token", async () => {
    await enter();
    await page.waitForSelector(at("heatmap-cell"));
    server.revoke("dev");
    await page.click(at("period-7"));
    await page.getByText("no longer accepts this token").waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  });
});

describe("feed", () => {
  it("shows a live event on top within a second and refreshes the charts", async () => {
    await enter("empty");
    await live();
    await page.getByText("Nothing has come in yet").waitFor();
    server.publish(craving());
    await page.waitForSelector(`${at("feed-item")}.live`, { timeout: 1_000 });
    server.publish({ ...craving(), kind: "hrv_sdnn_ms", payload: { value: 44 } });
    await page.getByText("HRV, SDNN 44 ms").waitFor();
    assert.equal(await items().first().getAttribute("data-kind"), "hrv_sdnn_ms");
    calm();
  });
  it("keeps a hundred rows of a flood, and one row an event", async () => {
    await enter("empty");
    await live();
    const twice = craving({ payload: { craving: "twice", intensity: 1 } });
    for (let i = 0; i < 450; i += 1) server.publish(craving({ payload: { craving: `n${i}`, intensity: i % 11 } }));
    server.publish(twice);
    server.publish(twice);
    await items().filter({ hasText: "Twice" }).first().waitFor();
    await page.waitForTimeout(300);
    assert.equal(await items().count(), 100);
    assert.equal(await items().filter({ hasText: "Twice" }).count(), 1);
    assert.match(await items().nth(1).textContent(), /N449/);
  });
  it("shows text as text", async () => {
    await enter("empty");
    await live();
    const note = "<img src=x onerror=alert(1)><b>bold</b>";
    server.publish(craving({ payload: { craving: "<i>sugar</i>", intensity: 4, note } }));
    await page.getByText(note).waitFor();
    assert.equal(await page.locator(`${at("feed")} img, ${at("feed-item")} .feed-note b`).count(), 0);
    calm();
  });
  it("connects again after the line broke", async () => {
    await enter();
    await live();
    server.dropFeeds();
    await page.waitForSelector(`${at("connection")}[data-state="waiting"]`);
    await live();
    server.publish(craving({ payload: { craving: "afterwards", intensity: 4 } }));
    await page.getByText("Afterwards").waitFor();
  });
});

describe("charts", () => {
  it("draws the heatmap Monday first, equal to the summary, and walks it by keyboard", async () => {
    await enter();
    await page.waitForSelector(at("heatmap-cell"));
    const cells = await page.locator(at("heatmap-cell")).evaluateAll((all) => all.map(({ dataset }) => [dataset.dow, dataset.hour, dataset.n].map(Number)));
    assert.equal(cells.length, 168);
    assert.deepEqual([cells[0].slice(0, 2), cells[167].slice(0, 2)], [[1, 0], [0, 23]]);
    assert.equal(cells.reduce((sum, [, , n]) => sum + n, 0), Number((await text("summary-n")).replaceAll(",", "")));
    await page.locator(`${at("heatmap-cell")}[tabindex="0"]`).focus();
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowRight");
    assert.equal(await page.evaluate(() => document.activeElement.dataset.hour), "1");
    assert.match(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), /day 01:00–02:00/);
    calm();
  });
  it("says which cravings have no known local time, and draws the others", async () => {
    const one = { n: 2, mean_intensity: 5, max_intensity: 6 };
    await page.route("**/v1/analytics/patterns**", (route) => route.fulfill({ json: { heatmap: [{ local_dow: null, local_hour: null, ...one }, { local_dow: 3, local_hour: 0, ...one }], triggers: [], places: [] } }));
    await page.route("**/v1/analytics/time-of-day**", (route) => route.fulfill({ json: { hours: [{ local_hour: null, ...one }], day_parts: [] } }));
    await page.route("**/v1/analytics/intensity**", (route) => route.fulfill({ json: { days: [{ local_date: null, craving: "sugar", ...one }], hrv: [] } }));
    await enter();
    await page.locator(`${at("heatmap")} .help`).waitFor();
    assert.equal(await page.getByText("2 cravings without a known time zone are not shown here.").count(), 3);
    assert.equal(await page.locator(`${at("heatmap-cell")}:not([data-n="0"])`).count(), 1);
    calm();
  });
  it("draws the trend, reads it by keyboard and as a table", async () => {
    await enter();
    await page.waitForSelector(`${at("trend")} canvas`);
    assert.equal(await page.locator(`${at("trend")} canvas`).count(), 2);
    await page.locator(".trend-stage").focus();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    assert.match(await page.locator(`${at("trend")} [role="status"].sr`).textContent(), /:/);
    await page.getByText("As a table").click();
    await page.locator(`${at("trend")} tbody tr`).nth(5).waitFor();
    assert.equal(await page.locator(`${at("trend")} table`).count(), 1);
    calm();
  });
  it("asks again for another period and another craving", async () => {
    await enter();
    await page.waitForSelector(at("heatmap-cell"));
    const month = Number(await text("summary-n"));
    await page.check(at("period-365"));
    await page.waitForFunction(([s, n]) => Number(document.querySelector(s).textContent) > n, [at("summary-n"), month]);
    const year = Number(await text("summary-n"));
    await page.selectOption(at("craving"), "alcohol");
    await page.waitForFunction(([s, n]) => Number(document.querySelector(s).textContent) < n, [at("summary-n"), year]);
    calm();
  });
  it("says that nothing is logged, and what failed", async () => {
    await enter("empty");
    await page.getByText("Calm water: no cravings logged in the last 30 days.").waitFor();
    assert.equal(await page.getByText("No cravings logged in the last 30 days.", { exact: true }).count(), 2);
    assert.match(await text("persona"), /None assigned yet/);
    await page.evaluate(() => sessionStorage.clear());
    await open({});
    await enter("broken");
    await page.getByText("The lake is down; try again in a minute.").first().waitFor();
    assert.ok((await page.getByRole("button", { name: "Try again" }).count()) >= 4);
    calm();
  });
});

describe("ask", () => {
  const ask = async (question) => {
    await page.fill(at("ask-input"), question);
    await page.click(at("ask-send"));
    await page.waitForSelector(at("answer"));
  };
  it("answers in sentences with citations that open their rows", async () => {
    await enter();
    await ask("Why do I crave sugar at night?");
    assert.equal(await page.locator(at("answer-sentence")).count(), 4);
    assert.ok((await page.locator(at("citation")).count()) >= 3);
    assert.match(await text("disclaimer"), /does not diagnose or treat/);
    await page.locator(at("citation")).first().click();
    await page.waitForSelector(`${at("citation-panel")}[open] ${at("citation-row")}`);
    assert.match(await text("citation-value"), /%/);
    assert.match(await text("citation-changed"), /not changed/);
    await page.keyboard.press("Escape");
    await page.waitForSelector(at("citation-panel"), { state: "hidden" });
    assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), "citation");
    calm();
  });
  it("shows the value as it was after the data changed", async () => {
    await enter();
    await ask("Why do I crave sugar at night?");
    await page.fill(at("log-craving"), "sugar");
    await page.click(at("log-submit"));
    await page.getByText("Logged: sugar, 5 of 10.").waitFor();
    await page.locator(at("citation")).first().click();
    await page.getByText("Your data has changed since").waitFor();
  });
  it("shows sentences as they are released, and says that more is to come", async () => {
    await server.stop();
    server = await start({ sentenceMs: 400 });
    await enter();
    await page.fill(at("ask-input"), "Why do I crave sugar at night?");
    await page.click(at("ask-send"));
    await page.waitForSelector(`.released${at("answer-sentence")}`);
    await page.getByText("There is more").waitFor();
    assert.ok((await page.locator(at("answer-sentence")).count()) < 4);
    assert.equal(await page.locator(at("answer")).count(), 0);
    await page.waitForSelector(at("answer"));
    assert.equal(await page.locator(at("answer-sentence")).count(), 4);
    assert.equal(await page.locator(".released, .thinking").count(), 0);
    calm();
  });
  it("keeps the conversation on the page until a new one is begun, and takes a thumb", async () => {
    await enter();
    await ask("Why do I crave sugar at night?");
    await page.fill(at("ask-input"), "And at home?");
    await page.click(at("ask-send"));
    await page.waitForFunction(() => document.querySelectorAll('[data-testid="answer"]').length === 2);
    assert.deepEqual(await page.locator(".asked").allTextContents(), ["And at home?", "Why do I crave sugar at night?"]);
    await page.locator(at("thumb-down")).first().click();
    await page.getByText("Thank you.").waitFor();
    await page.locator(at("thumb-up")).first().click();
    await page.waitForSelector(`${at("thumb-up")}[aria-pressed="true"]`);
    assert.equal(await page.locator(`${at("thumb-down")}[aria-pressed="true"]`).count(), 0);
    assert.deepEqual(server.judged, ["down", "up"]);
    await page.click(at("ask-anew"));
    assert.equal(await page.locator(at("turn")).count(), 0);
    calm();
  });
  it("logs what was told once it is confirmed", async () => {
    await enter();
    await ask("I just had a cookie, 7/10");
    assert.equal(await page.locator(at("thumb-up")).count(), 0, "there is nothing to judge yet");
    await page.click(at("confirm-yes"));
    await page.getByText("It is in your log").waitFor();
    assert.equal(await page.locator(at("confirm-yes")).count(), 0);
    calm();
  });
  it("says when there is not enough data", async () => {
    await enter("empty");
    await page.locator(at("suggestion")).first().click();
    await page.waitForSelector(`${at("answer")}[data-status="not_enough_data"]`);
    assert.equal(await page.locator(at("citation")).count(), 0);
    assert.ok(await page.locator(at("disclaimer")).isVisible());
  });
  it("meets a crisis with its own words and people to reach, and nothing to analyse", async () => {
    await enter();
    await ask("I want to end my life");
    assert.equal(await page.locator(at("resource")).count(), 2);
    assert.equal(await page.locator(`${at("resource")} a[href="tel:112"]`).count(), 1);
    assert.equal(await page.locator(`${at("citation")}, .sources`).count(), 0);
    assert.equal(await page.locator(at("suggestion")).first().isVisible(), false);
    calm();
  });
});

describe("quick log", () => {
  it("logs a craving that then shows in the feed and in the numbers", async () => {
    await enter("empty");
    await live();
    const sent = page.waitForRequest((request) => request.method() === "POST");
    await page.fill(at("log-craving"), "Sugar");
    await page.locator(at("log-intensity")).fill("8");
    await page.fill(at("log-trigger"), "stress");
    await page.fill(at("log-note"), "after the call");
    await page.check(at("log-resisted-yes"));
    await page.click(at("log-submit"));
    const wire = (await sent).postDataJSON();
    assert.match(wire.event_id, /^[0-9a-f-]{36}$/);
    assert.match(wire.event_time, /T\d\d:\d\d:\d\d[+-]\d\d:\d\d$/);
    assert.deepEqual(wire.payload, { craving: "Sugar", intensity: 8, trigger: "stress", note: "after the call", resisted: true });
    assert.equal(typeof wire.tz_offset_min, "number");
    assert.ok(Math.abs(Date.parse(wire.event_time) - Date.now()) < 20_000);
    await page.getByText("Logged: Sugar, 8 of 10.").waitFor();
    await page.waitForSelector(`${at("feed-item")}[data-event-id="${wire.event_id}"]`);
    await page.waitForFunction((s) => document.querySelector(s).textContent === "1", at("summary-n"));
    calm();
  });
  it("sends the same event again after a lost answer", async () => {
    await enter("empty");
    const ids = [];
    await page.route("**/v1/events", async (route) => {
      ids.push(route.request().postDataJSON().event_id);
      if (ids.length === 1) await route.abort("connectionreset");
      else await route.continue();
    });
    await page.fill(at("log-craving"), "sugar");
    await page.click(at("log-submit"));
    await page.getByText("Not logged yet.").waitFor();
    await page.click(at("log-submit"));
    await page.getByText("Logged: sugar").waitFor();
    assert.equal(ids.length, 2);
    assert.equal(ids[0], ids[1]);
  });
  it("asks what is craved before it sends anything", async () => {
    await enter("empty");
    await page.click(at("log-submit"));
    assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), "log-craving");
    await page.getByText("Say what you crave first.").waitFor();
  });
});

describe("looks", () => {
  for (const colorScheme of ["light", "dark"]) {
    for (const [name, width, height] of [["desktop", 1440, 900], ["tablet", 820, 1100], ["phone", 360, 780]]) {
      it(`fits a ${name} in ${colorScheme}`, async () => {
        await open({ viewport: { width, height }, colorScheme });
        await enter();
        await page.waitForSelector(`${at("trend")} canvas`);
        await page.waitForSelector(at("heatmap-cell"));
        await page.fill(at("ask-input"), "Why do I crave sugar at night?");
        await page.click(at("ask-send"));
        await page.waitForSelector(at("citation"));
        await page.screenshot({ path: `${SHOTS}${name}-${colorScheme}.png`, fullPage: true });
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth), 0, "no sideways scroll");
        calm();
      });
    }
  }
});

describe("what is shipped", () => {
  const dist = new URL("../dist/", import.meta.url);
  it("has no inline script, no other host, nothing of the dev server, and stays small", () => {
    const html = readFileSync(new URL("index.html", dist), "utf8");
    assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)/);
    assert.doesNotMatch(html, /https?:\/\//);
    const assets = readdirSync(new URL("assets/", dist)).map((name) => [name, readFileSync(new URL(`assets/${name}`, dist), "utf8")]);
    for (const [name, content] of assets) {
      assert.doesNotMatch(content, /fake-person|\beval\(|new Function/, name);
      assert.doesNotMatch(content.replaceAll("http://www.w3.org/2000/svg", "").replaceAll("https://", ""), /http:\/\//, name);
    }
    const bytes = assets.reduce((sum, [, content]) => sum + content.length, html.length);
    assert.ok(bytes < 160_000, `${bytes} bytes`);
  });
  it("locks its packages without naming a registry", () => {
    const lock = readFileSync(new URL("../package-lock.json", import.meta.url), "utf8");
    assert.doesNotMatch(lock, /"resolved"/);
  });
});
