import eslint from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

// Nothing that comes from elsewhere is ever read as HTML.
const markup = [
  "innerHTML",
  "outerHTML",
  "insertAdjacentHTML",
  "dangerouslySetInnerHTML",
  "srcdoc",
];

export default defineConfig(
  globalIgnores(["dist", "**/build", "src/api.gen.d.ts"]),
  eslint.configs.recommended,
  {
    files: ["**/*.ts", "**/*.tsx"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["vite.config.ts"] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // A click handler may begin something: what it throws is the browser's to tell.
      "@typescript-eslint/no-misused-promises": [
        "error",
        { checksVoidReturn: { attributes: false } },
      ],
      // node's test() answers with a promise that only it waits for.
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", name: "test", package: "node:test" }] },
      ],
      "no-restricted-properties": ["error", ...markup.map((property) => ({ property }))],
      "no-restricted-syntax": [
        "error",
        ...markup.map((name) => ({
          selector: `JSXAttribute[name.name="${name}"]`,
          message: "Text stays text.",
        })),
        {
          selector:
            "MemberExpression[property.name=/^(write|writeln|parseFromString|createContextualFragment)$/]",
          message: "Text stays text.",
        },
      ],
    },
  },
);
