// The nftables table, as the kernel has it, explained.
import { useEffect, useMemo, useState } from "preact/hooks";
import { RulesetReader, type RuleLine } from "../../lib/ruleset.ts";
import { configVersion } from "../../live/connection.ts";
import { useStore } from "../../live/store.ts";
import { Heading } from "../../parts/heading.tsx";
import { SearchField } from "../../parts/searchfield.tsx";
import { Empty, Loading } from "../../parts/states.tsx";
import { Explanation } from "./explanation.tsx";
import { RuleList } from "./list.tsx";

interface Loaded {
  lines: readonly RuleLine[];
  cut: boolean;
}

const most = 50_000;

/** Reads the text as it comes: with many services it is long. */
async function load(signal: AbortSignal): Promise<Loaded> {
  const answer = await fetch("/v1/ruleset", { headers: { Accept: "text/plain" }, signal });
  if (!answer.ok || answer.body === null) {
    throw new Error(`the daemon answered ${String(answer.status)}`);
  }
  const reader = new RulesetReader(most);
  const decoder = new TextDecoder();
  const stream = answer.body.getReader();
  for (;;) {
    const { done, value } = await stream.read();
    if (done || reader.cut) {
      break;
    }
    reader.add(decoder.decode(value, { stream: true }));
  }
  reader.end();
  return { lines: reader.lines, cut: reader.cut };
}

export function Ruleset() {
  const version = useStore(configVersion);
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  const [failed, setFailed] = useState("");
  const [find, setFind] = useState("");
  const [at, setAt] = useState(0);
  const [again, setAgain] = useState(0);
  useEffect(() => {
    const end = new AbortController();
    load(end.signal).then(
      (next) => {
        setLoaded(next);
        setFailed("");
      },
      (error: unknown) => {
        if (!end.signal.aborted) {
          setFailed(String(error));
        }
      },
    );
    return () => {
      end.abort();
    };
  }, [version, again]);
  const lines = useMemo(() => found(loaded?.lines ?? [], find.trim()), [loaded, find]);
  const line = lines[Math.min(at, lines.length - 1)];
  return (
    <>
      <Heading
        title="Ruleset"
        lead="The table inet roamlb as the kernel has it now. Point at a line, or go through them with the arrow keys, to read what it does."
      >
        <button
          type="button"
          onClick={() => {
            setAgain(again + 1);
          }}
        >
          Read again
        </button>
      </Heading>
      <SearchField
        label="Find"
        placeholder="Find a chain, a map, an address…"
        value={find}
        onValue={(text) => {
          setFind(text);
          setAt(0);
        }}
      />
      {failed !== "" && (
        <p class="notice bad" role="alert">
          The ruleset could not be read: {failed}
        </p>
      )}
      {loaded === null ? (
        failed === "" && <Loading />
      ) : lines.length === 0 ? (
        <Empty title="No line is like that" />
      ) : (
        <div class="ruleset-columns">
          <RuleList lines={lines} at={at} onAt={setAt} />
          {line !== undefined && <Explanation line={line} />}
        </div>
      )}
      {loaded?.cut === true && (
        <p class="help">
          Only the first {most} lines are here; <code>roamlb ruleset</code> prints all.
        </p>
      )}
    </>
  );
}

/** The blocks that have a text in them, whole. */
function found(lines: readonly RuleLine[], text: string): readonly RuleLine[] {
  if (text === "") {
    return lines;
  }
  const blocks = new Set(lines.filter((l) => l.text.includes(text)).map((l) => l.block));
  return lines.filter((l) => blocks.has(l.block) && (l.block !== "" || l.text.includes(text)));
}
