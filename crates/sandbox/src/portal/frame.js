// The page around an application's frame: opens it by a form post, as a portal does, and answers what the page in it asks.

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
document.title = data.title;
element("title").textContent = data.title;

const frame = document.createElement("iframe");
frame.name = data.name;
frame.title = "Application";
element("place").append(frame);

const form = document.createElement("form");
Object.assign(form, { method: "POST", action: data.action, target: data.name, hidden: true });
for (const [name, value] of data.fields) {
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name, value });
  form.append(field);
}
document.body.append(form);
form.submit();

const origin = new URL(data.action).origin;
const sid = data.name.split("|")[2];

async function ask(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.status === 204 ? null : response.json();
}

/** What a page may ask, and what it is told. */
const COMMANDS = {
  getInitData: () => data.init,
  refreshAuth: () => ask(`/p/${data.portal}/frame/auth`, { client_id: data.client_id, user: data.user }),
  setInstall: () => true,
  async setInstallFinish() {
    if (!data.init.INSTALL || !data.init.IS_ADMIN) throw new Error("only an administrator finishes an installation, once");
    await ask(`/sandbox/actions/finish-installation?portal=${data.portal}`, { client_id: data.client_id });
    element("state").textContent = "Installed";
    // The portal then shows the application itself.
    setTimeout(() => {
      const next = new URL(location.href);
      next.searchParams.set("page", "app");
      location.replace(next);
    }, 300);
    return true;
  },
  resizeWindow({ height }) {
    frame.style.height = `${Number(height)}px`;
    return { width: frame.clientWidth, height: frame.clientHeight };
  },
  reloadWindow: () => location.reload(),
  setTitle({ title }) {
    element("title").textContent = title;
    return true;
  },
  setScroll: ({ scroll }) => window.scrollTo(0, Number(scroll)),
  setAppOption: ({ name, value }) => Object.assign(data.init.APP_OPTIONS, { [name]: value }),
  setUserOption: ({ name, value }) => Object.assign(data.init.USER_OPTIONS, { [name]: value }),
  getInterface: () => ({ command: Object.keys(COMMANDS), event: [] }),
  placementBindEvent: () => true,
  openApplication: () => true,
  closeApplication() {
    frame.remove();
    element("state").textContent = "Closed";
    return true;
  },
  /** Settings of a step; a real portal keeps them until "Save" is pressed, this one saves at once. */
  async setPropertyValue(given) {
    // The library's own notes to itself come along.
    const values = Object.fromEntries(Object.entries(given).filter(([name]) => !["isSafely", "isRawValue"].includes(name)));
    await ask(`/p/${data.portal}/frame/robot`, { code: data.code, values });
    return true;
  },
  openPath: () => ({ result: "close" }),
};

/** A message as the library writes it: a text whose parameters may hold colons themselves, or an object. */
function read(message) {
  if (typeof message === "object" && message?.method) return message;
  if (typeof message !== "string") return null;
  const parts = message.split(":");
  if (parts.length < 3) return null;
  const [method, appSid, callback] = [parts[0], parts.at(-1), parts.at(-2)];
  const text = parts.slice(1, -2).join(":");
  let params = {};
  try {
    if (text) params = JSON.parse(text);
  } catch {
    params = { value: text };
  }
  return { method, params, callback, appSid };
}

window.addEventListener("message", async (event) => {
  if (event.source !== frame.contentWindow || event.origin !== origin) return;
  const asked = read(event.data);
  if (!asked || asked.appSid !== sid) return;
  const line = document.createElement("li");
  line.textContent = asked.method;
  element("asked").append(line);
  const command = COMMANDS[asked.method];
  let answer = null;
  try {
    answer = command ? await command(asked.params ?? {}) : null;
  } catch (problem) {
    line.textContent += `: ${problem.message}`;
    return;
  }
  if (asked.callback) event.source.postMessage(`${asked.callback}:${JSON.stringify(answer ?? null)}`, origin);
});
