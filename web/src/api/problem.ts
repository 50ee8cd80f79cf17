/** A field that cannot be taken as it is. */
export interface FieldError {
  /** Path of the field in the body, such as `media.link`. */
  field: string;
  /** What is wrong, a sentence without its subject. */
  message: string;
}

/** Why the API did not do what was asked: `application/problem+json` (RFC 9457), or no answer at all. */
export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    /** The HTTP status; 0 where there was no answer. */
    readonly status: number,
    /** One sentence for people. */
    readonly detail: string,
    readonly errors: readonly FieldError[] = [],
    /** What sort of problem it is, such as `totp_required`. */
    readonly type = "about:blank",
    /** Seconds after which another try makes sense. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }

  /** Nobody answered: the network, or the server is away. */
  get unreachable(): boolean {
    return this.status === 0;
  }

  /** Whether the problem is of a sort, however its type is written (a word or an address that ends with it). */
  is(type: string): boolean {
    return this.type.split(/[/:#]/).at(-1) === type;
  }

  /** What was wrong with one field. */
  of(field: string): string | undefined {
    return this.errors.find((error) => error.field === field)?.message;
  }
}

/** Reads a refusal whatever sent it: our API, or a proxy in front of it that answers HTML. */
export function problemFrom(response: Response, body: unknown): Problem {
  const given = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);
  const errors = Array.isArray(given.errors) ? (given.errors as unknown[]) : [];
  const after = Number(response.headers.get("Retry-After") ?? given.retry_after);
  return new Problem(
    response.status,
    text(given.detail) ?? text(given.title) ?? `${response.status} ${response.statusText}`.trim(),
    errors.filter(isFieldError),
    text(given.type),
    Number.isFinite(after) && after > 0 ? after : null,
  );
}

function isFieldError(value: unknown): value is FieldError {
  const error = value as Partial<FieldError> | null;
  return typeof error?.field === "string" && typeof error.message === "string";
}

/** The problem in whatever was thrown. */
export function asProblem(thrown: unknown): Problem {
  return thrown instanceof Problem ? thrown : new Problem(0, thrown instanceof Error ? thrown.message : String(thrown));
}
