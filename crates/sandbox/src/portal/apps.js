// Applications and the Contact Center as a person in the portal meets them: opening pages in a frame, and the form of a
// local application, which shows its id and key only after it was saved.

const element = (id) => document.getElementById(id);
const portal = Number(new URLSearchParams(location.search).get("portal")) || 1;

function make(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

async function ask(path, options = {}) {
  const response = await fetch(`/sandbox/${path}?portal=${portal}`, options);
  if (!response.ok) {
    const answer = await response.json().catch(() => ({}));
    throw new Error(answer.error || `The portal answered ${response.status}.`);
  }
  return response.status === 204 ? null : response.json();
}

/** Where a page of an application opens, for the employee who is looking. */
function address(client_id, page, more = {}) {
  const query = new URLSearchParams({
    client_id, page, user: element("user").value || "1", language: element("language").value, ...more,
  });
  return `/p/${portal}/frame/?${query}`;
}

const link = (label, href) => make("a", { href }, label);

function drawApps(state) {
  element("no-apps").hidden = state.apps.length > 0;
  element("apps").replaceChildren(...state.apps.map((app) => {
    const said = app.installed ? "installed" : "not installed to the end";
    const item = make("li", {}, `${app.client_id}: ${said} `);
    if (app.with_pages) item.append(link(app.installed ? "Open" : "Install", address(app.client_id, "app")));
    for (const bound of state.placements.filter((bound) => bound.client_id === app.client_id)) {
      item.append(" ", link(bound.title || bound.placement, address(app.client_id, bound.placement)));
    }
    return item;
  }));
}

function drawConnectors(state) {
  const own = state.connectors.filter((connector) => connector.placement_handler);
  element("no-connectors").hidden = own.length > 0;
  element("connectors").replaceChildren(...own.map((connector) => {
    const lines = state.lines.map((line) => {
      const on = connector.lines.some((on) => on.line === line.id && on.ready);
      const href = address(connector.client_id, "SETTING_CONNECTOR", { connector: connector.id, line: line.id });
      return make("li", {}, link(`Line ${line.id} ${line.name}`, href), on ? " – connected" : "");
    });
    return make("li", {}, `${connector.name} (${connector.id})`, make("ul", {}, ...lines));
  }));
}

function draw(state) {
  element("portal").textContent = state.portal.name;
  element("chats").href = `/?portal=${portal}`;
  const chosen = element("user").value;
  element("user").replaceChildren(...state.users.filter((user) => user.active).map((user) =>
    make("option", { value: user.id }, `${user.name} ${user.last_name}${user.admin ? " (administrator)" : ""}`)));
  if (chosen) element("user").value = chosen;
  drawApps(state);
  drawConnectors(state);
}

const refresh = async () => {
  try {
    draw(await ask("state"));
  } catch (problem) {
    element("problem").textContent = problem.message;
  }
};

element("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  element("problem").textContent = "";
  const { handler_url, install_url, api_only, scope } = event.target.elements;
  const app = {
    handler_url: handler_url.value, install_url: install_url.value, api_only: api_only.checked, scope: scope.value,
  };
  try {
    const saved = await ask("apps", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(app),
    });
    element("client-id").textContent = saved.client_id;
    element("client-secret").textContent = saved.client_secret;
    element("answered").textContent = saved.status ?? "nothing";
    element("credentials").hidden = false;
    await refresh();
  } catch (problem) {
    element("problem").textContent = problem.message;
  }
});
element("user").addEventListener("change", refresh);
element("language").addEventListener("change", refresh);
new EventSource("/sandbox/changes").addEventListener("message", refresh);
refresh();
