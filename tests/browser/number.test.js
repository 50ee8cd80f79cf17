// How a number speaks outside the 24 hours, as a person sets it up: in the panel and inside Bitrix24.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { findings, picture, sidewaysScroll, withSandbox } from "./sandbox.js";

/** What the browser writes down when the API refuses, which pages show to the person. */
const REFUSED = /the server responded with a status of 4\d\d/;

describe("a number outside the 24 hours", () => {
  let browser;
  let sandbox;
  let base;
  let phone;

  withSandbox(async (started) => {
    ({ browser, sandbox, base } = started);
    [phone] = (await sandbox.api("GET", "waba/phones")).items;
    await sandbox.api("POST", `waba/accounts/${phone.account}/sync`, {});
  }, { expected: REFUSED });

  const cardOf = (page) => page.locator(`[data-test="messaging-${phone.phone}"]`);

  async function open(width = 1440) {
    const page = await browser.open(`${base}/waba/phones/${phone.id}`, width);
    const card = cardOf(page);
    await card.getByRole("button", { name: "Save" }).waitFor();
    return { page, card };
  }

  const saved = () => sandbox.api("GET", `waba/phones/${phone.id}/messaging`);

  it("is set up with templates of the catalogue, refused at the field, and written down", async () => {
    const { page, card } = await open();
    // Without a template there is nothing that could be sent at once.
    await card.getByRole("combobox", { name: /^An operator's message/ }).click();
    await page.getByRole("option", { name: "the default template is sent at once" }).click();
    await card.getByRole("button", { name: "Save" }).click();
    await card.getByText(/An operator's message outside the 24 hours can be template only where/).waitFor();
    await card.getByRole("combobox", { name: /^Default template/ }).click();
    assert.equal(await page.getByRole("option", { name: /order_ready/ }).count(), 0, "one with several values carries no text");
    await page.getByRole("option", { name: /hello_world \(en_US\): asks the customer to write/ }).click();
    await card.getByRole("combobox", { name: /^Default language/ }).click();
    await page.getByRole("option", { name: "en_US" }).click();
    await card.getByLabel("Document for headers").fill("prices.pdf");
    await card.getByRole("switch", { name: "Show SMS and robots in the chat" }).click();
    await card.getByRole("button", { name: "Save" }).click();
    await card.getByText(/Document for headers must be an address/).waitFor();
    assert.equal(await card.getByLabel("Document for headers").inputValue(), "prices.pdf", "what was typed is lost");
    assert.deepEqual(await findings(page), []);
    await card.getByLabel("Document for headers").fill("https://example.com/prices.pdf");
    await card.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved").first().waitFor();
    const { default_language, wrapper_template, wrapper_language, outside_window, mirror, document_link } = await saved();
    assert.deepEqual(
      { default_language, wrapper_template, wrapper_language, outside_window, mirror, document_link },
      {
        default_language: "en_US", wrapper_template: "hello_world", wrapper_language: "en_US", outside_window: "template",
        mirror: false, document_link: "https://example.com/prices.pdf",
      },
    );
    await page.reload();
    await card.getByText(/hello_world \(en_US\)/).first().waitFor();
    assert.equal(await card.getByLabel("Document for headers").inputValue(), "https://example.com/prices.pdf");
    await picture(page, "number-messaging-1440", { fullPage: true });
    // Nobody has to guess who changed it.
    const audit = await sandbox.api("GET", "audit?limit=50");
    const changes = audit.items.flatMap((line) => line.changes ?? []).map((change) => change.field);
    for (const field of ["outside_window", "wrapper_template", "document_link"]) assert.ok(changes.includes(field), `${field} is not in the audit`);
  });

  it("fits every width in both colours", async () => {
    for (const scheme of ["light", "dark"]) {
      for (const width of [360, 768, 1440]) {
        const { page } = await open(width);
        // Colours are looked at as they come to rest, not while they change.
        await page.emulateMedia({ colorScheme: scheme });
        await page.reload();
        await cardOf(page).getByRole("button", { name: "Save" }).waitFor();
        assert.equal(await sidewaysScroll(page), 0, `${scheme} ${width}: scrolls sideways`);
        assert.deepEqual(await findings(page), [], `${scheme} ${width}`);
        await picture(page, `number-messaging-${scheme}-${width}`, { fullPage: true });
        await browser.closePages();
      }
    }
  });
});
