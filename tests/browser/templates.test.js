// The editors of templates and of interactive messages: Meta's limits while typing, its refusals at the field, samples on
// their way to it, and a message with buttons from its first letter to the customer's answer.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pdf, png } from "./files.js";
import { choose, findings, picture, poll, settled, sidewaysScroll, withSandbox } from "./sandbox.js";

/** What the browser writes down when the API refuses, which the pages show to the person. */
const REFUSED = /status of 4(04|22)/;

/** The beginning of an MP4. */
const mp4 = () => Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from("ftypisom"), Buffer.from([0, 0, 2, 0]), Buffer.from("isomiso2"), Buffer.alloc(64)]);

describe("the editors of messages", () => {
  let browser;
  let sandbox;
  let base;
  let account;

  withSandbox(async (started) => {
    ({ browser, sandbox, base } = started);
    account = (await sandbox.api("GET", "waba/accounts")).items[0];
    await sandbox.api("POST", `waba/accounts/${account.id}/sync`, {});
  });

  /** Opens a page of the panel and waits until it has what it shows. */
  async function open(path, width = 1440) {
    const page = await browser.open(`${base}${path}`, width);
    await settled(page);
    return page;
  }

  /** Fields by their label; one that has to be filled in has a star behind it. */
  const field = (page, label) => page.getByRole("textbox", { name: new RegExp(`^${label.replaceAll(/[{}]/g, "\\$&")}\\*?$`) });
  const save = (page, name) => page.getByRole("button", { name, exact: true }).click();
  const template = async (name) => (await sandbox.api("GET", `waba/templates?q=${name}`)).items[0];

  /** Begins a template. */
  async function begin(name, width = 1440) {
    const page = await open("/waba/templates/new", width);
    await field(page, "Template").fill(name);
    await field(page, "Language").fill("en");
    await field(page, "Text").fill("We are open from nine to six today.");
    return page;
  }

  /** Hands a template in and waits for its page. */
  async function handIn(page, name) {
    await save(page, "Hand in for review");
    await page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
    await page.getByText("in review", { exact: true }).waitFor();
  }

  it("makes a template with each kind of header", async () => {
    const files = {
      IMAGE: { label: "Picture", file: { name: "shop.png", mimeType: "image/png", buffer: png() } },
      VIDEO: { label: /^Video$/, file: { name: "shop.mp4", mimeType: "video/mp4", buffer: mp4() } },
      DOCUMENT: { label: "Document", file: { name: "prices.pdf", mimeType: "application/pdf", buffer: pdf() } },
    };
    for (const [format, { label, file }] of Object.entries(files)) {
      const name = `hours_${format.toLowerCase()}`;
      const page = await begin(name);
      await choose(page, "Header", label);
      await page.getByLabel("Sample", { exact: true }).setInputFiles(file);
      await page.getByText(`Meta has ${file.name}.`).waitFor();
      assert.deepEqual(await findings(page), []);
      await picture(page, `template-new-${format.toLowerCase()}-1440`, { fullPage: true });
      await handIn(page, name);
      const { components } = await template(name);
      assert.equal(components[0].format, format);
      assert.ok(components[0].example.header_handle[0].length > 0);
      await page.close();
    }
    const text = await begin("hours_text");
    await choose(text, "Header", /^Text$/);
    await field(text, "Text of the header").fill("Today, {{1}}");
    await field(text, "Sample for {{1}}").fill("Monday");
    await text.getByRole("region", { name: "As a phone shows it" }).getByText("Today,").waitFor();
    await handIn(text, "hours_text");
    const place = await begin("hours_place");
    await choose(place, "Header", "Place");
    await handIn(place, "hours_place");
    assert.deepEqual((await template("hours_text")).components[0], { type: "HEADER", format: "TEXT", text: "Today, {{1}}", example: { header_text: ["Monday"] } });
  });

  it("says at the field what cannot be a sample, and takes the next one", async () => {
    const page = await begin("wrong_sample");
    await choose(page, "Header", "Picture");
    await page.getByLabel("Sample", { exact: true }).setInputFiles({ name: "shop.png", mimeType: "image/png", buffer: pdf() });
    await page.getByText("a picture must be JPEG or PNG").last().waitFor();
    await page.getByLabel("Sample", { exact: true }).setInputFiles({ name: "large.png", mimeType: "image/png", buffer: Buffer.concat([png(), Buffer.alloc(6 * 1024 * 1024)]) });
    await page.getByText("it has more than 5 MB").last().waitFor();
    await picture(page, "template-sample-refused-1440");
    await page.getByLabel("Sample", { exact: true }).setInputFiles({ name: "shop.png", mimeType: "image/png", buffer: png() });
    await page.getByText("Meta has shop.png.").waitFor();
    assert.equal(await page.getByText("it has more than 5 MB").count(), 0);
    // A picture's handle is none of a video.
    await choose(page, "Header", /^Video$/);
    await save(page, "Hand in for review");
    await page.getByText(/sample/i).first().waitFor();
    assert.equal(await field(page, "Text").inputValue(), "We are open from nine to six today.");
    assert.ok(browser.forgive(REFUSED) >= 2);
  });

  it("names variables and asks for a sample of each", async () => {
    const page = await begin("ready_named");
    await choose(page, "Variables", "Names");
    await field(page, "Text").fill("Hello {{first_name}}, your order {{order}} is ready for you to collect.");
    await save(page, "Hand in for review");
    await page.getByText(/needs a sample for each of its 2 variables/).last().waitFor();
    await field(page, "Sample for {{first_name}}").fill("Lena");
    await field(page, "Sample for {{order}}").fill("A-7");
    await handIn(page, "ready_named");
    const made = await template("ready_named");
    assert.equal(made.parameter_format, "NAMED");
    assert.deepEqual(made.components[0].example.body_text_named_params, [{ param_name: "first_name", example: "Lena" }, { param_name: "order", example: "A-7" }]);
    browser.forgive(REFUSED);
  });

  it("makes templates for one-time passwords, whose text is Meta's", async () => {
    const page = await open("/waba/templates/new");
    await field(page, "Template").fill("sign_in_code");
    await field(page, "Language").fill("en_US");
    await choose(page, "Category", /^Authentication/);
    const preview = page.getByRole("region", { name: "As a phone shows it" });
    await preview.getByText("do not share this code").waitFor();
    await page.getByRole("switch", { name: "Advise not to share the code" }).click();
    await preview.getByText("do not share this code").waitFor({ state: "detached" });
    await field(page, "Code expires after so many minutes").fill("91");
    await choose(page, "Button", "Fills the code into an Android app");
    await save(page, "Hand in for review");
    await page.getByText("must say after how many minutes the code expires, 1 to 90").last().waitFor();
    await page.getByText("write its package, such as com.example.shop").last().waitFor();
    await field(page, "Code expires after so many minutes").fill("15");
    await field(page, "Package of the Android app").fill("com.example.shop");
    await field(page, "Hash of its signature").fill("K8a/AINcGX7");
    assert.deepEqual(await findings(page), []);
    await picture(page, "template-password-1440", { fullPage: true });
    await handIn(page, "sign_in_code");
    const made = await template("sign_in_code");
    assert.equal(made.category, "AUTHENTICATION");
    assert.deepEqual(made.components.map(({ text, code_expiration_minutes: minutes }) => text ?? minutes ?? null).slice(0, 2), ["*{{1}}* is your verification code.", "This code expires in 15 minutes."]);

    // One that is approved can be changed.
    const { id } = await template("login_code");
    const again = await open(`/waba/templates/${id}`);
    await again.getByRole("link", { name: "Change", exact: true }).click();
    await field(again, "Written on it").waitFor();
    assert.equal(await field(again, "Written on it").inputValue(), "Copy code");
    await field(again, "Code expires after so many minutes").fill("5");
    await handIn(again, "login_code");
    const changed = await template("login_code");
    assert.deepEqual(changed.components.slice(0, 2).map(({ add_security_recommendation: advice, code_expiration_minutes: minutes }) => advice ?? minutes), [true, 5]);
    browser.forgive(REFUSED);
  });

  it("counts while typing, and puts Meta's own refusals at their field", async () => {
    const page = await begin("too_long");
    await field(page, "Footer").fill("x".repeat(63));
    await page.getByText("3 characters too many").waitFor();
    await field(page, "Footer").fill("");
    // Only Meta knows that there are too many variables for so few words.
    await field(page, "Text").fill("Hi {{1}} and {{2}} now");
    await field(page, "Sample for {{1}}").fill("a");
    await field(page, "Sample for {{2}}").fill("b");
    await save(page, "Hand in for review");
    await page.getByText(/too many variables for its length.*2388293/).first().waitFor();
    assert.equal(await field(page, "Sample for {{2}}").inputValue(), "b", "what was typed is gone");
    await picture(page, "template-refused-1440", { fullPage: true });
    await field(page, "Text").fill("We are open.");
    await field(page, "Template").fill("hours_text");
    await save(page, "Hand in for review");
    await page.getByText(/already content in this language/).first().waitFor();
    browser.forgive(REFUSED);
  });

  it("changes a template and deletes it", async () => {
    const { id } = await template("win_a_prize");
    const page = await open(`/waba/templates/${id}`);
    await page.getByRole("link", { name: "Change", exact: true }).click();
    await field(page, "Text").fill("Your order is on its way to you.");
    await handIn(page, "win_a_prize");
    assert.equal((await template("win_a_prize")).components[0].text, "Your order is on its way to you.");
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByRole("heading", { level: 1, name: "Templates" }).waitFor();
    assert.equal(await template("win_a_prize"), undefined);
  });

  it("carries buttons from the editor to the customer, and the answer back", async () => {
    const page = await open("/waba/interactive");
    await page.getByText("No interactive messages").waitFor();
    await page.getByRole("link", { name: "New interactive message" }).first().click();
    await field(page, "Name").fill("delivery");
    await choose(page, "Header", /^Text$/);
    await field(page, "Text of the header").fill("Order {{2}}");
    await field(page, "Text").fill("Shall we deliver today, {{1}}?");
    await field(page, "Button 1").fill("Yes, please");
    await page.getByRole("button", { name: "Add a button" }).click();
    await field(page, "Button 2").fill("Yes, please");
    await page.getByRole("button", { name: "Add a button" }).click();
    await field(page, "Button 3").fill("Not at all, thank you");
    assert.equal(await page.getByRole("button", { name: "Add a button" }).count(), 0, "a fourth button is offered");
    await page.getByText("1 characters too many").waitFor();
    await save(page, "Save");
    await page.getByText("is there already; each must be another").last().waitFor();
    await page.getByText("has 21 characters; at most 20 are taken").last().waitFor();
    await picture(page, "interactive-refused-1440", { fullPage: true });
    await field(page, "Button 2").fill("Tomorrow");
    await page.getByRole("button", { name: "Remove: Button 3" }).click();
    await save(page, "Save");
    const code = page.getByLabel("To send it from the chat", { exact: true });
    await code.waitFor();
    assert.equal(await code.inputValue(), "interactive+delivery|{{1}}|{{2}}");
    await settled(page);
    assert.deepEqual(await findings(page), []);
    await picture(page, "interactive-buttons-1440", { fullPage: true });
    browser.forgive(REFUSED);

    // An operator sends it by its code, and the customer presses a button.
    const phone = await browser.open(sandbox.phone);
    await phone.locator("#text").fill("Where is my order?");
    await phone.locator("#text").press("Enter");
    const line = await browser.open(sandbox.line);
    await line.getByRole("button", { name: /Lena Klein/ }).click();
    await line.locator(".message.customer", { hasText: "Where is my order?" }).waitFor();
    await line.getByLabel("Your answer").fill("interactive+delivery|Lena|A-7");
    await line.getByLabel("Your answer").press("Enter");
    const bubble = phone.locator(".bubble:not(.mine)", { hasText: "Shall we deliver today, Lena?" });
    await bubble.getByText("Order A-7").waitFor();
    await line.locator(".message", { hasText: "Yes, please]" }).first().waitFor();
    await picture(phone, "phone-buttons-1280");
    await bubble.getByRole("button", { name: "Tomorrow" }).click();
    await line.locator(".message.customer", { hasText: "Tomorrow" }).waitFor();
    await picture(line, "line-buttons-1280");

    // A name that is none is told to the operator alone.
    await line.getByLabel("Your answer").fill("interactive+delivary|Lena|A-7");
    await line.getByLabel("Your answer").press("Enter");
    await line.locator(".message", { hasText: "Names that come close: delivery" }).waitFor();
    assert.equal(await phone.locator(".bubble", { hasText: "delivary" }).count(), 0);
  });

  it("writes a list, a link and calls, and opens them again as they were", async () => {
    const page = await open("/waba/interactive/new");
    await field(page, "Name").fill("times");
    await choose(page, "Kind", "List");
    await field(page, "Text").fill("When shall we come?");
    await field(page, "Button that opens the list").fill("Choose a time");
    await field(page, "Row 1").fill("Tuesday 14:00");
    await field(page, "Description").fill("{{branch}}");
    await page.getByRole("button", { name: "Add a row" }).click();
    await field(page, "Row 2").fill("Wednesday 09:00");
    await page.getByRole("button", { name: "Add a section" }).click();
    await save(page, "Save");
    await page.getByText("must not be empty").first().waitFor();
    const later = page.getByRole("group", { name: "Section 2" });
    await later.getByRole("textbox", { name: /^Title of the section/ }).fill("Later");
    await page.getByRole("group", { name: "Section 1" }).getByRole("textbox", { name: /^Title of the section/ }).fill("This week");
    await later.getByRole("textbox", { name: /^Row 1/ }).fill("Some other day");
    await save(page, "Save");
    await page.getByLabel("To send it from the chat", { exact: true }).waitFor();
    await page.reload();
    await settled(page);
    assert.equal(await later.getByRole("textbox", { name: /^Row 1/ }).inputValue(), "Some other day");
    await picture(page, "interactive-list-1440", { fullPage: true });

    for (const [name, kind, fill] of [
      ["track", "Link", async (form) => {
        await field(form, "Written on it").fill("Track");
        await field(form, "Address").fill("https://a.example/{{1}}");
      }],
      ["call_us", "Call button", async (form) => {
        await field(form, "Written on it").fill("Call us");
        await field(form, "Works for so many minutes").fill("60");
      }],
      ["may_we", "May we call you\\?", async () => {}],
    ]) {
      const form = await open("/waba/interactive/new");
      await field(form, "Name").fill(name);
      await choose(form, "Kind", new RegExp(`^${kind}$`));
      await field(form, "Text").fill("For you");
      await fill(form);
      await save(form, "Save");
      await form.getByLabel("To send it from the chat", { exact: true }).waitFor();
      await form.close();
    }
    const stored = (await sandbox.api("GET", "waba/interactive")).items;
    assert.deepEqual(new Set(stored.map(({ kind }) => kind)), new Set(["button", "list", "cta_url", "voice_call", "call_permission_request"]));
    browser.forgive(REFUSED);
    const list = await open("/waba/interactive");
    await list.getByRole("link", { name: /track/ }).waitFor();
    await picture(list, "interactive-messages-1440");
    await list.getByRole("link", { name: /call_us/ }).click();
    await list.getByRole("button", { name: "Remove", exact: true }).click();
    await list.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
    await list.getByRole("heading", { level: 1, name: "Interactive messages" }).waitFor();
    await poll(() => sandbox.api("GET", "waba/interactive"), ({ items }) => items.length === 4);
  });

  it("offers a card's reader the interactive messages while the customer can be written to", async () => {
    const application = (await sandbox.api("GET", "bitrix/apps")).items[0].client_id;
    const address = new URL("/p/1/frame/", sandbox.line);
    address.search = new URLSearchParams({ client_id: application, page: "CRM_DEAL_DETAIL_TAB", user: "27", language: "en", options: JSON.stringify({ ID: "1207" }) });
    const page = await browser.open(address.href, 1440);
    const frame = page.frameLocator("iframe");
    await frame.getByRole("timer").waitFor();
    await frame.getByRole("button", { name: /^track/ }).click();
    await frame.getByRole("textbox", { name: "Value for {{1}}" }).fill("A-9");
    await frame.getByRole("button", { name: "Send", exact: true }).click();
    await frame.locator("[data-test=outcome]").getByText(/WhatsApp has it|It is on the customer's phone|The customer has read it/).waitFor();
    const phone = await browser.open(sandbox.phone);
    await phone.locator(".bubble:not(.mine)", { hasText: "https://a.example/A-9" }).waitFor();
    await picture(page, "card-interactive-1440", { fullPage: true });
  });

  it("offers a robot's step the interactive messages, and finds the one it was saved with again", async () => {
    const application = (await sandbox.api("GET", "bitrix/apps")).items[0].client_id;
    const address = new URL("/p/1/frame/", sandbox.line);
    address.search = new URLSearchParams({ client_id: application, page: "ROBOT", code: "separator_template", user: "1", language: "en" });
    const page = await browser.open(address.href, 1440);
    const frame = page.frameLocator("iframe");
    await frame.getByRole("textbox", { name: /^To/ }).fill("{=Document:CONTACT.PHONE}");
    await frame.getByRole("button", { name: /^track/ }).click();
    await frame.getByText("An interactive message goes out only within 24 hours").waitFor();
    await frame.getByRole("textbox", { name: "Value for {{1}}" }).fill("A-9");
    await frame.locator("[data-test=told]").getByText("Bitrix24 has these settings").waitFor();
    const inside = page.frames().find((one) => one.parentFrame() !== null);
    assert.deepEqual(await findings(inside), []);
    await picture(page, "robot-interactive-1440", { fullPage: true });

    const again = (await browser.open(address.href, 1440)).frameLocator("iframe");
    await again.getByText("An interactive message goes out only within 24 hours").waitFor();
    assert.equal(await again.getByRole("textbox", { name: "Value for {{1}}" }).inputValue(), "A-9");
    assert.equal(await again.getByRole("alert").count(), 0, "it says that something is wrong");
  });

  it("says of a message until when it waits and why, and of a customer that no marketing is taken", async () => {
    const tell = async (path, body) => {
      const answer = await fetch(`${sandbox.phone}/sandbox/${path}`, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
      });
      assert.ok(answer.ok, await answer.text());
    };
    const state = await (await fetch(`${sandbox.phone}/sandbox/state`)).json();
    const number = state.numbers[0].id;
    // Lena, whose phone stands in the deal.
    const customer = "4915755509876";
    await tell("faults", { fault: "failed_status", value: 131047, times: 1 });
    const line = await browser.open(sandbox.line);
    await line.getByRole("button", { name: /Lena Klein/ }).click();
    await line.getByLabel("Your answer").fill("Is Thursday fine?");
    await line.getByLabel("Your answer").press("Enter");
    const held = await poll(() => sandbox.api("GET", "messages?q=Thursday"), ({ items }) => items.length > 0);
    const { id } = held.items[0];
    await poll(() => sandbox.api("GET", `messages/${id}`), ({ waits }) => waits !== null);
    await tell("marketing", { number, customer, stop: true });
    await poll(() => sandbox.api("GET", `messages/${id}`), ({ marketing_stopped_at: at }) => at !== null);

    const page = await open(`/messages/${id}`, 360);
    await page.getByText(/^Waits, until .* at most$/).waitFor();
    await page.getByText("The message goes out by itself as soon as the customer writes").waitFor();
    await page.getByText("The customer takes no marketing messages", { exact: true }).waitFor();
    assert.equal(await sidewaysScroll(page), 0, "it scrolls sideways");
    assert.deepEqual(await findings(page), []);
    await picture(page, "message-waits-360", { fullPage: true });

    const application = (await sandbox.api("GET", "bitrix/apps")).items[0].client_id;
    const address = new URL("/p/1/frame/", sandbox.line);
    address.search = new URLSearchParams({ client_id: application, page: "CRM_DEAL_DETAIL_TAB", user: "27", language: "en", options: JSON.stringify({ ID: "1207" }) });
    const card = (await browser.open(address.href, 1440)).frameLocator("iframe");
    await card.locator("[data-test=opted-out]").getByText("The customer takes no marketing messages").waitFor();
  });

  it("can be used by everybody, in every width, light and dark", async () => {
    const stored = (await sandbox.api("GET", "waba/interactive")).items;
    const of = (kind) => `/waba/interactive/${stored.find((one) => one.kind === kind).id}`;
    const pages = { "template-new": "/waba/templates/new", interactive: "/waba/interactive", "interactive-new": "/waba/interactive/new", "interactive-button": of("button"), "interactive-list": of("list"), "interactive-link": of("cta_url") };
    for (const [name, path] of Object.entries(pages)) {
      for (const width of [360, 768, 1440]) {
        const page = await open(path, width);
        await page.getByRole("heading", { level: 1 }).first().waitFor();
        assert.equal(await sidewaysScroll(page), 0, `${path} scrolls sideways at ${width}`);
        if (width === 360) await picture(page, `editor-${name}-360`, { fullPage: true });
        if (width === 1440) {
          for (const scheme of ["light", "dark"]) {
            await page.emulateMedia({ colorScheme: scheme });
            await page.reload();
            await settled(page);
            await page.getByRole("heading", { level: 1 }).first().waitFor();
            assert.deepEqual(await findings(page), [], `${path}, ${scheme}`);
            await picture(page, `editor-${name}-${scheme}-1440`);
          }
        }
        await page.close();
      }
    }
    // The password's form and the sample's field, narrow.
    const page = await open("/waba/templates/new", 360);
    await choose(page, "Header", "Picture");
    assert.equal(await sidewaysScroll(page), 0);
    await picture(page, "template-new-picture-360", { fullPage: true });
    await choose(page, "Category", /^Authentication/);
    await choose(page, "Button", "Fills the code into an Android app");
    assert.equal(await sidewaysScroll(page), 0);
    await picture(page, "template-password-360", { fullPage: true });
  });
});
