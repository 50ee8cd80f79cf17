// The addresses of the pages, and who may open them.
import { createRouter, createWebHistory } from "vue-router";
import { onSignedOut } from "./api/client";
import { routes } from "./routes";
import { end, isAdministrator, knowSession, session } from "./session";

export const router = createRouter({
  history: createWebHistory(),
  routes,
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? false : { top: 0 }),
});

router.beforeEach(async (to) => {
  if (to.meta.open) return true;
  await knowSession();
  if (session.value === null) return { path: "/sign-in", query: to.fullPath === "/" ? {} : { next: to.fullPath } };
  if (to.meta.administrator && !isAdministrator.value) return "/";
  return true;
});

onSignedOut(() => {
  end();
  const { meta, fullPath } = router.currentRoute.value;
  if (!meta.open) void router.push({ path: "/sign-in", query: { next: fullPath } });
});
