// Takes the pictures of docs/how-to/mlflow.md, walking from MLflow's front page as a newcomer does.
//
//     rlhf experiment=quickstart && rlhf ui sweeps/quickstart        (leave it running)
//     cd benchmarks/screenshots && npm install                       (no browser is fetched)
//     node mlflow.js FOLDER [http://127.0.0.1:5000/] [quickstart]    (CHROMIUM=/usr/bin/chromium)
//     python smaller.py FOLDER ../../docs/images
//
// It needs node and a Chromium. The exit code is 1 where a step of the walk is not there.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

const [, , folder = ".", base = "http://127.0.0.1:5000/", sweep = "quickstart"] = process.argv;
mkdirSync(folder, { recursive: true });
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
  protocolTimeout: 240000,
});
const page = await browser.newPage();
await page.setViewport({ width: 1360, height: 800 });
// as in a browser where the Assistant was closed, which MLflow opens once by itself
await page.evaluateOnNewDocument(() => {
  for (const [key, value] of [
    ["mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true"],
    ["mlflow.assistant.panelOpen_v1", "false"],
  ]) localStorage.setItem(key, value);
});

async function settle() {
  await page.waitForNetworkIdle({ idleTime: 1000, timeout: 10000 }).catch(() => {});
  // without a mouse every chart would show its buttons, which cover points
  await page.addStyleTag({ content: ".modebar { display: none !important }" });
  await new Promise((resolve) => setTimeout(resolve, 1500));
}

async function keep(name) {
  await page.screenshot({ path: join(folder, `mlflow_${name}.png`) });
  console.log(name, page.url());
}

async function press(text) {
  const found = await page.evaluate((text) => {
    for (const link of document.querySelectorAll("a, button, [role=button]"))
      if (link.textContent.trim() === text || link.getAttribute("aria-label") === text) {
        link.click();
        return true;
      }
    return false;
  }, text);
  if (!found) throw new Error(`nothing says ${text} on ${page.url()}`);
  await settle();
}

async function open(place) {
  await page.goto("about:blank");
  await page.goto(base + place);
  await settle();
}

try {
  await open("");
  await press("Close alert").catch(() => {}); // about telemetry, once
  await keep("home");
  await press(sweep); // the experiment: one click
  await press("Got it").catch(() => {}); // a hint, once
  await keep("experiment");
  const links = await page.evaluate(() => {
    const words = ["answer", "runs", "charts", "samples", "best policy"];
    const all = [...document.querySelectorAll("a")];
    return words.map((word) => [word, all.find((a) => a.textContent === word)?.hash]);
  });
  for (const [word, place] of links) {
    if (!place) throw new Error(`the description has no link ${word}`);
    // the answer's page ends above the tag that names a folder of here
    await page.setViewport({ width: 1360, height: word === "answer" ? 590 : 800 });
    await open(place);
    await press("Close").catch(() => {}); // "a shared view"
    if (word === "best policy") await press("Toggle sidebar").catch(() => {});
    await keep(word.replace(" ", "_"));
  }
  // on the best policy's page: the run that trained it
  const source = await page.evaluate(
    () => [...document.querySelectorAll("a")].find((a) => /\/runs\/\w{32}/.test(a.hash) && a.textContent.includes("seed="))?.hash,
  );
  if (!source) throw new Error("the best policy's page names no run");
  const [id] = source.match(/\w{32}/);
  const run = `${links[0][1].split("/runs/")[0]}/runs/${id}`;
  await open(`${links[4][1].split("?")[0]}/artifacts?workflowType=machine_learning`);
  await keep("model_files");
  await page.setViewport({ width: 1360, height: 712 }); // above the tag that names a folder of here
  await open(`${run}?workflowType=machine_learning`);
  await keep("run");
  await page.setViewport({ width: 1360, height: 1400 }); // all of them, three in a row
  await open(`${run}/system-metrics?workflowType=machine_learning`);
  await keep("system");
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
} finally {
  await browser.close();
}
