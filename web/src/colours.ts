// Light and dark. Follows the system until a person chooses.
import { computed, ref } from "vue";

const KEPT = "separator-colours";

export type Colours = "light" | "dark";

const system = window.matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = ref(system.matches);
const chosen = ref<Colours | null>(kept());

/** How the pages look now. */
export const colours = computed<Colours>(() => chosen.value ?? (systemIsDark.value ? "dark" : "light"));

/** Dresses the page, now and whenever the system changes. */
export function dress(): void {
  system.addEventListener("change", (event) => {
    systemIsDark.value = event.matches;
    apply();
  });
  apply();
}

/** Changes to the other of the two and remembers it on this browser. */
export function swap(): void {
  chosen.value = colours.value === "dark" ? "light" : "dark";
  try {
    localStorage.setItem(KEPT, chosen.value);
  } catch {
    // A browser that keeps nothing shows it until the page is left.
  }
  apply();
}

function apply(): void {
  const { classList, style } = document.documentElement;
  classList.toggle("dark", colours.value === "dark");
  classList.toggle("light", colours.value === "light");
  style.colorScheme = colours.value;
}

function kept(): Colours | null {
  try {
    const value = localStorage.getItem(KEPT);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    return null;
  }
}
