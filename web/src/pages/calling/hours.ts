// Call hours as people write them, "09:00-18:00", and as Meta takes them.
import type { Value, Values } from "@/parts/form";

export const DAYS = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"] as const;
export type Day = (typeof DAYS)[number];

interface Slot {
  day_of_week: string;
  open_time: string;
  close_time: string;
}

export interface Hours {
  timezone_id: string;
  weekly_operating_hours: Slot[];
}

/** The field of a day in the form. */
export const field = (day: Day) => `hours_${day.toLowerCase()}`;

const shown = (time: string) => `${time.slice(0, 2)}:${time.slice(2)}`;

/** What the form's fields hold. */
export function asValues(given: unknown): Values {
  const hours = given as Partial<Hours> | null;
  const slots = hours?.weekly_operating_hours ?? [];
  const day = (name: Day): [string, Value] => {
    const own = slots.filter((slot) => slot.day_of_week === name).map((slot) => `${shown(slot.open_time)}-${shown(slot.close_time)}`);
    return [field(name), own.length === 0 ? null : own.join(", ")];
  };
  return {
    hours: hours === null ? "always" : "weekly",
    timezone: hours?.timezone_id ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    ...Object.fromEntries(DAYS.map(day)),
  };
}

/** The hours of a day in Meta's form; null where they cannot be read. */
export function slotsOf(day: Day, text: string): Slot[] | null {
  const slots: Slot[] = [];
  for (const part of text.split(/[,;]/)) {
    const found = /^\s*(\d{1,2})[:.](\d{2})\s*[-–—]\s*(\d{1,2})[:.](\d{2})\s*$/.exec(part);
    if (found === null) return null;
    const [, openHour = "", openMinute = "", closeHour = "", closeMinute = ""] = found;
    slots.push({ day_of_week: day, open_time: openHour.padStart(2, "0") + openMinute, close_time: closeHour.padStart(2, "0") + closeMinute });
  }
  return slots;
}
