// The components of a template as Meta lists them (WhatsApp Business Management API, message templates), read with
// tolerance: a component of a new sort is left out of the preview and nothing else.

export interface TemplateParts {
  header: { format: string; text: string } | null;
  body: string;
  footer: string;
  buttons: { type: string; text: string }[];
}

const record = (value: unknown): Record<string, unknown> => (typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {});
const text = (value: unknown): string => (typeof value === "string" ? value : "");

export function read(components: unknown): TemplateParts {
  const parts: TemplateParts = { header: null, body: "", footer: "", buttons: [] };
  for (const component of (Array.isArray(components) ? components : []).map(record)) {
    switch (text(component.type).toUpperCase()) {
      case "HEADER":
        parts.header = { format: text(component.format).toUpperCase() || "TEXT", text: text(component.text) };
        break;
      case "BODY":
        parts.body = text(component.text);
        break;
      case "FOOTER":
        parts.footer = text(component.text);
        break;
      case "BUTTONS":
        parts.buttons = (Array.isArray(component.buttons) ? component.buttons : []).map(record).map((button) => ({ type: text(button.type), text: text(button.text) }));
        break;
    }
  }
  return parts;
}

/** The variables of a text in their order: `["1", "2"]` or names. */
export function variables(body: string): string[] {
  return [...new Set([...body.matchAll(/\{\{\s*([\w]+)\s*\}\}/g)].map((match) => match[1] ?? ""))];
}

/** What is typed in the line's chat to send it: `template-hello_world+en_US+value1|value2`. */
export function shortcode(template: { name: string; language: string }, parts: TemplateParts): string {
  const media = parts.header !== null && parts.header.format !== "TEXT" ? ["file_link:https://…"] : [];
  const values = [...media, ...variables(parts.body).map((_, index) => `value${index + 1}`)];
  return `template-${template.name}+${template.language}${values.length > 0 ? `+${values.join("|")}` : ""}`;
}
