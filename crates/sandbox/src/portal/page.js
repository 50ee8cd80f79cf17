// The operator's screen: what a person sees of the portal, and the switches for what goes wrong with it.

const element = (id) => document.getElementById(id);

/** Makes an element: properties are set as they are, children may be nodes or texts. */
function make(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const view = {
  portal: Number(new URLSearchParams(location.search).get("portal")) || 1,
  chat: Number(location.hash.slice(1)) || null,
  state: null,
  /** Message id to what it was drawn from and its element. */
  drawn: new Map(),
  attached: [],
  /** `{kind: "quote" | "edit", id}` while the next text quotes or replaces a message. */
  context: null,
  /** Whether the end of the chat stays in sight. */
  following: true,
  /** Where the chat was scrolled to; only a person scrolls up. */
  scrolled: 0,
};

// --- talking to the portal ---

async function ask(path, options = {}) {
  const separator = path.includes("?") ? "&" : "?";
  const response = await fetch(`/sandbox/${path}${separator}portal=${view.portal}`, options);
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    throw new Error(answer.error || `The portal answered ${response.status}.`);
  }
  return response.status === 204 ? null : response.json();
}

const asJson = (method, body) => ({
  method,
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

function show(problem) {
  element("problem").textContent = problem ? problem.message : "";
}

/** Runs something a person asked for and shows what went wrong. */
async function attempt(work) {
  try {
    show(null);
    await work();
  } catch (problem) {
    show(problem);
  }
}

// --- BBCode ---

const WRAPPERS = { b: "strong", i: "em", u: "u", s: "s", code: "code" };
const COMMANDS = new Set(["call", "user", "chat", "context", "size", "timestamp"]);

/** The address, where it is one that may be followed. */
function safeAddress(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:", "tel:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** The element a tag stands for, or null where the tag is not known and stays text. */
function opened(name, value) {
  if (name in WRAPPERS) return make(WRAPPERS[name]);
  if (name === "color") {
    const node = make("span");
    if (/^#[0-9a-f]{3,8}$|^[a-z]+$/i.test(value)) node.style.color = value;
    return node;
  }
  if (name === "url") return make("a", { rel: "noopener noreferrer", target: "_blank" });
  if (name === "img") return make("span");
  if (name === "send" || name === "put") return make("button", { type: "button", className: "command" });
  return COMMANDS.has(name) ? make("span", { className: "command", title: name }) : null;
}

/** Finishes an element whose meaning depends on what is inside it. */
function finish(node, name, value) {
  if (name === "url") {
    const address = safeAddress(value || node.textContent);
    if (address) node.href = address;
  }
  if (name === "send" || name === "put") {
    // `[send=text]` says the text in the chat, `[put=text]` puts it into the field below.
    const words = value || node.textContent;
    node.addEventListener("click", () => (name === "send" ? attempt(() => say(words)) : put(words)));
  }
}

/** Writes a text with BBCode as nodes. Nothing in it can become anything but the elements named here. */
function bbcode(text, target) {
  const open = [{ node: target, name: null }];
  const top = () => open[open.length - 1];
  const pattern = /\[(\/?)([a-z]+)(?:=([^\]\n]*))?[^\]\n]*\]/gi;
  let written = 0;
  const write = (until) => top().node.append(text.slice(written, until));
  for (const match of text.matchAll(pattern)) {
    const [whole, slash, tag, value = ""] = match;
    const name = tag.toLowerCase();
    if (top().name === "code" && !(slash && name === "code")) continue;
    if (name === "br" && !slash) {
      write(match.index);
      top().node.append(make("br"));
    } else if (slash) {
      const index = open.findLastIndex((entry) => entry.name === name);
      if (index < 1) continue;
      write(match.index);
      open.splice(index).forEach((entry) => finish(entry.node, entry.name, entry.value));
    } else {
      const node = opened(name, value);
      if (!node) continue;
      write(match.index);
      top().node.append(node);
      open.push({ node, name, value });
    }
    written = match.index + whole.length;
  }
  write(text.length);
  open.slice(1).forEach((entry) => finish(entry.node, entry.name, entry.value));
}

/** Splits off quotations: blocks framed by dashes and lines that begin with `>>`. */
function rich(text, target) {
  const framed = /^-{20,}\n([\s\S]*?)\n-{20,}(?:\n|$)/m;
  const match = framed.exec(text);
  if (match) {
    if (match.index) rich(text.slice(0, match.index), target);
    const quote = make("blockquote");
    bbcode(match[1], quote);
    target.append(quote);
    rich(text.slice(match.index + match[0].length), target);
    return;
  }
  let plain = [];
  const flush = () => {
    if (plain.length) bbcode(plain.join("\n"), target);
    plain = [];
  };
  for (const line of text.split("\n")) {
    if (line.startsWith(">>")) {
      flush();
      const quote = make("blockquote");
      bbcode(line.slice(2), quote);
      target.append(quote);
    } else {
      plain.push(line);
    }
  }
  flush();
}

/** The text without its tags, for the chat list. */
const bare = (text) => text.replace(/\[\/?[a-z]+(=[^\]]*)?\]/gi, " ").replace(/\s+/g, " ").trim();

// --- drawing ---

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const kindOf = (message) => (typeof message.author === "string" ? message.author : "operator");

function drawFile(file) {
  const source = `/sandbox/files/${file.id}?portal=${view.portal}`;
  const label = `${file.name}, ${file.size.toLocaleString()} bytes`;
  const kind = file.mime.split("/")[0];
  if (kind === "image") return make("img", { src: source, alt: file.name, title: label, loading: "lazy" });
  if (kind === "audio") return make("audio", { src: source, controls: true, title: label, preload: "metadata" });
  if (kind === "video") return make("video", { src: source, controls: true, title: label, preload: "metadata" });
  return make("a", { className: "file", href: source, download: file.name }, label);
}

/** What the little line under a bubble says about its way to the customer. */
function stateOf(message) {
  if (kindOf(message) !== "operator" || message.deleted) return null;
  if (message.red) return ["state-red", "not delivered"];
  if (message.sending) return ["state-sending", "sending…"];
  if (message.delivered) return ["state-delivered", message.late ? "delivered, late" : "delivered"];
  return null;
}

function drawMessage(message) {
  const kind = kindOf(message);
  const node = make("li", { className: `message ${kind}` });
  node.dataset.id = message.id;
  node.classList.toggle("red", message.red && !message.deleted);
  node.classList.toggle("deleted", message.deleted);
  if (message.author_name) node.append(make("div", { className: "author" }, message.author_name));
  const text = make("div", { className: "text" });
  if (message.deleted) text.append("This message was deleted.");
  else rich(message.text, text);
  node.append(text);
  if (!message.deleted) node.append(...message.files.map(drawFile));
  const foot = make("div", { className: "foot" });
  foot.append(make("time", { dateTime: new Date(message.at).toISOString() }, clock.format(message.at)));
  if (message.edited) foot.append(make("span", {}, "edited"));
  const state = stateOf(message);
  if (state) foot.append(make("span", { className: state[0] }, state[1]));
  if (!message.deleted) foot.append(...messageButtons(message, kind));
  node.append(foot);
  return node;
}

function messageButtons(message, kind) {
  const button = (label, work) => {
    const node = make("button", { type: "button" }, label);
    node.addEventListener("click", work);
    return node;
  };
  const buttons = [button("Quote", () => setContext("quote", message))];
  if (kind === "operator") {
    buttons.push(button("Edit", () => setContext("edit", message)));
    buttons.push(button("Delete", () => attempt(() => ask(`messages/${message.id}`, { method: "DELETE" }))));
  }
  return buttons;
}

function drawChat(chat) {
  element("chat-head").hidden = false;
  element("composer").hidden = false;
  element("no-chat").hidden = true;
  element("chat-title").textContent = chat.title;
  const session = chat.session_open ? `session ${chat.session_id}` : "session closed";
  element("chat-details").textContent =
    [chat.user_phone, `line ${chat.line}`, chat.connector, session].filter(Boolean).join(" · ");
  element("close-session").disabled = !chat.session_open;
  const list = element("messages");
  for (const message of chat.messages) {
    const source = JSON.stringify(message);
    const known = view.drawn.get(message.id);
    if (known?.source === source) continue;
    const node = drawMessage(message);
    if (known) known.node.replaceWith(node);
    else list.append(node);
    view.drawn.set(message.id, { source, node });
  }
  follow();
}

/** Keeps the end in sight for whoever was there, also when a picture arrives later than its place. */
function follow() {
  const list = element("messages");
  if (view.following) list.scrollTop = list.scrollHeight;
}

function drawChats(chats) {
  element("no-chats").hidden = chats.length > 0;
  const sorted = [...chats].sort((one, other) => (other.last?.at ?? 0) - (one.last?.at ?? 0));
  const focused = document.activeElement?.dataset?.chat;
  element("chat-list").replaceChildren(...sorted.map(drawChatLine));
  if (focused) document.querySelector(`[data-chat="${focused}"]`)?.focus();
}

function drawChatLine(chat) {
  const button = make("button", { type: "button" });
  button.dataset.chat = chat.id;
  button.setAttribute("aria-current", String(chat.id === view.chat));
  button.append(make("span", { className: "name" }, chat.name || chat.title));
  if (chat.unanswered) {
    const count = make("span", { className: "count" }, String(chat.unanswered));
    count.append(make("span", { className: "hidden" }, " unanswered"));
    button.append(count);
  } else {
    button.append(make("span"));
  }
  const last = chat.last?.deleted ? "deleted" : bare(chat.last?.text ?? "") || (chat.last?.files ? "file" : "");
  button.append(make("span", { className: "last muted" }, last));
  if (chat.red) button.append(make("span", { className: "warning" }, "not delivered"));
  button.addEventListener("click", () => openChat(chat.id));
  return make("li", {}, button);
}

const CHOICES = [
  ["off", "Off"],
  ["next-1", "The next one"],
  ["next-3", "The next 3"],
  ["next-10", "The next 10"],
  ["always", "Always"],
];

function ruleWords(rule) {
  const when = rule.when === "always" ? "always" : `next ${rule.when.next}`;
  const only = [rule.method, rule.chat && `chat ${rule.chat}`].filter(Boolean).join(", ");
  return only ? `${when}, only ${only}` : when;
}

/** One switch for each fault, made once: what somebody is using right now is not redrawn under their hands. */
const switches = new Map();

function drawFaults(faults) {
  for (const fault of faults) {
    if (!switches.has(fault.fault)) {
      const made = makeSwitch(fault);
      switches.set(fault.fault, made);
      element("faults").append(made.item);
    }
    updateSwitch(switches.get(fault.fault), fault);
  }
}

function makeSwitch(fault) {
  const id = `fault-${fault.fault}`;
  const select = make("select", { id });
  select.append(...CHOICES.map(([value, label]) => make("option", { value }, label)));
  const detail = make("span", { className: "detail" });
  const item = make("li", {}, make("label", { htmlFor: id }, fault.label), select);
  const made = { item, select, detail, duration: null, fault };
  if (fault.takes_time) {
    made.duration = make("input", { type: "number", min: 0, step: 100, value: 1000 });
    item.append(make("label", { className: "detail" }, "milliseconds ", made.duration));
  }
  item.append(detail);
  const apply = () => attempt(() => applyFault(made.fault, select.value, made.duration?.value));
  select.addEventListener("change", apply);
  made.duration?.addEventListener("change", () => select.value !== "off" && apply());
  return made;
}

function updateSwitch(made, fault) {
  made.fault = fault;
  made.item.classList.toggle("on", fault.rules.length > 0);
  made.detail.textContent = fault.rules.map(ruleWords).join("; ");
  const [rule] = fault.rules;
  if (made.select !== document.activeElement) made.select.value = choiceOf(rule);
  if (made.duration && made.duration !== document.activeElement && rule?.milliseconds) {
    made.duration.value = rule.milliseconds;
  }
}

/** The choice that comes nearest to a rule; how often it will still strike is said in words below. */
function choiceOf(rule) {
  if (!rule) return "off";
  if (rule.when === "always") return "always";
  return ["next-1", "next-3", "next-10"].find((choice) => Number(choice.slice(5)) >= rule.when.next) ?? "next-10";
}

async function applyFault(fault, choice, milliseconds) {
  if (choice === "off") {
    for (const rule of fault.rules) await ask("faults", asJson("POST", { ...rule, when: "off" }));
  } else {
    const when = choice === "always" ? "always" : { next: Number(choice.slice(5)) };
    const method = element("only-method").value.trim() || null;
    const open = view.state.chats.find((chat) => chat.id === view.chat);
    const chat = element("only-chat").checked && open ? open.external_chat_id : null;
    const rule = { fault: fault.fault, when, method, chat };
    if (milliseconds) rule.milliseconds = Number(milliseconds);
    await ask("faults", asJson("POST", rule));
  }
  await refresh();
}

const ACTIONS = [
  ["Move the clock on by 60 s", "advance", { seconds: 60 }],
  ["Expire all tokens", "expire-tokens"],
  ["Lose the event handlers", "wipe-handlers"],
  ["Save the application form again", "update-app"],
  ["Rename the portal", "rename"],
  ["End the plan", "end-plan", {}, "End the plan? REST stops working."],
  ["Pay the plan again", "pay-plan"],
  ["Delete the portal", "delete-portal", {}, "Delete the portal? Nothing brings it back."],
  ["Uninstall the application", "uninstall", { clean: false }, "Uninstall the application from this portal?"],
];

function drawActions() {
  const buttons = ACTIONS.map(([label, name, details = {}, question]) => actionButton(label, name, details, question));
  element("actions").replaceChildren(...buttons);
}

function actionButton(label, name, details, question) {
  const button = make("button", { type: "button" }, label);
  button.addEventListener("click", () => {
    if (!question || confirm(question)) attempt(() => ask(`actions/${name}`, asJson("POST", details)));
  });
  return button;
}

function drawLines(state) {
  const items = state.lines.map((line) => {
    const on = state.connectors.flatMap((connector) =>
      connector.lines.filter((on) => on.line === line.id).map((on) => `${connector.id} ${on.ready ? "on" : "not ready"}`));
    const item = make("li", {}, `${line.id} ${line.name}: ${on.join(", ") || "no connector"} `);
    if (on.length) {
      item.append(actionButton("Disconnect", "disconnect", { line: line.id }, `Disconnect line ${line.id}?`));
    }
    return item;
  });
  element("lines").replaceChildren(...items);
}

const COUNTERS = {
  requests: "REST requests",
  requests_per_second_maximum: "most in one second",
  refused: "refused (503)",
  customer_messages: "messages from customers",
  operator_messages: "messages from operators",
  delivered: "of them delivered",
  failed_items: "refused inside good answers",
  events_accepted: "events taken",
  events_lost: "events lost",
  refreshes: "token refreshes",
};

function drawState(state) {
  view.state = state;
  document.title = `${state.portal.name} – open line`;
  element("portal").textContent = state.portal.name;
  element("links").replaceChildren(...state.links.map((link) => make("a", { href: link.url }, link.label)));
  element("applications").href = `/apps.html?portal=${view.portal}`;
  element("portal-choice").hidden = state.portals.length < 2;
  fill("portals", state.portals.map((portal) => [portal.number, portal.name]), view.portal);
  const operators = state.users.filter((user) => user.active);
  const chosen = element("operator").value || (operators.find((user) => !user.admin)?.id ?? "");
  fill("operator", operators.map((user) => [user.id, `${user.name} ${user.last_name}`]), chosen);
  drawChats(state.chats);
  drawFaults(state.faults);
  drawLines(state);
  const rows = Object.entries(COUNTERS).flatMap(([key, label]) =>
    [make("dt", {}, label), make("dd", {}, state.counters[key].toLocaleString())]);
  element("counters").replaceChildren(...rows);
  element("phone-calls").replaceChildren(...state.phone_calls.map(drawPhoneCall));
}

function drawPhoneCall(call) {
  const direction = call.kind === 1 ? "to" : "from";
  const entry = call.entity ? `${call.entity[0]} ${call.entity[1]}` : "nobody in the CRM";
  const rings = call.shown_to.length ? `rings at employee ${call.shown_to.join(", ")}` : "rings";
  const course = call.end
    ? `code ${call.end.status}, ${call.end.duration} s${call.end.reason ? `, ${call.end.reason}` : ""}`
    : rings;
  return make("li", {}, `${direction} ${call.phone} · ${entry} · ${course}`);
}

/** Fills a list of choices, and leaves it alone while it says the same. */
function fill(id, options, value) {
  const select = element(id);
  const source = JSON.stringify(options);
  if (select.dataset.source !== source) {
    select.dataset.source = source;
    select.replaceChildren(...options.map(([value, label]) => make("option", { value }, label)));
  }
  select.value = value;
}

// --- keeping up to date ---

let running = false;
let again = false;

/** Reads everything that is on the screen; asked for while it runs, it runs once more afterwards. */
async function refresh() {
  if (running) {
    again = true;
    return;
  }
  running = true;
  try {
    do {
      again = false;
      drawState(await ask("state"));
      const chat = view.chat;
      if (chat) {
        const messages = await ask(`chats/${chat}`);
        if (chat === view.chat) drawChat(messages);
      }
    } while (again);
  } catch (problem) {
    element("connection").textContent = problem.message;
  } finally {
    running = false;
  }
}

let timer = null;

/** Many changes at once are drawn once. */
function schedule() {
  timer ??= setTimeout(() => {
    timer = null;
    refresh();
  }, 60);
}

function listen() {
  const changes = new EventSource("/sandbox/changes");
  changes.onopen = () => {
    element("connection").textContent = "";
    schedule();
  };
  changes.onmessage = (event) => {
    const { portal } = JSON.parse(event.data);
    if (portal === 0 || portal === view.portal) schedule();
  };
  changes.onerror = () => {
    element("connection").textContent = "Not connected. Trying again…";
  };
}

// --- what the operator does ---

function openChat(id) {
  if (id !== view.chat) {
    view.drawn.clear();
    element("messages").replaceChildren();
    setContext(null);
  }
  view.chat = id;
  view.following = true;
  history.replaceState(null, "", `#${id}`);
  element("screen").classList.add("open");
  refresh().then(() => element("answer").focus());
}

function setContext(kind, message) {
  const previous = view.context;
  view.context = kind && { kind, id: message.id };
  element("context").hidden = !kind;
  if (kind) element("context-label").textContent = `${kind === "quote" ? "Quoting" : "Editing"}: ${bare(message.text) || "file"}`;
  if (kind === "edit") element("answer").value = message.text;
  else if (previous?.kind === "edit") element("answer").value = "";
  if (kind) element("answer").focus();
}

function drawAttached() {
  const items = view.attached.map((file, index) => {
    const remove = make("button", { type: "button" }, "×");
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    remove.addEventListener("click", () => {
      view.attached.splice(index, 1);
      drawAttached();
    });
    return make("li", {}, file.name, remove);
  });
  element("attachments").replaceChildren(...items);
}

async function send() {
  const text = element("answer").value.trim();
  const { context } = view;
  if (context?.kind === "edit") {
    await ask(`messages/${context.id}`, asJson("PATCH", { text }));
  } else {
    const form = new FormData();
    form.append("text", text);
    form.append("user", element("operator").value);
    if (context) form.append("quote", context.id);
    for (const file of view.attached) form.append("file", file, file.name);
    await ask(`chats/${view.chat}/messages`, { method: "POST", body: form });
  }
  setContext(null);
  element("answer").value = "";
  view.attached = [];
  drawAttached();
  view.following = true;
  follow();
}

/** Says a text in the chat; what is being written stays where it is. */
async function say(text) {
  const form = new FormData();
  form.append("text", text);
  form.append("user", element("operator").value);
  await ask(`chats/${view.chat}/messages`, { method: "POST", body: form });
}

/** Puts a text into the field, behind what is there. */
function put(text) {
  const area = element("answer");
  area.setRangeText(text, area.value.length, area.value.length, "end");
  area.focus();
}

/** Puts a tag around what is selected. */
function wrap(tag) {
  const area = element("answer");
  const { selectionStart: start, selectionEnd: end } = area;
  const selected = area.value.slice(start, end);
  area.setRangeText(`[${tag}]${selected}[/${tag}]`, start, end, "end");
  if (!selected) area.selectionStart = area.selectionEnd = start + tag.length + 2;
  area.focus();
}

element("messages").addEventListener("scroll", ({ target }) => {
  const atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 80;
  view.following = atEnd || (view.following && target.scrollTop >= view.scrolled);
  view.scrolled = target.scrollTop;
});
element("messages").addEventListener("load", follow, true);
element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(send);
});
element("answer").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    element("composer").requestSubmit();
  }
  if (event.key === "Escape") setContext(null);
});
document.querySelectorAll("[data-tag]").forEach((button) => {
  button.addEventListener("click", () => wrap(button.dataset.tag));
});
element("attach").addEventListener("click", () => element("files").click());
element("files").addEventListener("change", () => {
  view.attached.push(...element("files").files);
  element("files").value = "";
  drawAttached();
});
element("context-cancel").addEventListener("click", () => setContext(null));
element("close-session").addEventListener("click", () => attempt(() => ask(`chats/${view.chat}/close`, { method: "POST" })));
element("back").addEventListener("click", () => element("screen").classList.remove("open"));
element("all-off").addEventListener("click", () => attempt(() => ask("faults", { method: "DELETE" })));
element("portals").addEventListener("change", () => {
  location.href = `/?portal=${element("portals").value}`;
});
element("panel-toggle").addEventListener("click", () => {
  const panel = element("panel");
  panel.hidden = !panel.hidden;
  element("panel-toggle").setAttribute("aria-expanded", String(!panel.hidden));
});

drawActions();
if (view.chat) element("screen").classList.add("open");
listen();
refresh();
