// Calls that were made, as a person looks for them: the list, its filters and pages, and the journey of one call.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { choose, findings, picture, poll, settled, sidewaysScroll, withSandbox } from "./sandbox.js";

const LENA = "4915755509876";
/** What the browser writes down when the API refuses, which pages show to the person. */
const REFUSED = /the server responded with a status of 4\d\d/;

describe("the calls that were made", () => {
  let browser;
  let sandbox;
  let base;
  /** The number of the sandbox. */
  let phone;

  withSandbox(async (started) => {
    ({ browser, sandbox, base } = started);
    [phone] = (await sandbox.api("GET", "waba/phones")).items;
  });

  /** Has the stand-in for Meta do something with a call. */
  async function meta(path, body) {
    const answer = await fetch(`${sandbox.phone}/sandbox/calls${path}`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    return JSON.parse(text);
  }

  /** A call with Lena, which goes on; its id at Meta. */
  const begins = async (byBusiness = false) => (await meta("", { number: phone.phone_id, customer: LENA, by_business: byBusiness })).call;

  /** A call with Lena that ended so. */
  async function ended(end, more = {}, byBusiness = false) {
    const call = await begins(byBusiness);
    await meta("/end", { call, end, ...more });
    return call;
  }

  const open = async (path, width = 1440) => {
    const page = await browser.open(`${base}${path}`, width);
    await settled(page);
    return page;
  };

  it("say what to do where there are none", async () => {
    const page = await open("/");
    await page.getByRole("navigation").getByRole("link", { name: "Calls", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "Calls" }).waitFor();
    await page.getByText("No call yet").waitFor();
    await page.getByText(/"Report calls by webhook" has to be on/).waitFor();
    assert.deepEqual(await findings(page), []);
    await picture(page, "calls-empty-1440");
  });

  it("are found by outcome, direction and customer, and the address keeps what was looked for", async () => {
    const answered = await ended("answered", { seconds: 65 });
    await ended("missed");
    await ended("declined", {}, true);
    await ended("failed", { code: 138020 });
    const goesOn = await begins();
    await poll(() => sandbox.api("GET", "calls?crm=finished"), (list) => list.items.length === 4);

    const page = await open("/calls");
    const rows = page.getByRole("row").filter({ hasText: "Lena Klein" });
    await page.getByText("goes on", { exact: true }).waitFor();
    assert.equal(await rows.count(), 5);
    await picture(page, "calls-1440");
    await choose(page, "Outcome", "missed");
    await page.waitForURL((url) => url.searchParams.get("outcome") === "missed");
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
    await page.reload();
    await page.getByText("missed", { exact: true }).last().waitFor();
    await choose(page, "Direction", "To the customer");
    await page.getByText("Nothing fits these filters").waitFor();
    await page.getByRole("button", { name: "Clear filters" }).first().click();
    await page.getByRole("searchbox").fill("nobody of this name");
    await page.getByText("Nothing fits these filters").waitFor();
    await page.getByRole("searchbox").fill("lena");
    await rows.first().waitFor();
    await page.goto(`${base}/calls?wacid=${encodeURIComponent(answered)}`);
    await rows.first().waitFor();
    assert.equal(await rows.count(), 1);
    assert.match(await rows.innerText(), /1:05[\s\S]*in the CRM[\s\S]*answered/);
    await meta("/end", { call: goesOn, end: "missed" });
  });

  it("have a journey from WhatsApp to the CRM, which is followed while it goes on", async () => {
    const call = await begins();
    const { items } = await poll(() => sandbox.api("GET", `calls?wacid=${encodeURIComponent(call)}`), (list) => list.items[0]?.crm.state === "registered");
    const page = await open("/calls?outcome=active");
    await page.getByRole("link", { name: /Lena Klein/ }).click();
    await page.waitForURL(`${base}/calls/${items[0].id}`);
    await page.getByText("shown to the employee", { exact: true }).waitFor();
    await page.getByText("Its end was not told yet.").waitFor();
    await picture(page, "call-active-1440");
    await meta("/end", { call, end: "answered", seconds: 3725 });
    await page.getByText("People spoke.").waitFor();
    await page.getByText("1:02:05", { exact: true }).waitFor();
    await page.locator("li").getByText("in the CRM", { exact: true }).waitFor();
    await page.getByText(/^activity \d+$/).waitFor();
    assert.deepEqual(await findings(page), []);
    await picture(page, "call-1440");
    const gone = await browser.open(`${base}/calls/0199f1c2-3333-7a41-9c55-2f0e8b1d6a90`);
    await gone.getByText("There is nothing at this address any more").waitFor();
    assert.ok(browser.forgive(REFUSED) > 0);
    for (const width of [360, 768]) {
      const narrow = await open(`/calls/${items[0].id}`, width);
      assert.equal(await sidewaysScroll(narrow), 0, `it scrolls sideways at ${width}`);
      await picture(narrow, `call-${width}`, { fullPage: true });
    }
    const dark = await open(`/calls/${items[0].id}`);
    await dark.emulateMedia({ colorScheme: "dark" });
    await dark.getByRole("combobox", { name: "Language" }).selectOption("ru");
    await dark.getByText("показан сотруднику", { exact: true }).waitFor();
    assert.deepEqual(await findings(dark), []);
    await picture(dark, "call-dark-ru-1440");
    await dark.getByRole("combobox", { name: "Язык" }).selectOption("en");
  });

  it("are shown a page at a time", async () => {
    const before = (await sandbox.api("GET", "calls?limit=200")).items.length;
    const more = 55 - before;
    for (let index = 0; index < more; index += 1) await ended("missed");
    await poll(() => sandbox.api("GET", "calls?limit=200"), (list) => list.items.length === 55);
    const page = await open("/calls");
    assert.equal(await page.locator("tbody tr").count(), 50);
    await page.getByRole("button", { name: "Show more" }).click();
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 55);
    const narrow = await open("/calls", 360);
    assert.equal(await sidewaysScroll(narrow), 0, "the list scrolls sideways");
    await picture(narrow, "calls-360");
  });
});
