// What forms and filters let a person choose from, read once for a page.
import { shallowRef } from "vue";
import { all, api, take, type Page } from "@/api/client";
import type { Choice } from "@/parts/list";
import { phone } from "@/show/phone";

/** A list to choose from: read it before the form is shown. */
export function choices<Row extends { id: string }>(
  page: (query: { limit: number; cursor?: string }) => Promise<Page<Row>>,
  called: (row: Row) => string,
) {
  const rows = shallowRef<Row[]>([]);
  const options = shallowRef<Choice[]>([]);
  async function read(): Promise<void> {
    rows.value = await all(page);
    options.value = rows.value.map((row) => ({ value: row.id, label: called(row) }));
  }
  /** What a thing is called, by its id; the id's beginning where it is not known. */
  const name = (id: string | null): string => {
    if (id === null) return "";
    return options.value.find((option) => option.value === id)?.label ?? `${id.slice(0, 8)}…`;
  };
  return { rows, options, read, name };
}

export const siteChoices = () => choices((query) => take(api.GET("/api/v1/sites", { params: { query } })), (site) => site.domain);
export const wabaAppChoices = () => choices((query) => take(api.GET("/api/v1/waba/apps", { params: { query } })), (app) => app.name);
export const accountChoices = () =>
  choices((query) => take(api.GET("/api/v1/waba/accounts", { params: { query } })), (account) => (account.name ? `${account.name} (${account.waba_id})` : account.waba_id));
export const phoneChoices = () => choices((query) => take(api.GET("/api/v1/waba/phones", { params: { query } })), (row) => phone(row.phone));
export const bitrixAppChoices = () => choices((query) => take(api.GET("/api/v1/bitrix/apps", { params: { query } })), (app) => app.name);
export const instanceChoices = () => choices((query) => take(api.GET("/api/v1/bitrix/instances", { params: { query } })), (instance) => instance.domain);
export const userChoices = () => choices((query) => take(api.GET("/api/v1/users", { params: { query } })), (user) => user.name || user.email);
