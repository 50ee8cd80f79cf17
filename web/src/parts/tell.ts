// Short words about what was done, in the corner of the page.
import { ref } from "vue";
import type { Problem } from "@/api/problem";
import { words } from "@/words/language";

export interface Told {
  id: number;
  title: string;
  text?: string;
  bad: boolean;
}

/** What is on the screen, the latest last. */
export const told = ref<Told[]>([]);

/** How long good news and bad news stay, in milliseconds. */
const STAY = { good: 5_000, bad: 15_000 };

let count = 0;

function say(bad: boolean, title: string, text?: string): void {
  count += 1;
  const id = count;
  told.value = [...told.value, { id, title, bad, ...(text === undefined ? {} : { text }) }];
  setTimeout(() => forget(id), bad ? STAY.bad : STAY.good);
}

/** Takes it off the screen. */
export function forget(id: number): void {
  told.value = told.value.filter((one) => one.id !== id);
}

export const tell = {
  /** Something was done. */
  done(text: string): void {
    say(false, text);
  },
  /** Something was not done, where no place on the page is the right one to say so. */
  problem(problem: Problem): void {
    const silent = problem.unreachable && problem.detail === "";
    say(true, words.value.common.failed, silent ? words.value.common.unreachable : problem.detail);
  },
};
