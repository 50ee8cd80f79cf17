// What the doctor, the wizard and the pages inside Bitrix24 ask for, before the description has it. When it does, the part
// goes from this file and the generated types take its place.
import type { Get, Post } from "./awaited";

export interface DoctorCheck {
  id: string;
  group: string;
  subject: { kind: string; id: string; name: string };
  state: "ok" | "fault" | "unknown";
  title: string;
  cause: string | null;
  fix: string | null;
  documentation: string;
  repair: boolean;
}

export interface Doctor {
  checked_at: string | null;
  running: boolean;
  checks: DoctorCheck[];
}

export interface Setup {
  prerequisites: { id: string; state: "ok" | "fault" | "unknown"; text: string; fix: string | null }[];
  steps: { id: SetupStep; state: "todo" | "doing" | "done" | "failed"; subject: { id: string; name: string } | null }[];
  sandbox: Record<string, string> | null;
}

export type SetupStep = "site" | "meta" | "portal" | "number" | "line" | "test";

export interface GuidePaths {
  "/api/v1/doctor": Get<Doctor>;
  "/api/v1/doctor/run": Post<Doctor>;
  "/api/v1/doctor/repair": Post<unknown, { check: string; subject: { kind: string; id: string } }>;
  "/api/v1/setup": Get<Setup>;
}
