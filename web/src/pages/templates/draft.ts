// A template while it is written: what the form holds, what Meta is given for it, and Meta's limits.
import { read, variables, type TemplateParts } from "./components";

export interface DraftButton {
  type: "QUICK_REPLY" | "URL" | "PHONE_NUMBER";
  text: string;
  target: string;
  sample: string;
}

/** The choices of an authentication template. */
export interface DraftPassword {
  recommendation: boolean;
  /** Minutes after which the code expires; empty: Meta says nothing about it. */
  minutes: string;
  kind: "COPY_CODE" | "ONE_TAP";
  text: string;
  autofill: string;
  apps: { package: string; signature: string }[];
}

export interface Draft {
  format: string;
  headerText: string;
  sampleLink: string;
  body: string;
  footer: string;
  buttons: DraftButton[];
  /** Samples of variables by place and name: `body 1`, `header 1`. */
  samples: Record<string, string>;
}

/** Meta's limits (WhatsApp Business Management API, template components). */
export const LIMITS = { name: 512, header: 60, body: 1024, footer: 60, button: 25, url: 2000, phone: 20, buttons: 10, apps: 5 };

const MEDIA = ["IMAGE", "VIDEO", "GIF", "DOCUMENT"];
export const isMedia = (format: string): boolean => MEDIA.includes(format);

export const empty = (): Draft => ({ format: "NONE", headerText: "", sampleLink: "", body: "", footer: "", buttons: [], samples: {} });

type Json = Record<string, unknown>;
const record = (value: unknown): Json => (typeof value === "object" && value !== null ? (value as Json) : {});
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string => (typeof value === "string" ? value : "");
const of = (components: unknown, type: string): Json => record(list(components).find((one) => text(record(one).type).toUpperCase() === type));

const BUTTONS = ["QUICK_REPLY", "URL", "PHONE_NUMBER"];

export const noPassword = (): DraftPassword => ({ recommendation: true, minutes: "10", kind: "COPY_CODE", text: "", autofill: "", apps: [{ package: "", signature: "" }] });

/** What Meta is given for an authentication template. */
export function passwordComponents(password: DraftPassword): Json[] {
  const { recommendation, minutes, kind, text: label, autofill, apps } = password;
  // What is no number is told by the server at its field.
  const expiry = /^\d+$/.test(minutes.trim()) ? Number(minutes) : minutes.trim();
  return [
    { type: "BODY", add_security_recommendation: recommendation },
    ...(expiry === "" ? [] : [{ type: "FOOTER", code_expiration_minutes: expiry }]),
    {
      type: "BUTTONS",
      buttons: [
        {
          type: "OTP",
          otp_type: kind,
          ...(label.trim() === "" ? {} : { text: label.trim() }),
          ...(kind === "ONE_TAP" && autofill.trim() !== "" ? { autofill_text: autofill.trim() } : {}),
          ...(kind === "ONE_TAP" ? { supported_apps: apps.map((app) => ({ package_name: app.package.trim(), signature_hash: app.signature.trim() })) } : {}),
        },
      ],
    },
  ];
}

/**
 * The choices that an authentication template of Meta's list was made with; null where the form does not have them (a code
 * that is filled in without a tap). Meta lists its button as made (`OTP`) or as what became of it, a `URL` that names its kind.
 */
export function passwordOf(components: unknown): DraftPassword | null {
  const button = record(list(of(components, "BUTTONS").buttons)[0]);
  const kind = text(button.otp_type).toUpperCase() || (/[?&]otp_type=(\w+)/.exec(text(button.url))?.[1] ?? "").toUpperCase();
  if (kind !== "COPY_CODE" && kind !== "ONE_TAP") return null;
  const footer = of(components, "FOOTER");
  const minutes = footer.code_expiration_minutes ?? /\d+/.exec(text(footer.text))?.[0] ?? "";
  // Where one app only could be named, it stood in the button itself.
  const apps = (Array.isArray(button.supported_apps) ? button.supported_apps : [button]).map(record);
  return {
    recommendation: of(components, "BODY").add_security_recommendation !== false,
    minutes: String(minutes),
    kind,
    text: text(button.text),
    autofill: text(button.autofill_text),
    apps: apps.map((app) => ({ package: text(app.package_name), signature: text(app.signature_hash) })),
  };
}

/** An authentication template as the preview shows it, in the words that Meta writes itself. */
export function passwordParts(password: DraftPassword, w: { code: string; advice: string; expires: (minutes: string) => string; copy: string }): TemplateParts {
  return {
    header: null,
    body: `${w.code}${password.recommendation ? ` ${w.advice}` : ""}`,
    footer: password.minutes.trim() === "" ? "" : w.expires(password.minutes.trim()),
    buttons: [{ type: "OTP", text: (password.kind === "ONE_TAP" && password.autofill.trim()) || password.text.trim() || w.copy }],
  };
}

/** Whether the form can show all that stands in these components. */
export function isPlain(components: unknown): boolean {
  const kinds = list(components).map((one) => text(record(one).type).toUpperCase());
  const buttons = list(of(components, "BUTTONS").buttons).map((one) => text(record(one).type).toUpperCase());
  return kinds.every((kind) => ["HEADER", "BODY", "FOOTER", "BUTTONS"].includes(kind)) && buttons.every((kind) => BUTTONS.includes(kind));
}

/** What the form holds for components that Meta lists. */
export function draftOf(components: unknown): Draft {
  const parts: TemplateParts = read(components);
  const header = record(of(components, "HEADER").example);
  const body = record(of(components, "BODY").example);
  const samples: Record<string, string> = {};
  const keep = (place: string, values: unknown, named: unknown): void => {
    list(values).forEach((value, index) => (samples[`${place} ${index + 1}`] = text(value)));
    list(named).map(record).forEach((one) => (samples[`${place} ${text(one.param_name)}`] = text(one.example)));
  };
  keep("header", header.header_text, header.header_text_named_params);
  keep("body", list(body.body_text)[0], body.body_text_named_params);
  return {
    format: parts.header?.format ?? "NONE",
    headerText: parts.header?.text ?? "",
    sampleLink: text(list(header.header_handle)[0]),
    body: parts.body,
    footer: parts.footer,
    buttons: list(of(components, "BUTTONS").buttons).map(record).map((button) => ({
      type: text(button.type).toUpperCase() as DraftButton["type"],
      text: text(button.text),
      target: text(button.url) || text(button.phone_number),
      sample: text(list(button.example)[0]) || text(button.example),
    })),
    samples,
  };
}

/** What Meta is given. */
export function componentsOf(draft: Draft, named: boolean): Json[] {
  const made: Json[] = [];
  const example = (place: string, written: string): Json => {
    const found = variables(written);
    if (found.length === 0) return {};
    const values = found.map((name) => draft.samples[`${place} ${name}`] ?? "");
    if (values.some((value) => value.trim() === "")) return {};
    if (named) return { example: { [`${place}_text_named_params`]: found.map((name, index) => ({ param_name: name, example: values[index] })) } };
    return { example: { [`${place}_text`]: place === "body" ? [values] : values } };
  };
  if (draft.format === "TEXT") made.push({ type: "HEADER", format: "TEXT", text: draft.headerText, ...example("header", draft.headerText) });
  else if (isMedia(draft.format)) made.push({ type: "HEADER", format: draft.format, example: { header_handle: [draft.sampleLink.trim()] } });
  else if (draft.format !== "NONE") made.push({ type: "HEADER", format: draft.format });
  made.push({ type: "BODY", text: draft.body, ...example("body", draft.body) });
  if (draft.footer.trim() !== "") made.push({ type: "FOOTER", text: draft.footer });
  if (draft.buttons.length > 0) {
    const buttons = draft.buttons.map((button) => ({
      type: button.type,
      text: button.text,
      ...(button.type === "URL" ? { url: button.target.trim(), ...(button.target.includes("{{") ? { example: [button.sample.trim()] } : {}) } : {}),
      ...(button.type === "PHONE_NUMBER" ? { phone_number: button.target.trim() } : {}),
    }));
    made.push({ type: "BUTTONS", buttons });
  }
  return made;
}
