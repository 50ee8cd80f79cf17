// Connecting, as those meet it who do it the first time: the wizard from an empty installation to a message both ways,
// every refusal of Meta and Bitrix24 on the way, and the pages inside Bitrix24.

import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { choose, findings, picture, poll, settled, sidewaysScroll, withSandbox } from "./sandbox.js";

/** What the browser writes down when the API refuses, which pages show to the person. */
const REFUSED = /the server responded with a status of [45]\d\d/;

/** The file of the stand-in portal on which applications are entered and their pages opened. */
const applications = (sandbox) => `${sandbox.line}/apps.html`;

/** Switches a fault of a stand-in. */
async function fault(origin, body) {
  const answer = await fetch(`${origin}/sandbox/faults`, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  assert.ok(answer.ok, `the fault was not set: ${await answer.text()}`);
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

  withSandbox((started) => {
    ({ browser, sandbox } = started);
  }, { signedIn: false, options: ["--empty"] });

  const shown = (name, deed) => it(name, () => browser.watched(name, deed));

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

describe("what goes wrong on the way", () => {
  let browser;
  let sandbox;
  /** What the sandbox set up. */
  let ids;

  const shown = (name, deed) => it(name, () => browser.watched(name, deed));
  const open = async (path) => {
    const page = await browser.open(`${sandbox.origin}${path}`, 1440);
    await settled(page);
    return page;
  };

  after(() => Promise.all([noFaults(sandbox.phone), noFaults(sandbox.line)]));

  withSandbox(async (started) => {
    ({ browser, sandbox } = started);
    const first = async (path) => (await sandbox.api("GET", path)).items[0];
    const [app, phone, application, instance] = await Promise.all(["waba/apps", "waba/phones", "bitrix/apps", "bitrix/instances"].map(first));
    ids = { app: app.id, phone: phone.id, number: phone, application: application.id, instance };
  }, { complaints: /./ });

  shown("ends a login that Facebook refuses on a page that says so and what to do", async () => {
    for (const [button, title, fix] of [
      ["Not now", "You declined at Facebook", /agree to the permissions/],
      ["Come back with a used code", "The code was used before or is too old", /Begin again/],
      ["Come back with another redirect address", "The redirect address differs", /Valid OAuth Redirect URIs/],
      ["Come back with a token of another app", "The token belongs to another app", /Check the Client id/],
      ["none", "No WhatsApp Business account was granted", /choose at least one account/],
    ]) {
      const page = await open(`/waba?app=${ids.app}`);
      await page.getByRole("button", { name: "Continue with Facebook" }).click();
      await page.getByRole("heading", { level: 1, name: /wants to access your WhatsApp accounts/ }).waitFor();
      if (button === "none") {
        for (const account of await page.getByRole("group", { name: "Accounts" }).getByRole("checkbox").all()) await account.uncheck();
      }
      await page.getByRole("button", { name: button === "none" ? "Continue" : button, exact: true }).click();
      await page.getByRole("heading", { level: 1, name: "Facebook did not connect" }).waitFor();
      await page.getByRole("heading", { name: title }).waitFor();
      await page.getByText(fix).first().waitFor();
      assert.ok(!new URL(page.url()).search.includes("code"), "the code stays in the address");
      await page.close();
    }
    assert.deepEqual((await sandbox.api("GET", "waba/connections")).items, [], "something was half made");
  });

  shown("connects what was granted at Facebook, step by step", async () => {
    const page = await open(`/waba?app=${ids.app}`);
    await page.getByRole("button", { name: "Continue with Facebook" }).click();
    await page.getByRole("button", { name: "Continue", exact: true }).click();
    await page.getByText("WhatsApp is connected").waitFor();
    await page.getByText("Enter the account").waitFor();
    assert.match(new URL(page.url()).pathname, /^\/waba\/connected\//);
    // Gone back and come again: the login is over, and the page says so.
    assert.equal((await sandbox.api("GET", "waba/connections")).items.length, 1);
  });

  shown("says which step Meta refused, keeps the rest, and goes on from there", async () => {
    const page = await open(`/waba/apps/${ids.app}/connect`);
    await page.getByRole("button", { name: "Check the token" }).click();
    await page.getByRole("heading", { name: "Accounts and numbers" }).waitFor();
    await fault(sandbox.phone, { fault: "management_refused", value: 200, times: "always" });
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await page.getByRole("alert").first().waitFor();
    await settled(page);
    assert.deepEqual(await findings(page), []);
    await picture(page, "connect-stopped-1440", { fullPage: true });
    await noFaults(sandbox.phone);
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByText("WhatsApp is connected").waitFor();
  });

  shown("says what the portal answered when an authorization is declined, and takes one that is granted", async () => {
    for (const [decision, ends] of [["Deny", "Access was declined in Bitrix24"], ["Allow", null]]) {
      const page = await open(`/bitrix/applications/${ids.application}`);
      await page.getByLabel("Portal", { exact: false }).last().fill(ids.instance.domain);
      await page.getByRole("button", { name: "Open Bitrix24" }).click();
      await page.getByRole("button", { name: decision }).click();
      if (ends === null) {
        await page.getByRole("heading", { level: 1, name: ids.instance.domain }).waitFor();
        assert.equal(new URL(page.url()).pathname, `/bitrix/instances/${ids.instance.id}`);
      } else {
        await page.getByRole("heading", { level: 1, name: "Bitrix24 did not connect" }).waitFor();
        await page.getByRole("heading", { name: ends }).waitFor();
        assert.deepEqual(await findings(page), []);
        await picture(page, "consent-declined-1440");
      }
      await page.close();
    }
  });

  shown("has words of its own for every refusal of a portal", async () => {
    const page = await open("/bitrix/refused/refused");
    const general = await page.getByRole("main").innerText();
    for (const reason of ["state", "signed_out", "denied", "no_code", "secret", "other_portal", "not_administrator", "other_application", "code", "payment", "scope", "portal_gone", "no_answer"]) {
      await page.goto(`${sandbox.origin}/bitrix/refused/${reason}`);
      await page.getByRole("heading", { level: 1, name: "Bitrix24 did not connect" }).waitFor();
      assert.notEqual(await page.getByRole("main").innerText(), general, `${reason} has no words of its own`);
    }
  });

  shown("shows at the number that a portal answers with a page, and mends it with a button", async () => {
    await fault(sandbox.line, { fault: "html_page", when: "always" });
    const page = await open(`/waba/phones/${ids.phone}`);
    await page.getByRole("button", { name: "Put the connection right" }).click();
    await page.getByRole("alert").first().waitFor();
    await picture(page, "portal-answers-html-1440", { fullPage: true });
    await noFaults(sandbox.line);
    await page.getByRole("button", { name: "Put the connection right" }).click();
    await page.getByText("connected", { exact: true }).waitFor();
    assert.ok(browser.forgive(REFUSED) >= 0);
  });

  shown("names the holder of a number, an app and an application that are entered twice", async () => {
    const page = await open("/waba/phones/new");
    await page.getByLabel("Phone", { exact: true }).fill(`+${ids.number.phone}`);
    await page.getByLabel("Phone id").fill(ids.number.phone_id);
    const account = (await sandbox.api("GET", `waba/accounts/${ids.number.account}`)).name;
    await choose(page, "waba", account);
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByText(/already/).first().waitFor();
    assert.equal(await page.getByLabel("Phone id").inputValue(), ids.number.phone_id, "what was typed is gone");
    await picture(page, "number-twice-1440", { fullPage: true });
    assert.ok(browser.forgive(REFUSED) > 0);
  });

  shown("examines everything, and says what is wrong, why, and what to do", async () => {
    const page = await open("/doctor");
    await page.getByRole("button", { name: "Examine now" }).click();
    await poll(() => sandbox.api("GET", "doctor"), (doctor) => doctor.checked_at !== null && !doctor.running);
    await settled(page);
    assert.deepEqual(await findings(page), []);
    await picture(page, "doctor-examined-1440", { fullPage: true });
  });
});

describe("the pages inside Bitrix24, in a browser that keeps no cookies", () => {
  let browser;
  let sandbox;

  const shown = (name, deed) => it(name, () => browser.watched(name, deed));

  /** Opens a page of the application as Bitrix24 does, as one of the portal's employees. */
  async function opened(link, { employee = "Anna", language = "en", width = "wide" } = {}) {
    const page = await browser.open(applications(sandbox), width);
    await page.getByLabel("Interface language").selectOption(language);
    const options = await page.getByLabel("Employee").locator("option").allInnerTexts();
    const label = options.find((name) => name.startsWith(employee));
    assert.ok(label, `there is no ${employee} among ${options}`);
    await page.getByLabel("Employee").selectOption({ label });
    await page.getByRole("link", link).first().click();
    await page.locator("iframe").waitFor();
    return { page, inside: page.frameLocator("iframe") };
  }

  /** The document inside, for what a locator cannot ask. */
  const documentOf = (page) => page.frames().find((frame) => frame !== page.mainFrame());

  withSandbox(async (started) => {
    ({ browser, sandbox } = started);
    const site = await sandbox.api("POST", "sites", { domain: new URL(sandbox.origin).host });
    const { sandbox: given } = await sandbox.api("GET", "setup");
    const app = await sandbox.api("POST", "waba/apps", { site: site.id, client_id: given.app_id, client_secret: given.app_secret, access_token: given.token });
    const account = await sandbox.api("POST", "waba/accounts", { app: app.id, waba_id: given.waba_id });
    await sandbox.api("POST", "waba/phones", { account: account.id, phone: given.phone, phone_id: given.phone_id });
    const application = await sandbox.api("POST", "bitrix/apps", { site: site.id, name: "Separator" });
    const { clientId, clientSecret } = await enterApplication(browser, sandbox, {
      handler: application.page_handler_url, install: application.page_install_url,
    });
    await sandbox.api("PATCH", `bitrix/apps/${application.id}`, { client_id: clientId, client_secret: clientSecret });
  }, {
    cookies: false, signedIn: false, options: ["--empty"],
    complaints: /a page was not opened error=only an administrator of the portal/,
  });

  shown("keeps no cookie, so that what follows shows something", async () => {
    const page = await browser.open(sandbox.origin);
    await page.evaluate(() => { document.cookie = "kept=1"; });
    assert.equal(await page.evaluate(() => document.cookie), "");
    assert.ok(browser.forgive(REFUSED) >= 0);
  });

  shown("refuses an employee who is no administrator, in a sentence, and installs for one who is", async () => {
    const refused = await opened({ name: "Install" }, { employee: "Klaus" });
    await refused.inside.getByText(/administrator/).first().waitFor();
    assert.deepEqual((await sandbox.api("GET", "bitrix/instances")).items.filter(({ installed }) => installed), []);
    assert.ok(browser.forgive(REFUSED) >= 0);
    await refused.page.close();

    const { page, inside } = await opened({ name: "Install" });
    await inside.getByRole("heading", { name: "WhatsApp numbers" }).waitFor();
    await picture(page, "frame-numbers-1280", { fullPage: true });
    assert.equal((await sandbox.api("GET", "bitrix/instances")).items[0].installed, true);
  });

  shown("lets the portal's administrator link a number to a line and shows every step", async () => {
    const { page, inside } = await opened({ name: "Open", exact: true });
    await inside.getByRole("button", { name: "Connect to this portal" }).click();
    await inside.getByRole("switch", { name: "Sms service" }).click();
    await inside.getByRole("button", { name: "Connect to this portal" }).click();
    await inside.getByText("connected", { exact: true }).waitFor();
    await inside.getByText("The state was read back").first().waitFor();
    await inside.getByText(/^separator_\d+/).first().waitFor();
    assert.deepEqual(await findings(documentOf(page)), []);
    await picture(page, "frame-linked-1280", { fullPage: true });
    const [phone] = (await sandbox.api("GET", "waba/phones")).items;
    assert.equal(phone.connection, "connected");
    assert.equal(phone.sms_service, true);
  });

  shown("opens as the settings of a connector, for one line", async () => {
    const { page, inside } = await opened({ name: /separator_/ });
    await inside.getByRole("heading", { name: /WhatsApp in the open line/ }).waitFor();
    await inside.getByText("connected", { exact: true }).waitFor();
    assert.deepEqual(await findings(documentOf(page)), []);
    await picture(page, "frame-connector-1280", { fullPage: true });
  });

  shown("shows employees how the numbers are, and lets them change nothing", async () => {
    const { inside } = await opened({ name: "Open", exact: true }, { employee: "Klaus" });
    await inside.getByText("Only administrators of this portal can change what is here.").waitFor();
    await inside.getByText("connected", { exact: true }).waitFor();
    assert.equal(await inside.getByRole("button", { name: /Save|Disconnect|Connect/ }).count(), 0);
  });

  shown("speaks the language of the portal's user, and fits a narrow window", async () => {
    const { page, inside } = await opened({ name: "Open", exact: true }, { language: "ru", width: 360 });
    await inside.getByRole("heading", { name: "Номера WhatsApp" }).waitFor();
    await inside.getByText(/separator_/).first().waitFor();
    assert.equal(await sidewaysScroll(documentOf(page)), 0, "the page scrolls sideways");
    assert.deepEqual(await findings(documentOf(page)), []);
    await picture(page, "frame-ru-360", { fullPage: true });
  });

  shown("unlinks a number, after a question with its name", async () => {
    const { inside } = await opened({ name: "Open", exact: true });
    await inside.getByRole("button", { name: "Disconnect" }).click();
    const question = inside.getByRole("dialog", { name: /Disconnect \+49/ });
    await question.getByRole("button", { name: "Disconnect" }).click();
    await inside.getByRole("button", { name: "Connect to this portal" }).waitFor();
    await poll(() => sandbox.api("GET", "waba/phones"), ({ items }) => items[0].instance === null);
  });
});
