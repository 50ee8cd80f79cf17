// Who is looking at the pages, as the server says.
import { computed, shallowRef } from "vue";
import { api, take } from "@/api/client";
import type { Session } from "@/api/schema";
import { asProblem } from "@/api/problem";
import { languages, speak } from "@/words/language";

/** The session; null where nobody is signed in. */
export const session = shallowRef<Session | null>(null);

let asked: Promise<void> | null = null;

/** Asks once who is signed in. Throws where the server does not answer. */
export function knowSession(): Promise<void> {
  asked ??= ask().catch((thrown: unknown) => {
    asked = null;
    throw thrown;
  });
  return asked;
}

async function ask(): Promise<void> {
  try {
    await begin(await take(api.GET("/api/v1/session")));
  } catch (thrown) {
    if (asProblem(thrown).status !== 401) throw thrown;
    session.value = null;
  }
}

/** From now on this is the session; the pages speak the person's language. */
export async function begin(begun: Session): Promise<void> {
  session.value = begun;
  const wished = begun.user?.language ?? begun.portal?.language;
  if (wished && languages.includes(wished)) await speak(wished);
}

/** There is no session any more. */
export function end(): void {
  session.value = null;
  asked = Promise.resolve();
}

/** Whether the person runs the installation: sees the users and everybody's things. */
export const isAdministrator = computed(() => session.value?.user?.role === "administrator");

/** Whether the person may change what is shown. A portal's user only where Bitrix24 says that it is an administrator. */
export const mayChange = computed(() => session.value?.kind === "user" || session.value?.portal?.administrator === true);
