import type { Check } from "@/api/schema";

/** Where the pages of things are, by the kind that the doctor calls them. */
const PAGES: Record<string, string> = {
  site: "/sites",
  waba_app: "/waba/apps",
  account: "/waba/accounts",
  phone: "/waba/phones",
  instance: "/bitrix/instances",
};

/** The page of what a check is about; none for the installation. */
export function pageOf({ kind, id }: Check["subject"]): string | null {
  const base = PAGES[kind];
  return base === undefined || id === "" ? null : `${base}/${id}`;
}
