// What the sandbox's pages, the API's page and these tests are checked for. Run from the repository's root: `./test` does.

import js from "@eslint/js";

/** What a browser gives to a script, as far as the pages use it. */
const browser = [
  "AbortController", "Event", "EventSource", "FormData", "HTMLDetailsElement", "Intl", "URL", "URLSearchParams", "confirm", "document",
  "fetch", "history", "location", "performance", "setTimeout", "window",
];

/** What Node gives to the tests. */
const node = ["Buffer", "URL", "console", "process", "setTimeout", "clearTimeout", "fetch"];

const globals = (names) => Object.fromEntries(names.map((name) => [name, "readonly"]));

const rules = {
  ...js.configs.recommended.rules,
  "array-callback-return": "error",
  eqeqeq: "error",
  "no-eval": "error",
  "no-implied-eval": "error",
  "no-implicit-globals": "error",
  "no-new-func": "error",
  "no-template-curly-in-string": "error",
  "no-unused-vars": ["error", { caughtErrors: "all" }],
  "no-use-before-define": ["error", { functions: false, variables: false }],
  "no-var": "error",
  "prefer-const": "error",
};

export default [
  { ignores: ["**/node_modules/**", "target/**"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  {
    files: ["crates/**/*.js"],
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: globals(browser) },
    rules,
  },
  {
    files: ["tests/browser/**/*.js"],
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: globals([...browser, ...node]) },
    rules,
  },
];
