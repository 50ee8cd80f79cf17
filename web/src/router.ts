// The addresses of the pages, and who may open them.
import { createMemoryHistory, createRouter, createWebHistory } from "vue-router";
import { onSignedOut } from "./api/client";
import { frame } from "./frame";
import { routes } from "./routes";
import { end, isAdministrator, knowSession, session } from "./session";

export const router = createRouter({
  // The address of a frame is the door that Bitrix24 posted to; its page is chosen by what the server says.
  history: frame === null ? createWebHistory() : createMemoryHistory(),
  routes,
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? false : { top: 0 }),
});

router.beforeEach(async (to) => {
  // Whatever a frame is sent to, it stays what it was opened as.
  if (frame !== null && to.path !== "/frame") return "/frame";
  if (to.meta.open) return true;
  await knowSession();
  if (session.value === null) return { path: "/sign-in", query: to.fullPath === "/" ? {} : { next: to.fullPath } };
  if (to.meta.administrator && !isAdministrator.value) return "/";
  return true;
});

onSignedOut(() => {
  end();
  if (frame !== null) return;
  const { meta, fullPath } = router.currentRoute.value;
  if (!meta.open) void router.push({ path: "/sign-in", query: { next: fullPath } });
});
