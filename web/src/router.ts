// The addresses of the pages, and who may open them.
import { createMemoryHistory, createRouter, createWebHistory } from "vue-router";
import { onSignedOut } from "./api/client";
import { frame } from "./frame";
import { routes } from "./routes";
import { end, isAdministrator, knowSession, session } from "./session";

/** The address of a frame is the door that Bitrix24 posted to; its page is chosen by what the server says. */
function framed() {
  const history = createMemoryHistory();
  history.replace("/frame");
  return history;
}

export const router = createRouter({
  history: frame === null ? createWebHistory() : framed(),
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
