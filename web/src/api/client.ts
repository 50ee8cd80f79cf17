// The one way to the API. Its types are generated from the description that the server gives of itself.
import createClient, { type Middleware } from "openapi-fetch";
import { language } from "@/words/language";
import type { AwaitedPaths } from "./awaited";
import { Problem, problemFrom } from "./problem";
import type { paths } from "./schema";

/** A token that stands for a user of a portal, inside a frame of Bitrix24. */
let frameToken: string | null = null;

/** From now on requests are made for the user of the portal whose frame this is. */
export function useFrameToken(token: string): void {
  frameToken = token;
}

/** Called when the session turns out to be over. */
let whenSignedOut: (() => void) | null = null;

/** Says what to do when the server does not know the session any more. */
export function onSignedOut(act: () => void): void {
  whenSignedOut = act;
}

const identity: Middleware = {
  onRequest({ request }) {
    request.headers.set("Accept-Language", language.value);
    if (frameToken !== null) request.headers.set("Authorization", `Bearer ${frameToken}`);
    return request;
  },
  onResponse({ response, schemaPath }) {
    // Signing in answers 401 to a wrong password; that is no session that ended.
    if (response.status === 401 && !schemaPath.startsWith("/api/v1/session")) whenSignedOut?.();
    return response;
  },
};

export const api = createClient<paths & AwaitedPaths>({ baseUrl: "", credentials: "same-origin" });
api.use(identity);

/** What the API answers, or a thrown {@link Problem}. */
export async function take<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let answer;
  try {
    answer = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "");
  }
  if (!answer.response.ok) throw problemFrom(answer.response, answer.error);
  return answer.data as T;
}

/** A page of a list. */
export interface Page<Row> {
  items: Row[];
  next_cursor: string | null;
}

/** Follows the cursors of a list to its end: for lists that are short by their nature, such as sites. */
export async function all<Row>(page: (query: { limit: number; cursor?: string }) => Promise<Page<Row>>): Promise<Row[]> {
  const rows: Row[] = [];
  let cursor: string | null = null;
  do {
    const next: Page<Row> = await page(cursor === null ? { limit: 200 } : { limit: 200, cursor });
    rows.push(...next.items);
    cursor = next.next_cursor;
  } while (cursor !== null);
  return rows;
}
