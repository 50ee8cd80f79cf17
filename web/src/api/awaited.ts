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
interface Patch<Answer, Body, Path = undefined> { patch: Operation<Answer, Body, undefined, Path> }
interface Delete<Path = undefined, Body = undefined> { delete: Operation<undefined, Body, undefined, Path> }
interface List<Row> { items: Row[]; next_cursor: string | null }
interface Paging { limit?: number; cursor?: string }
interface Id { id: string }

export type Role = "administrator" | "integrator";

export interface SessionUser {
  id: string;
  email: string;
  name: string;
  role: Role;
  language: string;
  totp: boolean;
}

export interface Session {
  kind: "user" | "portal";
  user: SessionUser | null;
  portal: {
    instance: string;
    domain: string;
    user_id: string;
    name: string;
    administrator: boolean;
    language: string;
  } | null;
  sandbox: boolean;
  version: string;
}

export interface AwaitedPaths {
  "/api/v1/session": Get<Session> &
    Post<Session, { email: string; password: string; code?: string }> &
    Patch<Session, { name?: string; language?: string }> &
    Delete;
  "/api/v1/session/link": Post<Session, { token: string; password: string; email?: string }>;
}

export type { Delete, Get, Id, List, Paging, Patch, Post };
