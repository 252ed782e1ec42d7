// The lines, of which only those in sight are there.
import { useEffect, useRef, useState } from "preact/hooks";
import { piecesOf, type RuleLine } from "../../lib/ruleset.ts";

interface Props {
  lines: readonly RuleLine[];
  at: number;
  onAt: (at: number) => void;
}

const height = 20; // of a line, as in the style sheet
const beyond = 20; // lines that are drawn out of sight

const steps: Record<string, number> = {
  ArrowDown: 1,
  ArrowUp: -1,
  PageDown: 20,
  PageUp: -20,
  Home: -Infinity,
  End: Infinity,
};

export function RuleList({ lines, at, onAt }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  const from = Math.max(0, Math.floor(view.top / height) - beyond);
  const to = Math.min(lines.length, Math.ceil((view.top + view.height) / height) + beyond);

  useEffect(() => {
    const element = box.current;
    if (element === null) {
      return undefined;
    }
    const look = () => {
      setView({ top: element.scrollTop, height: element.clientHeight });
    };
    look();
    const resized = new ResizeObserver(look);
    resized.observe(element);
    return () => {
      resized.disconnect();
    };
  }, []);

  const move = (event: KeyboardEvent) => {
    const step = steps[event.key];
    const element = box.current;
    if (step === undefined || element === null) {
      return;
    }
    event.preventDefault();
    const next = Math.min(Math.max(at + step, 0), lines.length - 1);
    onAt(next);
    if (next * height < element.scrollTop) {
      element.scrollTop = next * height;
    } else if ((next + 1) * height > element.scrollTop + element.clientHeight) {
      element.scrollTop = (next + 1) * height - element.clientHeight;
    }
  };

  return (
    <div
      class="ruleset card"
      role="listbox"
      aria-label="Ruleset"
      aria-activedescendant={at >= from && at < to ? `rule-${String(at)}` : undefined}
      tabIndex={0}
      ref={box}
      data-testid="ruleset"
      onKeyDown={move}
      onScroll={(event) => {
        setView({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight });
      }}
    >
      <div
        class="ruleset-all"
        role="presentation"
        style={{ height: `${String(lines.length * height)}px` }}
      >
        <div
          class="ruleset-part"
          role="presentation"
          style={{ transform: `translateY(${String(from * height)}px)` }}
        >
          {lines.slice(from, to).map((line, i) => (
            <Line
              key={from + i}
              line={line}
              number={from + i}
              total={lines.length}
              chosen={from + i === at}
              onAt={onAt}
            />
          ))}
        </div>
      </div>
    </div>
  );
}

interface LineProps {
  line: RuleLine;
  number: number;
  total: number;
  chosen: boolean;
  onAt: (at: number) => void;
}

function Line({ line, number, total, chosen, onAt }: LineProps) {
  const point = () => {
    onAt(number);
  };
  return (
    <div
      class={`rule ${chosen ? "chosen" : ""}`}
      role="option"
      id={`rule-${String(number)}`}
      aria-selected={chosen}
      aria-label={line.text.trim() === "" ? "blank" : undefined}
      aria-setsize={total}
      aria-posinset={number + 1}
      onPointerEnter={point}
      onClick={point}
    >
      {piecesOf(line.text).map((piece, i) =>
        piece.look === "plain" ? (
          piece.text
        ) : (
          <span key={i} class={`nft-${piece.look}`}>
            {piece.text}
          </span>
        ),
      )}
    </div>
  );
}
