// Asking before something is done that cannot be taken back.
import { shallowRef } from "vue";

export interface Question {
  /** What is asked, with the name of the thing: `Remove the site shop.example.com?` */
  title: string;
  /** What follows from it. */
  text: string;
  /** What the button says that does it: `Remove`. */
  action: string;
}

interface Open extends Question {
  answer: (yes: boolean) => void;
}

/** The question that is on the screen. */
export const open = shallowRef<Open | null>(null);

/** Asks, and gives whether the person said yes. */
export function confirm(question: Question): Promise<boolean> {
  open.value?.answer(false);
  return new Promise((resolve) => {
    open.value = {
      ...question,
      answer: (yes) => {
        open.value = null;
        resolve(yes);
      },
    };
  });
}
