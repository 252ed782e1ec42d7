// What the chosen line does.
import { meaningOf } from "../../lib/nftwords.ts";
import type { RuleLine } from "../../lib/ruleset.ts";

export function Explanation({ line }: { line: RuleLine }) {
  const { block, about, line: words } = meaningOf(line.text, line.block);
  const comment = /comment "([^"]*)"/.exec(line.text)?.[1];
  return (
    <aside
      class="card explanation"
      aria-label="Explanation"
      aria-live="polite"
      data-testid="explanation"
    >
      <h2 class="mono">{block === "" ? "table inet roamlb" : block}</h2>
      <p>
        {block === ""
          ? "One table, owned by roamlb alone. Rules are static; data lives in maps."
          : about}
      </p>
      {comment !== undefined && (
        <p>
          <strong>{comment}</strong>
        </p>
      )}
      {words.length > 0 && (
        <ul>
          {words.map((text) => (
            <li key={text}>{text}</li>
          ))}
        </ul>
      )}
    </aside>
  );
}
