// Phone numbers as people write them.

/** Country codes of one and two digits; all others have three (ITU-T E.164). */
const ONE = new Set(["1", "7"]);
const TWO = new Set(
  ("20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98").split(" "),
);

/** `4915755501234` becomes `+49 157 555 01234`. What is no number, such as a user id, stays as it is. */
export function phone(digits: string): string {
  if (!/^\d{7,15}$/.test(digits)) return digits;
  const length = ONE.has(digits.slice(0, 1)) ? 1 : TWO.has(digits.slice(0, 2)) ? 2 : 3;
  return `+${digits.slice(0, length)} ${groups(digits.slice(length)).join(" ")}`;
}

/** Two groups of three, and the rest in halves of two to four. */
function groups(rest: string): string[] {
  if (rest.length <= 5) return [rest];
  if (rest.length <= 7) return [rest.slice(0, 3), rest.slice(3)];
  const tail = rest.slice(6);
  const last = tail.length > 5 ? [tail.slice(0, 4), tail.slice(4)] : [tail];
  return [rest.slice(0, 3), rest.slice(3, 6), ...last];
}
