// Calls of a number as a person sets them up: refused by Meta, mended, read back, changed by others; in the panel and
// inside Bitrix24.

import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { findings, picture, poll, sidewaysScroll, withSandbox } from "./sandbox.js";

/** What the browser writes down when the API refuses, which pages show to the person. */
const REFUSED = /the server responded with a status of 4\d\d/;

/** Calls go to a telephone server, whose name leads nowhere. */
const TO_SERVER = { calling: "enabled", sip: "enabled", sip_hostname: "sip.example.invalid", sip_port: 5071 };

describe("calls", () => {
  let browser;
  let sandbox;
  let base;
  /** The number of the sandbox. */
  let phone;

  withSandbox(async (started) => {
    ({ browser, sandbox, base } = started);
    [phone] = (await sandbox.api("GET", "waba/phones")).items;
  });

  /** Has the stand-in for Meta misbehave, or has somebody else change the number's settings there. */
  async function meta(faults) {
    const answer = await fetch(`${sandbox.phone}/sandbox/calling`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ number: phone.phone_id, ...faults }),
    });
    assert.equal(answer.status, 204, await answer.text());
  }

  /** The number's settings are these, and Meta has them. */
  async function set(wish) {
    await sandbox.api("PATCH", `waba/phones/${phone.id}`, wish);
    await poll(() => sandbox.api("GET", `waba/phones/${phone.id}`), ({ calling_status: status }) => ["in_sync", "none"].includes(status.state));
  }

  // Each begins with a number on which no calls are set up, whatever the last one did.
  beforeEach(async () => {
    await meta({});
    await set({ calling: "disabled", sip: "disabled", sip_hostname: null, sip_port: 5061, sip_parameters: null, call_hours: null });
  });

  const cardOf = (page) => page.locator(`[data-test="calling-${phone.phone}"]`);

  async function open(width = 1440) {
    const page = await browser.open(`${base}/waba/phones/${phone.id}`, width);
    const card = cardOf(page);
    await card.waitFor();
    return { page, card };
  }

  it("are enabled, refused by Meta with the reason, mended, and read back", async () => {
    const { page, card } = await open();
    await card.getByRole("switch", { name: "Calling", exact: true }).click();
    await card.getByRole("switch", { name: "SIP", exact: true }).click();
    await card.getByRole("button", { name: "Save" }).click();
    await card.getByText(/Address of the telephone server is required/).waitFor();
    await card.getByLabel("Address of the telephone server").fill("sip.example.invalid");
    await card.getByLabel("TLS port").fill("65536");
    await card.getByRole("button", { name: "Save" }).click();
    await card.getByText(/TLS port must be .*1 to 65535/).waitFor();
    assert.equal(await card.getByRole("button", { name: "Save anyway" }).count(), 0, "what cannot be used can be saved");

    // The name leads nowhere: the check says so, and does not keep anybody from saving.
    await meta({ refuse: [[138015, "The messaging limit is below 2000."]] });
    await card.getByLabel("TLS port").fill("5071");
    await card.getByRole("button", { name: "Save" }).click();
    await card.getByText("Calls will not arrive.", { exact: true }).waitFor();
    await picture(page, "calling-check-1440", { fullPage: true });
    await card.getByRole("button", { name: "Save anyway" }).click();

    const error = card.locator('[data-test="calling-error"]');
    await error.getByText(/^138015: .*The messaging limit is below 2000\./).waitFor();
    await error.getByText(/needs a messaging limit of 2000/).waitFor();
    assert.match(await error.getByRole("link").getAttribute("href"), /calling\/troubleshooting/);
    assert.deepEqual(await findings(page), []);
    await page.reload();
    await error.getByText(/^138015:/).waitFor();
    await picture(page, "calling-refused-1440", { fullPage: true });

    await card.getByRole("button", { name: "Apply again" }).click();
    await card.getByText("Meta has it", { exact: true }).waitFor();
    assert.equal(await error.count(), 0, "the error stays after Meta took it");
    await card.getByText("What Meta has").click();
    const row = card.getByRole("row", { name: /TLS port/ });
    assert.deepEqual(await row.getByRole("cell").allInnerTexts(), ["5071", "5071"]);
    assert.ok(browser.forgive(REFUSED) > 0);
  });

  it("that somebody else changed at Meta are shown as such, and put back only on demand", async () => {
    await set(TO_SERVER);
    const { page, card } = await open();
    await meta({ elsewhere: { sip: { status: "DISABLED" } } });
    await poll(() => sandbox.api("GET", `waba/phones/${phone.id}`), ({ calling_status: status }) => status.state === "changed");
    await page.reload();
    await card.getByText("Somebody changed this at Meta").waitFor();
    assert.equal(await card.getByRole("switch", { name: "SIP", exact: true }).getAttribute("aria-checked"), "true");
    await picture(page, "calling-outside-1440", { fullPage: true });
    await card.getByRole("button", { name: "Apply again" }).click();
    await card.getByText("Meta has it", { exact: true }).waitFor();
    assert.equal(await card.getByText("Somebody changed this at Meta").count(), 0);
  });

  it("come with hours, which are kept as people write them", async () => {
    await set({ calling: "enabled" });
    const { page, card } = await open();
    await card.getByRole("combobox", { name: /Call hours/ }).click();
    await page.getByRole("option", { name: "At these hours" }).click();
    await card.getByLabel("Time zone").fill("Europe/Berlin");
    await card.getByLabel("Monday").fill("nine to five");
    await card.getByRole("button", { name: "Save" }).click();
    await card.getByText(/Monday must be hours such as/).waitFor();
    await card.getByLabel("Monday").fill("9:00-13:00, 14:00-18:00");
    await card.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved").first().waitFor();
    await page.reload();
    await card.waitFor();
    assert.equal(await card.getByLabel("Monday").inputValue(), "09:00-13:00, 14:00-18:00");
    const { call_hours: hours } = await sandbox.api("GET", `waba/phones/${phone.id}`);
    assert.deepEqual(hours.weekly_operating_hours[1], { day_of_week: "MONDAY", open_time: "1400", close_time: "1800" });
  });

  it("name parameters of the address, wrong ones at their field, and what Meta has of them", async () => {
    await set(TO_SERVER);
    const { page, card } = await open();
    const field = card.getByLabel("Parameters of the address");
    await field.fill("tgrp");
    await card.getByRole("button", { name: "Save" }).click();
    await card.getByText(/Parameters of the address must be names and values/).waitFor();
    await field.fill("tgrp=wa call; trunk-context=office");
    await card.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved").first().waitFor();
    await page.reload();
    await card.waitFor();
    assert.equal(await field.inputValue(), "tgrp=wa%20call; trunk-context=office");
    const { sip_parameters: chosen, calling_status: status } = await sandbox.api("GET", `waba/phones/${phone.id}`);
    assert.deepEqual([chosen, status.applied.sip_parameters, status.state], [{ tgrp: "wa%20call", "trunk-context": "office" }, chosen, "in_sync"]);
    await card.getByText("What Meta has").click();
    const row = card.getByRole("row", { name: /Parameters of the address/ });
    assert.equal(new Set(await row.getByRole("cell").allInnerTexts()).size, 1);
  });

  it("have files for the telephone server, whose password is shown on demand and on the record", async () => {
    await set(TO_SERVER);
    const { page, card } = await open();
    await card.getByRole("button", { name: "Telephone server's configuration" }).click();
    const pbx = card.locator('[data-test="pbx"]');
    const pjsip = pbx.getByRole("textbox", { name: "asterisk/pjsip.conf" });
    await pjsip.waitFor();
    assert.match(await pjsip.inputValue(), /password = \*{8}\n/);
    await pbx.getByRole("button", { name: "Copy: asterisk/pjsip.conf" }).click();
    await pbx.getByRole("button", { name: "Copy: asterisk/pjsip.conf" }).getByText("Copied").waitFor();
    for (const [tab, shows] of [["FreeSWITCH", /sip_profiles/], ["Kamailio", /kamailio\.cfg/], ["Firewall", /firewall\.txt/], ["FreePBX", /Trunk Name/]]) {
      await pbx.getByRole("tab", { name: tab }).click();
      await pbx.getByText(shows).first().waitFor();
    }
    await pbx.getByRole("tab", { name: "FreePBX" }).press("ArrowLeft");
    await pbx.getByRole("button", { name: "Show the password" }).click();
    await pbx.getByRole("button", { name: "Hide the password" }).waitFor();
    assert.match(await pjsip.inputValue(), /password = PLANTED-sip-password-\d\n/);
    await picture(page, "calling-pbx-1440", { fullPage: true });
    const { items } = await sandbox.api("GET", "audit");
    assert.ok(items.some((line) => line.action === "reveal"), "nobody wrote down that the password was shown");
    assert.ok(!JSON.stringify(items).includes("PLANTED-sip"), "the password stands in the audit");
    await pbx.getByRole("button", { name: "Hide the password" }).click();
    await pbx.getByRole("button", { name: "Show the password" }).waitFor();
    assert.match(await pjsip.inputValue(), /password = \*{8}\n/);
    await pbx.getByRole("button", { name: "Adapt the files" }).click();
    await pbx.getByLabel("Telephone that rings").fill("201");
    await pbx.getByRole("button", { name: "Write the files" }).click();
    await page.waitForFunction((name) => document.querySelector(`textarea[aria-label="${name}"]`)?.value.includes("Dial(PJSIP/201"), "asterisk/extensions.conf");
    const downloading = page.waitForEvent("download");
    await pbx.getByRole("button", { name: "Download all" }).click();
    assert.equal((await downloading).suggestedFilename(), `whatsapp-${phone.phone}.tar`);
    assert.deepEqual(await findings(page), []);
  });

  it("fit a telephone's screen, in Russian too", async () => {
    await set(TO_SERVER);
    const { page, card } = await open(360);
    await card.getByRole("button", { name: "Check", exact: true }).click();
    await card.getByText("Calls will not arrive.", { exact: true }).waitFor();
    await card.getByRole("button", { name: "Telephone server's configuration" }).click();
    await card.locator('[data-test="pbx"] textarea').first().waitFor();
    assert.equal(await sidewaysScroll(page), 0, "it scrolls sideways");
    await picture(page, "calling-360", { fullPage: true });
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.getByRole("combobox", { name: "Language", exact: true }).selectOption("ru");
    await card.getByText("Адрес телефонного сервера").first().waitFor();
    await page.reload();
    await card.getByText("Звонки не придут.", { exact: true }).waitFor();
    assert.deepEqual(await findings(page), []);
    await picture(page, "calling-ru-1440", { fullPage: true });
    await page.getByRole("combobox", { name: "Язык", exact: true }).selectOption("en");
  });

  it("are set up the same way inside Bitrix24", async () => {
    await set(TO_SERVER);
    // A second application of the same portal, one with pages, to which the number moves.
    const [site] = (await sandbox.api("GET", "sites")).items;
    const application = await sandbox.api("POST", "bitrix/apps", { site: site.id, name: "With pages" });
    const portal = await browser.open(`${sandbox.line}/apps.html`);
    await portal.getByLabel("Your handler path").fill(application.page_handler_url);
    await portal.getByLabel("Initial installation path").fill(application.page_install_url);
    await portal.getByRole("button", { name: "Save" }).click();
    await portal.locator("#client-id").getByText(/./).waitFor();
    const [clientId, clientSecret] = [await portal.locator("#client-id").innerText(), await portal.locator("#client-secret").innerText()];
    await sandbox.api("PATCH", `bitrix/apps/${application.id}`, { client_id: clientId, client_secret: clientSecret });
    await portal.getByRole("link", { name: "Install" }).last().click();
    const inside = portal.frameLocator("iframe");
    await inside.getByRole("heading", { name: "WhatsApp numbers" }).waitFor();
    const instance = (await sandbox.api("GET", "bitrix/instances")).items.find(({ app }) => app === application.id);
    await sandbox.api("PATCH", `waba/phones/${phone.id}`, { instance: instance.id });

    await portal.goto(`${sandbox.line}/apps.html`);
    await portal.getByRole("link", { name: "Open", exact: true }).last().click();
    await inside.locator(`[data-test="number-${phone.phone}"]`).getByRole("button", { name: "Calls" }).click();
    await inside.getByText("connected", { exact: true }).waitFor();
    const card = cardOf(inside);
    await meta({ refuse: [[100, "Param calling.sip is wrong today."]] });
    await card.getByLabel("TLS port").fill("5072");
    await card.getByRole("button", { name: "Save" }).click();
    await card.getByText("Calls will not arrive.", { exact: true }).waitFor();
    await card.getByRole("button", { name: "Save anyway" }).click();
    await card.locator('[data-test="calling-error"]').getByText(/^100: .*wrong today/).waitFor();
    await picture(portal, "calling-frame-1280", { fullPage: true });
    assert.deepEqual(await findings(portal.frames().find((frame) => frame !== portal.mainFrame())), []);
    await card.getByRole("button", { name: "Apply again" }).click();
    await card.getByText("Meta has it", { exact: true }).waitFor();
    const read = await sandbox.api("GET", `waba/phones/${phone.id}`);
    assert.deepEqual([read.calling_status.applied.sip_port, read.error], [5072, null]);
  });
});
