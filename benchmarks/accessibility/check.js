// Holds pages against axe-core's rules, on a desktop and a phone, in light and dark colours.
//
//     cd benchmarks/accessibility && npm install          (no browser is fetched: CHROMIUM=/usr/bin/chromium)
//     node check.js                                       (the site's main pages: `make docs` first)
//     node check.js ../../sweeps/quickstart/report.html --shots /tmp/shots
//
// The exit code is 1 where a rule is broken, a page fetches anything from elsewhere, or is wider
// than the screen. --shots DIR keeps a picture of the first screen of each.

import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const HERE = dirname(fileURLToPath(import.meta.url));
const SITE = join(HERE, "..", "..", "build", "site");
const MAIN = [
  "index.html",
  "tutorial/your_model.html",
  "how-to/sweeps.html",
  "how-to/data.html",
  "explanation/ppo.html",
  "explanation/estimators.html",
  "explanation/controllers.html",
  "reference/index.html",
  "reference/config.html",
  "reference/metrics.html",
  "reference/commands.html",
  "reference/api.html",
  "reference/glossary.html",
  "records/index.html",
  "records/performance.html",
  "decisions/index.html",
];
const SIZES = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844, isMobile: true } };
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

async function look(browser, file, size, colours, shots) {
  const context = await browser.createBrowserContext(); // a page keeps the colours of the last one
  const page = await context.newPage();
  const faults = [];
  page.on("request", (request) => {
    if (/^https?:/.test(request.url())) faults.push(`fetches ${request.url()}`);
  });
  await page.setViewport(SIZES[size]);
  await page.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: colours },
    { name: "prefers-reduced-motion", value: "reduce" },
  ]);
  await page.goto(pathToFileURL(file), { waitUntil: "load" });
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(
    (values) => globalThis.axe.run(document, { runOnly: { type: "tag", values } }),
    RULES,
  );
  for (const { id, help, nodes } of violations) {
    const where = nodes.slice(0, 3).map((node) => `${node.target} ${node.html.slice(0, 90)}`);
    faults.push(`${id} (${nodes.length}): ${help}\n        ${where.join("\n        ")}`);
  }
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 0) faults.push(`is ${wide} px wider than the screen`);
  if (shots) {
    const name = `${basename(dirname(file))}-${basename(file, ".html")}-${size}-${colours}.png`;
    await page.screenshot({ path: join(shots, name) });
  }
  await context.close();
  return faults;
}

const words = process.argv.slice(2);
const at = words.indexOf("--shots");
const shots = at < 0 ? null : resolve(words.splice(at, 2)[1]);
if (shots) mkdirSync(shots, { recursive: true });
const files = (words.length ? words : MAIN.map((page) => join(SITE, page))).map((file) => resolve(file));
for (const file of files.filter((file) => !existsSync(file))) {
  console.error(`no page ${file}`);
  process.exit(2);
}
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--allow-file-access-from-files"],
});
let broken = 0;
for (const file of files) {
  for (const size of Object.keys(SIZES)) {
    for (const colours of ["light", "dark"]) {
      const faults = await look(browser, file, size, colours, shots);
      broken += faults.length;
      for (const fault of faults) console.log(`${file} ${size} ${colours}: ${fault}`);
    }
  }
}
await browser.close();
console.log(`${files.length} pages, ${broken} faults`);
process.exit(broken ? 1 : 0);
