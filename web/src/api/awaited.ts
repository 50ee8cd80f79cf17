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

export interface Get<Answer, Query = undefined, Path = undefined> { get: Operation<Answer, undefined, Query, Path> }
export interface Post<Answer, Body = undefined, Path = undefined> { post: Operation<Answer, Body, undefined, Path> }
interface Patch<Answer, Body, Path = undefined> { patch: Operation<Answer, Body, undefined, Path> }
interface Delete<Path = undefined, Body = undefined> { delete: Operation<undefined, Body, undefined, Path> }
interface List<Row> { items: Row[]; next_cursor: string | null }
interface Paging { limit?: number; cursor?: string }
interface Id { id: string }

export type Role = "administrator" | "integrator";

export interface User {
  id: string;
  email: string;
  name: string;
  role: Role;
  language: string;
  disabled: boolean;
  created_at: string;
}

export interface ApiKey {
  id: string;
  name: string;
  scope: "manage" | "callback";
  /** The key itself; only in the answer that made it. */
  key?: string | null;
  last_used_at?: string | null;
  created_at: string;
}

export interface AuditEntry {
  id: string;
  at: string;
  user: string | null;
  action: string;
  subject_kind: string;
  subject_id: string | null;
  subject_name: string | null;
  changes: { field: string; old: unknown; new: unknown }[];
  address: string | null;
}

export interface TokenState {
  kind: string | null;
  state: "ok" | "expiring" | "broken" | "unknown";
  scopes: string[];
  expires_at: string | null;
  checked_at: string | null;
  problem: string | null;
}

export interface Inspection {
  token: {
    kind: string | null;
    app_id: string | null;
    valid: boolean;
    expires_at: string | null;
    data_access_expires_at: string | null;
    scopes: string[];
    missing_scopes: string[];
  };
  app: { name: string | null; live: boolean | null };
  accounts: {
    waba_id: string;
    name: string | null;
    entered: string | null;
    phones: {
      phone_id: string;
      phone: string;
      verified_name: string | null;
      status: string | null;
      entered: string | null;
      problem: string | null;
    }[];
  }[];
  problems: { code: string; text: string; fix: string | null }[];
}

export interface Step {
  name: string;
  subject: string | null;
  state: "pending" | "running" | "done" | "failed";
  error: string | null;
}

export interface Connection {
  id: string;
  app: string;
  state: "running" | "done" | "failed" | "waiting";
  steps: Step[];
  created_at: string;
}

export interface Template {
  id: string;
  account: string;
  name: string;
  language: string;
  category: string;
  status: string;
  parameter_format: string | null;
  components: unknown[];
  quality: string | null;
}

export interface Knock {
  id: string;
  app: string | null;
  waba_id: string | null;
  phone_id: string | null;
  phone: string | null;
  count: number;
  last_at: string;
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

export interface Overview {
  numbers: {
    id: string;
    phone: string;
    name: string | null;
    colour: "green" | "amber" | "red" | "grey";
    sentence: string;
    last_inbound_at: string | null;
    last_outbound_at: string | null;
    waiting: number;
  }[];
  queue: { depth: number; oldest: string | null };
  alarms: { id: string; kind: string; subject: string; text: string; raised_at: string }[];
  dead_letters: number;
  version: string;
  sandbox: boolean;
}

export interface AwaitedPaths {
  "/api/v1/users": Get<List<User>, Paging> & Post<User, Partial<User>>;
  "/api/v1/users/{id}": Get<User, undefined, Id> & Patch<User, Partial<User>, Id> & Delete<Id>;
  "/api/v1/users/{id}/link": Post<{ link: string }, undefined, Id>;
  "/api/v1/keys": Get<List<ApiKey>, Paging> & Post<ApiKey, Partial<ApiKey>>;
  "/api/v1/keys/{id}": Delete<Id>;
  "/api/v1/audit": Get<List<AuditEntry>, Paging & { q?: string; user?: string; action?: string; subject?: string; from?: string; to?: string }>;
  "/api/v1/waba/apps/{id}/inspect": Post<Inspection, { access_token?: string }, Id>;
  "/api/v1/waba/apps/{id}/connect": Post<Connection, { access_token?: string; accounts: string[]; phones: string[] }, Id>;
  "/api/v1/waba/apps/{id}/login": Post<{ url: string }, undefined, Id>;
  "/api/v1/waba/apps/{id}/webhook": Post<unknown, undefined, Id>;
  "/api/v1/waba/connections/{id}": Get<Connection, undefined, Id>;
  "/api/v1/waba/connections/{id}/resume": Post<Connection, undefined, Id>;
  "/api/v1/waba/templates": Get<List<Template>, Paging & { account?: string; q?: string; status?: string }>;
  "/api/v1/waba/templates/{id}": Get<Template, undefined, Id>;
  "/api/v1/waba/knocks": Get<List<Knock>, Paging>;
  "/api/v1/waba/phones/{id}/publishing": Get<Publishing, undefined, Id>;
  "/api/v1/waba/phones/{id}/publish": Post<unknown, undefined, Id>;
  "/api/v1/bitrix/apps/{id}/authorize": Post<{ url: string }, { domain: string }, Id>;
  "/api/v1/bitrix/lines": Get<List<PortalLine>, Paging & { instance: string }>;
  "/api/v1/bitrix/connectors": Get<List<PortalConnector>, Paging & { instance: string }>;
  "/api/v1/overview": Get<Overview>;
}
