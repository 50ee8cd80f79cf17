// Filling a template in: the fields that can be inserted, and what the customer will see.
import type { FrameTemplate, InteractiveMessage } from "@/api/schema";
import { words } from "@/words/language";
import { draftOf, partsOf } from "../interactive/draft";
import { read, type TemplateParts } from "../templates/components";

/** Something that can be inserted into a value. */
export interface Insert {
  /** What is chosen. */
  label: string;
  /** What is written into the value, such as `{Name}` or `{=Document:TITLE}`. */
  text: string;
  /** What stands there for the customer; null where only Bitrix24 will know. */
  value: string | null;
}

/** What has been entered for a template. */
export interface Filling {
  values: string[];
  file: string;
  location: string;
}

/** Nothing has been entered yet. */
export const blank = (template: FrameTemplate): Filling => ({ values: template.values.map(() => ""), file: "", location: "" });

/** A value with its fields in place. What is in braces and no field stays as it is. */
export function expanded(value: string, inserts: readonly Insert[]): string {
  let text = value;
  for (const insert of inserts) if (insert.value !== null) text = text.replaceAll(insert.text, insert.value);
  return text;
}

/** The template with the values in their places; a place without a value stays. */
export function filled(template: FrameTemplate, values: readonly string[]): TemplateParts {
  const parts = read(template.components);
  const put = (text: string, part: string) =>
    template.values.reduce((now, place, index) => {
      const value = values[index]?.trim() ?? "";
      const here = place.part === part || (part === "header" && template.values.every(({ part: other, mark }) => mark !== place.mark || other === "body"));
      return value === "" || !here ? now : now.replaceAll(place.mark, value);
    }, text);
  const all = (template as Choosable).interactive ? (text: string) => put(text, "body") : (text: string) => text;
  return {
    body: put(parts.body, "body"),
    header: parts.header === null ? null : { ...parts.header, text: put(parts.header.text, "header") },
    footer: all(parts.footer),
    buttons: parts.buttons.map((button) => ({ ...button, text: all(button.text) })),
  };
}

/** Whether everything is entered that the template needs. */
export function complete(template: FrameTemplate, filling: Filling): boolean {
  return filling.values.every((value) => value.trim() !== "") && (template.file === null || template.has_file || filling.file.trim() !== "") && (!template.location || filling.location.trim() !== "");
}

/** What can be chosen on a card: a template, or a stored interactive message, which is filled in like one. */
export interface Choosable extends FrameTemplate {
  interactive?: true;
}

/** An interactive message in the form of a template; its preview shows what a template's would. */
export function asTemplate(message: InteractiveMessage): Choosable {
  const { kinds, mayWeCall } = words.value.interactive;
  const kind = (kinds as Record<string, string>)[message.kind] ?? message.kind;
  const { header, body, footer, buttons } = partsOf(draftOf(message.content), mayWeCall);
  return {
    id: message.id,
    name: message.name,
    language: kind,
    category: "",
    components: [
      ...(header === null ? [] : [{ type: "HEADER", ...header }]),
      { type: "BODY", text: body },
      ...(footer === "" ? [] : [{ type: "FOOTER", text: footer }]),
      { type: "BUTTONS", buttons },
    ],
    file: null,
    has_file: false,
    location: false,
    values: message.places.map((mark) => ({ part: "body", mark, button: null })),
    beyond: null,
    interactive: true,
  };
}
