// An interactive message while it is written: what the form holds, Meta's object for it, and Meta's limits (Cloud API,
// interactive messages).
import type { TemplateParts } from "../templates/components";

export type Kind = "button" | "list" | "cta_url" | "voice_call" | "call_permission_request";

export interface DraftButton {
  id: string;
  title: string;
}

export interface DraftRow extends DraftButton {
  description: string;
}

export interface DraftSection {
  title: string;
  rows: DraftRow[];
}

export interface Draft {
  kind: Kind;
  format: string;
  headerText: string;
  headerLink: string;
  filename: string;
  body: string;
  footer: string;
  buttons: DraftButton[];
  listButton: string;
  sections: DraftSection[];
  label: string;
  url: string;
  minutes: string;
  payload: string;
}

export const LIMITS = { name: 512, header: 60, body: 1024, footer: 60, button: 20, section: 24, row: 24, description: 72, url: 2000, buttons: 3, rows: 10, minutes: 43_200 };

/** A call button works for so long where nothing else is chosen: a week. */
const WEEK = "10080";

export const empty = (): Draft => ({
  kind: "button",
  format: "NONE",
  headerText: "",
  headerLink: "",
  filename: "",
  body: "",
  footer: "",
  buttons: [{ id: "1", title: "" }],
  listButton: "",
  sections: [{ title: "", rows: [{ id: "1", title: "", description: "" }] }],
  label: "",
  url: "",
  minutes: WEEK,
  payload: "",
});

/** Kinds whose header and footer Meta takes. */
export const hasAround = (kind: Kind): boolean => !["voice_call", "call_permission_request"].includes(kind);
/** Headers that Meta takes with a kind. */
export const formats = (kind: Kind): string[] => (kind === "list" ? ["NONE", "TEXT"] : ["NONE", "TEXT", "IMAGE", "VIDEO", "DOCUMENT"]);
export const isMedia = (format: string): boolean => ["IMAGE", "VIDEO", "DOCUMENT"].includes(format);
export const rowsOf = (draft: Draft): number => draft.sections.reduce((count, { rows }) => count + rows.length, 0);

/** An id that none of these has; Meta gives it back with the customer's answer. */
export function freshId(taken: readonly { id: string }[]): string {
  for (let number = taken.length + 1; ; number += 1) {
    const id = String(number);
    if (taken.every((one) => one.id !== id)) return id;
  }
}

type Json = Record<string, unknown>;
const record = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {});
const list = (value: unknown): Json[] => (Array.isArray(value) ? value.map(record) : []);
const text = (value: unknown): string => (typeof value === "string" ? value : typeof value === "number" ? String(value) : "");

/** What the form holds for a stored message. */
export function draftOf(content: unknown): Draft {
  const given = record(content);
  const header = record(given.header);
  const action = record(given.action);
  const parameters = record(action.parameters);
  const format = text(header.type).toUpperCase() || "NONE";
  const file = record(header[text(header.type)]);
  const before = empty();
  return {
    kind: text(given.type) as Kind,
    format,
    headerText: text(header.text),
    headerLink: text(file.link),
    filename: text(file.filename),
    body: text(record(given.body).text),
    footer: text(record(given.footer).text),
    buttons: Array.isArray(action.buttons) ? list(action.buttons).map((button) => ({ id: text(record(button.reply).id), title: text(record(button.reply).title) })) : before.buttons,
    listButton: text(action.button),
    sections: Array.isArray(action.sections)
      ? list(action.sections).map((section) => ({
          title: text(section.title),
          rows: list(section.rows).map((row) => ({ id: text(row.id), title: text(row.title), description: text(row.description) })),
        }))
      : before.sections,
    label: text(parameters.display_text),
    url: text(parameters.url),
    minutes: text(parameters.ttl_minutes) || WEEK,
    payload: text(parameters.payload),
  };
}

function headerOf(draft: Draft): Json {
  if (!hasAround(draft.kind) || !formats(draft.kind).includes(draft.format)) return {};
  if (draft.format === "TEXT") return { header: { type: "text", text: draft.headerText } };
  if (!isMedia(draft.format)) return {};
  const kind = draft.format.toLowerCase();
  const name = draft.format === "DOCUMENT" && draft.filename.trim() !== "" ? { filename: draft.filename.trim() } : {};
  return { header: { type: kind, [kind]: { link: draft.headerLink.trim(), ...name } } };
}

function actionOf(draft: Draft): Json {
  switch (draft.kind) {
    case "button":
      return { buttons: draft.buttons.map(({ id, title }) => ({ type: "reply", reply: { id, title } })) };
    case "list":
      return {
        button: draft.listButton,
        sections: draft.sections.map(({ title, rows }) => ({
          ...(draft.sections.length > 1 || title.trim() !== "" ? { title } : {}),
          rows: rows.map(({ id, title: row, description }) => ({ id, title: row, ...(description.trim() === "" ? {} : { description }) })),
        })),
      };
    case "cta_url":
      return { name: "cta_url", parameters: { display_text: draft.label, url: draft.url.trim() } };
    case "voice_call": {
      // What is no number is told by the server at its field.
      const minutes = /^\d+$/.test(draft.minutes.trim()) ? Number(draft.minutes) : draft.minutes;
      return { name: "voice_call", parameters: { display_text: draft.label, ttl_minutes: minutes, ...(draft.payload === "" ? {} : { payload: draft.payload }) } };
    }
    default:
      return { name: draft.kind };
  }
}

/** Meta's object. */
export function contentOf(draft: Draft): Json {
  const bodyless = draft.kind === "call_permission_request" && draft.body.trim() === "";
  return {
    type: draft.kind,
    ...headerOf(draft),
    ...(bodyless ? {} : { body: { text: draft.body } }),
    ...(hasAround(draft.kind) && draft.footer.trim() !== "" ? { footer: { text: draft.footer } } : {}),
    action: actionOf(draft),
  };
}

/** The message as the preview shows it; `asks` are the words with which WhatsApp itself asks whether one may call. */
export function partsOf(draft: Draft, asks: string): TemplateParts {
  const around = hasAround(draft.kind);
  const format = formats(draft.kind).includes(draft.format) ? draft.format : "NONE";
  const labels: Record<Kind, string[]> = {
    button: draft.buttons.map(({ title }) => title),
    list: [`☰ ${draft.listButton}`],
    cta_url: [`↗ ${draft.label}`],
    voice_call: [`☎ ${draft.label}`],
    call_permission_request: [`☎ ${asks}`],
  };
  return {
    header: !around || format === "NONE" ? null : { format, text: format === "TEXT" ? draft.headerText : "" },
    body: draft.body,
    footer: around ? draft.footer : "",
    buttons: labels[draft.kind].map((label) => ({ type: draft.kind, text: label })),
  };
}
