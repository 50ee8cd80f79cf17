// Our pages inside Bitrix24 as it opens them: by a form post, in a frame of another origin, in a browser that keeps no
// cookies. The card's form, the chat's button, the settings of a robot.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findings, PATIENCE, picture, sidewaysScroll, withSandbox } from "./sandbox.js";

const ROBOT = "separator_template";

describe("pages inside Bitrix24", () => {
  let browser;
  let sandbox;
  let application;

  withSandbox(async (started) => {
    ({ browser, sandbox } = started);
    application = (await sandbox.api("GET", "bitrix/apps")).items[0].client_id;
    const account = (await sandbox.api("GET", "waba/accounts")).items[0].id;
    await sandbox.api("POST", `waba/accounts/${account}/sync`, {});
  }, { cookies: false, signedIn: false });

  /** Opens a page of ours in its place, as an employee who is no administrator; gives the portal's page and our frame. */
  async function opened(place, details = {}, width = 1440) {
    const address = new URL("/p/1/frame/", sandbox.line);
    address.search = new URLSearchParams({ client_id: application, page: place, user: "27", language: "en", ...details });
    const page = await browser.open(address.href, width);
    const frame = page.frameLocator("iframe");
    await frame.getByRole("heading", { level: 1 }).waitFor();
    const inside = page.frames().find((one) => one.parentFrame() !== null);
    assert.notEqual(new URL(inside.url()).origin, new URL(page.url()).origin, "the frame is of the portal's own origin");
    return { page, frame, inside };
  }

  const card = (place, id, more = {}, width = 1440) => opened(place, { options: JSON.stringify({ ID: id }), ...more }, width);

  it("sends a template from a deal with the deal's fields in it, and shows it arrive and be read", async () => {
    const { page, frame, inside } = await card("CRM_DEAL_DETAIL_TAB", "1207");
    await frame.getByRole("heading", { name: "WhatsApp: Order 1207" }).waitFor();
    await frame.getByText("Only templates are taken until the customer writes.").waitFor();
    await frame.getByRole("button", { name: "Send", exact: true }).waitFor({ state: "detached" });
    await frame.getByLabel("Search a template").fill("order");
    await frame.getByRole("button", { name: /^order_ready/ }).click();
    const send = frame.getByRole("button", { name: "Send", exact: true });
    assert.equal(await send.isDisabled(), true, "it can be sent without values");
    await insert(frame, "Value for {{1}}", "Name");
    await insert(frame, "Value for {{2}}", "Title");
    await value(frame, "Value for the button “Ansehen”").fill("1207");
    const preview = frame.getByRole("region", { name: "As a phone shows it" });
    await preview.getByText("Hallo Lena, Ihre Bestellung Order 1207 ist da.").waitFor();
    assert.deepEqual(await findings(inside), []);
    await picture(page, "card-1440", { fullPage: true });
    await send.click();
    await frame.locator("[data-test=outcome]").getByText(/It is on the customer's phone|The customer has read it/).waitFor();
    await frame.locator("[data-test=history]").getByText("Hallo Lena, Ihre Bestellung Order 1207 ist da.").waitFor();
    const phone = await browser.open(sandbox.phone);
    await phone.locator(".bubble:not(.mine)", { hasText: "order_ready" }).waitFor();
    await picture(page, "card-sent-1440", { fullPage: true });
    assert.deepEqual(await page.context().cookies(), [], "somebody set a cookie");

    // The customer answers: free text may be sent for a day, and the time runs.
    await phone.locator("#text").fill("Thank you!");
    await phone.locator("#text").press("Enter");
    const timer = frame.getByRole("timer");
    await timer.waitFor();
    const first = await timer.innerText();
    assert.match(first, /^23:59:\d\d$/);
    await inside.waitForFunction((before) => document.querySelector("[role=timer]")?.textContent !== before, first, { timeout: PATIENCE });
  });

  it("says in the reader's language why nothing was sent, and keeps what was typed", async () => {
    const { page, frame, inside } = await card("CRM_CONTACT_DETAIL_TAB", "3", { language: "ru" }, 360);
    await frame.getByText("Не номер телефона с кодом страны: see notes").waitFor();
    await frame.getByRole("button", { name: /^invoice/ }).click();
    await value(frame, "Значение для {{1}}").fill("17");
    await frame.getByLabel("Адрес файла в заголовке (документ)").fill("nowhere");
    await frame.getByRole("button", { name: "Отправить", exact: true }).click();
    await frame.getByRole("alert").getByText("Ничего не отправлено").waitFor();
    assert.match(await frame.getByRole("alert").innerText(), /nowhere/, "it does not name what is wrong");
    assert.doesNotMatch(await frame.getByRole("alert").innerText(), /must be/, "it is not in the reader's language");
    assert.equal(await value(frame, "Значение для {{1}}").inputValue(), "17");
    assert.equal(await sidewaysScroll(inside), 0, "it scrolls sideways");
    assert.deepEqual(await findings(inside), []);
    await picture(page, "card-ru-360", { fullPage: true });
    assert.ok(browser.forgive(/status of 422/) > 0);
  });

  it("shows nothing of a card that Bitrix24 does not show to the employee", async () => {
    const { frame } = await card("CRM_DEAL_DETAIL_ACTIVITY", "1207", { user: "31" });
    await frame.getByText("Bitrix24 does not show you this card.").waitFor();
    assert.equal(browser.forgive(/status of 403/), 1);
  });

  it("sends to the customer of the chat in which its button was pressed, and counts the window down beside it", async () => {
    const phone = await browser.open(sandbox.phone);
    await phone.locator("#text").fill("Is it there yet?");
    await phone.locator("#text").press("Enter");
    const chat = await poll(async () => (await (await fetch(new URL("/sandbox/state", sandbox.line))).json()).chats?.[0]?.id, (id) => id !== undefined);
    for (const [place, width] of [["IM_SIDEBAR", 360], ["IM_TEXTAREA", 768]]) {
      const { page, frame, inside } = await opened(place, { options: JSON.stringify({ dialogId: `chat${chat}` }) }, width);
      await frame.getByRole("heading", { name: "WhatsApp: Lena Klein" }).waitFor();
      await frame.getByRole("timer").waitFor();
      await frame.locator("[data-test=history]").getByText("Is it there yet?").waitFor();
      await frame.getByRole("button", { name: /^hello_world/ }).click();
      assert.equal(await sidewaysScroll(inside), 0, "it scrolls sideways");
      assert.deepEqual(await findings(inside), []);
      await picture(page, `chat-${place.toLowerCase()}-${width}`, { fullPage: true });
      await frame.getByRole("button", { name: "Send", exact: true }).click();
      await frame.locator("[data-test=outcome]").getByText(/WhatsApp has it|It is on the customer's phone|The customer has read it/).waitFor();
    }
    const received = phone.locator(".bubble:not(.mine)", { hasText: "hello_world" });
    await received.nth(1).waitFor();
  });

  it("lets a robot's step be set up from the catalogue, and finds its settings again", async () => {
    const open = (more = {}, width = 1440) => opened("ROBOT", { code: ROBOT, user: "1", ...more }, width);
    const { page, frame, inside } = await open();
    await frame.getByRole("heading", { name: "Send a WhatsApp template" }).waitFor();
    await frame.getByRole("combobox", { name: "Insert a field: To" }).click();
    await frame.getByRole("option", { name: "Contact: Phone" }).click();
    await frame.getByRole("button", { name: /^delivery_note/ }).click();
    await insert(frame, "Value for {{1}}", "Contact: First name");
    await value(frame, "Value for {{2}}").fill("A-7");
    await frame.getByRole("switch", { name: "Wait for delivery" }).click();
    await frame.locator("[data-test=told]").getByText("Bitrix24 has these settings").waitFor();
    assert.deepEqual(await findings(inside), []);
    await picture(page, "robot-1440", { fullPage: true });

    const again = await open({ language: "ru" }, 360);
    await again.frame.getByRole("heading", { name: "Отправить шаблон WhatsApp" }).waitFor();
    await value(again.frame, "Значение для {{1}}").waitFor();
    assert.equal(await value(again.frame, "Значение для {{1}}").inputValue(), "{=Document:CONTACT.NAME}");
    assert.equal(await value(again.frame, "Значение для {{2}}").inputValue(), "A-7");
    assert.equal(await value(again.frame, "Кому").inputValue(), "{=Document:CONTACT.PHONE}");
    assert.equal(await again.frame.getByRole("switch", { name: "Ждать доставки" }).isChecked(), true);
    assert.equal(await sidewaysScroll(again.inside), 0, "it scrolls sideways");
    assert.deepEqual(await findings(again.inside), []);
    await picture(again.page, "robot-ru-360", { fullPage: true });
  });
});

/** The field of a value, which has a star behind its name; not the list of what can be inserted. */
const value = (frame, name) => frame.getByRole("textbox", { name });

/** Inserts a field of the card or document into a value. */
async function insert(frame, place, field) {
  await frame.getByRole("combobox", { name: `Insert a field: ${place}` }).click();
  await frame.getByRole("option", { name: field }).first().click();
}

async function poll(ask, good) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (good(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`it did not come to that: ${JSON.stringify(answer)}`);
    await new Promise((next) => setTimeout(next, 100));
  }
}
