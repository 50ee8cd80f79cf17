// The admin panel as a person meets it: signing in, entering what is to be connected, finding a message.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, it } from "node:test";
import { choose, findings, picture, poll, settled, sidewaysScroll, startBrowser, withSandbox } from "./sandbox.js";

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

  withSandbox(async (started) => {
    ({ browser, sandbox, base } = started);
    const first = async (path) => (await sandbox.api("GET", path)).items[0].id;
    ids = {
      site: await first("sites"), app: await first("waba/apps"), account: await first("waba/accounts"), phone: await first("waba/phones"),
      application: await first("bitrix/apps"), instance: await first("bitrix/instances"),
    };
  }, {
    signedIn: false,
    // The tokens that the guide's words bring along are none that the stand-in for Meta knows.
    complaints: / WARN separator::account::(health|catalogue): /,
  });

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

  it("shows what is wrong at the field, and loses nothing that was typed", () => browser.watched("field", async () => {
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
    await page.getByRole("heading", { level: 1, name: "Sites" }).waitFor();
    await page.goBack();
    await page.getByText("This is what you typed before; it is not saved yet.").waitFor();
    assert.equal(await page.getByLabel("Client id").inputValue(), "not digits");
    await page.getByRole("button", { name: "Discard it" }).click();
    assert.equal(await page.getByLabel("Client id").inputValue(), "");
    assert.ok(browser.forgive(REFUSED) > 0);
  }));


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

  it("connects WhatsApp with a token: looks at it first, then shows every step", async () => {
    const page = await open(`/waba/apps/${ids.app}/connect`);
    await page.getByRole("button", { name: "Check the token" }).click();
    await page.getByRole("heading", { name: "What Meta says" }).waitFor();
    await page.getByText("whatsapp_business_messaging").first().waitFor();
    const account = await sandbox.api("GET", `waba/accounts/${ids.account}`);
    await page.getByRole("checkbox", { name: account.name }).waitFor();
    await page.getByText("entered already").first().waitFor();
    await settled(page);
    assert.deepEqual(await findings(page), []);
    await picture(page, "connect-token-1440", { fullPage: true });
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await page.getByText("WhatsApp is connected").waitFor();
    await page.getByText("Read the templates").first().waitFor();
    await settled(page);
    assert.deepEqual(await findings(page), []);
    await picture(page, "connected-1440", { fullPage: true });
    await page.getByRole("link", { name: "To the numbers" }).click();
    await page.getByRole("heading", { level: 1, name: "phones" }).waitFor();

    await page.goto(`${base}/waba/templates`);
    await page.getByRole("link", { name: /hello_world/ }).first().click();
    await page.getByRole("region", { name: "As a phone shows it" }).waitFor();
    assert.match(await page.getByLabel("To send it from the chat", { exact: true }).inputValue(), /^template-hello_world\+/);
    assert.deepEqual(await findings(page), []);
    await picture(page, "template-1440");
  });

  it("says what a wrong token is, and a login that Facebook refused", async () => {
    const page = await open(`/waba/apps/${ids.app}/connect`);
    await page.getByLabel("Access token").fill("EAAwrong");
    await page.getByRole("button", { name: "Check the token" }).click();
    await page.getByText("not valid", { exact: true }).waitFor();
    await picture(page, "connect-wrong-token-1440", { fullPage: true });
    for (const reason of ["denied", "code_used", "redirect_differs", "no_account", "wrong_app", "state_expired"]) {
      await page.goto(`${base}/waba/refused/${reason}`);
      await page.getByRole("heading", { level: 1, name: "Facebook did not connect" }).waitFor();
      assert.equal(await page.getByText("The login did not succeed").count(), 0, `${reason} has no words of its own`);
    }
  });

  it("shows an integrator what is theirs, and nothing of others", async () => {
    const { id } = await sandbox.api("POST", "users", { email: "boris@example.com", role: "integrator", language: "en" });
    const { link } = await sandbox.api("POST", `users/${id}/link`);
    const theirs = await startBrowser();
    try {
      const page = await theirs.open(link, 1440);
      await page.getByLabel("New password").fill(PASSWORD);
      await page.getByLabel("The same password again").fill(PASSWORD);
      await page.getByRole("button", { name: "Save and sign in" }).click();
      await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
      await page.getByText("No number yet").waitFor();
      assert.equal(await page.getByRole("navigation").getByRole("link", { name: "Users", exact: true }).count(), 0);
      await page.goto(`${base}/users`);
      await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
      await page.goto(`${base}/sites`);
      await page.getByText("No site yet").waitFor();
      await page.goto(`${base}/sites/${ids.site}`);
      await page.getByText("There is nothing at this address any more").first().waitFor();
      assert.ok(theirs.forgive(REFUSED) > 0);
      await page.goto(`${base}/sites/new`);
      await page.getByLabel("Domain").fill("boris.example.com");
      await page.getByRole("button", { name: "Add", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: "boris.example.com" }).waitFor();
      assert.deepEqual(theirs.trouble, []);
    } finally {
      await theirs.close();
    }
    const audit = await open("/audit?q=boris.example.com");
    await audit.getByText("boris@example.com").first().waitFor();
    await picture(audit, "audit-1440");
  });

  it("makes a key that is shown once", async () => {
    const page = await open("/keys/new");
    await page.getByLabel("Name").fill("CRM import");
    await page.getByRole("button", { name: "Make the key" }).click();
    const key = await page.getByLabel("Key", { exact: true }).inputValue();
    assert.match(key, /^sep_/);
    const answer = await fetch(`${base}/api/v1/sites`, { headers: { Authorization: `Bearer ${key}` } });
    assert.equal(answer.status, 200);
    await picture(page, "key-1440");
    await page.getByRole("link", { name: "I have kept it" }).click();
    const row = page.getByRole("row", { name: /CRM import/ });
    await row.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog", { name: "Remove the key CRM import?" }).getByRole("button", { name: "Remove" }).click();
    await row.waitFor({ state: "detached" });
    assert.equal((await fetch(`${base}/api/v1/sites`, { headers: { Authorization: `Bearer ${key}` } })).status, 401);
  });

  it("asks for a second factor once it is switched on, and ends other sessions", async () => {
    const page = await open("/account");
    await page.getByRole("button", { name: "Switch on" }).click();
    await page.getByRole("img", { name: "QR code for the authenticator app" }).waitFor();
    const secret = await page.getByLabel("Or type this into the app", { exact: true }).inputValue();
    await picture(page, "account-totp-1440", { fullPage: true });
    await page.getByLabel("Code from your authenticator app").fill("000000");
    await page.getByRole("button", { name: "Confirm and switch on" }).click();
    await page.getByText(/is wrong or was used already/).waitFor();
    await page.getByLabel("Code from your authenticator app").fill(codeOf(secret));
    await page.getByRole("button", { name: "Confirm and switch on" }).click();
    await page.getByRole("button", { name: "Switch off" }).waitFor();

    const other = await startBrowser();
    try {
      const there = await other.open(`${base}/sign-in`);
      await there.getByLabel("E-mail").fill(EMAIL);
      await there.getByLabel("Password").fill(PASSWORD);
      await there.getByRole("button", { name: "Sign in" }).click();
      await there.getByLabel("Code from your authenticator app").fill(codeOf(secret, 1));
      await there.getByRole("button", { name: "Sign in" }).click();
      await there.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
      await page.reload();
      await page.getByRole("button", { name: "Sign out there" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Sign out there" }).click();
      await page.getByRole("button", { name: "Sign out there" }).waitFor({ state: "detached" });
      await there.goto(`${base}/sites`);
      await there.getByRole("heading", { name: "Sign in" }).waitFor();
      assert.ok(other.forgive(REFUSED) > 0);
      assert.deepEqual(other.trouble, []);
    } finally {
      await other.close();
    }
    assert.ok(browser.forgive(REFUSED) > 0);
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
    ["/waba/templates", "Templates"], ["/waba/templates/new", "New template"], ["/waba/interactive", "Interactive messages"],
    ["/waba/interactive/new", "New interactive message"], ["/waba/events", "Events"],
    ["/bitrix/applications", "Bitrix24: Applications"], ["/bitrix/applications/new", "Bitrix24: add application"], [`/bitrix/applications/${ids.application}`, ""],
    ["/bitrix/instances", "Bitrix24: Instances"], [`/bitrix/instances/${ids.instance}`, "127.0.0.1"],
    ["/bitrix/connectors", "Connectors"], ["/bitrix/lines", "Lines"],
    ["/messages", "Messages"], ["/calls", "Calls"], ["/queue", "Queue and dead letters"],
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

/** Opens a page by its entry in a group of the menu. */
async function menu(page, group, entry) {
  const list = group === "" ? page.getByRole("navigation") : page.getByRole("list", { name: group });
  await list.getByRole("link", { name: entry, exact: true }).click();
}

/** What an authenticator app shows for a secret (RFC 6238), `later` steps of 30 seconds from now. */
function codeOf(secret, later = 0) {
  const bits = [...secret].map((letter) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + later));
  const digest = createHmac("sha1", key).update(counter).digest();
  const offset = digest[19] & 15;
  return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}
