// The sandbox as a person meets it: the customer's phone, the operator's open line, the API's page.

import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, describe, it } from "node:test";
import { pdf, png } from "./files.js";
import { findings, picture, sidewaysScroll, startBrowser, startSandbox } from "./sandbox.js";

describe("the sandbox", () => {
  let browser;
  let sandbox;

  before(async () => { browser = await startBrowser(); });
  after(async () => { await browser?.close(); });

  beforeEach(async () => {
    browser.trouble.length = 0;
    sandbox = await startSandbox();
  });

  afterEach(async () => {
    await browser.closePages();
    const { how, complained } = await sandbox.stop();
    assert.deepEqual(browser.trouble, [], "the pages did what they must not do");
    assert.equal(how, 0, "the sandbox did not end well");
    assert.equal(complained, "", "the sandbox complained");
  });

  it("carries a conversation both ways, with a quote and files", async () => {
    const { phone, line } = await openBoth();
    await customerWrites(phone, "Good morning! Do you have the blue bicycle in size M?");
    await openChat(line, "Lena Klein");
    const question = operatorBubble(line, "blue bicycle");
    await question.waitFor();

    await operatorWrites(line, "Good morning Lena, yes, [b]two[/b] of them.");
    const answer = phoneBubble(phone, "yes, two of them");
    await answer.waitFor();
    assert.match(await answer.locator(".content").innerHTML(), /<strong>two<\/strong>/, "bold is bold on the phone");

    await question.getByRole("button", { name: "Quote" }).click();
    await operatorWrites(line, "This one?");
    const quoting = phoneBubble(phone, "This one?");
    await quoting.locator(".quoted", { hasText: "blue bicycle" }).waitFor();

    await line.locator("#files").setInputFiles([
      { name: "bicycle.png", mimeType: "image/png", buffer: png() },
      { name: "Price list.pdf", mimeType: "application/pdf", buffer: pdf() },
    ]);
    await operatorWrites(line, "A picture and the prices.");
    await phone.locator(".bubble:not(.mine) img").waitFor();
    await loaded(phone.locator(".bubble:not(.mine) img"));
    await phone.locator(".bubble:not(.mine) a", { hasText: "Price list.pdf" }).waitFor();
    await answer.locator(".ticks.read").waitFor();
    await operatorBubble(line, "This one?").locator(".state-delivered").waitFor();

    await phone.locator("#file").setInputFiles({ name: "mine.png", mimeType: "image/png", buffer: png(320, 320) });
    await phone.locator(".bubble.mine img").waitFor();
    await loaded(line.locator(".message.customer img"));
    await showsTheEnd(phone);
    await showsTheEnd(line);

    await picture(phone, "phone-1280");
    await picture(line, "open-line-1280");
    await line.getByRole("button", { name: "Faults and controls" }).click();
    await picture(line, "open-line-faults-1280");
  });

  it("fits a telephone's screen", async () => {
    const { phone, line } = await openBoth("narrow");
    await picture(phone, "phone-list-390");
    await phone.getByRole("button", { name: /Lena Klein/ }).click();
    await customerWrites(phone, "Is the shop open on Saturday?");
    await openChat(line, "Lena Klein");
    await operatorBubble(line, "open on Saturday").waitFor();
    await operatorWrites(line, "From nine to four.");
    await phoneBubble(phone, "From nine to four.").waitFor();
    await phone.locator(".bubble .ticks.read").last().waitFor();
    for (const [name, page] of [["phone-390", phone], ["open-line-390", line]]) {
      await picture(page, name);
      assert.equal(await sidewaysScroll(page), 0, `${name} scrolls sideways`);
    }
  });

  it("tells the operator in red when WhatsApp did not deliver, and why", async () => {
    const { phone, line } = await openBoth();
    await customerWrites(phone, "Please call me back.");
    await openChat(line, "Lena Klein");
    await operatorBubble(line, "call me back").waitFor();
    await phone.getByRole("button", { name: "Messages to the customer fail after they were accepted: the next times" }).click();
    await phone.locator("#rules li").waitFor();
    await operatorWrites(line, "At which number?");
    await operatorBubble(line, "131026").waitFor();
    await phone.locator(".bubble .failed", { hasText: "131026" }).waitFor();
    await picture(line, "open-line-failed-1280");
    await picture(phone, "phone-failed-1280");
    await operatorWrites(line, "Once more.");
    await phoneBubble(phone, "Once more.").locator(".ticks.read").waitFor();
  });

  it("shows the API with an operation to try", async () => {
    const page = await browser.open(sandbox.docs);
    await page.getByRole("heading", { name: "Schemas" }).waitFor();
    const described = await page.evaluate(async () => {
      const description = await (await fetch("/api/openapi.json")).json();
      return Object.values(description.paths).flatMap((path) => Object.keys(path).filter((verb) => /^(get|post|patch|delete)$/.test(verb))).length;
    });
    assert.ok(described > 20, `only ${described} operations are described`);
    assert.equal(await page.locator("summary .verb").count(), described, "not all operations are drawn");
    await page.getByLabel("API key").fill(sandbox.key);
    const operation = page.locator("details", { has: page.locator("summary", { hasText: "List numbers" }) }).first();
    await operation.locator("summary").click();
    await operation.getByRole("button", { name: "Send" }).click();
    await operation.locator("pre", { hasText: "200 OK" }).waitFor();
    await picture(page, "api-1280");
    await page.setViewportSize({ width: 390, height: 844 });
    await picture(page, "api-390");
    assert.equal(await sidewaysScroll(page), 0, "the page scrolls sideways");
  });

  for (const scheme of ["light", "dark"]) {
    it(`can be used by everybody: no serious finding of axe (${scheme})`, async () => {
      const { phone, line } = await openBoth();
      const docs = await browser.open(sandbox.docs);
      await docs.getByRole("heading", { name: "Schemas" }).waitFor();
      await customerWrites(phone, "Hello");
      await openChat(line, "Lena Klein");
      await operatorWrites(line, "Hello Lena");
      await phoneBubble(phone, "Hello Lena").waitFor();
      await line.getByRole("button", { name: "Faults and controls" }).click();
      for (const [name, page] of [["phone", phone], ["open line", line], ["API", docs]]) {
        await page.emulateMedia({ colorScheme: scheme });
        assert.deepEqual(await findings(page), [], `${name}, ${scheme}`);
        if (scheme === "dark") await picture(page, `${name.replace(" ", "-")}-dark-1280`);
      }
    });
  }

  async function openBoth(width) {
    const phone = await browser.open(sandbox.phone, width);
    const line = await browser.open(sandbox.line, width);
    await phone.getByRole("button", { name: /Lena Klein/ }).waitFor();
    return { phone, line };
  }
});

const customerWrites = async (phone, text) => {
  await phone.getByLabel("Message", { exact: true }).fill(text);
  await phone.getByLabel("Message", { exact: true }).press("Enter");
  await phoneBubble(phone, text).waitFor();
};

const operatorWrites = async (line, text) => {
  await line.getByLabel("Your answer").fill(text);
  await line.getByRole("button", { name: "Send", exact: true }).click();
  await line.waitForFunction(() => document.getElementById("answer").value === "");
};

const openChat = (line, name) => line.getByRole("button", { name: new RegExp(name) }).click();
const phoneBubble = (phone, text) => phone.locator(".bubble", { has: phone.locator(".content", { hasText: text }) });
const operatorBubble = (line, text) => line.locator(".message", { has: line.locator(".text", { hasText: text }) });
const showsTheEnd = (page) => page.waitForFunction(() => {
  const list = document.getElementById("messages");
  return list.scrollHeight - list.scrollTop - list.clientHeight < 2;
});
const loaded = (image) => image.evaluate((node) => node.decode());
