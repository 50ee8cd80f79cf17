// Which language the pages speak, and its words. A language is one file in `languages/`, nothing else: leaving a word out
// of it does not compile.
import { computed, ref, shallowRef } from "vue";
import type { Words } from "./languages/en";

const files = import.meta.glob<{ default: Words }>("./languages/*.ts");

/** The codes of all languages: `en`, `ru`. */
export const languages = Object.keys(files).map((file) => file.replace(/^.*\/|\.ts$/g, ""));

const KEPT = "separator-language";

/** The language that is spoken, as a code. */
export const language = ref("en");

const spoken = shallowRef<Words>();

/** The words of the language that is spoken. */
export const words = computed<Words>(() => {
  if (spoken.value === undefined) throw new Error("speak() comes before words");
  return spoken.value;
});

/** The language that was chosen on this browser, or the first of the browser's that there is. */
export function preferred(): string {
  const wished = [kept(), ...navigator.languages.map((tag) => tag.split("-")[0] ?? "")];
  return wished.find((code): code is string => code !== null && languages.includes(code)) ?? "en";
}

/** Speaks another language from now on. An unknown code is English. */
export async function speak(code: string): Promise<void> {
  const known = languages.includes(code) ? code : "en";
  const file = files[`./languages/${known}.ts`];
  if (file === undefined) return;
  spoken.value = (await file()).default;
  language.value = known;
  document.documentElement.lang = known;
}

/** Speaks a language and remembers it on this browser. */
export async function choose(code: string): Promise<void> {
  try {
    localStorage.setItem(KEPT, code);
  } catch {
    // A browser that keeps nothing speaks it until the page is left.
  }
  await speak(code);
}

function kept(): string | null {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

/** A language by its own name, such as `Русский`. */
export function nameOf(code: string): string {
  const name = new Intl.DisplayNames([code], { type: "language" }).of(code) ?? code;
  return name.charAt(0).toLocaleUpperCase(code) + name.slice(1);
}
