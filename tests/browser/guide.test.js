// Connecting, as those meet it who do it the first time: the wizard from an empty installation to a message both ways,
// every refusal of Meta and Bitrix24 on the way, and the pages inside Bitrix24.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { choose, findings, picture, poll, settled, sidewaysScroll, startBrowser, startSandbox } from "./sandbox.js";

/** What the browser writes down when the API refuses, which pages show to the person. */
const REFUSED = /the server responded with a status of 4\d\d/;

/** The file of the stand-in portal on which applications are entered and their pages opened. */
const applications = (sandbox) => `${sandbox.line}/apps.html`;

/** Switches a fault of a stand-in. */
async function fault(origin, body) {
  const answer = await fetch(`${origin}/sandbox/faults`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  assert.equal(answer.status, 204, `the fault was not set: ${await answer.text()}`);
}

async function noFaults(origin) {
  const answer = await fetch(`${origin}/sandbox/faults`, { method: "DELETE" });
  assert.ok(answer.ok, "the faults are still on");
}

/** Enters a local application at the stand-in portal; gives what its form then shows. */
async function enterApplication(browser, sandbox, { handler, install, apiOnly = false }) {
  const portal = await browser.open(applications(sandbox));
  await portal.getByLabel("Your handler path").fill(handler);
  await portal.getByLabel("Initial installation path").fill(install);
  if (apiOnly) await portal.getByLabel("Uses API only").check();
  await portal.getByRole("button", { name: "Save" }).click();
  await portal.locator("#client-id").getByText(/./).waitFor();
  return { portal, clientId: await portal.locator("#client-id").innerText(), clientSecret: await portal.locator("#client-secret").innerText() };
}

describe("the wizard", () => {
  let browser;
  let sandbox;

  before(async () => {
    browser = await startBrowser();
    sandbox = await startSandbox("--empty");
  });

  const shown = (name, deed) => it(name, () => browser.watched(name, deed));

  after(async () => {
    await browser.closePages();
    const { how, complained } = await sandbox.stop();
    await browser.close();
    assert.deepEqual([...new Set(browser.trouble)], [], "the pages did what they must not do");
    assert.equal(how, 0, "the sandbox did not end well");
    assert.equal(complained, "", "the sandbox complained");
  });

  shown("leads from an empty installation to a message both ways", async () => {
    const page = await browser.open(sandbox.link, 1440);
    await page.getByText("No number yet").waitFor();
    await page.getByRole("link", { name: "Set it up step by step" }).click();
    await page.getByRole("heading", { level: 1, name: "Set-up wizard" }).waitFor();

    const shows = async (name) => {
      await settled(page);
      assert.deepEqual(await findings(page), [], name);
      await picture(page, `wizard-${name}-1440`, { fullPage: true });
      for (const width of [360, 768]) {
        await page.setViewportSize({ width, height: 900 });
        assert.equal(await sidewaysScroll(page), 0, `${name} scrolls sideways at ${width}`);
        if (width === 360) await picture(page, `wizard-${name}-360`, { fullPage: true });
      }
      await page.setViewportSize({ width: 1440, height: 900 });
    };
    const step = (name) => page.getByRole("navigation", { name: "Steps" }).getByRole("button", { name });

    // What is needed before anything else, looked at from outside.
    await step("Server").click();
    for (const line of ["The name resolves to a public address", "The certificate is valid", "The address leads to this server", "The proxy passes on what it was asked", "The clock is right"]) {
      await page.getByText(line).waitFor();
    }
    await shows("server");
    await page.getByTestId("next").click();

    await page.getByRole("heading", { name: "Site", exact: true }).waitFor();
    assert.notEqual(await page.getByLabel("Domain").inputValue(), "");
    await shows("site");
    await page.getByRole("button", { name: "Add site" }).click();

    await page.getByRole("heading", { name: "The Meta app" }).waitFor();
    await page.getByTestId("fill").click();
    await shows("meta-app");
    await page.getByRole("button", { name: "Add App" }).click();
    await page.getByRole("button", { name: "Set it at Meta for me" }).click();
    await page.getByText("Meta has checked the address and taken it.").waitFor();
    await page.getByRole("button", { name: "Check the token" }).click();
    await page.getByRole("heading", { name: "What Meta says" }).waitFor();
    await shows("meta-token");

    // Left in the middle and resumed: what is done is done.
    await page.goto(`${sandbox.origin}/wizard`);
    await step("Site (done)").waitFor();
    await step("Meta (in progress)").waitFor();
    await page.getByRole("button", { name: "Check the token" }).click();
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await page.getByText("WhatsApp is connected").waitFor();
    await shows("meta-connected");
    await step("Meta (done)").waitFor();
    await page.getByTestId("next").click();

    await page.getByRole("heading", { name: "The Bitrix24 application" }).waitFor();
    await page.getByRole("button", { name: "Add application" }).click();
    await page.getByRole("heading", { name: "Bitrix24's form" }).waitFor();
    const address = (label) => page.getByLabel(label, { exact: true }).inputValue();
    const { portal, clientId, clientSecret } = await enterApplication(browser, sandbox, {
      handler: await address("Your handler path, with pages"), install: await address("Initial installation path, with pages"),
    });
    await page.bringToFront();
    await page.getByLabel("Client id").fill(clientId);
    await page.getByLabel("Client secret").fill(clientSecret);
    await shows("portal");
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByText("Saved").first().waitFor();

    // The administrator opens the application in Bitrix24, which installs it.
    await portal.bringToFront();
    await portal.getByRole("link", { name: "Install" }).click();
    await portal.getByRole("heading", { name: clientId }).or(portal.locator("#state").getByText("Installed")).first().waitFor();
    const inside = portal.frameLocator("iframe");
    await inside.getByRole("heading", { name: "WhatsApp numbers" }).waitFor();

    await page.bringToFront();
    await step("Bitrix24 (done)").waitFor();
    await page.getByTestId("next").click();
    await page.getByTestId("done").first().waitFor();
    await shows("number");
    await page.getByTestId("next").click();

    await page.getByRole("button", { name: "Link", exact: true }).click();
    await page.getByText("connected", { exact: true }).waitFor();
    await page.getByText("State was read back").or(page.getByText("The state was read back")).first().waitFor();
    await shows("line");
    await step("Open line (done)").waitFor();
    await page.getByTestId("next").click();

    // In: the customer writes. Out: a test message, whose way is shown.
    const phone = await browser.open(sandbox.phone);
    await phone.getByRole("button", { name: /Lena Klein/ }).click();
    await phone.getByLabel("Message", { exact: true }).fill("Is anybody there?");
    await phone.getByLabel("Message", { exact: true }).press("Enter");
    await page.bringToFront();
    await page.getByTestId("arrived").waitFor();
    const { items } = await sandbox.api("GET", "messages?q=anybody");
    await page.getByLabel("To", { exact: false }).first().fill(items[0].peer);
    await page.getByRole("button", { name: "Send test message" }).click();
    await page.getByText("accepted by Meta", { exact: true }).waitFor();
    await page.getByText("Everything is connected").waitFor();
    await shows("test");
    await phone.bringToFront();
    await phone.getByText(/Separator/).first().waitFor();

    // Every step can be opened again, and repeated.
    await step("Open line (done)").click();
    await page.getByRole("button", { name: "Put the connection right" }).click();
    await page.getByText("connected", { exact: true }).waitFor();
    await page.goto(`${sandbox.origin}/`);
    await page.getByRole("link", { name: /\+49 157 555/ }).first().waitFor();
    await settled(page);
    await picture(page, "overview-connected-1440");

    await page.goto(`${sandbox.origin}/wizard`);
    await page.getByRole("combobox", { name: "Language" }).selectOption("ru");
    await page.getByRole("heading", { level: 1, name: "Мастер настройки" }).waitFor();
    await settled(page);
    await picture(page, "wizard-ru-1440", { fullPage: true });
  });
});
