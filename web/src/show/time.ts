// Moments and numbers as people write them, in the language that is spoken.
import { useNow } from "./now";
import { language } from "@/words/language";

/** A moment in full: `Nov 24, 2026, 4:47 AM`. */
export function moment(at: string): string {
  return new Intl.DateTimeFormat(language.value, { dateStyle: "medium", timeStyle: "short" }).format(new Date(at));
}

/** The time of a moment to the millisecond: `04:47:32.010`. */
export function clock(at: string): string {
  return new Intl.DateTimeFormat(language.value, {
    hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
  }).format(new Date(at));
}

/** The day of a moment: `November 24, 2026`. */
export function day(at: string): string {
  return new Intl.DateTimeFormat(language.value, { dateStyle: "long" }).format(new Date(at));
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000], ["month", 2_592_000], ["day", 86_400], ["hour", 3_600], ["minute", 60],
];

/** How long ago, or in how long: `3 minutes ago`. Follows the time while it is shown. */
export function ago(at: string): string {
  const seconds = Math.round((new Date(at).getTime() - useNow()) / 1000);
  const format = new Intl.RelativeTimeFormat(language.value, { numeric: "auto" });
  const step = STEPS.find(([, length]) => Math.abs(seconds) >= length);
  return step === undefined ? format.format(Math.min(0, Math.round(seconds / 60)), "second") : format.format(Math.trunc(seconds / step[1]), step[0]);
}

/** A number with its separators. */
export function number(value: number): string {
  return new Intl.NumberFormat(language.value).format(value);
}
