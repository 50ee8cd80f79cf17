// What the sources of the web application are checked for, beside the types. Run by `npm run check`; `./test` does.

import js from "@eslint/js";
import vue from "eslint-plugin-vue";
import typescript from "typescript-eslint";

export default typescript.config(
  { ignores: ["dist/**", "node_modules/**", "src/api/schema.d.ts"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  js.configs.recommended,
  ...typescript.configs.strict,
  ...typescript.configs.stylistic,
  ...vue.configs["flat/recommended"],
  {
    files: ["**/*.vue"],
    languageOptions: { parserOptions: { parser: typescript.parser } },
  },
  {
    files: ["src/**/*.{ts,vue}"],
    rules: {
      // The compiler knows what there is.
      "no-undef": "off",
      eqeqeq: "error",
      "no-eval": "error",
      "no-restricted-syntax": [
        "error",
        { selector: "MemberExpression[property.name='innerHTML']", message: "Text of others never becomes markup." },
      ],
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "vue/no-v-html": "error",
      "vue/block-lang": ["error", { script: { lang: "ts" } }],
      "vue/component-api-style": ["error", ["script-setup"]],
      "vue/require-explicit-slots": "off",
      // TypeScript says whether a property may be left out; with destructured defaults nothing else is needed.
      "vue/require-default-prop": "off",
      "vue/max-attributes-per-line": "off",
      "vue/singleline-html-element-content-newline": "off",
      "vue/html-self-closing": ["error", { html: { void: "never", normal: "any", component: "always" } }],
      "vue/multi-word-component-names": "error",
    },
  },
);
