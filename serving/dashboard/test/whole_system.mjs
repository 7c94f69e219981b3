// The page of a real server, driven by the whole-system test: node whole_system.mjs URL TOKEN SCREENSHOT.
// Prints one JSON object of what a person would see; the caller judges it.
import { launch } from "./chromium.mjs";

const [url, token, screenshot] = process.argv.slice(2);
const at = (id) => `[data-testid="${id}"]`;
const browser = await launch();
const page = await (await browser.newContext({ viewport: { width: 1280, height: 1000 }, reducedMotion: "reduce" })).newPage();
page.setDefaultTimeout(20_000);
const complaints = [];
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));

await page.goto(`${url}/#token=${token}`);
await page.waitForSelector(`${at("connection")}[data-state="live"]`);
await page.waitForSelector(at("heatmap-cell"));
const number = async (id) => Number((await page.locator(at(id)).first().textContent()).replace(/\D/g, ""));
const before = await number("summary-n");

const id = crypto.randomUUID();
const event = { event_id: id, source: "api", kind: "craving", event_time: new Date().toISOString(), tz_offset_min: 60, payload: { craving: "sugar", intensity: 9, trigger: "browser test" } };
const sent = await fetch(`${url}/v1/events`, { method: "POST", headers: { authorization: `Bearer ${token}`, "content-type": "application/json" }, body: JSON.stringify(event) });
const posted = performance.now();
await page.waitForSelector(`${at("feed-item")}[data-event-id="${id}"]`);
const feedMs = Math.round(performance.now() - posted);
await page.waitForFunction((n) => Number(document.querySelector('[data-testid="summary-n"]').textContent.replace(/\D/g, "")) > n, before);
const heatmap = await page.$$eval(at("heatmap-cell"), (cells) => cells.reduce((sum, cell) => sum + Number(cell.dataset.n || 0), 0));

await page.fill(at("ask-input"), "Why do I crave sugar at night?");
await page.click(at("ask-send"));
await page.waitForSelector(at("answer"));
const sentences = await page.locator(at("answer-sentence")).allTextContents();
await page.locator(at("citation")).first().click();
await page.waitForSelector(`${at("citation-panel")} ${at("citation-value")}`);
const panel = await page.locator(at("citation-panel")).textContent();
await page.keyboard.press("Escape");
// Within the same conversation; a thumb where the server keeps answers.
await page.fill(at("ask-input"), "And on weekends?");
await page.click(at("ask-send"));
await page.waitForFunction(() => document.querySelectorAll('[data-testid="answer"]').length === 2);
const followed = await page.locator(at("turn")).first().locator(at("answer-sentence")).allTextContents();
const thumb = page.locator(at("thumb-up")).first();
if ((await thumb.count()) > 0) {
  await thumb.click();
  await page.getByText("Thank you.").waitFor();
}
const disclaimer = await page.locator(at("disclaimer")).first().textContent();
await page.screenshot({ path: screenshot, fullPage: true });
await browser.close();
console.log(JSON.stringify({ status: sent.status, feedMs, heatmap, before, sentences, followed, panel, disclaimer, complaints }));
