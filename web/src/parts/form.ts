// What a form is made of.
import type { Choice } from "./list";

export type Value = string | number | boolean | null;
export type Values = Record<string, Value>;

export interface Field {
  /** As the API calls it. */
  name: string;
  /** As people call it. */
  label: string;
  help?: string;
  kind: "text" | "secret" | "choice" | "switch" | "number" | "email" | "password";
  options?: readonly Choice[];
  required?: boolean;
  placeholder?: string;
  /** Of a secret: there is one already, and it stays unless another is typed. */
  stored?: boolean;
  /** Whether the field is there, given what is filled in. */
  when?: (values: Values) => boolean;
  autocomplete?: string;
  /** Shown for what it is, to be copied, but not changed. */
  fixed?: boolean;
}

/** What was typed and not saved, by the address of its page, for as long as the page of the browser lives. */
export const drafts = new Map<string, Values>();
