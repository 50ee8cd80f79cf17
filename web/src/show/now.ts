import { ref } from "vue";

/** How often what is said about the age of things is said anew, in milliseconds. */
const BEAT = 15_000;

const now = ref(Date.now());
let beating = false;

/** The time, as milliseconds since 1970; whoever uses it while rendering is rendered anew as it goes on. */
export function useNow(): number {
  if (!beating) {
    beating = true;
    setInterval(() => (now.value = Date.now()), BEAT);
  }
  return now.value;
}
