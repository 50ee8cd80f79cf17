// What a call is called by: the other side, and how long people spoke.
import type { CallCustomer } from "@/api/schema";
import { phone } from "@/show/phone";
import { words } from "@/words/language";

/** The other side's number; its username or user id where the number is hidden. */
export function numberOf(customer: CallCustomer): string {
  if (customer.phone !== null) return phone(customer.phone);
  return customer.username === null ? (customer.user_id ?? words.value.calls.hidden) : `@${customer.username}`;
}

/** Seconds as `1:05` or `1:02:03`; nothing where people did not speak. */
export function spoken(seconds: number): string {
  if (seconds === 0) return "–";
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}
