// Every page: its address, its file, and where it stands in the menu. A page is a folder in `pages/` and a line here.
import type { Component } from "vue";
import type { RouteRecordRaw } from "vue-router";
import DoctorIcon from "@bitrix24/b24icons-vue/outline/ActivityIcon";
import SiteIcon from "@bitrix24/b24icons-vue/outline/EarthIcon";
import WabaIcon from "@bitrix24/b24icons-vue/outline/WhatsappIcon";
import type { Words } from "./words/languages/en";

/** The groups of the menu, in their order. */
export const SECTIONS = ["start", "waba", "bitrix", "work", "people", "system"] as const;

export interface MenuEntry {
  section: (typeof SECTIONS)[number];
  label: (words: Words) => string;
  icon: Component;
}

declare module "vue-router" {
  interface RouteMeta {
    menu?: MenuEntry;
    /** Shown without the menu, and to those who are not signed in. */
    open?: true;
    /** Only administrators of the installation. */
    administrator?: true;
  }
}

const menu = (section: MenuEntry["section"], icon: Component, label: MenuEntry["label"]): { menu: MenuEntry } => ({
  menu: { section, icon, label },
});

export const routes: RouteRecordRaw[] = [
  { path: "/sign-in", component: () => import("./pages/sign-in/SignIn.vue"), meta: { open: true } },
  { path: "/link", component: () => import("./pages/link/OneTimeLink.vue"), meta: { open: true } },

  { path: "/sites", component: () => import("./pages/sites/SiteList.vue"), meta: menu("start", SiteIcon, (w) => w.sites.menu) },
  { path: "/sites/:id", component: () => import("./pages/sites/SitePage.vue") },

  { path: "/waba/apps", component: () => import("./pages/waba-apps/WabaAppList.vue"), meta: menu("waba", WabaIcon, (w) => w.wabaApps.menu) },
  { path: "/waba/apps/:id", component: () => import("./pages/waba-apps/WabaAppPage.vue") },

  { path: "/doctor", component: () => import("./pages/doctor/DoctorPage.vue"), meta: menu("system", DoctorIcon, (w) => w.doctor.title) },
  { path: "/help/:page", component: () => import("./pages/help/HelpPage.vue") },
];
