"use strict";

// Draws the OpenAPI description and sends requests for whoever tries an operation. The key lives in its input alone.

const VERBS = ["get", "post", "patch", "delete"];

let description;

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function schemaName(reference) {
  return reference.split("/").pop();
}

function resolve(schema) {
  return schema.$ref ? description.components.schemas[schemaName(schema.$ref)] : schema;
}

function anchor(text) {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-");
}

// The type of a schema in a few words; named objects become links.
function typeOf(schema) {
  if (schema.$ref) {
    const name = schemaName(schema.$ref);
    return [element("a", { href: "#schema-" + name }, name)];
  }
  if (schema.oneOf) {
    return schema.oneOf.flatMap((part, index) => [...(index ? [" or "] : []), ...typeOf(part)]);
  }
  const types = [schema.type ?? "anything"].flat();
  if (types.includes("array")) {
    return ["list of ", ...typeOf(schema.items), types.includes("null") ? " or null" : ""];
  }
  const words = schema.enum ? schema.enum.map(String).join(" | ") : types.join(" or ");
  return [schema.format ? `${words} (${schema.format})` : words];
}

// An example value of a schema, made from the examples of its fields.
function exampleOf(schema, depth = 0) {
  if (schema.examples?.length) return schema.examples[0];
  if (schema.$ref) return depth > 3 ? {} : exampleOf(resolve(schema), depth + 1);
  if (schema.oneOf) return exampleOf(schema.oneOf[0], depth + 1);
  if (schema.enum) return schema.enum[0];
  const type = [schema.type].flat()[0];
  if (type === "array") return [exampleOf(schema.items, depth + 1)];
  if (schema.properties) {
    return Object.fromEntries(
      Object.entries(schema.properties).map(([name, property]) => [name, exampleOf(property, depth + 1)]),
    );
  }
  if ([schema.type].flat().includes("null")) return null;
  return { string: "", integer: 0, number: 0, boolean: false }[type] ?? null;
}

// What to begin with when an operation is tried: the required fields, or the first one.
function bodyToBeginWith(schema) {
  const whole = exampleOf(schema);
  const object = resolve(schema);
  const names = object.required ?? Object.keys(object.properties ?? {}).slice(0, 1);
  return Object.fromEntries(names.map((name) => [name, whole[name]]));
}

function table(heads, rows) {
  return element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cells) => element("td", {}, ...[cells].flat()))))),
  );
}

function fieldTable(schema) {
  const rows = Object.entries(schema.properties ?? {}).map(([name, property]) => [
    element("code", {}, name),
    typeOf(property),
    (schema.required ?? []).includes(name) ? "yes" : "",
    property.description ?? "",
  ]);
  return table(["Field", "Type", "Required", "Meaning"], rows);
}

function contentOf(holder) {
  return Object.values(holder?.content ?? {})[0]?.schema;
}

function drawOperation(path, verb, operation) {
  const inside = element("div", { class: "inside" });
  if (operation.description) inside.append(element("p", {}, operation.description));
  const parameters = operation.parameters ?? [];
  if (parameters.length) {
    inside.append(
      element("h4", {}, "Parameters"),
      table(
        ["Name", "In", "Type", "Meaning"],
        parameters.map((parameter) => [
          element("code", {}, parameter.name),
          parameter.in,
          typeOf(parameter.schema),
          parameter.description ?? "",
        ]),
      ),
    );
  }
  const body = contentOf(operation.requestBody);
  if (body) inside.append(element("h4", {}, "Body: ", ...typeOf(body)), fieldTable(resolve(body)));
  inside.append(
    element("h4", {}, "Answers"),
    table(
      ["Status", "Body", "Meaning"],
      Object.entries(operation.responses).map(([status, response]) => {
        const schema = contentOf(response);
        const items = schema?.properties?.items;
        return [status, items ? ["page of ", ...typeOf(items.items)] : schema ? typeOf(schema) : "", response.description];
      }),
    ),
  );
  const success = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
  const shown = contentOf(success?.[1]);
  if (shown) {
    inside.append(element("h4", {}, "Example"), element("pre", {}, JSON.stringify(exampleOf(shown), null, 2)));
  }
  inside.append(tryIt(path, verb, parameters, body));
  return element(
    "details",
    { id: operation.operationId },
    element(
      "summary",
      {},
      element("span", { class: "verb " + verb }, verb.toUpperCase()),
      element("code", {}, path),
      " ",
      element("span", { class: "quiet" }, operation.summary),
    ),
    inside,
  );
}

function tryIt(path, verb, parameters, body) {
  const inputs = parameters.map((parameter) => {
    const id = `${verb}-${anchor(path)}-${parameter.name}`;
    return { parameter, id, input: element("input", { id, autocomplete: "off", spellcheck: "false" }) };
  });
  const text = body ? element("textarea", { spellcheck: "false", "aria-label": "Body" }) : null;
  if (text) text.value = JSON.stringify(bodyToBeginWith(body), null, 2);
  const result = element("pre", { "aria-live": "polite", hidden: "" });
  const button = element("button", { type: "button" }, "Send");
  button.addEventListener("click", () => send({ path, verb, inputs, text, result }));
  return element(
    "div",
    {},
    element("h4", {}, "Try it"),
    ...inputs.map(({ parameter, id, input }) =>
      element("div", { class: "field" }, element("label", { for: id }, parameter.name), input),
    ),
    text,
    element("div", { class: "field" }, button),
    result,
  );
}

async function send({ path, verb, inputs, text, result }) {
  let address = path;
  const query = new URLSearchParams();
  const headers = { Authorization: "Bearer " + document.getElementById("key").value.trim() };
  for (const { parameter, input } of inputs) {
    const value = input.value.trim();
    if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(value));
    else if (value && parameter.in === "query") query.set(parameter.name, value);
    else if (value) headers[parameter.name] = value;
  }
  if (query.size) address += "?" + query;
  if (text) headers["Content-Type"] = "application/json";
  result.hidden = false;
  result.textContent = "…";
  try {
    const answer = await fetch(address, { method: verb.toUpperCase(), headers, body: text?.value });
    const raw = await answer.text();
    let shown = raw;
    try {
      shown = JSON.stringify(JSON.parse(raw), null, 2);
    } catch {
      // Not JSON: shown as it is.
    }
    result.textContent = `${answer.status} ${answer.statusText}\n${shown}`;
  } catch (error) {
    result.textContent = "The request did not get through: " + error.message;
  }
}

function draw() {
  const main = document.getElementById("main");
  main.replaceChildren();
  document.getElementById("about").textContent = `${description.info.description} Version ${description.info.version}.`;
  const byTag = new Map(description.tags.map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(description.paths)) {
    for (const verb of VERBS.filter((verb) => item[verb])) {
      const operation = item[verb];
      byTag.get(operation.tags[0]).push(drawOperation(path, verb, operation));
    }
  }
  const entries = [];
  for (const [tag, operations] of byTag) {
    const id = "tag-" + anchor(tag);
    main.append(element("h2", { id }, tag), ...operations);
    entries.push([id, tag]);
  }
  main.append(element("h2", { id: "schemas" }, "Schemas"));
  entries.push(["schemas", "Schemas"]);
  for (const [name, schema] of Object.entries(description.components.schemas)) {
    main.append(
      element(
        "details",
        { id: "schema-" + name },
        element("summary", {}, element("strong", {}, name), " ", element("span", { class: "quiet" }, schema.description ?? "")),
        element(
          "div",
          { class: "inside" },
          fieldTable(schema),
          element("h4", {}, "Example"),
          element("pre", {}, JSON.stringify(exampleOf(schema), null, 2)),
        ),
      ),
    );
  }
  const items = entries.map(([id, words]) => element("li", {}, element("a", { href: "#" + id }, words)));
  document.getElementById("contents").append(element("ul", {}, ...items));
}

// A link to something folded opens it.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
  target?.scrollIntoView();
}

async function start() {
  try {
    const answer = await fetch("/api/openapi.json");
    description = await answer.json();
    draw();
    window.addEventListener("hashchange", openTarget);
    openTarget();
  } catch (error) {
    document.getElementById("main").textContent = "The description could not be loaded: " + error.message;
  }
}

start();
