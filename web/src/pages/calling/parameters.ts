// Parameters of the called address as people write them, "tgrp=wacall; trunk-context=office", and as the API has them.

/** What the form's field holds. */
export function asText(given: unknown): string | null {
  const pairs = Object.entries((given ?? {}) as Record<string, string>).map(([name, value]) => `${name}=${value}`);
  return pairs.length === 0 ? null : pairs.join("; ");
}

/** The parameters that a text names; null where it cannot be read. */
export function asParameters(text: string): Record<string, string> | null {
  const parameters: Record<string, string> = {};
  for (const part of text.split(";").map((one) => one.trim())) {
    if (part === "") continue;
    const [name = "", ...rest] = part.split("=");
    if (name.trim() === "" || rest.length === 0) return null;
    parameters[name.trim()] = rest.join("=").trim();
  }
  return parameters;
}
