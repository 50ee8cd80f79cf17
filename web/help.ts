// The pages of `docs/` as pages of the application: Markdown becomes a component while the application is built, so that
// no Markdown is read in the browser and no text becomes markup there.
import { Marked } from "marked";
import { compileTemplate } from "vue/compiler-sfc";
import type { Plugin } from "vite";

const QUERY = "?help";

/** The anchor of a heading, as code hosts make it: `Clock is right` becomes `clock-is-right`. */
function anchor(heading: string): string {
  return heading.toLowerCase().replace(/<[^>]*>/g, "").replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replace(/\s+/g, "-");
}

const markdown = new Marked({
  gfm: true,
  renderer: {
    heading({ tokens, depth }) {
      const text = this.parser.parseInline(tokens);
      return `<h${depth} id="${anchor(text)}">${text}</h${depth}>\n`;
    },
    link({ href, tokens }) {
      const text = this.parser.parseInline(tokens);
      const inside = /^([\w-]+)\.md(#.*)?$/.exec(href);
      if (inside !== null) return `<a href="/help/${inside[1] ?? ""}${inside[2] ?? ""}">${text}</a>`;
      return href.startsWith("https://") ? `<a href="${href}" target="_blank" rel="noreferrer">${text}</a>` : text;
    },
    // A table of many columns is moved by itself, not the page; it can be reached by keyboard.
    table(token) {
      const row = (cells: typeof token.header, tag: string) =>
        `<tr>${cells.map((cell) => `<${tag}>${this.parser.parseInline(cell.tokens)}</${tag}>`).join("")}</tr>`;
      const body = token.rows.map((cells) => row(cells, "td")).join("");
      return `<div class="help-table" tabindex="0"><table><thead>${row(token.header, "th")}</thead><tbody>${body}</tbody></table></div>\n`;
    },
    image: () => "",
    html: () => "",
  },
});

/** Makes a component of every import that ends with `.md?help`. */
export function help(): Plugin {
  return {
    name: "separator-help",
    enforce: "pre",
    transform(source, id) {
      if (!id.endsWith(`.md${QUERY}`)) return;
      const title = /^# (.+)$/m.exec(source)?.[1] ?? "";
      const html = markdown.parse(source.replace(/^# .+$/m, ""), { async: false });
      // `v-pre`: braces in the text are text.
      const { code, errors } = compileTemplate({ source: `<div v-pre>${html}</div>`, filename: id, id });
      if (errors.length > 0) throw new Error(`${id}: ${String(errors[0])}`);
      return { code: `${code}\nexport const title = ${JSON.stringify(title)};\nexport default { render };\n`, map: null };
    },
  };
}
