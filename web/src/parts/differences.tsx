// What differs between two states of a thing, member by member.
import { differences, inWords } from "../lib/patch.ts";

interface Props {
  before: Record<string, unknown>;
  after: Record<string, unknown>;
}

export function Differences({ before, after }: Props) {
  const list = differences(before, after);
  if (list.length === 0) {
    return <p>Nothing is different any more.</p>;
  }
  return (
    <dl class="diff">
      {list.map((d) => (
        <div key={d.name}>
          <dt>{d.name}</dt>
          <dd>
            <del>{inWords(d.before)}</del> <ins>{inWords(d.after)}</ins>
          </dd>
        </div>
      ))}
    </dl>
  );
}
