// The admin panel as a person meets it: signing in, entering what is to be connected, finding a message.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { findings, picture, sidewaysScroll, startBrowser, startSandbox } from "./sandbox.js";

/** What the page before signing in may weigh on its way, in bytes. */
const SIGN_IN_LIMIT = 300_000;

const EMAIL = "admin@sandbox.example";
const PASSWORD = "a long enough sentence";

/** What the browser writes down when the API refuses, which pages show to the person. */
const REFUSED = /the server responded with a status of 4(01|04|09|22)/;

describe("the admin panel", () => {
  let browser;
  let sandbox;
  let base;
  /** Ids of what the sandbox set up. */
  let ids;

  before(async () => {
    browser = await startBrowser();
    sandbox = await startSandbox();
    base = new URL(sandbox.link).origin;
    const first = async (path) => (await sandbox.api("GET", path)).items[0].id;
    ids = {
      site: await first("sites"), app: await first("waba/apps"), account: await first("waba/accounts"), phone: await first("waba/phones"),
      application: await first("bitrix/apps"), instance: await first("bitrix/instances"),
    };
  });

  after(async () => {
    await browser.closePages();
    const { how, complained } = await sandbox.stop();
    await browser.close();
    assert.deepEqual([...new Set(browser.trouble)], [], "the pages did what they must not do");
    assert.equal(how, 0, "the sandbox did not end well");
    assert.equal(complained, "", "the sandbox complained");
  });

  beforeEach(() => browser.closePages());

  /** Opens a page of the panel and waits until it has what it shows. */
  async function open(path, width = 1440) {
    const page = await browser.open(`${base}${path}`, width);
    await settled(page);
    return page;
  }

  it("lets a person in with a one-time link, once", async () => {
    const page = await browser.open(sandbox.link);
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    assert.equal(new URL(page.url()).hash, "", "the token stays in the address");
    const again = await browser.open(sandbox.link);
    await again.getByRole("alert").getByText("This link does not open anything any more").waitFor();
    assert.equal(browser.forgive(/status of 410/), 1);
    const bare = await browser.open(`${base}/link`);
    await bare.getByText("This address has no token in it").waitFor();
  });

  it("takes a password of one's own, and signs in with it afterwards where one wanted to go", async () => {
    const user = (await sandbox.api("GET", "users")).items.find(({ email }) => email === EMAIL);
    const { link } = await sandbox.api("POST", `users/${user.id}/link`);
    const chooses = await browser.open(link);
    await chooses.getByLabel("New password").fill(PASSWORD);
    await chooses.getByLabel("The same password again").fill("something else");
    await chooses.getByRole("button", { name: "Save and sign in" }).click();
    await chooses.getByText("This is not the same password.").first().waitFor();
    await chooses.getByLabel("The same password again").fill(PASSWORD);
    await chooses.getByRole("button", { name: "Save and sign in" }).click();
    await chooses.getByRole("button", { name: "Sign out" }).click();

    await chooses.getByRole("heading", { name: "Sign in" }).waitFor();
    const page = await browser.open(`${base}/sites?q=127`);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.getByLabel("E-mail").fill(EMAIL);
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").getByText("The e-mail address or the password is wrong.").waitFor();
    assert.equal(await page.getByLabel("E-mail").inputValue(), EMAIL, "what was typed is gone");
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByLabel("Password").press("Enter");
    await page.getByRole("heading", { level: 1, name: "Sites" }).waitFor();
    assert.equal(await page.getByRole("searchbox").inputValue(), "127");
    assert.ok(browser.forgive(REFUSED) > 0);
  });

  it("is light before signing in", async () => {
    const page = await browser.open(`${base}/sign-in`);
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    await settled(page);
    const files = await page.evaluate(() => {
      const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
      return entries.map(({ name, encodedBodySize, decodedBodySize }) => ({ name, encodedBodySize, decodedBodySize }));
    });
    const sent = files.reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0);
    const whole = files.reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0);
    assert.ok(files.length > 3 && sent > 20_000, `nothing was measured: ${JSON.stringify(files)}`);
    assert.ok(sent < whole / 2, "the files are not compressed");
    assert.ok(sent < SIGN_IN_LIMIT, `the sign-in page weighs ${sent} bytes`);
    await picture(page, "sign-in-1280");
  });

  it("is followed by the original guide, word by word", async () => {
    const page = await open("/sites/new");
    await page.getByLabel("Domain").fill("guide.example.com");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "guide.example.com" }).waitFor();

    // WABA → Add App
    await menu(page, "WABA", "Apps");
    await page.getByRole("link", { name: "Add App" }).first().click();
    await page.getByRole("heading", { level: 1, name: "WABA: Add App" }).waitFor();
    await page.getByRole("switch", { name: "Events" }).click();
    await choose(page, "Site", "guide.example.com");
    await page.getByLabel("Client id").fill("530199836402875");
    await page.getByLabel("Client secret").fill("d41d8cd98f00b204e9800998ecf8427e");
    await page.getByLabel("Access token").fill("EAAGm0PX4ZCpsBAJ");
    await picture(page, "guide-add-app-1440", { fullPage: true });
    await page.getByRole("button", { name: "Add", exact: true }).click();

    // After saving: the Verify token and the Callback URL, with buttons to copy them.
    await page.getByLabel("Verify token", { exact: true }).waitFor();
    const callback = await page.getByLabel("Callback URL", { exact: true }).inputValue();
    assert.match(callback, /^https:\/\/guide\.example\.com\/api\/waba\//);
    await page.getByRole("button", { name: "Copy: Verify token" }).click();
    await page.getByRole("button", { name: "Copy: Verify token" }).getByText("Copied").waitFor();
    const app = (await sandbox.api("GET", "waba/apps")).items.find(({ client_id }) => client_id === "530199836402875");
    assert.equal(await page.getByLabel("Verify token", { exact: true }).inputValue(), app.verify_token);
    assert.equal(app.events, true);
    assert.equal(app.has_access_token, true);
    for (const word of ["Whatsapp Business Account", "Verify and save", "message_template_components_update", "message_template_status_update", "messages", "account_update"]) {
      assert.ok((await page.getByRole("main").innerText()).includes(word), `the page does not say ${word}`);
    }
    await picture(page, "guide-app-saved-1440", { fullPage: true });

    // waba → waba
    await menu(page, "WABA", "waba");
    await page.getByRole("link", { name: "Add waba" }).click();
    await choose(page, "App", "530199836402875");
    await page.getByLabel("Waba id").fill("102290129340398");
    await page.getByLabel("Access token").fill("EAAGm0PX4ZCpsBAJ");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "102290129340398" }).waitFor();

    // waba → phones
    await menu(page, "WABA", "phones");
    await page.getByRole("link", { name: "Add phone" }).click();
    await page.getByLabel("Phone", { exact: true }).fill("+49 1575 5507777");
    await page.getByLabel("Phone id").fill("106540352242999");
    await choose(page, "waba", "102290129340398");
    const portal = (await sandbox.api("GET", `bitrix/instances/${ids.instance}`)).domain;
    await choose(page, "App instance", portal);
    await page.getByRole("switch", { name: "Sms service" }).click();
    await page.getByRole("button", { name: "Add", exact: true }).click();

    // The connector turns green, and the line separator_your_number is attached.
    await page.getByRole("heading", { level: 1, name: "+49 157 555 07777" }).waitFor();
    await page.getByText("connected", { exact: true }).waitFor();
    await page.getByText("separator_4915755507777").first().waitFor();
    await settled(page);
    await picture(page, "guide-phone-1440", { fullPage: true });
    browser.forgive(/status of 404/);
  });

  it("shows what is wrong at the field, and loses nothing that was typed", async () => {
    const page = await open("/waba/apps/new");
    await page.getByLabel("Client id").fill("not digits");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByText("Fill this in.").first().waitFor();
    await page.getByLabel("Client secret").fill("d41d8cd98f00b204e9800998ecf8427e");
    const domain = (await sandbox.api("GET", `sites/${ids.site}`)).domain;
    await choose(page, "Site", domain);
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByText(/Client id must be/).waitFor();
    await page.getByText(/Site already has the WABA application/).waitFor();
    assert.equal(await page.getByLabel("Client id").inputValue(), "not digits");
    assert.equal(await page.getByLabel("Client id").getAttribute("aria-invalid"), "true");
    await picture(page, "form-errors-1440", { fullPage: true });

    await menu(page, "", "Sites");
    await page.goBack();
    await page.getByText("This is what you typed before; it is not saved yet.").waitFor();
    assert.equal(await page.getByLabel("Client id").inputValue(), "not digits");
    await page.getByRole("button", { name: "Discard it" }).click();
    assert.equal(await page.getByLabel("Client id").inputValue(), "");
    assert.ok(browser.forgive(REFUSED) > 0);
  });

  it("asks with the name of the thing before it removes it, and says why it cannot", async () => {
    const page = await open(`/sites/${ids.site}`);
    const { domain } = await sandbox.api("GET", `sites/${ids.site}`);
    await page.getByRole("button", { name: "Remove" }).click();
    const question = page.getByRole("dialog", { name: `Remove the site ${domain}?` });
    await question.waitFor();
    await picture(page, "confirm-1440");
    await page.keyboard.press("Escape");
    await question.waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Remove" }).click();
    await question.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("alert").getByText(/answers on this site; remove it first/).waitFor();
    assert.ok(browser.forgive(REFUSED) > 0);

    const { id } = await sandbox.api("POST", "sites", { domain: "gone.example.com" });
    await page.goto(`${base}/sites/${id}`);
    await page.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await page.getByRole("heading", { level: 1, name: "Sites" }).waitFor();
    assert.ok(!(await sandbox.api("GET", "sites")).items.some((site) => site.id === id));
  });

  it("finds a message and shows its journey", async () => {
    const phone = await browser.open(sandbox.phone);
    await phone.getByRole("button", { name: /Lena Klein/ }).click();
    await phone.getByLabel("Message", { exact: true }).fill("Is the red bicycle still there?");
    await phone.getByLabel("Message", { exact: true }).press("Enter");

    const page = await open("/messages");
    await page.getByRole("searchbox").fill("red bicycle");
    await page.getByRole("link", { name: /red bicycle/ }).waitFor();
    await page.waitForURL((url) => url.searchParams.get("q") === "red bicycle");
    await choose(page, "State", "failed");
    await page.getByText("Nothing fits these filters").waitFor();
    await page.reload();
    await page.getByText("Nothing fits these filters").waitFor();
    assert.equal(await page.getByRole("searchbox").inputValue(), "red bicycle");
    await page.getByRole("button", { name: "Clear filters" }).first().click();
    await picture(page, "messages-1440");
    await page.getByRole("link", { name: /red bicycle/ }).click();
    await page.getByText("in the operator's chat", { exact: true }).waitFor();
    await page.getByText("webhook of Meta, signature verified, on disk").waitFor();
    await picture(page, "message-1440");
  });

  it("sends again what failed: one, the chosen, all that fit", async () => {
    const phone = await browser.open(sandbox.phone);
    await phone.getByRole("button", { name: /Lena Klein/ }).click();
    await phone.getByLabel("Message", { exact: true }).fill("Hello?");
    await phone.getByLabel("Message", { exact: true }).press("Enter");
    const texts = ["first answer", "second answer", "third answer"];
    await phone.getByRole("button", { name: "Messages to the customer fail after they were accepted: always" }).click();
    const { peer } = (await poll(() => sandbox.api("GET", "messages?q=Hello"), (list) => list.items.length > 0)).items[0];
    for (const text of texts) await sandbox.api("POST", `waba/phones/${ids.phone}/messages`, { to: peer, text });
    await poll(() => sandbox.api("GET", "messages?state=failed"), (list) => list.items.length === 3);
    await phone.locator("#rules").getByRole("button").first().click();

    const page = await open("/messages?state=failed");
    await page.getByRole("checkbox", { name: "Choose: second answer" }).click();
    await page.getByRole("button", { name: "Replay 1 chosen" }).click();
    await page.getByText("1 message is sent again").first().waitFor();
    await page.getByRole("link", { name: /first answer/ }).click();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("retried", { exact: true }).waitFor();
    await page.goto(`${base}/messages?state=failed`);
    await page.getByRole("button", { name: "Replay all that fit" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Replay all that fit" }).click();
    await page.getByText("No message yet").or(page.getByText("Nothing fits these filters")).waitFor();
    await poll(() => sandbox.api("GET", "messages?direction=outbound"), (list) => list.items.filter(({ text, state }) => texts.includes(text) && ["delivered", "read"].includes(state)).length === 3);
  });

  it("speaks Russian wherever it speaks English", async () => {
    const page = await open("/waba/phones");
    await page.getByRole("combobox", { name: "Language" }).selectOption("ru");
    await page.getByRole("heading", { level: 1, name: "phones (номера)" }).waitFor();
    assert.equal(await page.evaluate(() => document.documentElement.lang), "ru");
    await page.reload();
    await page.getByRole("heading", { level: 1, name: "phones (номера)" }).waitFor();
    await picture(page, "phones-ru-1440");
    await page.getByRole("combobox", { name: "Язык" }).selectOption("en");
    await page.getByRole("heading", { level: 1, name: "phones" }).waitFor();
  });

  it("can be walked through by keyboard", async () => {
    const page = await open("/sites");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), "Skip the menu");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), "Add site");
  });

  /** All pages with a word that is on each when it has come. */
  const pages = () => [
    ["/", "Overview"], ["/sites", "Sites"], ["/sites/new", "Add site"], [`/sites/${ids.site}`, "127.0.0.1"],
    ["/waba", "Connect WhatsApp"], ["/waba/apps", "WABA: Apps"], ["/waba/apps/new", "WABA: Add App"], [`/waba/apps/${ids.app}`, "Sandbox"],
    [`/waba/apps/${ids.app}/connect`, "Connect WhatsApp: Sandbox"], ["/waba/refused/denied", "Facebook did not connect"],
    ["/waba/accounts", "waba"], ["/waba/accounts/new", "waba: add waba"], [`/waba/accounts/${ids.account}`, ""],
    ["/waba/phones", "phones"], ["/waba/phones/new", "phones: add phone"], [`/waba/phones/${ids.phone}`, "+49"],
    ["/waba/templates", "Templates"], ["/waba/events", "Events"],
    ["/bitrix/applications", "Bitrix24: Applications"], ["/bitrix/applications/new", "Bitrix24: add application"], [`/bitrix/applications/${ids.application}`, ""],
    ["/bitrix/instances", "Bitrix24: Instances"], [`/bitrix/instances/${ids.instance}`, "127.0.0.1"],
    ["/bitrix/connectors", "Connectors"], ["/bitrix/lines", "Lines"],
    ["/messages", "Messages"], ["/queue", "Queue and dead letters"],
    ["/users", "Users"], ["/users/new", "Add user"], ["/keys", "API keys"], ["/keys/new", "New key"], ["/audit", "Audit"],
    ["/account", "Your account"], ["/settings", "Settings"], ["/doctor", "Doctor"], ["/nothing/here", "There is nothing"],
  ];

  for (const scheme of ["light", "dark"]) {
    it(`can be used by everybody: no serious finding of axe on any page (${scheme})`, async () => {
      const page = await open("/settings");
      await page.emulateMedia({ colorScheme: scheme });
      for (const [path, title] of pages()) {
        await visit(page, path, title);
        assert.deepEqual(await findings(page), [], `${path}, ${scheme}`);
        await picture(page, `panel${path.replaceAll("/", "-").replace(/-[0-9a-f-]{36}/, "-one")}-${scheme}-1440`);
      }
    });
  }

  for (const width of [360, 768, 1440]) {
    it(`fits a window of ${width} pixels`, async () => {
      const page = await open("/settings", width);
      for (const [path, title] of pages()) {
        await visit(page, path, title);
        assert.equal(await sidewaysScroll(page), 0, `${path} scrolls sideways`);
        if (width !== 1440) await picture(page, `panel${path.replaceAll("/", "-").replace(/-[0-9a-f-]{36}/, "-one")}-${width}`, { fullPage: true });
      }
    });
  }

  /** Goes to a page as its links do, without loading the application anew. */
  async function visit(page, path, title) {
    await page.evaluate((to) => { window.history.pushState({}, "", to); window.dispatchEvent(new window.PopStateEvent("popstate", { state: {} })); }, path);
    await page.getByRole("heading", { level: 1, name: title }).first().waitFor();
    await settled(page);
  }
});

/** Waits until nothing is being read any more. */
async function settled(page) {
  await page.waitForLoadState("networkidle");
  await page.waitForFunction(() => document.querySelector("[aria-busy=true], [data-loading]") === null);
}

/** Opens a page by its entry in a group of the menu. */
async function menu(page, group, entry) {
  const list = group === "" ? page.getByRole("navigation") : page.getByRole("list", { name: group });
  await list.getByRole("link", { name: entry, exact: true }).click();
}

async function choose(page, field, option) {
  // A field that has to be filled in has a star behind its name.
  await page.getByRole("combobox", { name: new RegExp(`^${field}\\*?$`) }).click();
  await page.getByRole("option", { name: option }).click();
}

async function poll(ask, good) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const answer = await ask();
    if (good(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`it did not come to that: ${JSON.stringify(answer)}`);
    await new Promise((next) => setTimeout(next, 100));
  }
}
