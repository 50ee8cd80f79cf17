// A running sandbox and a browser to look at it with.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, beforeEach } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium, selectors } from "playwright-core";

selectors.setTestIdAttribute("data-test");

const root = fileURLToPath(new URL("../../", import.meta.url));
const program = process.env.SEPARATOR_TEST_PROGRAM ?? path.join(root, "target/debug/separator");
const artifacts = path.join(root, "artifacts");

/** How long anything may take that is waited for, in milliseconds. */
export const PATIENCE = 20_000;

const WIDTHS = {
  wide: { width: 1280, height: 860 }, narrow: { width: 390, height: 844 },
  360: { width: 360, height: 780 }, 768: { width: 768, height: 1024 }, 1440: { width: 1440, height: 900 },
};

/** A port that was free a moment ago; the sandbox looks for another one where it is not any more. */
function freePort() {
  return new Promise((found, failed) => {
    const server = createServer();
    server.on("error", failed);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => found(port));
    });
  });
}

/** Starts `separator sandbox` and waits until it has said where everything is. `more` are further options of the command. */
export async function startSandbox(...more) {
  const child = spawn(program, ["sandbox", "--port", String(await freePort()), ...more], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((done) => child.on("exit", (code, signal) => done(code ?? signal)));
  let said = "";
  let complained = "";
  child.stderr.on("data", (text) => { complained += text; });
  await new Promise((ready, failed) => {
    const late = setTimeout(() => failed(new Error(`the sandbox did not start: ${said}${complained}`)), PATIENCE);
    child.stdout.on("data", (text) => {
      said += text;
      if (!said.includes("Ctrl-C")) return;
      clearTimeout(late);
      ready();
    });
    child.on("error", failed);
    ended.then((how) => failed(new Error(`the sandbox ended with ${how}: ${complained}`)));
  });
  const after = (label) => said.match(new RegExp(`${label}\\s+(\\S+)`))[1];
  return {
    phone: after("Customer's phone"),
    line: after("Operator's open line"),
    docs: after("JSON API"),
    /** Where the program itself answers. */
    origin: new URL(after("JSON API")).origin,
    key: after("Key for the API"),
    /** Signs in at once, one time. */
    link: after("Sign-in link"),
    /** Asks the API with the key. */
    async api(method, path, body) {
      const answer = await fetch(new URL(`/api/v1/${path}`, after("JSON API")), {
        method,
        headers: { Authorization: `Bearer ${after("Key for the API")}`, "Content-Type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
      return text === "" ? null : JSON.parse(text);
    },
    /** Ends it as a person would; gives its exit code and what it complained about. */
    async stop() {
      child.kill("SIGTERM");
      const killed = setTimeout(() => child.kill("SIGKILL"), PATIENCE);
      const how = await ended;
      clearTimeout(killed);
      return { how, complained };
    },
  };
}

/** What Chromium calls "block all cookies". */
const WITHOUT_COOKIES = { profile: { default_content_setting_values: { cookies: 2 } } };

/** Starts Chromium with an empty profile. `trouble` collects what no page may do. */
export async function startBrowser({ cookies = true } = {}) {
  const profile = await mkdtemp(path.join(tmpdir(), "separator-browser-"));
  if (!cookies) {
    await mkdir(path.join(profile, "Default"));
    await writeFile(path.join(profile, "Default", "Preferences"), JSON.stringify(WITHOUT_COOKIES));
  }
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.SEPARATOR_TEST_CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    locale: "en-US",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
  });
  context.setDefaultTimeout(PATIENCE);
  const trouble = [];
  context.on("request", (request) => {
    const { protocol, hostname } = new URL(request.url());
    const inside = ["data:", "blob:"].includes(protocol) || hostname === "127.0.0.1";
    if (!inside) trouble.push(`a request to ${request.url()}`);
  });
  return {
    trouble,
    /** Takes out what is a part of the test: the browser writes down every answer that is a refusal. */
    forgive(pattern) {
      const rest = trouble.filter((line) => !pattern.test(line));
      const forgiven = trouble.length - rest.length;
      trouble.splice(0, trouble.length, ...rest);
      return forgiven;
    },
    /** Opens a page in a window of that width. */
    async open(address, width = "wide") {
      const page = await context.newPage();
      page.on("pageerror", (error) => trouble.push(`${address}: ${error.stack ?? error}`));
      page.on("console", (line) => {
        if (["error", "warning"].includes(line.type())) trouble.push(`${address}: ${line.text()} (${line.location().url}:${line.location().lineNumber})`);
      });
      await page.setViewportSize(WIDTHS[width]);
      await page.goto(address);
      return page;
    },
    /** Does what a test does; where it fails, pictures of all pages are kept. */
    async watched(name, deed) {
      try {
        await deed();
      } catch (error) {
        for (const [index, page] of context.pages().slice(1).entries()) {
          await picture(page, `failed-${name.replaceAll(/[^a-z]+/gi, "-").slice(0, 60)}-${index}`).catch(() => null);
        }
        throw error;
      }
    },
    /** Closes what was opened; the browser stays. */
    async closePages() {
      await Promise.all(context.pages().slice(1).map((page) => page.close()));
    },
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/**
 * Gives the suite in which it is called a browser and a sandbox of its own: started before its tests, no page open when one
 * begins, and ended after the last as a person would, with nothing that the pages or the sandbox had to complain about.
 * `ready` is handed `{ browser, sandbox, base }` once they run; somebody is signed in then, unless `signedIn` is false.
 * `expected` are complaints of the browser, `complaints` lines of the sandbox that are a part of the tests; `options` are
 * further ones of its command.
 */
export function withSandbox(ready, { cookies = true, signedIn = true, options = [], expected = null, complaints = null } = {}) {
  let browser;
  let sandbox;

  before(async () => {
    browser = await startBrowser({ cookies });
    sandbox = await startSandbox(...options);
    if (signedIn) {
      const page = await browser.open(sandbox.link);
      await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    }
    await ready({ browser, sandbox, base: sandbox.origin });
  });

  beforeEach(() => browser.closePages());

  after(async () => {
    await browser?.closePages();
    const ended = await sandbox?.stop();
    await browser?.close();
    // Why they did not start is said where they were started.
    if (ended === undefined) return;
    const unexpected = (line) => line !== "" && !complaints?.test(line);
    assert.deepEqual([...new Set(browser.trouble)].filter((line) => !expected?.test(line)), [], "the pages did what they must not do");
    assert.equal(ended.how, 0, "the sandbox did not end well");
    assert.deepEqual(ended.complained.split("\n").filter(unexpected), [], "the sandbox complained");
  });
}

/** Keeps a picture for a person to look at. */
export async function picture(page, name, options = {}) {
  await mkdir(artifacts, { recursive: true });
  await page.screenshot({ path: path.join(artifacts, `${name}.png`), ...options });
}

/** By how many pixels a page is wider than its window. */
export const sidewaysScroll = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds that is serious or critical. */
export async function findings(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 5).map((node) => node.target.join(" ")).join(", ")}`);
}

/** Waits until a page of ours (or a frame) has what it shows. */
export async function settled(page) {
  await page.waitForLoadState("networkidle");
  await page.waitForFunction(() => document.querySelector("[aria-busy=true], [data-loading]") === null);
}

/** Chooses in one of our lists. A field that has to be filled in has a star behind its name. */
export async function choose(page, field, option) {
  await page.getByRole("combobox", { name: new RegExp(`^${field}\\*?$`) }).click();
  await page.getByRole("option", { name: option }).click();
}

/** Asks until the answer is good. */
export async function poll(ask, good) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (good(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`it did not come to that: ${JSON.stringify(answer)}`);
    await new Promise((next) => setTimeout(next, 100));
  }
}
