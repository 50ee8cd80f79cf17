// Every page: its address, its file, and where it stands in the menu. A page is a folder in `pages/` and a line here.
import type { Component } from "vue";
import type { RouteRecordRaw } from "vue-router";
import AppIcon from "@bitrix24/b24icons-vue/outline/DeveloperResourcesIcon";
import AuditIcon from "@bitrix24/b24icons-vue/outline/BulletedListIcon";
import CallsIcon from "@bitrix24/b24icons-vue/outline/TelephonyIcon";
import ConnectIcon from "@bitrix24/b24icons-vue/outline/LinkIcon";
import ConnectorIcon from "@bitrix24/b24icons-vue/outline/ContactCenterIcon";
import EventsIcon from "@bitrix24/b24icons-vue/outline/PulseIcon";
import HomeIcon from "@bitrix24/b24icons-vue/outline/HomeIcon";
import InteractiveIcon from "@bitrix24/b24icons-vue/outline/CursorClickIcon";
import KeyIcon from "@bitrix24/b24icons-vue/outline/KeyIcon";
import LinesIcon from "@bitrix24/b24icons-vue/outline/OpenChannelsIcon";
import MessagesIcon from "@bitrix24/b24icons-vue/outline/MessagesIcon";
import PhoneIcon from "@bitrix24/b24icons-vue/outline/MobileIcon";
import PortalIcon from "@bitrix24/b24icons-vue/outline/CompanyIcon";
import QueueIcon from "@bitrix24/b24icons-vue/outline/HourglassIcon";
import SettingsIcon from "@bitrix24/b24icons-vue/outline/SettingsIcon";
import DoctorIcon from "@bitrix24/b24icons-vue/outline/ActivityIcon";
import SiteIcon from "@bitrix24/b24icons-vue/outline/EarthIcon";
import TemplateIcon from "@bitrix24/b24icons-vue/outline/FormIcon";
import UsersIcon from "@bitrix24/b24icons-vue/outline/GroupIcon";
import WabaIcon from "@bitrix24/b24icons-vue/outline/AppsIcon";
import WhatsAppIcon from "@bitrix24/b24icons-vue/outline/WhatsappIcon";
import WizardIcon from "@bitrix24/b24icons-vue/outline/MagicWandIcon";
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

  { path: "/", component: () => import("./pages/overview/OverviewPage.vue"), meta: menu("start", HomeIcon, (w) => w.overview.title) },
  { path: "/sites", component: () => import("./pages/sites/SiteList.vue"), meta: menu("start", SiteIcon, (w) => w.sites.menu) },
  { path: "/sites/:id", component: () => import("./pages/sites/SitePage.vue") },

  { path: "/waba", component: () => import("./pages/connect-meta/ConnectStart.vue"), meta: menu("waba", ConnectIcon, (w) => w.connect.menu) },
  { path: "/waba/apps/:id/connect", component: () => import("./pages/connect-meta/ConnectToken.vue") },
  { path: "/waba/connected/:id", component: () => import("./pages/connect-meta/ConnectProgress.vue") },
  { path: "/waba/refused/:reason", component: () => import("./pages/connect-meta/ConnectRefused.vue") },
  { path: "/waba/apps", component: () => import("./pages/waba-apps/WabaAppList.vue"), meta: menu("waba", WabaIcon, (w) => w.wabaApps.menu) },
  { path: "/waba/apps/:id", component: () => import("./pages/waba-apps/WabaAppPage.vue") },
  { path: "/waba/accounts", component: () => import("./pages/waba-accounts/AccountList.vue"), meta: menu("waba", WhatsAppIcon, (w) => w.accounts.menu) },
  { path: "/waba/accounts/:id", component: () => import("./pages/waba-accounts/AccountPage.vue") },
  { path: "/waba/phones", component: () => import("./pages/phones/PhoneList.vue"), meta: menu("waba", PhoneIcon, (w) => w.phones.menu) },
  { path: "/waba/phones/:id", component: () => import("./pages/phones/PhonePage.vue") },
  { path: "/waba/templates", component: () => import("./pages/templates/TemplateList.vue"), meta: menu("waba", TemplateIcon, (w) => w.templates.menu) },
  { path: "/waba/templates/new", component: () => import("./pages/templates/TemplateEdit.vue") },
  { path: "/waba/templates/:id/edit", component: () => import("./pages/templates/TemplateEdit.vue") },
  { path: "/waba/templates/:id", component: () => import("./pages/templates/TemplatePage.vue") },
  { path: "/waba/interactive", component: () => import("./pages/interactive/InteractiveList.vue"), meta: menu("waba", InteractiveIcon, (w) => w.interactive.title) },
  { path: "/waba/interactive/new", component: () => import("./pages/interactive/InteractiveEdit.vue") },
  { path: "/waba/interactive/:id", component: () => import("./pages/interactive/InteractiveEdit.vue") },
  { path: "/waba/events", component: () => import("./pages/events/EventList.vue"), meta: menu("waba", EventsIcon, (w) => w.events.menu) },
  { path: "/waba/events/:id", component: () => import("./pages/events/EventPage.vue") },

  { path: "/bitrix/applications", component: () => import("./pages/bitrix-apps/BitrixAppList.vue"), meta: menu("bitrix", AppIcon, (w) => w.bitrixApps.menu) },
  { path: "/bitrix/applications/:id", component: () => import("./pages/bitrix-apps/BitrixAppPage.vue") },
  { path: "/bitrix/instances", component: () => import("./pages/instances/InstanceList.vue"), meta: menu("bitrix", PortalIcon, (w) => w.instances.menu) },
  { path: "/bitrix/instances/:id", component: () => import("./pages/instances/InstancePage.vue") },
  { path: "/bitrix/authorized/:id", redirect: ({ params }) => `/bitrix/instances/${String(params.id)}` },
  { path: "/bitrix/refused/:reason", component: () => import("./pages/connect-bitrix/ConsentRefused.vue") },
  { path: "/bitrix/connectors", component: () => import("./pages/connectors/ConnectorList.vue"), meta: menu("bitrix", ConnectorIcon, (w) => w.connectors.title) },
  { path: "/bitrix/lines", component: () => import("./pages/lines/LineList.vue"), meta: menu("bitrix", LinesIcon, (w) => w.lines.title) },

  { path: "/messages", component: () => import("./pages/messages/MessageList.vue"), meta: menu("work", MessagesIcon, (w) => w.messages.title) },
  { path: "/messages/:id", component: () => import("./pages/messages/MessagePage.vue") },
  { path: "/calls", component: () => import("./pages/calls/CallList.vue"), meta: menu("work", CallsIcon, (w) => w.calls.title) },
  { path: "/calls/:id", component: () => import("./pages/calls/CallPage.vue") },
  { path: "/queue", component: () => import("./pages/queue/QueuePage.vue"), meta: menu("work", QueueIcon, (w) => w.queue.menu) },

  { path: "/users", component: () => import("./pages/users/UserList.vue"), meta: { ...menu("people", UsersIcon, (w) => w.people.users), administrator: true } },
  { path: "/users/:id", component: () => import("./pages/users/UserPage.vue"), meta: { administrator: true } },
  { path: "/keys", component: () => import("./pages/keys/KeyList.vue"), meta: menu("people", KeyIcon, (w) => w.keys.title) },
  { path: "/keys/new", component: () => import("./pages/keys/KeyNew.vue") },
  { path: "/audit", component: () => import("./pages/audit/AuditList.vue"), meta: menu("people", AuditIcon, (w) => w.audit.title) },
  { path: "/account", component: () => import("./pages/account/AccountPage.vue") },

  { path: "/settings", component: () => import("./pages/settings/SettingsPage.vue"), meta: menu("system", SettingsIcon, (w) => w.settings.title) },

  { path: "/doctor", component: () => import("./pages/doctor/DoctorPage.vue"), meta: menu("system", DoctorIcon, (w) => w.doctor.title) },
  { path: "/wizard", component: () => import("./pages/wizard/WizardPage.vue"), meta: menu("start", WizardIcon, (w) => w.wizard.title) },
  // Chosen by what the server says about the frame, never by an address; see router.ts.
  { path: "/frame", component: () => import("./pages/frames/FramePage.vue"), meta: { open: true } },
  { path: "/help/:page", component: () => import("./pages/help/HelpPage.vue") },
  { path: "/:rest(.*)*", component: () => import("./pages/NotFound.vue") },
];
