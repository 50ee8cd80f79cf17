// Short words about what was done, in the corner.
import { useToast } from "@/kit";
import type { Problem } from "@/api/problem";
import { words } from "@/words/language";

export const tell = {
  /** Something was done. */
  done(text: string): void {
    useToast().add({ title: text, color: "air-primary-success" });
  },
  /** Something was not done, where no place on the page is the right one to say so. */
  problem(problem: Problem): void {
    const text = problem.unreachable && problem.detail === "" ? words.value.common.unreachable : problem.detail;
    useToast().add({ title: words.value.common.failed, description: text, color: "air-primary-alert", duration: 15_000 });
  },
};
