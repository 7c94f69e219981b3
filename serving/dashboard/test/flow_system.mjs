// The operator's page of a real server, driven by the whole-system test: node flow_system.mjs URL SCREENSHOT.
// Prints one JSON object of what a person would see, a second apart; the caller judges it.
import { launch } from "./chromium.mjs";

const [url, screenshot] = process.argv.slice(2);
const at = (id) => `[data-testid="${id}"]`;
const browser = await launch();
const page = await (await browser.newContext({ viewport: { width: 1280, height: 1000 } })).newPage();
page.setDefaultTimeout(20_000);
const complaints = [];
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));

await page.goto(url);
await page.waitForSelector(`${at("job")} ${at("node")}`);
const jobs = () =>
  page.$$eval(at("job"), (found) =>
    found.map((job) => ({
      job: job.dataset.job,
      nodes: [...job.querySelectorAll('[data-testid="node"]')].map((node) => ({
        name: node.dataset.name, rowsIn: Number(node.dataset.rowsIn), late: Number(node.dataset.late), text: node.textContent,
      })),
    })),
  );
const first = await jobs();
// Heartbeats alone make rows flow.
const rows = (all) => all.flatMap((job) => job.nodes).reduce((sum, node) => sum + node.rowsIn, 0);
await page.waitForFunction(
  (before) => [...document.querySelectorAll('[data-testid="node"]')].reduce((sum, node) => sum + Number(node.dataset.rowsIn), 0) > before,
  rows(first),
);
await page.waitForFunction(() => document.querySelector('[data-testid="jobs"]').textContent.includes("rows/s in"));
const then = await jobs();
const summary = await page.locator(at("summary")).textContent();
await page.screenshot({ path: screenshot, fullPage: true });
await browser.close();
console.log(JSON.stringify({ first, then, summary, complaints }));
