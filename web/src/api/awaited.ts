// Parts of the API that are used here before the description has them. When it does, the part goes from this file and the
// generated types take its place.

/** An operation with the types of its parts. */
type Operation<Answer, Body, Query, Path> = {
  parameters: {
    header?: { "Idempotency-Key"?: string };
    cookie?: never;
  } & (Query extends undefined ? { query?: never } : { query?: Query }) &
    (Path extends undefined ? { path?: never } : { path: Path });
  responses: {
    200: { headers: Record<string, unknown>; content: { "application/json": Answer } };
  };
} & (Body extends undefined ? { requestBody?: never } : { requestBody: { content: { "application/json": Body } } });

interface Get<Answer, Query = undefined, Path = undefined> { get: Operation<Answer, undefined, Query, Path> }
interface Post<Answer, Body = undefined, Path = undefined> { post: Operation<Answer, Body, undefined, Path> }
interface List<Row> { items: Row[]; next_cursor: string | null }
interface Paging { limit?: number; cursor?: string }
interface Id { id: string }

export interface Step {
  name: string;
  subject: string | null;
  state: "pending" | "running" | "done" | "failed";
  error: string | null;
}

export interface PortalLine {
  id: number;
  name: string;
  active: boolean;
  connectors: string[];
  ours: string | null;
}

export interface PortalConnector {
  id: string;
  name: string;
  phone: string | null;
  line: number | null;
  active: boolean | null;
}

export interface Publishing {
  state: string;
  steps: { name: string; state: Step["state"]; error: string | null; at: string | null }[];
}

export interface AwaitedPaths {
  "/api/v1/waba/phones/{id}/publishing": Get<Publishing, undefined, Id>;
  "/api/v1/waba/phones/{id}/publish": Post<unknown, undefined, Id>;
  "/api/v1/bitrix/apps/{id}/authorize": Post<{ url: string }, { domain: string }, Id>;
  "/api/v1/bitrix/lines": Get<List<PortalLine>, Paging & { instance: string }>;
  "/api/v1/bitrix/connectors": Get<List<PortalConnector>, Paging & { instance: string }>;
}
