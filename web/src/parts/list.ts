// What a list is made of.
import type { Page } from "@/api/client";

export interface Column<Row> {
  key: string;
  label: string;
  /** What the cell says where the page gives it no slot of its own (`cell-KEY`). */
  text?: (row: Row) => string;
  /** Left out where there is little room. */
  optional?: boolean;
}

export interface Choice {
  value: string;
  label: string;
}

/** A filter that is kept in the address under its name and given to the API under the same. */
export interface Filter {
  name: string;
  label: string;
  /** Choices; a field to type in where there are none. */
  options?: readonly Choice[];
  /** For moments: a day is picked. */
  day?: boolean;
}

/** What a list says where there is nothing: how that comes, and what to do next. */
export interface Empty {
  title: string;
  text: string;
  action?: { label: string; to: string };
}

export type Query = Record<string, string | number>;

export type Load<Row> = (query: Query) => Promise<Page<Row>>;
